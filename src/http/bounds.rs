//! What every request must keep to before a handler sees it, and what every answer says.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use hyper::body::{Frame, SizeHint};
use ipnet::IpNet;
use tokio::time::{Instant, Sleep, sleep};

use super::client_address::ClientAddress;
use super::fault;
use super::origins::Origins;
use super::serve::Peer;
use super::state::App;
use crate::base::Result;
use crate::base::metrics::Counter;

/// How much of a body gives its client the whole time again, in bytes: more than one at a time.
const PIECE_BYTES: usize = 1024;
/// Browsers come back by https only, for a year.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// What every answer says, unless its handler knows better.
const HEADERS: [(HeaderName, HeaderValue); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
];

/// What there is to keep to.
pub struct Bounds {
    url_bytes_max: usize,
    body_stall: Duration,
    origins: Origins,
    /// Nobody has to prove who they are: then it is the browser of whoever sits here that must not be used by others.
    anonymous: bool,
    trusted_proxies: Vec<IpNet>,
    tls: bool,
    bodies_stalled: Counter,
}

impl Bounds {
    /// By the settings.
    pub fn new(app: &App) -> Arc<Self> {
        Arc::new(Bounds {
            url_bytes_max: app.limits.url_bytes_max,
            body_stall: Duration::from_secs(app.limits.body_stall_seconds),
            origins: Origins::new(&app.urls.absolute(""), &app.edge.cors),
            anonymous: app.gate.is_none(),
            trusted_proxies: app.edge.trusted_proxies.clone(),
            tls: app.edge.tls.is_some(),
            bodies_stalled: app.metrics.bodies_stalled.clone(),
        })
    }
}

impl Bounds {
    /// Refuses what the page of a foreign origin asks for that its browser does not keep it from: WebSockets, and, where
    /// nobody has to prove anything, all that changes something, and everything of a host that has only been given the
    /// address of this machine.
    fn check_page(&self, request: &Request) -> Result<()> {
        let reads = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        let upgrades = request.headers().contains_key(header::UPGRADE);
        if self.anonymous {
            self.origins.check_host(request.headers())?;
        }
        if upgrades || self.anonymous && !reads { self.origins.check(request.headers()) } else { Ok(()) }
    }
}

/// The outer layer: says who asks, and what every answer says.
pub async fn announce(State(bounds): State<Arc<Bounds>>, mut request: Request, next: Next) -> Response {
    if let Some(Peer(peer)) = request.extensions().get() {
        let address = ClientAddress::of(*peer, request.headers(), &bounds.trusted_proxies);
        request.extensions_mut().insert(address);
    }
    let mut response = next.run(request).await;
    add_headers(response.headers_mut(), bounds.tls);
    response
}

fn add_headers(headers: &mut HeaderMap, tls: bool) {
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    // What has a tag may be kept by its client, to be asked for again under the condition that it has changed.
    let tagged = headers.contains_key(header::ETAG);
    let kept = HeaderValue::from_static(if tagged { "private, no-cache" } else { "no-store" });
    headers.entry(header::CACHE_CONTROL).or_insert(kept);
    if tls {
        headers.entry(header::STRICT_TRANSPORT_SECURITY).or_insert(HSTS);
    }
}

/// The inner layer, inside the one that writes faults: 414, 403 for WebSockets of foreign pages, 408.
pub async fn keep(State(bounds): State<Arc<Bounds>>, request: Request, next: Next) -> Response {
    if request.uri().path_and_query().is_some_and(|url| url.as_str().len() > bounds.url_bytes_max) {
        return fault::of_http(StatusCode::URI_TOO_LONG, "Request-URI");
    }
    if let Err(foreign) = bounds.check_page(&request) {
        return foreign.into_response();
    }
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let stalled = Arc::new(AtomicBool::new(false));
    let request = request.map(|body| Body::new(Paced::new(body, bounds.body_stall, stalled.clone())));
    let response = next.run(request).await;
    if !stalled.load(Ordering::Relaxed) {
        return response;
    }
    // Whatever its handler made of it.
    bounds.bodies_stalled.inc();
    let mut response = fault::of_http(StatusCode::REQUEST_TIMEOUT, "Request-Body");
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body that must go on coming while somebody reads it: a handler may be busy with a piece for as long as it likes.
struct Paced {
    body: Body,
    /// For how long nothing may come.
    patience: Duration,
    /// What is left of that.
    left: Duration,
    /// Bytes since it was whole.
    came: usize,
    /// Since when the next piece is waited for.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Whether it ended because nothing came.
    stalled: Arc<AtomicBool>,
}

impl Paced {
    fn new(body: Body, patience: Duration, stalled: Arc<AtomicBool>) -> Self {
        Paced { body, patience, left: patience, came: 0, waiting: None, stalled }
    }

    /// So many bytes came.
    fn take(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.left = self.left.saturating_sub(since.elapsed());
        }
        self.came += bytes;
        if self.came >= PIECE_BYTES {
            (self.came, self.left) = (0, self.patience);
        }
    }
}

impl HttpBody for Paced {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            let bytes = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref().map(Bytes::len));
            self.take(bytes.unwrap_or(0));
            return Poll::Ready(frame);
        }
        let left = self.left;
        let (_, alarm) = self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        std::task::ready!(alarm.as_mut().poll(cx));
        self.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut)))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use futures_util::{StreamExt, stream};

    use super::*;

    /// How long a body may stall here.
    const PATIENCE: Duration = Duration::from_millis(400);

    /// What is read of a body of pieces, each after so many milliseconds; and whether it stalled.
    async fn read(pieces: &'static [(u64, usize)]) -> (Option<usize>, bool) {
        let pieces = stream::iter(pieces).then(|(pause, bytes)| async move {
            sleep(Duration::from_millis(*pause)).await;
            Ok::<_, std::io::Error>(vec![b'x'; *bytes])
        });
        let stalled = Arc::new(AtomicBool::new(false));
        let body = Paced::new(Body::from_stream(pieces), PATIENCE, stalled.clone());
        let read = to_bytes(Body::new(body), usize::MAX).await.ok().map(|bytes| bytes.len());
        (read, stalled.load(Ordering::Relaxed))
    }

    #[tokio::test]
    async fn a_body_that_comes_slowly_is_read() {
        assert_eq!(read(&[(200, 4000), (200, 2000), (200, 1500), (200, 10)]).await, (Some(7510), false));
    }

    #[tokio::test]
    async fn a_body_that_stops_or_trickles_is_given_up() {
        assert_eq!(read(&[(1, 4000), (2000, 1)]).await, (None, true));
        assert_eq!(read(&[(150, 1), (150, 1), (150, 1), (150, 1)]).await, (None, true));
    }

    #[tokio::test]
    async fn what_a_handler_does_with_a_piece_is_not_its_clients_time() {
        let pieces = stream::iter([1, 1, 1]).then(|bytes| async move {
            sleep(PATIENCE / 8).await;
            Ok::<_, std::io::Error>(vec![b'x'; bytes])
        });
        let stalled = Arc::new(AtomicBool::new(false));
        let body = Paced::new(Body::from_stream(pieces), PATIENCE, stalled.clone());
        let mut pieces = Body::new(body).into_data_stream();
        while let Some(piece) = pieces.next().await {
            assert_eq!(piece.unwrap().len(), 1);
            sleep(PATIENCE * 2).await;
        }
        assert!(!stalled.load(Ordering::Relaxed));
    }

    #[test]
    fn a_handler_may_know_better() {
        let mut headers = HeaderMap::new();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'self'"));
        add_headers(&mut headers, true);
        let of = |name: HeaderName| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!(of(header::CACHE_CONTROL), "max-age=60");
        assert_eq!(of(header::CONTENT_SECURITY_POLICY), "default-src 'self'");
        assert_eq!(of(header::STRICT_TRANSPORT_SECURITY), "max-age=31536000");
    }

    #[test]
    fn what_has_a_tag_may_be_kept_by_its_client_alone() {
        let mut headers = HeaderMap::new();
        headers.insert(header::ETAG, HeaderValue::from_static("\"1\""));
        add_headers(&mut headers, false);
        assert_eq!(headers[header::CACHE_CONTROL], "private, no-cache");
        assert!(!headers.contains_key(header::STRICT_TRANSPORT_SECURITY));
    }
}
