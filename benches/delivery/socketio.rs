//! Socket.IO: a server of its kind that LISTENs (benches/references/socketio), in Node.js.

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio_postgres::Config;
use tokio_postgres::config::Host;

use crate::background::Background;
use crate::contestant::Audience;

/// Where scripts/bench.sh puts what it installs.
pub fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}

/// Starts it; the URL of its sockets. With one listener it sends each row to whoever is connected, else to its box's
/// room.
pub async fn start(database: &Config, audience: Audience) -> anyhow::Result<(Background, String)> {
    let modules = installed().join("socketio/node_modules");
    ensure!(modules.join("socket.io").is_dir(), "not installed (scripts/bench.sh does, with npm)");
    let rooms = !matches!(audience, Audience::One { .. });
    let mut command = Command::new("node");
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/references/socketio/server.js"))
        .args(rooms.then_some("rooms"))
        .env("NODE_PATH", modules)
        .env("NODE_ENV", "production")
        .envs(environment(database)?);
    let (server, stdout) = Background::start(&mut command)?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("the server ended at once")?;
    let port = line.strip_prefix("READY ").with_context(|| format!("not READY: {line}"))?;
    Ok((server, format!("ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket")))
}

/// The URL of a socket that hears of a box.
pub fn socket(server: &str, box_id: &str) -> String {
    format!("{server}&box={}", utf8_percent_encode(box_id, NON_ALPHANUMERIC))
}

/// The database, as libpq's variables tell it.
fn environment(database: &Config) -> anyhow::Result<Vec<(&'static str, String)>> {
    let host = match database.get_hosts().first().context("a database has a host")? {
        Host::Tcp(name) => name.clone(),
        Host::Unix(directory) => directory.display().to_string(),
    };
    let port = database.get_ports().first().copied().unwrap_or(5432);
    let mut variables = vec![("PGHOST", host), ("PGPORT", port.to_string())];
    variables.extend(database.get_user().map(|user| ("PGUSER", user.to_owned())));
    variables.extend(database.get_dbname().map(|name| ("PGDATABASE", name.to_owned())));
    let password = database.get_password().map(|password| String::from_utf8(password.to_vec())).transpose()?;
    variables.extend(password.map(|password| ("PGPASSWORD", password)));
    Ok(variables)
}
