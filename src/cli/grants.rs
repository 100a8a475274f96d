//! `tocsin grant`, `tocsin revoke` and `tocsin grants`: who may reach what is not theirs.

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::beside::on;
use super::output::{Output, print_json};
use super::table::print_table;
use crate::auth::grants::{EVERY, Grant, Resource, Right};
use crate::auth::rows;
use crate::base::ids::UserId;
use crate::config::DatabaseArgs;

/// `tocsin grant`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The user, or * for everybody who has a token
    #[arg(value_name = "GRANTEE")]
    grantee: String,
    /// user/USER, box/BOX, box/STORE/BOX, inbox/USER, room/ROOM or table/TABLE; * in place of the name is every one
    #[arg(value_name = "RESOURCE")]
    resource: Resource,
    /// What the user may do there, separated by commas
    #[arg(value_name = "RIGHTS", value_delimiter = ',', default_value = "read")]
    rights: Vec<Right>,
}

/// `tocsin revoke`.
#[derive(Debug, clap::Args)]
pub(super) struct RevokeArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// The user, or *, as it was granted
    #[arg(value_name = "GRANTEE")]
    grantee: String,
    /// The resource, as it was granted
    #[arg(value_name = "RESOURCE")]
    resource: Resource,
}

/// `tocsin grants`.
#[derive(Debug, clap::Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    database: DatabaseArgs,
    /// How to print them
    #[arg(long, value_name = "FORM", value_enum, default_value_t)]
    output: Output,
}

pub(super) async fn grant(args: Args) -> anyhow::Result<()> {
    let Args { database, grantee, resource, rights } = args;
    if grantee != EVERY {
        UserId::parse(&grantee).context("GRANTEE is a user's id, or *")?;
    }
    let grant =
        on(database, async |database| Ok(rows::grant(database, &grantee, &resource, &rights, None).await?)).await?;
    println!("{} may {} {}", grant.grantee, named(&grant), grant.resource);
    Ok(())
}

pub(super) async fn revoke(args: RevokeArgs) -> anyhow::Result<()> {
    let RevokeArgs { database, grantee, resource } = args;
    on(database, async |database| {
        let grants = rows::list(database, None).await?;
        let found = grants.iter().find(|grant| grant.grantee == grantee && grant.resource == resource);
        let Some(grant) = found else { bail!("{grantee} has no grant of {resource} (`tocsin grants` lists them)") };
        rows::revoke(database, grant.id).await?;
        Ok(())
    })
    .await?;
    println!("{grantee} may not reach {resource} any more");
    Ok(())
}

pub(super) async fn list(args: ListArgs) -> anyhow::Result<()> {
    let grants = on(args.database, async |database| Ok(rows::list(database, None).await?)).await?;
    if args.output == Output::Json {
        return print_json(&grants.iter().map(as_json).collect());
    }
    if grants.is_empty() {
        println!("nothing is granted: everybody reaches their own only");
        return Ok(());
    }
    let head = ["GRANTEE", "RESOURCE", "RIGHTS", "BY", "SINCE"].map(str::to_owned);
    print_table(head, grants.iter().map(columns))?;
    Ok(())
}

fn columns(grant: &Grant) -> [String; 5] {
    [
        grant.grantee.clone(),
        grant.resource.to_string(),
        named(grant),
        grant.granted_by.clone().unwrap_or_default(),
        grant.granted_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
    ]
}

fn as_json(grant: &Grant) -> Value {
    let rights: Vec<_> = grant.rights.iter().map(|right| right.name()).collect();
    let [grantee, resource, _, _, since] = columns(grant);
    json!({ "grantee": grantee, "resource": resource, "rights": rights, "by": grant.granted_by, "since": since })
}

fn named(grant: &Grant) -> String {
    grant.rights.iter().map(|right| right.name()).collect::<Vec<_>>().join(",")
}
