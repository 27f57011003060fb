//! P3 and P11: what comes out of the tunnel went in, at an authenticated host, and bears an address of that host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::record::HostId;

/// Inner packets on their way through the tunnel, and whose addresses they may bear.
#[derive(Debug, Default)]
pub(super) struct Inner {
    at_most_once: bool,
    authenticates: bool,
    /// How often a packet went in at a host, less how often it came out.
    sent: BTreeMap<(u64, HostId), i64>,
    authenticated: BTreeSet<(HostId, HostId)>,
    /// The inner addresses of each client, and those it had before them: its late packets still bear those.
    addresses: BTreeMap<HostId, [Vec<IpAddr>; 2]>,
}

impl Inner {
    pub(super) fn new(at_most_once: bool, authenticates: bool) -> Self {
        Self {
            at_most_once,
            authenticates,
            ..Self::default()
        }
    }

    /// A packet went in at `host`.
    pub(super) fn see_out(&mut self, print: u64, host: HostId) {
        *self.sent.entry((print, host)).or_default() += 1;
    }

    /// `host` has authenticated `remote`.
    pub(super) fn see_authenticated(&mut self, host: HostId, remote: HostId) {
        self.authenticated.insert((host, remote));
    }

    pub(super) fn is_authenticated(&self, host: HostId, remote: HostId) -> bool {
        self.authenticated.contains(&(host, remote))
    }

    /// `host` starts afresh and has authenticated nobody.
    pub(super) fn see_boot(&mut self, host: HostId) {
        self.authenticated.retain(|(other, _)| *other != host);
    }

    /// The client `host` has these inner addresses from now on.
    pub(super) fn see_addresses(&mut self, host: HostId, addresses: Vec<IpAddr>) {
        let [present, former] = self.addresses.entry(host).or_default();
        if *present != addresses {
            *former = std::mem::replace(present, addresses);
        }
    }

    /// P3: what is wrong with a packet that came out at `host`, made from a datagram of `from`.
    pub(super) fn fault(&mut self, print: u64, host: HostId, from: Option<HostId>) -> Option<&'static str> {
        let Some(from) = from else {
            return Some("an inner packet came out that no datagram had brought");
        };
        if self.authenticates && !self.is_authenticated(host, from) {
            return Some("an inner packet came out of a datagram from a host that was not authenticated");
        }
        let Some(left) = self.sent.get_mut(&(print, from)) else {
            return Some(
                "an inner packet came out that its sender had not put in, or it was changed on the way",
            );
        };
        *left -= 1;
        (self.at_most_once && *left < 0).then_some("an inner packet came out more often than it had gone in")
    }

    /// P11: what is wrong with the source address of a packet that came out at a server, made from a datagram of
    /// `from`.
    pub(super) fn foreign_source(&self, packet: &[u8], from: HostId) -> Option<String> {
        let Some(source) = source_of(packet) else {
            return Some("what came out is no IP packet".into());
        };
        let own = self.addresses.get(&from);
        match own.is_some_and(|addresses| addresses.iter().flatten().any(|own| *own == source)) {
            true => None,
            false => Some(format!(
                "an inner packet from {source} came out, which is no address of its sender"
            )),
        }
    }
}

/// The source address of an IP packet (RFC 791, section 3.1; RFC 8200, section 3).
fn source_of(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let source: &[u8; 4] = packet.get(12..16)?.try_into().ok()?;
            Some(Ipv4Addr::from(*source).into())
        }
        6 => {
            let source: &[u8; 16] = packet.get(8..24)?.try_into().ok()?;
            Some(Ipv6Addr::from(*source).into())
        }
        _ => None,
    }
}
