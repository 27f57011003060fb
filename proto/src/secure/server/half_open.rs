//! Logins between KE2 and KE3: kept for 10 s, only so many, each good for three guesses at its KE3.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::secure::Login;
use crate::secure::guard::Debit;
use crate::secure::opaque::ServerLoginState;
use crate::{Instant, PacketBuf};

/// How long a login may stay between KE2 and KE3.
pub const HALF_OPEN_FOR: Duration = Duration::from_secs(10);

/// How many wrong KE3 end a login.
pub const MAX_BAD_KE3: u8 = 3;

/// For how long a cookie that has been shown may still be accepted.
const COOKIE_FOR: Duration = Duration::from_secs(30);

/// A client before it has a session: where it sends from, and what it calls its login.
type Client = (SocketAddr, u32);

/// A login between KE2 and KE3.
pub(super) struct HalfOpen {
    /// The server's receiver index.
    pub(super) index: u32,
    /// The client's.
    pub(super) client_index: u32,
    pub(super) source: SocketAddr,
    pub(super) login: Login,
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) state: ServerLoginState,
    /// The datagram with KE2, for the same KE1 once more.
    pub(super) reply: PacketBuf,
    pub(super) debit: Debit,
    pub(super) bad_ke3: u8,
}

impl fmt::Debug for HalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HalfOpen")
            .field("source", &self.source)
            .field("bad_ke3", &self.bad_ke3)
            .finish_non_exhaustive()
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct HalfOpens {
    by_index: BTreeMap<u32, HalfOpen>,
    by_client: BTreeMap<Client, u32>,
    /// In the order in which they end. Those that have ended before are skipped.
    ends: VecDeque<(Instant, u32)>,
    /// Who has had a KE2 for a cookie that may still be accepted, in `spent` in the order in which the cookies end.
    /// The rate of KE1 bounds them.
    answered: BTreeSet<Client>,
    spent: VecDeque<(Instant, Client)>,
}

impl HalfOpens {
    pub(super) fn len(&self) -> usize {
        self.by_index.len()
    }

    /// The login that a client's first message belongs to.
    pub(super) fn of_client(&self, source: SocketAddr, client_index: u32) -> Option<&HalfOpen> {
        let index = self.by_client.get(&(source, client_index))?;
        self.by_index.get(index)
    }

    /// Whether this client has had its KE2: what comes now is a recorded message of a login that is over.
    pub(super) fn is_spent(&mut self, now: Instant, source: SocketAddr, client_index: u32) -> bool {
        while let Some((_, client)) = self.spent.pop_front_if(|(end, _)| now >= *end) {
            self.answered.remove(&client);
        }
        self.answered.contains(&(source, client_index))
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut HalfOpen> {
        self.by_index.get_mut(&index)
    }

    pub(super) fn insert(&mut self, now: Instant, half_open: HalfOpen) {
        let (index, client) = (half_open.index, (half_open.source, half_open.client_index));
        self.by_client.insert(client, index);
        self.answered.insert(client);
        self.spent.push_back((now.saturating_add(COOKIE_FOR), client));
        self.by_index.insert(index, half_open);
        self.ends.push_back((now.saturating_add(HALF_OPEN_FOR), index));
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        let half_open = self.by_index.remove(&index)?;
        self.by_client.remove(&(half_open.source, half_open.client_index));
        Some(half_open)
    }

    /// When the oldest ends.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.ends.front().map(|(end, _)| *end)
    }

    /// Takes out one whose time is over.
    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<HalfOpen> {
        while let Some((_, index)) = self.ends.front().copied().filter(|(end, _)| now >= *end) {
            self.ends.pop_front();
            if let Some(ended) = self.remove(index) {
                return Some(ended);
            }
        }
        None
    }
}
