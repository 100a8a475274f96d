//! Whether the answer to a poll arrived.
//!
//! HTTP has no word for it. But the next request on the same connection shows that the client has read the answer, and
//! so does an orderly end of the connection: a process that dies with an answer unread makes its kernel send a reset.
//! What is reset, fails, or stays unacknowledged is lost, and the next poll gets the same again. So each connection
//! watches what becomes of the answer on it. A doubt remains where a poll comes on another connection while the old one
//! has neither ended nor failed: it confirms the answer. And behind a proxy it is the proxy that is watched.
//!
//! Under TLS what is watched is the text within it. What the client has read is shown by a request, not by any record:
//! the alert with which it ends its half comes even from one that gave up before it read the answer, so it is an end like
//! the end of a plain connection, and leaves the same doubt for a moment. An answer counts as written when a flush has
//! handed its last record to the kernel; acknowledgements, resets and errors are those of the TCP connection below.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};
use tracing::warn;

use super::admission::Admitted;
use super::pace::Pace;
use super::transport::Transport;
use crate::channel::polls::Receipt;

/// An answer that the client's kernel does not acknowledge for so long is lost.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(20);
/// How long a connection that ends after an answer waits for the client's end of it.
const LINGER: Duration = Duration::from_secs(2);
/// A client that had ended before the answer reached it resets the connection within this time.
const RESET_WITHIN: Duration = Duration::from_millis(500);

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

/// A connection, plain or under TLS.
pub struct Watched {
    stream: Transport,
    answer: Answers,
    /// Told of what is read and written.
    pace: Arc<Pace>,
    /// It counts among the open ones for as long as it is.
    _admitted: Admitted,
    /// The client has said that it sends nothing more.
    ended: bool,
    lingering: Option<Pin<Box<Sleep>>>,
}

impl Watched {
    /// Nothing is read or written yet.
    pub fn new(stream: Transport, pace: Arc<Pace>, admitted: Admitted) -> Self {
        let answer = Answers::default();
        Watched { stream, answer, pace, _admitted: admitted, ended: false, lingering: None }
    }

    /// Where handlers leave receipts.
    pub fn answers(&self) -> Answers {
        self.answer.clone()
    }

    fn note<T>(&self, outcome: &Poll<io::Result<T>>) {
        if let Poll::Ready(Err(_)) = outcome {
            self.answer.lost();
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        self.note(outcome);
        self.pace.wrote(outcome.is_ready());
        if let Poll::Ready(Ok(_)) = outcome
            && self.answer.advance(Stage::Ready, Stage::Begun)
            && let Err(fault) = SockRef::from(self.stream.tcp()).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))
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
                match self.stream.tcp().take_error() {
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
                self.pace.read();
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
        self.pace.wrote(outcome.is_ready());
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
