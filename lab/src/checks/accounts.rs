//! The accepted sessions of the users, for P13 and P14.

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

/// The accepted sessions of all users.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// By server and user name.
    users: BTreeMap<(HostId, String), Accepted>,
    /// Number of users whose accepted sessions have, or had, this address, by server.
    addresses: BTreeMap<(HostId, SocketAddr), u64>,
}

impl Accounts {
    /// The server `host` has accepted the user `login` at `remote`.
    pub(super) fn on_session(&mut self, host: HostId, login: &str, remote: SocketAddr) {
        let accepted = self.users.entry((host, login.to_owned())).or_default();
        accepted.open += 1;
        if accepted.addresses.insert(remote) {
            *self.addresses.entry((host, remote)).or_default() += 1;
        }
    }

    /// A session of `login` ended. The addresses are forgotten with the last one, because the event names no address.
    pub(super) fn on_session_ended(&mut self, host: HostId, login: &str) {
        let key = (host, login.to_owned());
        let Some(accepted) = self.users.get_mut(&key) else {
            return;
        };
        accepted.open = accepted.open.saturating_sub(1);
        if accepted.open > 0 {
            return;
        }
        for address in self.users.remove(&key).unwrap_or_default().addresses {
            if let Some(users) = self.addresses.get_mut(&(host, address)) {
                *users -= 1;
                if *users == 0 {
                    self.addresses.remove(&(host, address));
                }
            }
        }
    }

    /// A session of the server `host` moved.
    pub(super) fn on_moved(&mut self, host: HostId, from: SocketAddr, to: SocketAddr) {
        let of_host = self.users.iter_mut().filter(|((other, _), _)| *other == host);
        for (_, accepted) in of_host {
            if accepted.addresses.contains(&from) && accepted.addresses.insert(to) {
                *self.addresses.entry((host, to)).or_default() += 1;
            }
        }
    }

    /// `host` booted and has no session.
    pub(super) fn on_boot(&mut self, host: HostId) {
        self.users.retain(|(other, _), _| *other != host);
        self.addresses.retain(|(other, _), _| *other != host);
    }

    /// Returns true if the server `host` has accepted a session whose present or earlier address is `remote`.
    pub(super) fn knows(&self, host: HostId, remote: SocketAddr) -> bool {
        self.addresses.contains_key(&(host, remote))
    }

    /// The fault of a change of the account `login`, if any. A datagram from `remote` asked for it.
    pub(super) fn fault(
        &self,
        host: HostId,
        login: &str,
        remote: Option<SocketAddr>,
    ) -> Option<&'static str> {
        let accepted = self.users.get(&(host, login.to_owned()));
        match (accepted, remote) {
            (None, _) => Some("the server changed an account without an accepted session"),
            (Some(accepted), Some(remote)) if !accepted.addresses.contains(&remote) => {
                Some("the server changed an account for a sender without an accepted session")
            }
            (Some(_), _) => None,
        }
    }
}
