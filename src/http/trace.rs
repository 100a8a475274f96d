//! Each request is a span, in the trace that its client names in `traceparent` (W3C Trace Context), or in one of its own;
//! the answer says which. Nothing is said of who asks, nor anything of the URL but the template of its route: tokens and
//! secret URLs are in the rest of it.

use std::fmt::{Display, Formatter};
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
use tracing::field::Empty;
use tracing::{Instrument, Span, debug, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::metrics;

/// Names the trace.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Names the request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest request id that is taken over.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// The outermost layer.
pub async fn trace(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    let method = metrics::name(request.method());
    let id = request_id(request.headers());
    let span = info_span!(
        "request",
        method,
        route,
        status = Empty,
        request_id = %id.to_str().unwrap_or_default(),
        trace_id = Empty,
        otel.name = Empty,
        otel.kind = Empty,
        otel.status_code = Empty
    );
    let parent = Parent::of(request.headers());
    let exported = join_trace(&span, parent, method, route);
    // Without a collector nobody makes ids but us.
    let own = exported.unwrap_or_else(|| Parent::random(parent));
    span.record("trace_id", tracing::field::display(own.trace));
    let mut response = answer(request, next, exported.is_some()).instrument(span).await;
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, id);
    if let Ok(value) = HeaderValue::from_str(&own.to_string()) {
        headers.insert(TRACEPARENT, value);
    }
    response
}

async fn answer(request: Request, next: Next, exported: bool) -> Response {
    let began = Instant::now();
    let response = next.run(request).await;
    let (span, status) = (Span::current(), response.status());
    span.record("status", status.as_u16());
    if exported {
        span.set_attribute("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
    debug!("answered after {:?}", began.elapsed());
    response
}

/// Puts the span into the trace, if spans are exported: then it has ids, with which it goes on.
fn join_trace(span: &Span, parent: Option<Parent>, method: &str, route: &str) -> Option<Parent> {
    let context = match parent {
        Some(parent) => Context::new().with_remote_span_context(parent.context()),
        None => Context::new(),
    };
    span.set_parent(context).ok()?; // else there is no collector
    span.record("otel.name", format_args!("{method} {route}")); // both before it has its ids
    span.record("otel.kind", "server");
    let context = span.context();
    let own = context.span().span_context().clone();
    if !own.is_valid() || own.is_remote() {
        return None; // the log's filter leaves it out
    }
    span.set_attribute("http.request.method", method.to_owned());
    span.set_attribute("http.route", route.to_owned());
    Some(Parent { trace: own.trace_id(), span: own.span_id(), flags: own.trace_flags() })
}

/// What the client calls its request, if it can be called so; else a name of ours.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.~:/+=".contains(byte);
    let can_be = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        (1..=REQUEST_ID_BYTES_MAX).contains(&bytes.len()) && bytes.iter().all(is_plain)
    };
    let own = || {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::from_str(&id).unwrap_or(HeaderValue::from_static("none")) // (it can be one)
    };
    headers.get(REQUEST_ID).filter(can_be).cloned().unwrap_or_else(own)
}

/// A place in a trace, as `traceparent` says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Parent {
    trace: TraceId,
    span: SpanId,
    flags: TraceFlags,
}

impl Parent {
    /// `None`: the header is not there, more than once there, or says nothing.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(TRACEPARENT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        Self::parse(value.to_str().ok()?)
    }

    /// Of a version later than ours, what ours has.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.trim().split('-');
        let mut part = |digits| parts.next().filter(|part| is_hex(part, digits));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        let more = parts.next().is_some();
        let parent = Parent {
            trace: TraceId::from_hex(trace).ok()?,
            span: SpanId::from_hex(span).ok()?,
            flags: TraceFlags::new(u8::from_str_radix(flags, 16).ok()?) & TraceFlags::SAMPLED,
        };
        let is_one = version != "ff" && !(version == "00" && more);
        (is_one && parent.trace != TraceId::INVALID && parent.span != SpanId::INVALID).then_some(parent)
    }

    /// As the crate has it.
    fn context(self) -> SpanContext {
        SpanContext::new(self.trace, self.span, self.flags, true, TraceState::NONE)
    }

    /// A new span, in the parent's trace or in a new one.
    fn random(parent: Option<Parent>) -> Self {
        let trace = parent.map_or_else(|| TraceId::from_bytes(rand::random()), |parent| parent.trace);
        let flags = parent.map_or(TraceFlags::NOT_SAMPLED, |parent| parent.flags);
        Parent { trace, span: SpanId::from_bytes(rand::random()), flags }
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl Display for Parent {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace, self.span, self.flags.to_u8())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written() {
        let read = |text: &str| Parent::parse(text).map(|parent| parent.to_string());
        assert_eq!(read(GOOD).as_deref(), Some(GOOD));
        assert_eq!(read(&GOOD.replacen("00-", "cc-", 1)).as_deref(), Some(GOOD), "a later version");
        assert!(read(&format!("{}-more", GOOD.replacen("00-", "cc-", 1))).is_some());
        for wrong in [
            "".to_owned(),
            format!("{GOOD}-more"),
            GOOD.to_uppercase(),
            GOOD.replacen("00-", "ff-", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("4bf9", "4bf"),
            GOOD.replace("-01", ""),
        ] {
            assert_eq!(read(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_id_is_taken_over_only_when_it_is_harmless() {
        let id = |text: &str| {
            let headers = HeaderMap::from_iter([(REQUEST_ID, HeaderValue::from_bytes(text.as_bytes()).unwrap())]);
            request_id(&headers).to_str().unwrap().to_owned()
        };
        assert_eq!(id("a-1_2.3~x:/+="), "a-1_2.3~x:/+=");
        for wrong in ["", "a b", "a\"b", "\u{e9}", &"x".repeat(129)] {
            assert_eq!(id(wrong).len(), 32, "{wrong}");
        }
    }

    #[test]
    fn a_new_span_is_in_its_parents_trace() {
        let parent = Parent::parse(GOOD).unwrap();
        let child = Parent::random(Some(parent));
        assert!(child.trace == parent.trace && child.span != parent.span && child.flags == parent.flags);
        assert_ne!(Parent::random(None).trace, parent.trace);
    }
}
