//! When a tunnel that had been up tries to log in again.

use core::time::Duration;

use rand_core::RngCore;

use crate::retransmit::{MAX_JITTER, jitter};
use crate::{Instant, StartError};

/// Longest wait between two logins of a server that does not answer. The first is at most 1 s, each further one at most
/// twice as long as the one before; each is drawn uniformly from zero to that (full jitter).
pub const MAX_RECONNECT_WAIT: Duration = Duration::from_secs(60);

/// Shortest wait after a login that was rejected; each further one is twice as long.
pub const MIN_REJECTED_WAIT: Duration = Duration::from_secs(30);

/// Longest wait after a login that was rejected.
pub const MAX_REJECTED_WAIT: Duration = Duration::from_secs(300);

/// The timer of the next login, and how many have failed in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    at: Option<Instant>,
    failures: u32,
}

impl Retry {
    /// When the next login is due.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.at.is_some()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Nothing is waited for any more; the failures still count.
    pub(super) const fn stop(&mut self) {
        self.at = None;
    }

    /// Sets the timer after a failure.
    pub(super) fn schedule(&mut self, now: Instant, error: StartError, rng: &mut impl RngCore) {
        let doubled = |first: Duration, most: Duration| {
            let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
            first.saturating_mul(factor).min(most)
        };
        let wait = match error {
            StartError::ConnectionTimedOut => {
                jitter(rng, doubled(Duration::from_secs(1), MAX_RECONNECT_WAIT))
            }
            _ => doubled(MIN_REJECTED_WAIT, MAX_REJECTED_WAIT).saturating_add(jitter(rng, MAX_JITTER)),
        };
        self.at = Some(now.saturating_add(wait));
        self.failures = self.failures.saturating_add(1).min(16);
    }
}
