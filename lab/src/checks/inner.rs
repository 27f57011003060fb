//! P3 and P11: each inner packet that leaves the tunnel entered it at an authenticated host, with an address of that host.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::record::HostId;

/// Inner packets in the tunnel, and the inner addresses of the hosts.
#[derive(Debug, Default)]
pub(super) struct Inner {
    at_most_once: bool,
    authenticates: bool,
    /// Number of entries of a packet at a host, minus the number of deliveries. Each host has a map of its own, so that the maps
    /// of a large network stay small.
    sent: BTreeMap<HostId, BTreeMap<u64, i32>>,
    /// Pairs of a host and a remote host that it has authenticated.
    authenticated: BTreeSet<(HostId, HostId)>,
    /// The present and the previous inner addresses of each client. Late packets still have the previous ones.
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

    /// A packet entered the tunnel at `host`.
    pub(super) fn on_out(&mut self, fingerprint: u64, host: HostId) {
        *self.sent.entry(host).or_default().entry(fingerprint).or_default() += 1;
    }

    /// `host` has authenticated `remote`.
    pub(super) fn on_authenticated(&mut self, host: HostId, remote: HostId) {
        self.authenticated.insert((host, remote));
    }

    pub(super) fn is_authenticated(&self, host: HostId, remote: HostId) -> bool {
        self.authenticated.contains(&(host, remote))
    }

    /// `host` booted and has authenticated no remote host.
    pub(super) fn on_boot(&mut self, host: HostId) {
        self.authenticated.retain(|(other, _)| *other != host);
    }

    /// The client `host` has these inner addresses now.
    pub(super) fn on_addresses(&mut self, host: HostId, addresses: Vec<IpAddr>) {
        let [present, previous] = self.addresses.entry(host).or_default();
        if *present != addresses {
            *previous = std::mem::replace(present, addresses);
        }
    }

    /// P3: the fault of a packet that left the tunnel at `host`, if any. A datagram of `from` carried it.
    pub(super) fn fault(
        &mut self,
        fingerprint: u64,
        host: HostId,
        from: Option<HostId>,
    ) -> Option<&'static str> {
        let Some(from) = from else {
            return Some("an inner packet left the tunnel without a datagram that carried it");
        };
        if self.authenticates && !self.is_authenticated(host, from) {
            return Some("an inner packet left the tunnel from a host that is not authenticated");
        }
        let Some(left) = self
            .sent
            .get_mut(&from)
            .and_then(|sent| sent.get_mut(&fingerprint))
        else {
            return Some(
                "an inner packet left the tunnel that its sender had not sent, or it was changed in transit",
            );
        };
        *left -= 1;
        (self.at_most_once && *left < 0)
            .then_some("an inner packet left the tunnel more often than it entered")
    }

    /// P11: the fault of the source address of a packet that left the tunnel at a server, if any. A datagram of `from` carried it.
    pub(super) fn foreign_source(&self, packet: &[u8], from: HostId) -> Option<String> {
        let Some(source) = source_of(packet) else {
            return Some("a packet that left the tunnel is not an IP packet".into());
        };
        let own = self.addresses.get(&from);
        match own.is_some_and(|addresses| addresses.iter().flatten().any(|own| *own == source)) {
            true => None,
            false => Some(format!(
                "an inner packet has the source address {source}, which does not belong to its sender"
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
