//! P13: an account changes only in a session that the server has accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use crate::record::HostId;

/// The accepted sessions of a user.
#[derive(Debug, Default)]
struct Accepted {
    /// Number of sessions that have not ended.
    open: u64,
    /// Their present and earlier addresses. A change may arrive from an earlier one, after the session has moved.
    addresses: BTreeSet<SocketAddr>,
}

/// The accepted sessions of all users, by server and user name.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<(HostId, String), Accepted>);

impl Accounts {
    /// The server `host` has accepted the user `login` at `remote`.
    pub(super) fn on_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        let accepted = self.0.entry((host, login.to_owned())).or_default();
        accepted.open += 1;
        accepted.addresses.insert(remote);
    }

    /// A session of `login` ended. The addresses are forgotten with the last one, because the event names no address.
    pub(super) fn on_session_ended(&mut self, host: HostId, login: &str) {
        let key = (host, login.to_owned());
        if let Some(accepted) = self.0.get_mut(&key) {
            accepted.open = accepted.open.saturating_sub(1);
            if accepted.open == 0 {
                self.0.remove(&key);
            }
        }
    }

    /// A session of the server `host` moved.
    pub(super) fn on_moved(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        let of_host = self.0.iter_mut().filter(|((other, _), _)| *other == host);
        for (_, accepted) in of_host {
            if accepted.addresses.contains(&from) {
                accepted.addresses.insert(to);
            }
        }
    }

    /// `host` booted and has no session.
    pub(super) fn on_boot(&mut self, host: HostId) {
        self.0.retain(|(other, _), _| *other != host);
    }

    /// The fault of a change of the account `login`, if any. A datagram from `remote` asked for it.
    pub(super) fn fault(
        &self,
        host: HostId,
        login: &str,
        remote: Option<SocketAddr>,
    ) -> Option<&'static str> {
        let accepted = self.0.get(&(host, login.to_owned()));
        match (accepted, remote) {
            (None, _) => Some("the server changed an account without an accepted session"),
            (Some(accepted), Some(remote)) if !accepted.addresses.contains(&remote) => {
                Some("the server changed an account for a sender without an accepted session")
            }
            (Some(_), _) => None,
        }
    }
}
