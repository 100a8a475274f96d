//! Who listens: on a thread and runtime of its own, it notes what came and when, and leaves the figures for later.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::{Context, anyhow};
use futures_util::{Stream, StreamExt};
use tokio_postgres::{AsyncMessage, Config, NoTls};
use tokio_util::sync::CancellationToken;

/// An event as a listener got it.
#[derive(Debug, Clone, Copy)]
pub struct Received {
    /// What the INSERT returned, too.
    pub id: i64,
    /// The callbackData of the subscription that brought it, when that is a number; 0 otherwise.
    pub by: usize,
    /// When it was there.
    pub at: Instant,
}

/// A running listener.
pub struct Listener {
    count: Arc<AtomicUsize>,
    stop: CancellationToken,
    thread: JoinHandle<anyhow::Result<Vec<Received>>>,
}

/// A listener's own side: what it tells while it runs.
pub struct Progress {
    /// How many events came.
    pub count: Arc<AtomicUsize>,
    /// When it is to end.
    pub stop: CancellationToken,
    opened: std::sync::mpsc::Sender<()>,
}

impl Progress {
    /// Says that it listens.
    pub fn opened(&self) -> anyhow::Result<()> {
        Ok(self.opened.send(())?)
    }
}

impl Listener {
    /// LISTENs to the rows of the reference's table.
    pub fn of_rows(config: &Config) -> anyhow::Result<Self> {
        let config = config.clone();
        Self::start(async move |progress| {
            let mut rows = std::pin::pin!(hear_rows(&config).await?);
            progress.opened()?;
            let mut received = Vec::new();
            loop {
                let row = tokio::select! {
                    biased;
                    row = rows.next() => row.context("the listener's connection ended")??,
                    () = progress.stop.cancelled() => return Ok(received),
                };
                let at = Instant::now();
                let id = number_after(row.as_bytes(), b"\"id\":").context("a row has an id")?;
                received.push(Received { id, by: 0, at });
                progress.count.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    /// Runs it; returns when it listens.
    pub fn start(
        run: impl AsyncFnOnce(Progress) -> anyhow::Result<Vec<Received>> + Send + 'static,
    ) -> anyhow::Result<Self> {
        let (count, stop) = (Arc::new(AtomicUsize::new(0)), CancellationToken::new());
        let (opened, open_now) = std::sync::mpsc::channel();
        let progress = Progress { count: count.clone(), stop: stop.clone(), opened };
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(run(progress))
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

    /// Whether it has ended by itself, which is a fault that [`Listener::stop`] tells.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends it; what it heard.
    pub fn stop(self) -> anyhow::Result<Vec<Received>> {
        self.stop.cancel();
        join(self.thread)
    }
}

fn join(thread: JoinHandle<anyhow::Result<Vec<Received>>>) -> anyhow::Result<Vec<Received>> {
    thread.join().map_err(|_| anyhow!("the listener panicked"))?
}

/// The number that follows a marker's first occurrence.
pub fn number_after(text: &[u8], marker: &[u8]) -> Option<i64> {
    let digits = &text[memchr::memmem::find(text, marker)? + marker.len()..];
    let end = digits.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
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
