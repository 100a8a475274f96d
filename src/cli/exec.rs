//! A command of the user's that is run for each notification.

use std::process::Stdio;

use anyhow::Context;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// Runs `command` in a shell, and waits for its end: the notification is on its stdin, what it is about in its environment.
/// A command that fails is told of, and that is all.
pub(super) async fn run(command: &str, box_id: &str, notification: &Value) -> anyhow::Result<()> {
    let list = &notification["nmsEventList"];
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("TOCSIN_BOX", box_id)
        .env("TOCSIN_INDEX", list["index"].as_i64().map(|index| index.to_string()).unwrap_or_default())
        .env("TOCSIN_RESTART_TOKEN", list["restartToken"].as_str().unwrap_or_default())
        .stdin(Stdio::piped())
        .spawn()
        .context("--exec: no shell can be run")?;
    let stdin = child.stdin.take();
    let text = format!("{notification}\n");
    let write = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(text.as_bytes()).await; // a command need not read it
        }
    };
    let ((), status) = tokio::join!(write, child.wait());
    let status = status.context("--exec")?;
    if !status.success() {
        eprintln!("--exec: the command failed with {status} for index {}; going on", list["index"]);
    }
    Ok(())
}
