//! Sessions that end without a word: silent ones when the addresses run out, and all of them after a restore.

use alloc::vec::Vec;
use core::time::Duration;

use zeroize::Zeroizing;

use super::Server;
use super::registry::SessionId;
use super::sessions::{Entry, State};
use crate::Instant;
use crate::secure::control::Nonces;
use crate::secure::cookie::Cookies;
use crate::secure::guard::Freshness;
use crate::secure::session::PROBE_AFTER;
use crate::secure::{generator, stream};

/// Time that a silent session has to answer when the server has no address left.
pub const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// Number of sessions that are asked at the same time.
const MAX_ASKED: usize = 8;

impl Server {
    /// Sends a ping to the sessions that have been silent longest. A session that does not answer within [`ANSWER_WITHIN`]
    /// ends, and its addresses become free.
    ///
    /// A client that has lost its bye would otherwise hold its addresses until the idle timeout.
    pub(super) fn ask_silent(&mut self, now: Instant, tag: u64) {
        let heard = |entry: &Entry| entry.session.info().last_heard;
        let mut silent: Vec<(Instant, SessionId)> = self
            .sessions
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Live) && entry.asked_at.is_none())
            .map(|(id, entry)| (heard(entry), id))
            .filter(|(heard, _)| now.saturating_duration_since(*heard) >= PROBE_AFTER)
            .collect();
        silent.sort_unstable();
        for (_, id) in silent.into_iter().take(MAX_ASKED) {
            if let Some(entry) = self.sessions.get_mut(id) {
                entry.asked_at = Some(now);
                entry.session.ping(now, tag, &mut self.queues);
            }
            self.sessions.rearm(id);
        }
    }

    /// Ends all sessions and logins without a word, and takes a new seed. Datagrams that were not polled yet are discarded.
    ///
    /// Call it after the machine was restored from a snapshot. The sessions in the snapshot must not seal anything: their counters
    /// may have been used already, and each nonce may be used once. `seed` must be fresh entropy.
    pub fn forget_sessions(&mut self, now: Instant, seed: [u8; 32]) {
        let now = self.queues.advance(now);
        let seed = Zeroizing::new(seed);
        self.queues.unsend();
        let fresh = |stream| generator(&seed, stream);
        self.rng = fresh(stream::SERVER);
        self.nonces = Nonces::new(&mut self.rng);
        self.registry.reseed(fresh(stream::INDICES));
        self.cookies = Cookies::new(fresh(stream::COOKIES));
        self.freshness = Freshness::new(self.checked_clock().read(now));
        while let Some(ended) = self.half_opens.pop_ended(Instant::FAR_FUTURE) {
            self.forget_half_open(&ended);
        }
        let all: Vec<SessionId> = self.sessions.iter().map(|(id, _)| id).collect();
        for id in all {
            self.end(id, "forgotten", 0);
        }
        self.end_expired(now);
    }
}

impl Entry {
    /// Time until which the session must answer, if the server has asked it. `None` if it has answered.
    pub(super) fn answer_until(&self) -> Option<Instant> {
        let asked_at = self.asked_at?;
        let has_answered = self.session.info().last_heard > asked_at;
        (!has_answered).then(|| asked_at.saturating_add(ANSWER_WITHIN))
    }
}
