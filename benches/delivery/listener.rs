//! Who listens: on a thread and runtime of its own, it notes what came and when, and leaves reading it for later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, anyhow};
use futures_util::{Stream, StreamExt};
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_util::sync::CancellationToken;

/// What came at once: a text frame, or a notification's payload.
#[derive(Debug)]
pub struct Frame {
    /// When it was there.
    pub at: Instant,
    /// What it says.
    pub text: String,
}

/// A running listener.
pub struct Listener {
    count: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<Vec<Frame>>>,
}

impl Listener {
    /// LISTENs to the rows of the reference's table.
    pub fn of_rows(config: &Config) -> anyhow::Result<Self> {
        let config = config.clone();
        Self::start("\"id\":", async move || hear_rows(&config).await)
    }

    /// Opens a WebSocket. `marker` is in a frame's text once for every event.
    pub fn of_socket(url: &str, subprotocol: Option<&'static str>, marker: &'static str) -> anyhow::Result<Self> {
        let mut request = url.into_client_request()?;
        if let Some(subprotocol) = subprotocol {
            request.headers_mut().insert("Sec-WebSocket-Protocol", subprotocol.parse()?);
        }
        Self::start(marker, async move || {
            let (socket, _) = connect_async(request).await.context("cannot open the WebSocket")?;
            // The library answers Pings while we read.
            Ok(socket.filter_map(async |message| match message {
                Ok(Message::Text(text)) => Some(Ok(text.as_str().to_owned())),
                Ok(Message::Close(frame)) => Some(Err(anyhow!("the server closed the socket: {frame:?}"))),
                Ok(_) => None,
                Err(fault) => Some(Err(fault.into())),
            }))
        })
    }

    /// Returns when it listens.
    fn start<S: Stream<Item = anyhow::Result<String>>>(
        marker: &'static str,
        open: impl AsyncFnOnce() -> anyhow::Result<S> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (counting, stopping) = (count.clone(), stop.clone());
        let (opened, open_now) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut texts = std::pin::pin!(open().await?);
                opened.send(())?;
                let mut frames = Vec::new();
                loop {
                    let text = tokio::select! {
                        biased;
                        text = texts.next() => text.context("the listener's connection ended")??,
                        () = stopping.cancelled() => return Ok(frames),
                    };
                    let at = Instant::now();
                    counting.fetch_add(text.matches(marker).count(), Ordering::Relaxed);
                    frames.push(Frame { at, text });
                }
            })
        });
        if open_now.recv().is_err() {
            join(thread)?;
            return Err(anyhow!("the listener ended at once"));
        }
        Ok(Listener { count, stop, thread })
    }

    /// How many events came.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Ends it; what it heard.
    pub fn stop(self) -> anyhow::Result<Vec<Frame>> {
        self.stop.cancel();
        join(self.thread)
    }
}

fn join(thread: JoinHandle<anyhow::Result<Vec<Frame>>>) -> anyhow::Result<Vec<Frame>> {
    thread.join().map_err(|_| anyhow!("the listener panicked"))?
}

/// The payloads that arrive on the references' channel.
pub async fn hear_rows(config: &Config) -> anyhow::Result<impl Stream<Item = anyhow::Result<String>> + use<>> {
    let (client, mut connection) = config.connect(NoTls).await?;
    // Whoever reads drives the connection, too, without the detour of a task.
    let mut messages = Box::pin(futures_util::stream::poll_fn(move |cx| connection.poll_message(cx)));
    {
        let mut listening = std::pin::pin!(client.batch_execute("listen rows"));
        loop {
            tokio::select! {
                listened = &mut listening => break listened?,
                message = messages.next() => drop(message.context("the connection ended")??),
            }
        }
    }
    Ok(messages.filter_map(move |message| {
        let _open = &client;
        std::future::ready(match message {
            Ok(AsyncMessage::Notification(notification)) => Some(Ok(notification.payload().to_owned())),
            Ok(_) => None,
            Err(fault) => Some(Err(fault.into())),
        })
    }))
}
