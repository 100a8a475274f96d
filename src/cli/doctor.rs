//! `tocsin doctor`.

use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::beside::on_any;
use super::output::{Output, print_json};
use super::table::print_table;
use crate::config::DatabaseArgs;
use crate::postgres::checkup::{self, Finding, Health};

/// How long the server may take to say whether it is ready.
const PATIENCE: Duration = Duration::from_secs(10);

/// `tocsin doctor`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// Ask this server too whether it is ready
    #[arg(long, value_name = "URL")]
    server: Option<String>,
    /// How findings are printed
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn run(args: Args) -> anyhow::Result<()> {
    let mut findings = on_any(args.database, async |database: &_| Ok(checkup::look(database).await)).await?;
    if let Some(server) = args.server {
        findings.push(look_at_server(&server).await);
    }
    match args.output {
        Output::Json => print_json(&as_json(&findings))?,
        Output::Table => {
            let head = ["", "CHECK", "FINDING", "REMEDY"].map(str::to_owned);
            print_table(head, findings.iter().map(columns))?;
        }
    }
    let failed = findings.iter().filter(|finding| finding.health == Health::Fail).count();
    if failed > 0 {
        bail!("{failed} of {} checks failed", findings.len());
    }
    Ok(())
}

async fn look_at_server(server: &str) -> Finding {
    const CHECK: &str = "server";
    match ask(server).await {
        Ok(answer) if answer["ready"] == true => match answer["doorbell"].as_str() {
            Some(bell) if bell.starts_with("polling") => {
                Finding::warn(CHECK, format!("is ready, but its doorbell is {bell}"), "see notify and session")
            }
            _ => Finding::ok(CHECK, "is ready"),
        },
        Ok(answer) => {
            let reasons = answer["reasons"].as_array().map_or(&[][..], Vec::as_slice);
            let reasons: Vec<_> = reasons.iter().filter_map(Value::as_str).collect();
            Finding::fail(CHECK, format!("is not ready: {}", reasons.join("; ")), "see the other findings, and its log")
        }
        Err(fault) => Finding::fail(CHECK, format!("cannot be asked: {fault:#}"), "does it run, and is the URL right?"),
    }
}

async fn ask(server: &str) -> anyhow::Result<Value> {
    let builder = reqwest::Client::builder().timeout(PATIENCE).no_proxy();
    let builder = if server.starts_with("https:") { builder } else { builder.tls_certs_only([]) };
    let url = format!("{}/readyz", server.trim_end_matches('/'));
    let answer = builder.build()?.get(&url).send().await?;
    answer.json().await.context("what answers is no tocsin")
}

fn columns(finding: &Finding) -> [String; 4] {
    let Finding { check, health, seen, remedy } = finding;
    [health.name().to_owned(), (*check).to_owned(), in_one_line(seen), in_one_line(remedy)]
}

fn in_one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn as_json(findings: &[Finding]) -> Value {
    let of = |finding: &Finding| {
        let Finding { check, health, seen, remedy } = finding;
        json!({ "check": check, "health": health.name(), "finding": seen, "remedy": remedy })
    };
    json!({ "findings": findings.iter().map(of).collect::<Vec<_>>() })
}
