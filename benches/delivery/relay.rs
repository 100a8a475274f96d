//! The reference for latency: the least that can be done between a NOTIFY and a WebSocket. On a thread and runtime of
//! its own, it sends every payload it hears to the one client that it accepts.

use anyhow::Context;
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpListener;
use tokio_postgres::Config;
use tokio_tungstenite::accept_async;
use tokio_tungstenite::tungstenite::Message;

use crate::listener::hear_rows;

/// Starts it; the URL of its socket. It ends with its client's connection.
pub fn start(config: &Config) -> anyhow::Result<String> {
    let config = config.clone();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let mut payloads = std::pin::pin!(hear_rows(&config).await?);
            tell.send(format!("ws://{}", listener.local_addr()?))?;
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let mut socket = accept_async(stream).await?;
            loop {
                tokio::select! {
                    payload = payloads.next() => {
                        let payload = payload.context("the relay's connection ended")??;
                        socket.send(Message::Text(payload.into())).await?;
                    }
                    message = socket.next() => match message {
                        Some(Ok(_)) => {}
                        _ => return anyhow::Ok(()),
                    },
                }
            }
        })
    });
    told.recv().context("the relay cannot start")
}
