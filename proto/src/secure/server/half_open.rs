//! Logins between KE2 and KE3: kept for 10 s, only so many, each good for three guesses at its KE3.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::secure::Login;
use crate::secure::guard::Debit;
use crate::secure::opaque::ServerLogin;
use crate::{Instant, PacketBuf};

/// How long a login may stay between KE2 and KE3.
pub const HALF_OPEN_FOR: Duration = Duration::from_secs(10);

/// How many wrong KE3 end a login.
pub const MAX_BAD_KE3: u8 = 3;

/// A login between KE2 and KE3.
pub(super) struct HalfOpen {
    /// The server's receiver index.
    pub(super) index: u32,
    /// The client's.
    pub(super) client_index: u32,
    pub(super) source: SocketAddr,
    pub(super) login: Login,
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) state: ServerLogin,
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
    by_client: BTreeMap<(SocketAddr, u32), u32>,
    /// In the order in which they end. Those that have ended before are skipped.
    ends: VecDeque<(Instant, u32)>,
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

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut HalfOpen> {
        self.by_index.get_mut(&index)
    }

    pub(super) fn insert(&mut self, now: Instant, half_open: HalfOpen) {
        let (index, client) = (half_open.index, (half_open.source, half_open.client_index));
        self.by_client.insert(client, index);
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
