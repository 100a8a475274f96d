//! Requests under a condition (RFC 9110, 13 and 14): what the client has already, and a range of a whole.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http_range_header::{EndPosition, StartPosition, SyntacticallyCorrectRange, parse_range_header};
use sha2::{Digest, Sha256};

/// The tag of what is written so.
pub fn tag_of(written: &[u8]) -> Option<ETag> {
    let hash: String = Sha256::digest(written).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    tag(&hash)
}

/// The strong tag with this text, which must be one that a tag can have.
pub fn tag(text: &str) -> Option<ETag> {
    format!("\"{text}\"").parse().ok()
}

/// What the client says that it has.
pub fn known(headers: &HeaderMap) -> Option<IfNoneMatch> {
    headers.typed_get()
}

/// Whether that is what it would get.
pub fn has(known: Option<&IfNoneMatch>, tag: &ETag) -> bool {
    known.is_some_and(|known| !known.precondition_passes(tag))
}

/// 304.
pub fn not_modified(tag: &ETag) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response.headers_mut().typed_insert(tag.clone());
    response
}

/// How much of a whole is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extent {
    /// All of it. Several ranges at once, and what cannot be understood, are as good as none.
    Whole,
    /// These bytes, at least one.
    Part(Range<u64>),
    /// Bytes it does not have: 416.
    Nowhere,
}

/// How much of `size` bytes with this tag is wanted.
pub fn extent(headers: &HeaderMap, tag: Option<&ETag>, size: u64) -> Extent {
    if headers.typed_get::<IfRange>().is_some_and(|only_if| only_if.is_modified(tag, None)) {
        return Extent::Whole;
    }
    let range = headers.get(header::RANGE).and_then(|range| parse_range_header(range.to_str().ok()?).ok());
    match range.as_ref().map(|range| range.ranges.as_slice()) {
        Some([one]) => resolved(one, size),
        _ => Extent::Whole,
    }
}

fn resolved(range: &SyntacticallyCorrectRange, size: u64) -> Extent {
    let from = match range.start {
        StartPosition::Index(from) => from,
        StartPosition::FromLast(length) => size.saturating_sub(length),
    };
    let to = match range.end {
        EndPosition::Index(last) if last < from => return Extent::Whole, // no range at all
        EndPosition::Index(last) => last.saturating_add(1).min(size),
        EndPosition::LastByte => size,
    };
    if from < to { Extent::Part(from..to) } else { Extent::Nowhere }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn one_range_is_served() {
        let of = |range: &'static str, size| {
            let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(range))]);
            extent(&headers, None, size)
        };
        assert_eq!(of("bytes=0-0", 10), Extent::Part(0..1));
        assert_eq!(of("bytes=3-", 10), Extent::Part(3..10));
        assert_eq!(of("bytes=3-99", 10), Extent::Part(3..10));
        assert_eq!(of("bytes=-4", 10), Extent::Part(6..10));
        assert_eq!(of("bytes=-40", 10), Extent::Part(0..10));
        for nowhere in ["bytes=10-", "bytes=10-12"] {
            assert_eq!(of(nowhere, 10), Extent::Nowhere, "{nowhere}");
        }
        for whole in ["bytes=0-1,3-4", "bytes=4-2", "bytes=x", "lines=0-1", "0-1", ""] {
            assert_eq!(of(whole, 10), Extent::Whole, "{whole}");
        }
    }

    #[test]
    fn a_range_only_if_it_is_still_the_same() {
        let tag = tag("a").unwrap();
        for (only_if, expected) in [("\"a\"", Extent::Part(1..2)), ("\"b\"", Extent::Whole), ("W/\"a\"", Extent::Whole)]
        {
            let mut headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static("bytes=1-1"))]);
            headers.insert(header::IF_RANGE, HeaderValue::from_static(only_if));
            assert_eq!(extent(&headers, Some(&tag), 10), expected, "{only_if}");
        }
    }
}
