//! The serving loop: takes connections in, as many as there may be, and drives each in a task of its own until it has
//! ended, has become a WebSocket, or its client has held it up for too long.
//!
//! HTTP/1.1 only. There one answer follows another, so that a connection can tell whether the answer to a poll arrived
//! (`connection`), and every WebSocket has a connection of its own.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::ConnectInfo;
use axum::serve::Listener;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::admission::{Admission, Admitted};
use super::connection::{Answers, Watched};
use super::pace::{Pace, Phase, Serving};
use super::transport::Transport;
use crate::base::metrics::Metrics;
use crate::config::Limits;
use crate::lifecycle::Tasks;

/// How long a TLS handshake may take, if `header_seconds` does not say less.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection that we end may take: it waits for its client's end of it.
const LEAVE: Duration = Duration::from_secs(3);

/// The address at the other end of the connection that a request came over: a client, or a proxy in front of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// What connections are served with.
pub struct Server {
    /// What answers requests.
    pub router: Router,
    /// With it, https is served.
    pub tls: Option<TlsAcceptor>,
    /// How many there may be.
    pub admission: Arc<Admission>,
    /// How long clients may take.
    pub limits: Arc<Limits>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// Whose are the tasks of connections.
    pub tasks: Tasks,
}

impl Server {
    /// Serves until the tasks are asked to end. Connections then end when what they are asked is answered.
    ///
    /// # Errors
    /// None: a connection that cannot be accepted is tried again.
    pub async fn run(self, mut listener: TcpListener) -> anyhow::Result<()> {
        // Made once instead of for each connection.
        let server = Arc::new(Server { router: self.router.with_state(()), ..self });
        let stop = server.tasks.stopping();
        while let Some((stream, peer)) = stop.run_until_cancelled(Listener::accept(&mut listener)).await {
            match server.admission.admit(peer.ip()) {
                Ok(admitted) => server.tasks.attend(server.clone().serve(stream, peer, admitted)),
                Err(refused) => {
                    debug!("{peer} is not taken in: {refused:?}");
                    server.metrics.connections_refused.get_or_create(&[("reason", refused.reason())]).inc();
                }
            }
        }
        Ok(())
    }

    /// One connection from its beginning to its end.
    async fn serve(self: Arc<Self>, stream: TcpStream, peer: SocketAddr, admitted: Admitted) {
        // A frame must not wait for the client's acknowledgement of the one before.
        if let Err(fault) = stream.set_nodelay(true) {
            warn!("TCP_NODELAY: {fault}");
        }
        let Some(transport) = self.shake_hands(stream, peer).await else { return };
        let pace = Arc::new(Pace::new());
        let connection = Watched::new(transport, pace.clone(), admitted);
        let router = TowerToHyperService::new(self.router.clone());
        let answering = Answering { router, pace: pace.clone(), answers: connection.answers(), peer: Peer(peer.ip()) };
        let service = service_fn(move |request| answering.answer(request));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None) // it would end idle connections too: see `patience`
            .max_header_size(self.limits.header_bytes_max)
            .serve_connection(TokioIo::new(connection), service)
            .with_upgrades();
        match drive(connection, &pace, &self.limits, &self.tasks.stopping()).await {
            Ended::ByItself(Ok(())) => {}
            Ended::ByItself(Err(fault)) => debug!("{peer}: {fault}"),
            Ended::TooSlow(phase) => self.cut(name(phase)),
        }
    }

    /// The connection as it is, or encrypted: `None` when that failed or took too long.
    async fn shake_hands(&self, stream: TcpStream, peer: SocketAddr) -> Option<Transport> {
        let Some(acceptor) = &self.tls else { return Some(Transport::Plain(stream)) };
        match timeout(HANDSHAKE.min(Duration::from_secs(self.limits.header_seconds)), acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Some(Transport::Tls(Box::new(stream))),
            Ok(Err(fault)) => {
                debug!("{peer}: TLS: {fault}");
                self.metrics.handshakes_failed.inc();
                None
            }
            Err(_) => {
                self.cut("handshake");
                None
            }
        }
    }

    fn cut(&self, reason: &'static str) {
        self.metrics.connections_cut.get_or_create(&[("reason", reason)]).inc();
    }
}

/// In metrics.
fn name(phase: Phase) -> &'static str {
    match phase {
        Phase::Head => "head",
        Phase::Serving => "serving",
        Phase::Idle => "idle",
        Phase::Stalled => "stalled",
    }
}

/// How long a client may stay in a phase: `None` when it is not the client who is waited for.
fn patience(phase: Phase, limits: &Limits, leaving: bool) -> Option<Duration> {
    match phase {
        Phase::Serving => None, // a body that stalls is the affair of who reads it: see `bounds`
        Phase::Stalled => Some(Duration::from_secs(limits.body_stall_seconds)),
        _ if leaving => Some(LEAVE),
        Phase::Head => Some(Duration::from_secs(limits.header_seconds)),
        Phase::Idle => Some(Duration::from_secs(limits.idle_seconds)),
    }
}

/// How a connection ended, for HTTP: as a WebSocket it may live on.
enum Ended {
    ByItself(hyper::Result<()>),
    TooSlow(Phase),
}

/// Drives a connection. Whatever happens to it wakes this future, so a look at its phase after each step sees every
/// change.
async fn drive<S>(
    connection: http1::UpgradeableConnection<TokioIo<Watched>, S>,
    pace: &Pace,
    limits: &Limits,
    stop: &CancellationToken,
) -> Ended
where
    S: Service<Request<Incoming>, Response = Response<Answered>, Error = Infallible>,
{
    let (mut connection, mut stopping, mut alarm) = (pin!(connection), pin!(stop.cancelled()), pin!(sleep(LEAVE)));
    let (mut seen, mut leaving, mut idle_for_too_long) = (None, false, false);
    poll_fn(move |cx| {
        loop {
            if !leaving && (idle_for_too_long || stopping.as_mut().poll(cx).is_ready()) {
                leaving = true;
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(outcome) = connection.as_mut().poll(cx) {
                return Poll::Ready(if idle_for_too_long {
                    Ended::TooSlow(Phase::Idle)
                } else {
                    Ended::ByItself(outcome)
                });
            }
            let (phase, turn) = pace.phase();
            let Some(patience) = patience(phase, limits, leaving) else {
                seen = None;
                return Poll::Pending;
            };
            if seen.replace((turn, leaving)) != Some((turn, leaving)) {
                alarm.as_mut().reset(Instant::now() + patience);
            }
            ready!(alarm.as_mut().poll(cx));
            if phase != Phase::Idle || leaving {
                return Poll::Ready(Ended::TooSlow(phase));
            }
            idle_for_too_long = true; // it is ended in good order
        }
    })
    .await
}

/// Answers the requests of one connection.
struct Answering {
    router: TowerToHyperService<Router>,
    pace: Arc<Pace>,
    answers: Answers,
    peer: Peer,
}

impl Answering {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<Answered>, Infallible>> + Send + use<> {
        let serving = self.pace.serve();
        request.extensions_mut().insert(ConnectInfo(self.answers.clone()));
        request.extensions_mut().insert(self.peer);
        let answering = self.router.call(request);
        async move { Ok(answering.await?.map(|body| Answered { body, _serving: serving })) }
    }
}

/// The body of an answer. The request is served until all of it is on its way.
struct Answered {
    body: Body,
    _serving: Serving,
}

impl HttpBody for Answered {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
