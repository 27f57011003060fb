//! Retry timer for the logins of a tunnel that was up.

use core::time::Duration;

use rand_core::RngCore;

use crate::retransmit::{MAX_JITTER, jitter};
use crate::{Instant, StartError, State};

/// Maximum wait between two logins if the server does not answer. The maximum is 1 s at first and doubles
/// each time. The wait is uniformly random between zero and this maximum (full jitter).
pub const MAX_RECONNECT_WAIT: Duration = Duration::from_secs(60);

/// Wait after the first rejected login. It doubles each time.
pub const MIN_REJECTED_WAIT: Duration = Duration::from_secs(30);

/// Maximum wait after a rejected login.
pub const MAX_REJECTED_WAIT: Duration = Duration::from_secs(300);

/// Timer of the next login, and the number of failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retry {
    at: Option<Instant>,
    failures: u32,
}

impl Retry {
    /// Time of the next login.
    pub(super) const fn at(&self) -> Option<Instant> {
        self.at
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.at.is_some()
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Stops the timer. The failures still count.
    pub(super) const fn stop(&mut self) {
        self.at = None;
    }

    /// Sets the timer after a failure.
    pub(super) fn schedule(&mut self, now: Instant, error: StartError, rng: &mut impl RngCore) {
        let doubled = |first: Duration, max: Duration| {
            let factor = 1u32.checked_shl(self.failures).unwrap_or(u32::MAX);
            first.saturating_mul(factor).min(max)
        };
        let wait = match error {
            StartError::ConnectionTimedOut | StartError::OtherServer => {
                jitter(rng, doubled(Duration::from_secs(1), MAX_RECONNECT_WAIT))
            }
            _ => doubled(MIN_REJECTED_WAIT, MAX_REJECTED_WAIT).saturating_add(jitter(rng, MAX_JITTER)),
        };
        self.at = Some(now.saturating_add(wait));
        self.failures = self.failures.saturating_add(1).min(16);
    }

    /// Describes the timer.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self { at, failures } = self;
        state.deadline(*at);
        state.number((*failures).into());
    }
}
