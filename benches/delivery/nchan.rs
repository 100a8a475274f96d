//! Nchan: a module of nginx that fans out what is published to it, without a database behind it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

use crate::background::Background;
use crate::listener::number_after;
use crate::socketio::installed;

/// How long nginx may take to accept connections.
const START_PATIENCE: Duration = Duration::from_secs(10);

/// Starts nginx with Nchan; where it listens.
pub async fn start() -> anyhow::Result<(Background, SocketAddr)> {
    let nginx = installed().join("nginx/usr/sbin/nginx");
    let module = installed().join("nginx/usr/lib/nginx/modules/ngx_nchan_module.so");
    ensure!(nginx.is_file() && module.is_file(), "not installed (scripts/bench.sh does, from Debian's packages)");
    // Nobody has taken the port when nginx does, unless by an unlikely chance: then it does not start.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let directory = tempfile::Builder::new().prefix("tocsin-bench-nchan-").tempdir()?;
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration(&module, directory.path(), address))?;
    let mut command = Command::new(nginx);
    command.arg("-p").arg(directory.path()).arg("-c").arg(&file).args(["-e", "stderr"]);
    let (mut server, _) = Background::start(&mut command)?;
    server.keep(directory);
    let deadline = Instant::now() + START_PATIENCE;
    while TcpStream::connect(address).await.is_err() {
        ensure!(!server.has_ended()? && Instant::now() < deadline, "nginx does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok((server, address))
}

/// As one would set it: a worker for each core, no log of accesses, room for the connections.
fn configuration(module: &Path, directory: &Path, address: SocketAddr) -> String {
    format!(
        "load_module {module};
        worker_processes auto;
        daemon off;
        pid {directory}/nginx.pid;
        events {{ worker_connections 12000; }}
        http {{
            access_log off;
            client_body_temp_path {directory}/body;
            proxy_temp_path {directory}/proxy;
            fastcgi_temp_path {directory}/fastcgi;
            uwsgi_temp_path {directory}/uwsgi;
            scgi_temp_path {directory}/scgi;
            keepalive_timeout 1h;
            keepalive_requests 1000000000;
            nchan_shared_memory_size 256M;
            server {{
                listen {address} backlog=4096;
                location = /publish {{
                    nchan_publisher http;
                    nchan_channel_id $arg_id;
                    nchan_message_buffer_length 100;
                    nchan_message_timeout 1m;
                }}
                location = /subscribe {{
                    nchan_subscriber websocket;
                    nchan_channel_id $arg_id;
                    nchan_subscriber_first_message newest;
                }}
            }}
        }}
        ",
        module = module.display(),
        directory = directory.display(),
    )
}

/// The URL of a socket that hears of a box.
pub fn socket(server: SocketAddr, box_id: &str) -> String {
    format!("ws://{server}/subscribe?id={box_id}")
}

/// A connection that publishes.
pub struct Publisher {
    server: SocketAddr,
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Publisher {
    /// Connects.
    pub async fn connect(server: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(server).await?;
        stream.set_nodelay(true)?;
        Ok(Publisher { server, stream, buffer: Vec::new() })
    }

    /// Publishes a message; returns when it is accepted.
    pub async fn publish(&mut self, box_id: &str, id: i64) -> anyhow::Result<()> {
        let message = message(box_id, id);
        let request = format!(
            "POST /publish?id={box_id} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{message}",
            self.server,
            message.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        self.buffer.clear();
        loop {
            ensure!(self.stream.read_buf(&mut self.buffer).await? > 0, "Nchan closed a publisher's connection");
            let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") else { continue };
            let head = &self.buffer[..end];
            ensure!(head.starts_with(b"HTTP/1.1 20"), "Nchan: {}", String::from_utf8_lossy(&self.buffer));
            let length = number_after(head, b"Content-Length: ").context("an answer has a length")?;
            if self.buffer.len() >= end + 4 + usize::try_from(length)? {
                return Ok(());
            }
        }
    }
}

/// What the server would send of a new message: a frame of the same form and length.
fn message(box_id: &str, id: i64) -> String {
    let url = format!("http://127.0.0.1:34567/nms/v1/default/{}", box_id.replace(':', "%3A").replace('+', "%2B"));
    MESSAGE.replace("{box}", &url).replace("{id}", &id.to_string())
}

const MESSAGE: &str = concat!(
    r#"{"notificationList":[{"nmsEventList":{"nmsEvent":[{"changedObject":{"parentFolder":"{box}/folders/root","#,
    r#""flags":{"flag":[],"resourceURL":"{box}/objects/{id}/flags"},"resourceURL":"{box}/objects/{id}","#,
    r#""lastModSeq":1000}}],"index":1000,"restartToken":"2026-11-21T11:10:24.067396Z","link":[{"#,
    r#""rel":"NmsSubscription","href":"{box}/subscriptions/01a1fdccdce07219ba448e8de20464fa"}]}}]}"#,
);
