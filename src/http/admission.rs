//! How many connections there may be: in all, and from one address, so that no single client can use up all of them.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

use ipnet::IpNet;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tracing::warn;

use crate::base::metrics::{Counted, Gauge};

/// Files that a node has open beside its connections: Postgres', those of webhooks, and some to spare.
const OTHER_FILES: u64 = 1000;

/// Lets the process have as many files open as the system allows it at most, and says when that is not enough for so many
/// connections: what is too many then waits to be accepted, and nothing else can be opened either.
pub fn make_room(connections_max: usize) {
    let wanted = (connections_max as u64).saturating_add(OTHER_FILES);
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(now, most)| {
        setrlimit(Resource::RLIMIT_NOFILE, now.max(wanted.min(most)), most)?;
        Ok(now.max(most))
    });
    match raised {
        Ok(most) if most >= wanted => {}
        Ok(most) => warn!("{most} files may be open at once, for up to {connections_max} connections: see ulimit -n"),
        Err(fault) => warn!("how many files may be open at once cannot be told: {fault}"),
    }
}

/// Why a connection is not taken in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// There are as many as there may be.
    All,
    /// There are as many from its address as there may be.
    Address,
}

impl Refused {
    /// In metrics.
    pub fn reason(self) -> &'static str {
        match self {
            Refused::All => "all",
            Refused::Address => "address",
        }
    }
}

/// Counts the open connections.
#[derive(Debug)]
pub struct Admission {
    most: usize,
    most_of_address: usize,
    /// Proxies: behind their addresses are many clients.
    uncounted: Vec<IpNet>,
    gauge: Gauge,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    all: usize,
    of_address: HashMap<IpAddr, usize>,
}

impl Admission {
    /// `most` in all, `most_of_address` from any address but those of `uncounted`.
    pub fn new(most: usize, most_of_address: usize, uncounted: Vec<IpNet>, gauge: Gauge) -> Self {
        Admission { most, most_of_address, uncounted, gauge, open: Mutex::default() }
    }

    /// Takes a connection in, until what this answers is dropped.
    ///
    /// # Errors
    /// [`Refused`] when there are too many.
    pub fn admit(self: &Arc<Self>, peer: IpAddr) -> Result<Admitted, Refused> {
        let peer = peer.to_canonical();
        let counted = !self.uncounted.iter().any(|network| network.contains(&peer));
        let holder = counted.then(|| holder(peer));
        self.count(holder)?;
        Ok(Admitted { admission: self.clone(), holder, _gauge: Counted::new(&self.gauge) })
    }

    fn count(&self, holder: Option<IpAddr>) -> Result<(), Refused> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.all >= self.most {
            return Err(Refused::All);
        }
        if let Some(holder) = holder {
            let of_address = open.of_address.get(&holder).copied().unwrap_or(0);
            if of_address >= self.most_of_address {
                return Err(Refused::Address);
            }
            open.of_address.insert(holder, of_address + 1);
        }
        open.all += 1;
        Ok(())
    }
}

/// Whose connections are counted together: an IPv6 host has a whole network of 64 bits to itself.
fn holder(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// One of the open connections.
#[derive(Debug)]
pub struct Admitted {
    admission: Arc<Admission>,
    holder: Option<IpAddr>,
    _gauge: Counted,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(holder) = self.holder
            && let Some(of_address) = open.of_address.get_mut(&holder)
        {
            *of_address -= 1;
            if *of_address == 0 {
                open.of_address.remove(&holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(most: usize, most_of_address: usize) -> Arc<Admission> {
        let proxies = vec!["10.0.0.0/8".parse().unwrap()];
        Arc::new(Admission::new(most, most_of_address, proxies, Gauge::default()))
    }

    fn admit(admission: &Arc<Admission>, peer: &str) -> Result<Admitted, Refused> {
        admission.admit(peer.parse().unwrap())
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let admission = admission(4, 2);
        let first = admit(&admission, "192.0.2.1").unwrap();
        let _second = admit(&admission, "::ffff:192.0.2.1").unwrap();
        assert_eq!(admit(&admission, "192.0.2.1").unwrap_err(), Refused::Address);
        let _other = admit(&admission, "192.0.2.2").unwrap();
        drop(first);
        let _third = admit(&admission, "192.0.2.1").unwrap();
        let _last = admit(&admission, "192.0.2.3").unwrap();
        assert_eq!(admit(&admission, "192.0.2.4").unwrap_err(), Refused::All);
        assert_eq!(admission.gauge.get(), 4);
    }

    #[test]
    fn a_host_does_not_multiply_by_its_addresses() {
        let admission = admission(10, 1);
        let _one = admit(&admission, "2001:db8:0:1::1").unwrap();
        assert_eq!(admit(&admission, "2001:db8:0:1:ffff::2").unwrap_err(), Refused::Address);
        assert!(admit(&admission, "2001:db8:0:2::1").is_ok());
    }

    #[test]
    fn behind_a_proxy_are_many() {
        let admission = admission(3, 1);
        let open = (0..3).map(|_| admit(&admission, "10.1.2.3").unwrap()).collect::<Vec<_>>();
        assert_eq!(admit(&admission, "10.1.2.3").unwrap_err(), Refused::All);
        drop(open);
        assert_eq!(admission.gauge.get(), 0);
        assert!(admission.open.lock().unwrap().of_address.is_empty());
    }
}
