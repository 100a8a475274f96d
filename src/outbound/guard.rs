//! Which targets named by clients may be called: those anybody on the Internet could call, and none behind our own
//! doors. A name is resolved here, and the connection goes to an address that was looked at, so a name that points
//! elsewhere a moment later gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use thiserror::Error;
use url::{Host, Url};

/// Why a target is not called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Forbidden {
    /// It is not an `http` or `https` URL with a host.
    #[error("the target is not an http or https URL")]
    NotHttp,
    /// It is, or its name stands for, an address that is not public.
    #[error("the target's address {0} is not public")]
    NotPublic(IpAddr),
}

/// Says which targets may be called. As the resolver of an HTTP client it hands out allowed addresses only.
#[derive(Debug, Clone, Copy)]
pub struct Guard {
    allow_private: bool,
}

impl Guard {
    /// A guard that lets through public addresses; with `allow_private`, all.
    pub fn new(allow_private: bool) -> Self {
        Guard { allow_private }
    }

    /// Whether addresses that are not public may be called too.
    pub fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// Looks at everything that can be seen without resolving a name.
    ///
    /// # Errors
    /// [`Forbidden`] unless it is an http or https URL whose host is a name or an allowed address.
    pub fn check(&self, url: &Url) -> Result<(), Forbidden> {
        match url.host() {
            _ if !matches!(url.scheme(), "http" | "https") => Err(Forbidden::NotHttp),
            None => Err(Forbidden::NotHttp),
            Some(Host::Domain(_)) => Ok(()),
            Some(Host::Ipv4(address)) => self.check_address(address.into()),
            Some(Host::Ipv6(address)) => self.check_address(address.into()),
        }
    }

    fn check_address(self, address: IpAddr) -> Result<(), Forbidden> {
        if self.allow_private || is_public(address) { Ok(()) } else { Err(Forbidden::NotPublic(address)) }
    }

    /// The allowed ones of a name's addresses; an error if there are only others.
    fn allowed(self, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Forbidden> {
        let (mut allowed, mut refused) = (Vec::new(), None);
        for address in found {
            match self.check_address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(forbidden) => refused = Some(forbidden),
            }
        }
        refused.filter(|_| allowed.is_empty()).map_or(Ok(allowed), Err)
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(Box::new(guard.allowed(found)?.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is one of the public Internet's, by the registries of special purpose addresses (RFC 6890).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127, ..]              // this network, private, loopback
            | [100, 64..=127, ..]       // shared by carriers
            | [169, 254, ..]            // link-local, metadata of clouds
            | [172, 16..=31, ..]        // private
            | [192, 0, 0 | 2, _]        // protocol assignments, documentation
            | [192, 88, 99, _]          // relays of 6to4
            | [192, 168, ..]            // private
            | [198, 18 | 19, ..]        // benchmarking
            | [198, 51, 100, _]         // documentation
            | [203, 0, 113, _]          // documentation
            | [168, 63, 129, 16]        // metadata of Azure
            | [224..=255, ..] // multicast, reserved, broadcast
    )
}

/// Only global unicast (2000::/3) can be public, and NAT64, behind which hosts without IPv4 reach the rest. That leaves
/// out loopback, IPv4-mapped and -compatible, unique-local, link-local and multicast addresses.
fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => is_public_v4(v4(high, low)), // NAT64
        [0x2001, 0..=0x1ff, ..] => false, // protocol assignments, Teredo, benchmarking
        [0x2001, 0xdb8, ..] => false,     // documentation
        [0x2002, high, low, ..] => is_public_v4(v4(high, low)), // 6to4
        [0x3fff, 0..=0xfff, ..] => false, // documentation
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

fn v4(high: u16, low: u16) -> Ipv4Addr {
    let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
    Ipv4Addr::new(a, b, c, d)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str) -> bool {
        is_public(address.parse().unwrap())
    }

    #[test]
    fn the_public_internet_is_allowed() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            "2606:4700::1111",
            "2001:200::1",
            "2003::1",
            "3ffe::1",
            "64:ff9b::808:808",
            "2002:808:808::1",
        ] {
            assert!(check(address), "{address}");
        }
    }

    #[test]
    fn special_ranges_of_v4_are_refused_from_end_to_end() {
        for address in [
            "0.0.0.0",
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.0",
            "127.0.0.1",
            "127.255.255.255",
            "169.254.0.0",
            "169.254.169.254",
            "169.254.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.0",
            "192.0.0.192",
            "192.0.2.0",
            "192.0.2.255",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.0",
            "198.51.100.255",
            "203.0.113.0",
            "203.0.113.255",
            "168.63.129.16",
            "100.100.100.200",
            "224.0.0.0",
            "239.255.255.255",
            "240.0.0.0",
            "255.255.255.255",
        ] {
            assert!(!check(address), "{address}");
        }
    }

    #[test]
    fn special_ranges_of_v6_are_refused() {
        for address in [
            "::",
            "::1",
            "::7f00:1",
            "::8.8.8.8",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:8.8.8.8",
            "64:ff9b::127.0.0.1",
            "64:ff9b::10.1.2.3",
            "64:ff9b:1::808:808",
            "100::1",
            "2001::1",
            "2001:2::1",
            "2001:10::1",
            "2001:20::1",
            "2001:1ff:ffff::1",
            "2001:db8::1",
            "2001:db8:ffff::1",
            "2002:7f00:1::1",
            "2002:a00:1::1",
            "2002:c0a8:101::1",
            "3fff::1",
            "3fff:fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fdff:ffff::1",
            "fe80::1",
            "febf::1",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ] {
            assert!(!check(address), "{address}");
        }
    }

    #[test]
    fn urls_are_refused_by_scheme_and_by_address_however_it_is_written() {
        let guard = Guard::new(false);
        let check = |url: &str| guard.check(&url.parse().unwrap());
        for url in ["ftp://example.com/", "file:///etc/passwd", "data:,x", "gopher://example.com/"] {
            assert_eq!(check(url), Err(Forbidden::NotHttp), "{url}");
        }
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://0x7f000001/",
            "http://2130706433/",
            "http://017700000001/",
            "http://127.0.0.1./",
            "https://[::1]/",
            "https://[::ffff:127.0.0.1]/",
            "http://user@10.0.0.1:8080/x",
        ] {
            assert!(matches!(check(url), Err(Forbidden::NotPublic(_))), "{url}");
            assert_eq!(Guard::new(true).check(&url.parse().unwrap()), Ok(()), "{url}");
        }
        for url in ["http://8.8.8.8/", "https://example.com/", "https://[2606:4700::1111]/"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
    }

    #[test]
    fn of_a_names_addresses_only_the_allowed_ones_are_handed_out() {
        let [public, private]: [SocketAddr; 2] = ["1.1.1.1:0", "10.0.0.1:0"].map(|address| address.parse().unwrap());
        let guard = Guard::new(false);
        assert_eq!(guard.allowed([private, public].into_iter()), Ok(vec![public]));
        assert_eq!(guard.allowed([private].into_iter()), Err(Forbidden::NotPublic(private.ip())));
        assert_eq!(guard.allowed([].into_iter()), Ok(vec![]));
        assert_eq!(Guard::new(true).allowed([private, public].into_iter()), Ok(vec![private, public]));
    }
}
