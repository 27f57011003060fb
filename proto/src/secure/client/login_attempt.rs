//! One attempt to log in: from the first knock to the settings that the server hands out.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand_core::RngCore;

use crate::retransmit::{RetransmitTimer, Schedule};
use crate::secure::epochs::Indices;
use crate::secure::opaque::ClientLoginState;
use crate::secure::session::Session;
use crate::{Instant, PacketBuf, Reason};

/// How many different answers one attempt stretches the password for. The second is there because the first may be
/// forged by someone who holds the pre-shared key.
pub const MAX_CANDIDATES: usize = 2;

/// How long an attempt whose first candidate has failed waits for another one before it is rejected.
pub const REJECTION_GRACE: Duration = Duration::from_secs(1);

/// How many cookies one attempt takes.
pub const MAX_COOKIES: usize = 3;

/// How long an unanswered message waits before it is sent again, byte for byte, until the attempt is over.
///
/// A login has three round trips, so that with a doubling wait the third would seldom come to more than one repeat:
/// where 30 % are lost each way, one login in seven would fail. Steadily repeated, one in some thousands does.
pub const REPEAT_AFTER: Duration = Duration::from_millis(400);

/// Most that a message waits longer than [`REPEAT_AFTER`], so that clients that started together drift apart.
pub const REPEAT_JITTER: Duration = Duration::from_millis(100);

/// The two together.
pub(super) const REPEAT: Schedule = Schedule::Steady {
    wait: REPEAT_AFTER,
    jitter: REPEAT_JITTER,
};

/// How far an attempt has got.
pub(super) enum Stage {
    /// M0 or M1 is sent; a cookie or KE2 is awaited.
    Login,
    /// KE2 is here and the password is being stretched.
    Stretch {
        job: u64,
        indices: Indices,
        /// Another answer that came meanwhile: it is tried if this one fails.
        waiting: Option<Candidate>,
    },
    /// M3 is sent, and the settings are awaited, which come under the session's own keys.
    Confirm(Box<Session>),
}

/// An answer: the server's index and KE2.
pub(super) type Candidate = (u32, Box<[u8; 320]>);

/// An attempt.
pub(super) struct LoginAttempt {
    /// Ours: what the server puts into what it sends to us.
    pub(super) index: u32,
    pub(super) state: ClientLoginState,
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) stage: Stage,
    pub(super) timer: RetransmitTimer,
    /// The datagram that is repeated byte for byte, and what it is.
    pub(super) sent: (&'static str, PacketBuf),
    /// The cookies that were taken. One that comes again is a recorded message.
    pub(super) cookies: Vec<[u8; 16]>,
    /// The answers that were tried, or wait for it.
    pub(super) candidates: Vec<[u8; 320]>,
    /// Set once a candidate has failed.
    pub(super) rejected_at: Option<Instant>,
}

impl LoginAttempt {
    /// The datagram to send now, first or again; sets the timer for its repeat.
    pub(super) fn send(&mut self, now: Instant, rng: &mut impl RngCore) -> (&'static str, PacketBuf) {
        self.timer.sent(now, rng);
        let (kind, datagram) = &self.sent;
        (kind, datagram.clone())
    }

    /// Whether no further answer is taken.
    pub(super) fn has_max_candidates(&self) -> bool {
        self.candidates.len() >= MAX_CANDIDATES
    }

    /// Whether its time was up before `now`.
    pub(super) fn was_over_before(&self, now: Instant) -> bool {
        self.timer.was_over_before(now)
    }

    /// The timer that is due.
    pub(super) fn due(&self, now: Instant) -> Option<Reason> {
        if self.rejected_at.is_some_and(|at| now >= at) && matches!(self.stage, Stage::Login) {
            return Some(Reason::Rejection);
        }
        self.timer.due(now)
    }

    /// The next timer.
    pub(super) fn next_timeout(&self) -> (Instant, Reason) {
        let rejection = self
            .rejected_at
            .filter(|_| matches!(self.stage, Stage::Login))
            .map(|at| (at, Reason::Rejection));
        let timer = self.timer.next_timeout();
        rejection.map_or(timer, |rejection| rejection.min(timer))
    }

    /// The session whose settings are awaited, if it is that far.
    pub(super) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.stage {
            Stage::Confirm(session) => Some(session),
            _ => None,
        }
    }
}

impl fmt::Debug for LoginAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stage = match self.stage {
            Stage::Login => "login",
            Stage::Stretch { .. } => "stretch",
            Stage::Confirm(_) => "confirm",
        };
        f.debug_struct("LoginAttempt")
            .field("stage", &stage)
            .field("timer", &self.timer)
            .field("candidates", &self.candidates.len())
            .finish_non_exhaustive()
    }
}
