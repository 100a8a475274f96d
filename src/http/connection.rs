//! Whether the answer to a poll arrived.
//!
//! HTTP has no word for it. But the next request on the same connection shows that the client has read the answer, and
//! so does an orderly end of the connection: a process that dies with an answer unread makes its kernel send a reset.
//! What is reset, fails, or stays unacknowledged is lost, and the next poll gets the same again. So each connection
//! watches what becomes of the answer on it. A doubt remains where a poll comes on another connection while the old one
//! has neither ended nor failed: it confirms the answer. And behind a proxy it is the proxy that is watched.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use crate::channel::polls::Receipt;

/// An answer that the client's kernel does not acknowledge for so long is lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// How long a connection that ends after an answer waits for the client's end of it.
const LINGER: Duration = Duration::from_secs(2);
/// A client that had ended before the answer reached it resets the connection within this time.
const RESET_WITHIN: Duration = Duration::from_millis(500);

/// Accepts connections that are watched.
pub struct Watching(pub TcpListener);

impl Listener for Watching {
    type Io = Watched;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (Watched, Self::Addr) {
        let (stream, address) = Listener::accept(&mut self.0).await;
        // A frame must not wait for the client's acknowledgement of the one before.
        if let Err(fault) = stream.set_nodelay(true) {
            warn!("TCP_NODELAY: {fault}");
        }
        (Watched { stream, answer: Answers::default(), ended: false, lingering: None }, address)
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

/// An answer on its way.
struct Sent {
    receipt: Receipt,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Nothing of it is written.
    Ready,
    /// Some of it.
    Begun,
    /// The kernel has all of it.
    Written,
}

/// Where a handler leaves the receipt of the answer that it sends over this connection.
#[derive(Clone, Default)]
pub struct Answers(Arc<Mutex<Option<Sent>>>);

impl Answers {
    /// The next answer on this connection is the one that this receipt goes with.
    pub fn expect(&self, receipt: Receipt) {
        *self.lock() = Some(Sent { receipt, stage: Stage::Ready });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Sent>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Moves on from one stage to the next.
    fn advance(&self, from: Stage, to: Stage) -> bool {
        match &mut *self.lock() {
            Some(sent) if sent.stage == from => {
                sent.stage = to;
                true
            }
            _ => false,
        }
    }

    fn is_written(&self) -> bool {
        self.lock().as_ref().is_some_and(|sent| sent.stage == Stage::Written)
    }

    /// The client has what was written.
    fn arrived(&self) {
        if self.is_written()
            && let Some(sent) = self.lock().take()
        {
            sent.receipt.settled();
        }
    }

    fn lost(&self) {
        drop(self.lock().take());
    }
}

impl Connected<IncomingStream<'_, Watching>> for Answers {
    fn connect_info(stream: IncomingStream<'_, Watching>) -> Self {
        stream.io().answer.clone()
    }
}

/// A connection.
pub struct Watched {
    stream: TcpStream,
    answer: Answers,
    /// The client has said that it sends nothing more.
    ended: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(_)) = outcome {
            self.answer.lost();
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        self.note(outcome);
        if let Poll::Ready(Ok(_)) = outcome
            && self.answer.advance(Stage::Ready, Stage::Begun)
            && let Err(fault) = SockRef::from(&self.stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
        {
            warn!("TCP_USER_TIMEOUT: {fault}");
        }
    }

    /// After an answer, an end of ours waits for the client's: a reset instead of it says that the answer is lost.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.answer.is_written() {
            let ended = self.ended;
            let patience = if ended { RESET_WITHIN } else { LINGER };
            let pause = self.lingering.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + patience)));
            if pause.as_mut().poll(cx).is_ready() {
                match self.stream.take_error() {
                    Ok(None) => self.answer.arrived(),
                    _ => self.answer.lost(),
                }
            } else if ended {
                return Poll::Pending;
            } else {
                let mut scrap = [0; 64];
                // What is read says whether the answer arrived; only an end leaves a doubt, for a moment.
                let _ = ready!(Pin::new(&mut *self).poll_read(cx, &mut ReadBuf::new(&mut scrap)));
                self.lingering = None;
            }
        }
        self.answer.lost();
        Poll::Ready(())
    }
}

impl AsyncRead for Watched {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let (room, before) = (buf.remaining(), buf.filled().len());
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.note(&outcome);
        if let Poll::Ready(Ok(())) = outcome {
            if buf.filled().len() > before {
                self.answer.arrived();
            } else if room > 0 {
                self.ended = true;
            }
        }
        outcome
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when all that there is to write has been taken.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(cx);
        self.note(&outcome);
        if let Poll::Ready(Ok(())) = outcome {
            self.answer.advance(Stage::Begun, Stage::Written);
        }
        outcome
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = ready!(Pin::new(&mut self.stream).poll_shutdown(cx));
        ready!(self.poll_linger(cx));
        Poll::Ready(outcome)
    }
}

impl Drop for Watched {
    /// Without a sign to the contrary, what was written has arrived. What was not is lost.
    fn drop(&mut self) {
        self.answer.arrived();
        self.answer.lost();
    }
}
