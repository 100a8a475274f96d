//! A command of the user's that is run for each notification.

use std::process::Stdio;

use anyhow::Context;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::client::Notification;
use crate::lifecycle::Signals;

/// Whether to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    GoOn,
    /// We were asked to stop.
    Stop,
}

/// Runs `command` in a shell, and waits for its end: the notification is on its stdin, what it is about in its environment.
/// A command that fails is told of, and that is all. Asked to stop, we let it end first; asked again, it is killed.
pub(super) async fn run(
    command: &str,
    box_id: &str,
    notification: &Notification,
    signals: &mut Signals,
) -> anyhow::Result<Then> {
    let events = notification.events.as_ref();
    let mut child = Command::new("sh")
        .args(["-c", command])
        .env("TOCSIN_BOX", box_id)
        .env("TOCSIN_INDEX", events.map(|list| list.index.to_string()).unwrap_or_default())
        .env("TOCSIN_RESTART_TOKEN", events.map(|list| list.restart_token.as_str()).unwrap_or_default())
        .stdin(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("--exec: no shell `sh` can be run; is it on the PATH?")?;
    let stdin = child.stdin.take();
    let write = async {
        if let Some(mut stdin) = stdin {
            let _ = stdin.write_all(format!("{}\n", notification.raw.get()).as_bytes()).await; // it need not be read
        }
    };
    let mut then = Then::GoOn;
    let mut write = std::pin::pin!(write);
    let mut written = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.context("--exec")?,
            () = &mut write, if !written => written = true,
            () = signals.next() => match then {
                Then::GoOn => then = Then::Stop,
                Then::Stop => return Ok(Then::Stop),
            },
        }
    };
    if !status.success() {
        let of = events.map_or("a notification".to_owned(), |list| format!("index {}", list.index));
        eprintln!("--exec: the command failed with {status} for {of}; going on");
    }
    Ok(then)
}
