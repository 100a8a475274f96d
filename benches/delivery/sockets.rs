//! The WebSocket clients of all contestants: many sockets on one thread, read with as little work as can be, so that the
//! processor is left to those who are measured. Of a frame only the header and a few markers are looked at.
//!
//! Pings are answered at once. Any end of a socket, or a message of the server out of its order, is a fault.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::ready;
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};
use futures_util::{StreamExt, TryStreamExt};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, LocalSet};
use url::Url;

use crate::listener::{Listener, Progress, Received, number_after};

/// Connections that are opened at the same time.
const OPENING: usize = 64;
/// How long all of them may take to be ready.
const OPEN_PATIENCE: Duration = Duration::from_secs(60);
/// Read at once.
const READ_BYTES: usize = 256 << 10;
/// A frame is not larger.
const FRAME_BYTES_MOST: usize = 16 << 20;

/// How a server's messages are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// notificationLists; for each subscription the indexes are 1, 2, 3..., and `lastModSeq` rises by one.
    Tocsin,
    /// The same from subscriptions that do not want everything: `lastModSeq` rises.
    TocsinFiltered,
    /// Messages of the same form, in whatever order.
    Lists,
    /// One row as JSON a frame.
    Rows,
    /// Socket.IO, version 5, over Engine.IO, version 4: events with one row as JSON.
    SocketIo,
}

impl Dialect {
    fn subprotocol(self) -> Option<&'static str> {
        self.is_tocsin().then_some(tocsin::wire::nc::SUBPROTOCOL)
    }

    fn is_tocsin(self) -> bool {
        matches!(self, Dialect::Tocsin | Dialect::TocsinFiltered)
    }

    /// Whether a socket is ready as soon as it is open.
    fn ready_when_open(self) -> bool {
        self != Dialect::SocketIo
    }
}

/// Opens a WebSocket to each URL and listens to all of them.
pub fn listen(urls: Vec<String>, dialect: Dialect) -> anyhow::Result<Listener> {
    let places = urls.into_iter().map(|url| Place { url, other: None }).collect();
    listen_at(places, dialect)
}

/// Where a socket is opened.
pub struct Place {
    /// First.
    pub url: String,
    /// When the connection ends.
    pub other: Option<Other>,
}

/// Where a socket is opened again, at once, and who is told when it is open. What comes again then is not counted again.
pub struct Other {
    /// Where.
    pub url: String,
    /// Who is told.
    pub opened: oneshot::Sender<Instant>,
}

/// Opens a WebSocket at each place and listens to all of them.
pub fn listen_at(places: Vec<Place>, dialect: Dialect) -> anyhow::Result<Listener> {
    Listener::start(async move |progress| LocalSet::new().run_until(follow(places, dialect, progress)).await)
}

async fn follow(places: Vec<Place>, dialect: Dialect, progress: Progress) -> anyhow::Result<Vec<Received>> {
    let expected = places.len();
    let shared = Rc::new(Shared {
        count: progress.count.clone(),
        ready: RefCell::new(0),
        received: RefCell::new(Vec::new()),
        buffer: RefCell::new(vec![0; READ_BYTES]),
    });
    let opening = places.into_iter().map(|place| Socket::open(place, dialect, shared.clone()));
    let mut opening = futures_util::stream::iter(opening).buffer_unordered(OPENING);
    let mut reading = JoinSet::new();
    while let Some(socket) = opening.try_next().await.context("cannot open a WebSocket")? {
        reading.spawn_local(socket.follow());
    }
    let deadline = Instant::now() + OPEN_PATIENCE;
    while *shared.ready.borrow() < expected {
        ensure!(Instant::now() < deadline, "{} of {expected} sockets are ready", shared.ready.borrow());
        tokio::select! {
            Some(ended) = reading.join_next() => return Err(match ended? { Ok(never) => match never {}, Err(fault) => fault }),
            () = tokio::time::sleep(Duration::from_millis(5)) => {}
        }
    }
    progress.opened()?;
    tokio::select! {
        biased;
        Some(ended) = reading.join_next() => Err(match ended? { Ok(never) => match never {}, Err(fault) => fault }),
        () = progress.stop.cancelled() => Ok(shared.received.take()),
    }
}

type Never = std::convert::Infallible;

/// What all sockets have in common.
struct Shared {
    count: Arc<AtomicUsize>,
    ready: RefCell<usize>,
    received: RefCell<Vec<Received>>,
    buffer: RefCell<Vec<u8>>,
}

/// One socket.
struct Socket {
    stream: TcpStream,
    /// The beginning of a frame whose end has not come.
    pending: Vec<u8>,
    /// What is to be answered.
    answers: Vec<u8>,
    reader: Reader,
    other: Option<Other>,
}

impl Socket {
    async fn open(place: Place, dialect: Dialect, shared: Rc<Shared>) -> anyhow::Result<Socket> {
        let (stream, pending) = connect(&place.url, dialect).await?;
        if dialect.ready_when_open() {
            *shared.ready.borrow_mut() += 1;
        }
        let reader = Reader { dialect, shared, last: HashMap::new(), again: false };
        Ok(Socket { stream, pending, answers: Vec::new(), reader, other: place.other })
    }

    async fn open_again(&mut self, other: Other) -> anyhow::Result<()> {
        (self.stream, self.pending) = connect(&other.url, self.reader.dialect).await?;
        let _ = other.opened.send(Instant::now()); // or nobody wants to know
        self.answers.clear();
        self.reader.again = true;
        self.take(0..0, Instant::now())
    }

    async fn follow(mut self) -> anyhow::Result<Never> {
        self.take(0..0, Instant::now())?; // what came with the upgrade
        loop {
            let open = self.answers.is_empty() || self.stream.write_all(&self.answers).await.is_ok();
            self.answers.clear();
            if !(open && self.read().await?) {
                let other = self.other.take().context("the server closed a connection")?;
                self.open_again(other).await?;
            }
        }
    }

    /// Reads once, if the connection has not ended. The buffer is everybody's: it is used only while a socket is polled.
    async fn read(&mut self) -> anyhow::Result<bool> {
        std::future::poll_fn(|cx| {
            let length = {
                let mut buffer = self.reader.shared.buffer.borrow_mut();
                let mut buffer = ReadBuf::new(&mut buffer);
                match ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer)) {
                    Ok(()) => buffer.filled().len(),
                    Err(_) => 0,
                }
            };
            let at = Instant::now();
            if length == 0 {
                return Ok(false).into();
            }
            self.take(0..length, at).map(|()| true).into()
        })
        .await
    }

    /// Takes the frames that are complete with so much of the buffer; the rest waits.
    fn take(&mut self, new: Range<usize>, at: Instant) -> anyhow::Result<()> {
        let shared = self.reader.shared.clone();
        let buffer = shared.buffer.borrow();
        let mut pending = std::mem::take(&mut self.pending);
        let bytes = if pending.is_empty() {
            &buffer[new]
        } else {
            pending.extend_from_slice(&buffer[new]);
            &pending
        };
        let mut rest = bytes;
        while let Some((frame, after)) = Frame::first_of(rest)? {
            self.hear(frame, at)?;
            rest = after;
        }
        self.pending = rest.to_vec(); // nothing is allocated for nothing
        Ok(())
    }

    fn hear(&mut self, frame: Frame, at: Instant) -> anyhow::Result<()> {
        match frame.opcode {
            0x1 => self.reader.text(frame.payload, at, &mut self.answers),
            0x8 => {
                let code = frame.payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                let reason = String::from_utf8_lossy(frame.payload.get(2..).unwrap_or_default());
                bail!("the server closed a socket: {code:?} {reason}")
            }
            0x9 => {
                answer(&mut self.answers, 0xa, frame.payload);
                Ok(())
            }
            0xa => Ok(()),
            other => bail!("a frame of type {other}"),
        }
    }
}

/// An open WebSocket, and what came with the answer to its upgrade.
async fn connect(url: &str, dialect: Dialect) -> anyhow::Result<(TcpStream, Vec<u8>)> {
    let url = Url::parse(url)?;
    let address = url.socket_addrs(|| None)?.into_iter().next().context("a URL with an address")?;
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    stream.write_all(upgrade(&url, address, dialect).as_bytes()).await?;
    let mut answer = Vec::new();
    let end = loop {
        ensure!(stream.read_buf(&mut answer).await? > 0, "the server closed the connection during the upgrade");
        if let Some(end) = memmem::find(&answer, b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&answer[..end]);
    ensure!(head.starts_with("HTTP/1.1 101 "), "no upgrade of {url}: {head}");
    Ok((stream, answer.split_off(end)))
}

fn upgrade(url: &Url, address: SocketAddr, dialect: Dialect) -> String {
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let subprotocol =
        dialect.subprotocol().map(|name| format!("Sec-WebSocket-Protocol: {name}\r\n")).unwrap_or_default();
    format!(
        "GET {}{query} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{subprotocol}\r\n",
        url.path()
    )
}

/// Writes a short frame. A client's frames are masked: with zeros, which leave the payload as it is.
fn answer(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    debug_assert!(payload.len() < 126, "control frames and Socket.IO's answers are short");
    out.extend_from_slice(&[0x80 | opcode, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
    out.extend_from_slice(payload);
}

/// A frame of a server: not masked, not compressed, and whole.
struct Frame<'a> {
    opcode: u8,
    payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first frame and what follows it, if it is all there.
    fn first_of(bytes: &'a [u8]) -> anyhow::Result<Option<(Frame<'a>, &'a [u8])>> {
        let [first, second, after @ ..] = bytes else { return Ok(None) };
        ensure!(first & 0xf0 == 0x80, "a fragmented or compressed frame");
        let (length, after) = match second {
            0..126 => (usize::from(*second), after),
            126 => match after.split_first_chunk() {
                Some((length, after)) => (usize::from(u16::from_be_bytes(*length)), after),
                None => return Ok(None),
            },
            127 => match after.split_first_chunk() {
                Some((length, after)) => (usize::try_from(u64::from_be_bytes(*length))?, after),
                None => return Ok(None),
            },
            _ => bail!("a masked frame"),
        };
        ensure!(length <= FRAME_BYTES_MOST, "a frame of {length} bytes");
        let Some((payload, after)) = after.split_at_checked(length) else { return Ok(None) };
        Ok(Some((Frame { opcode: first & 0xf, payload }, after)))
    }
}

/// What is read out of a socket's text frames.
struct Reader {
    dialect: Dialect,
    shared: Rc<Shared>,
    /// Of each subscription, the last index and the last `lastModSeq`.
    last: HashMap<Box<[u8]>, (i64, i64)>,
    /// The socket was opened again: what came before may come again.
    again: bool,
}

impl Reader {
    fn text(&mut self, text: &[u8], at: Instant, answers: &mut Vec<u8>) -> anyhow::Result<()> {
        match self.dialect {
            Dialect::Tocsin | Dialect::TocsinFiltered | Dialect::Lists => self.lists(text, at),
            Dialect::Rows => self.row(text, at),
            Dialect::SocketIo => match text {
                [b'0', ..] => {
                    answer(answers, 0x1, b"40");
                    Ok(())
                }
                [b'2'] => {
                    answer(answers, 0x1, b"3");
                    Ok(())
                }
                [b'4', b'0', ..] => {
                    *self.shared.ready.borrow_mut() += 1;
                    Ok(())
                }
                [b'4', b'2', event @ ..] => self.row(event, at),
                _ => bail!("what does that mean: {}", String::from_utf8_lossy(text)),
            },
        }
    }

    fn row(&mut self, row: &[u8], at: Instant) -> anyhow::Result<()> {
        self.received(number_after(row, b"\"id\":").context("a row has an id")?, 0, at);
        Ok(())
    }

    fn received(&mut self, id: i64, by: usize, at: Instant) {
        self.shared.received.borrow_mut().push(Received { id, by, at });
        self.shared.count.fetch_add(1, Ordering::Relaxed);
    }

    /// A frame of one or more lists of one event each.
    fn lists(&mut self, text: &[u8], at: Instant) -> anyhow::Result<()> {
        const BEGIN: &[u8] = b"\"nmsEventList\":";
        let mut begins = memmem::find_iter(text, BEGIN).peekable();
        ensure!(begins.peek().is_some(), "no list: {}", String::from_utf8_lossy(text));
        while let Some(begin) = begins.next() {
            let list = &text[begin..begins.peek().copied().unwrap_or(text.len())];
            let id = number_after(list, b"/objects/");
            let id = id.with_context(|| format!("not of an object: {}", String::from_utf8_lossy(list)))?;
            if !self.dialect.is_tocsin() {
                self.received(id, 0, at);
            } else if self.is_new(list)? {
                let by = number_after(list, b"\"callbackData\":\"").map_or(Ok(0), usize::try_from)?;
                self.received(id, by, at);
            }
        }
        Ok(())
    }

    /// Each list must be its subscription's next one, or, on a socket that was opened again, one that came before.
    fn is_new(&mut self, list: &[u8]) -> anyhow::Result<bool> {
        const MARKERS: [&[u8]; 2] = [b"\"index\":", b"\"lastModSeq\":"];
        let [Some(index), Some(seq)] = MARKERS.map(|marker| number_after(list, marker)) else {
            bail!("without index or lastModSeq: {}", String::from_utf8_lossy(list))
        };
        ensure!(memmem::find_iter(list, MARKERS[1]).count() == 1, "not one event in a list");
        let begin = memmem::find(list, b"/subscriptions/").context("a link to the subscription")? + 15;
        let end = memchr::memchr(b'"', &list[begin..]).context("the end of the link")?;
        let subscription = &list[begin..begin + end];
        let Some(last) = self.last.get_mut(subscription) else {
            ensure!(index == 1, "the first index is {index}");
            self.last.insert(subscription.into(), (index, seq));
            return Ok(true);
        };
        if self.again && index <= last.0 {
            return Ok(false);
        }
        let seq_fits = if self.dialect == Dialect::Tocsin { seq == last.1 + 1 } else { seq > last.1 };
        ensure!(index == last.0 + 1 && seq_fits, "{index} of seq {seq} came after {last:?}");
        *last = (index, seq);
        Ok(true)
    }
}
