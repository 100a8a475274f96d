//! Where a request comes from: the peer of its connection, or, when that is a proxy that is believed, what the proxy says.
//!
//! Each proxy adds the address that it sees to the end of the header, so the list is walked from its end, over proxies
//! that are believed only. The first address that is none of them is the client's: what stands before it, the client may
//! have written itself.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

/// The de facto standard that `Forwarded` (RFC 7239) replaces.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The client's address, IPv4 as IPv4. The layer puts it into every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClientAddress(pub IpAddr);

impl<S: Sync> FromRequestParts<S> for ClientAddress {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let known = parts.extensions.get::<ClientAddress>().copied();
        Ok(known.unwrap_or(ClientAddress(Ipv6Addr::UNSPECIFIED.into()))) // (only without the layer)
    }
}

impl ClientAddress {
    /// Of a request that came from `peer` with these headers. When `Forwarded` and `X-Forwarded-For` disagree, one of them
    /// is the client's own, passed on by a proxy that writes the other: then it is the proxy's address. The headers of a
    /// peer that is not believed are not looked at.
    pub fn of(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> ClientAddress {
        let peer = peer.to_canonical();
        let walk = |name: HeaderName, read| walk(headers, &name, read, peer, trusted);
        let ways = [walk(header::FORWARDED, forwarded_for), walk(X_FORWARDED_FOR, node)];
        ClientAddress(match ways {
            _ if !is_in(peer, trusted) => peer,
            [Some(one), Some(other)] if one != other => peer,
            [one, other] => one.or(other).unwrap_or(peer),
        })
    }
}

fn is_in(address: IpAddr, networks: &[IpNet]) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Walks a header from its end to the first address that is not a believed proxy's: `None` when there is no such header. A
/// hop that does not say who it is about ends the walk at the one that said so.
fn walk(
    headers: &HeaderMap,
    name: &HeaderName,
    read: fn(&str) -> Option<IpAddr>,
    peer: IpAddr,
    trusted: &[IpNet],
) -> Option<IpAddr> {
    let mut client = headers.contains_key(name).then_some(peer)?;
    for value in headers.get_all(name).iter().rev() {
        for hop in split_from_end(&String::from_utf8_lossy(value.as_bytes()), ',') {
            match read(hop) {
                Some(address) => client = address,
                None => return Some(client),
            }
            if !is_in(client, trusted) {
                return Some(client);
            }
        }
    }
    Some(client)
}

/// Parts between separators that do not stand in quotes, the last one first. What a proxy adds at the end is well formed;
/// read from there, no quote that a client left open before it can swallow it.
fn split_from_end(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut end, mut quoted) = (Vec::new(), text.len(), false);
    for (at, character) in text.char_indices().rev() {
        let escapes = text[..at].len() - text[..at].trim_end_matches('\\').len();
        if character == '"' && escapes.is_multiple_of(2) {
            quoted = !quoted;
        } else if character == separator && !quoted {
            parts.push(text[at + separator.len_utf8()..end].trim());
            end = at;
        }
    }
    parts.push(text[..end].trim());
    parts
}

/// The address in an element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    let mut pairs = split_from_end(element, ';').into_iter().filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("for"))?;
    node(value.trim())
}

/// The address of a node (RFC 7239, section 6), with or without quotes, brackets and a port: `None` for one that is
/// `unknown` or hides behind a name.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let address = match bracketed {
        Some((address, port)) if port.is_empty() || port.starts_with(':') => address.parse::<Ipv6Addr>().ok()?.into(),
        Some(_) => return None,
        None => plain(text)?,
    };
    Some(address.to_canonical())
}

/// An address, or an IPv4 address with a port, which may be hidden behind a name as `_x`.
fn plain(text: &str) -> Option<IpAddr> {
    let with_port = |text: &str| text.parse::<SocketAddr>().ok().map(|address| address.ip());
    let before_port = || text.split_once(':').filter(|(_, port)| port.starts_with('_'))?.0.parse().ok().map(IpAddr::V4);
    text.parse().ok().or_else(|| with_port(text)).or_else(before_port)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let name = |name: &str| name.parse::<HeaderName>().unwrap();
        lines.iter().map(|(key, value)| (name(key), HeaderValue::from_str(value).unwrap())).collect()
    }

    fn of(peer: &str, lines: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "fd00::/8"].map(|network| network.parse().unwrap());
        ClientAddress::of(peer.parse().unwrap(), &headers(lines), &trusted).0.to_string()
    }

    #[test]
    fn a_peer_that_is_not_believed_is_the_client_whatever_it_says() {
        for header in ["forwarded", "x-forwarded-for"] {
            let value = if header == "forwarded" { "for=192.0.2.1" } else { "192.0.2.1" };
            assert_eq!(of("203.0.113.9", &[(header, value)]), "203.0.113.9");
            assert_eq!(of("::ffff:203.0.113.9", &[(header, value)]), "203.0.113.9");
            assert_eq!(of("10.1.1.1", &[(header, value)]), "192.0.2.1");
            assert_eq!(of("::ffff:10.1.1.1", &[(header, value)]), "192.0.2.1", "mapped, and believed");
        }
        assert_eq!(of("10.1.1.1", &[]), "10.1.1.1");
    }

    #[test]
    fn what_a_client_writes_before_its_own_address_is_worth_nothing() {
        for (header, spoofed) in [
            ("x-forwarded-for", "127.0.0.1, 203.0.113.9"),
            ("x-forwarded-for", "10.9.9.9, 203.0.113.9, 10.2.2.2"),
            ("x-forwarded-for", "garbage, 203.0.113.9,10.2.2.2"),
            ("forwarded", "for=127.0.0.1, for=203.0.113.9"),
            ("forwarded", r#"for="[fd00::1]", for="203.0.113.9:4711";proto=https, for=10.2.2.2"#),
            ("forwarded", r#"for="10.9.9.9, for=1.1.1.1", For=203.0.113.9;by=10.1.1.1"#),
        ] {
            assert_eq!(of("10.1.1.1", &[(header, spoofed)]), "203.0.113.9", "{spoofed}");
        }
        let in_two = [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "203.0.113.9, 10.2.2.2")];
        assert_eq!(of("10.1.1.1", &in_two), "203.0.113.9", "several headers are one list");
    }

    #[test]
    fn who_hides_is_taken_for_the_proxy_that_says_so() {
        for hidden in ["unknown", "_hidden", r#""_hidden:80""#, "", "localhost", "1.2.3", r#""[::1"#, "[1.2.3.4]"] {
            let value = format!("for=192.0.2.1, for={hidden}, for=10.2.2.2");
            assert_eq!(of("10.1.1.1", &[("forwarded", value.as_str())]), "10.2.2.2", "{value}");
        }
        assert_eq!(of("10.1.1.1", &[("forwarded", "by=192.0.2.1;proto=https")]), "10.1.1.1");
        assert_eq!(of("10.1.1.1", &[("x-forwarded-for", "unknown")]), "10.1.1.1");
    }

    #[test]
    fn nodes_are_read_in_all_their_forms() {
        for (text, address) in [
            ("192.0.2.43", "192.0.2.43"),
            (r#""192.0.2.43:47011""#, "192.0.2.43"),
            (r#""192.0.2.43:_obfuscated""#, "192.0.2.43"),
            (r#""[2001:db8:cafe::17]""#, "2001:db8:cafe::17"),
            (r#""[2001:db8:cafe::17]:4711""#, "2001:db8:cafe::17"),
            ("2001:db8:cafe::17", "2001:db8:cafe::17"),
            ("[2001:db8:cafe::17]:4711", "2001:db8:cafe::17"),
            (r#""[::ffff:192.0.2.43]""#, "192.0.2.43"),
        ] {
            assert_eq!(node(text).map(|found| found.to_string()).as_deref(), Some(address), "{text}");
        }
    }

    #[test]
    fn a_header_that_the_proxy_passes_on_is_not_believed_against_the_one_it_writes() {
        let both = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.2")];
        assert_eq!(of("10.1.1.1", &both), "10.1.1.1");
        let agreed = [("x-forwarded-for", "192.0.2.1"), ("forwarded", "for=192.0.2.1;proto=https")];
        assert_eq!(of("10.1.1.1", &agreed), "192.0.2.1");
    }

    #[test]
    fn a_quote_left_open_swallows_nothing_that_a_proxy_adds() {
        for spoofed in [r#"for=6.6.6.6;x=", for=203.0.113.9"#, r#"for=6.6.6.6;x="\", for=203.0.113.9;proto=http"#] {
            assert_eq!(of("10.1.1.1", &[("forwarded", spoofed)]), "203.0.113.9", "{spoofed}");
        }
        let host = r#"for=203.0.113.9;host="a\", for=6.6.6.6;x=\"""#;
        assert_eq!(of("10.1.1.1", &[("forwarded", host)]), "203.0.113.9");
    }

    #[test]
    fn a_chain_of_proxies_alone_begins_at_its_first() {
        assert_eq!(of("10.1.1.1", &[("x-forwarded-for", "10.3.3.3, 10.2.2.2")]), "10.3.3.3");
    }

    proptest! {
        #[test]
        fn the_headers_of_a_peer_that_is_not_believed_never_matter(
            peer: [u8; 4],
            forwarded in "[ -~]{0,80}",
            others in "[0-9a-f.:, ]{0,80}",
        ) {
            let peer = IpAddr::from(peer);
            let trusted: Vec<IpNet> = vec!["10.0.0.0/8".parse().unwrap()];
            prop_assume!(!trusted[0].contains(&peer));
            let lines = headers(&[("forwarded", &forwarded), ("x-forwarded-for", &others)]);
            prop_assert_eq!(ClientAddress::of(peer, &lines, &trusted), ClientAddress(peer));
        }

        #[test]
        fn nothing_before_the_last_stranger_matters(spoofed in "[ -~]{0,80}") {
            for (header, added) in [("forwarded", "for=203.0.113.9"), ("x-forwarded-for", "203.0.113.9")] {
                let client = of("10.1.1.1", &[(header, &format!("{spoofed}, {added}"))]);
                prop_assert_eq!(client, "203.0.113.9");
            }
        }
    }
}
