//! Parts of the state that the descriptions of both profiles share.

use alloc::collections::VecDeque;
use core::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha512};

use crate::{Instant, IpPrefix, Job, NetworkSettings, State};

/// Distance from a limit on a count from which on the count is described as "far from the limit". Otherwise each packet
/// would make another state.
const FAR: u64 = 1 << 20;

/// Describes the length of a list or of a text.
pub(crate) fn len(state: &mut State<'_>, len: usize) {
    state.number(u64::try_from(len).unwrap_or(u64::MAX));
}

/// Describes a text.
pub(crate) fn text(state: &mut State<'_>, text: &str) {
    state.bytes(text.as_bytes());
}

/// Describes whether there is a value, and the value.
pub(crate) fn option<T>(state: &mut State<'_>, value: Option<T>, describe: impl FnOnce(&mut State<'_>, T)) {
    state.flag(value.is_some());
    if let Some(value) = value {
        describe(state, value);
    }
}

/// Describes the number of items, and each item.
pub(crate) fn list<T>(
    state: &mut State<'_>,
    items: impl ExactSizeIterator<Item = T>,
    mut describe: impl FnMut(&mut State<'_>, T),
) {
    len(state, items.len());
    for item in items {
        describe(state, item);
    }
}

/// Describes a deadline. The far future is no deadline: its distance would differ from moment to moment.
pub(crate) fn timer(state: &mut State<'_>, at: Instant) {
    state.deadline((at != Instant::FAR_FUTURE).then_some(at));
}

/// Describes a random number, such as a receiver index.
pub(crate) fn random(state: &mut State<'_>, number: u32) {
    state.secret(&number.to_be_bytes());
}

/// Describes the number of a job, which is random.
pub(crate) fn job_id(state: &mut State<'_>, id: u64) {
    state.secret(&id.to_be_bytes());
}

/// Describes bytes that are too long or too secret to be described, by a hash. It is for values whose relation to other
/// values is more than equality: a password and the record that was made from it.
pub(crate) fn fingerprint(state: &mut State<'_>, bytes: &[u8]) {
    let digest: [u8; 64] = Sha512::digest(bytes).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    state.number(u64::from_be_bytes([a, b, c, d, e, f, g, h]));
}

/// Describes the number of events that are left before a limit is reached.
pub(crate) fn remaining(state: &mut State<'_>, limit: u64, used: u64) {
    state.number(limit.saturating_sub(used).min(FAR));
}

/// Describes an IP address.
pub(crate) fn ip(state: &mut State<'_>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => state.bytes(&address.octets()),
        IpAddr::V6(address) => state.bytes(&address.octets()),
    }
}

/// Describes an IP address with a port.
pub(crate) fn socket(state: &mut State<'_>, address: SocketAddr) {
    ip(state, address.ip());
    state.number(address.port().into());
    if let SocketAddr::V6(address) = address {
        state.number(address.flowinfo().into());
        state.number(address.scope_id().into());
    }
}

/// Describes the prefix of a network.
pub(crate) fn prefix(state: &mut State<'_>, prefix: IpPrefix) {
    let IpPrefix { address, length } = prefix;
    ip(state, address);
    state.number(length.into());
}

/// Describes the settings of a tunnel device.
pub(crate) fn settings(state: &mut State<'_>, settings: &NetworkSettings) {
    let NetworkSettings {
        tunnel_remote_address,
        addresses,
        included_routes,
        excluded_routes,
        dns_servers,
        search_domains,
        mtu,
    } = settings;
    ip(state, *tunnel_remote_address);
    for prefixes in [addresses, included_routes, excluded_routes] {
        list(state, prefixes.iter().copied(), prefix);
    }
    list(state, dns_servers.iter().copied(), ip);
    list(state, search_domains.iter(), |state, domain| text(state, domain));
    state.number((*mtu).into());
}

/// Describes the jobs that the shell has not polled. The number of a job stands for the inputs of its work, because it is
/// random and belongs to no other job.
pub(crate) fn jobs(state: &mut State<'_>, jobs: &VecDeque<Job>) {
    list(state, jobs.iter(), |state, job| {
        job_id(state, job.id());
        text(state, job.name());
    });
}
