//! State of one login attempt, from the first message to the settings of the server.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use rand_core::RngCore;

use crate::retransmit::{RetransmitTimer, Schedule};
use crate::secure::epochs::Indices;
use crate::secure::opaque::ClientLoginState;
use crate::secure::session::Session;
use crate::{Instant, PacketBuf, Reason, State, describe};

/// Number of different KE2 for which one attempt stretches the password. It is 2, because a holder of the
/// pre-shared key may have forged the first.
pub const MAX_CANDIDATES: usize = 2;

/// Time that an attempt waits for another KE2 after the first has failed. Then it is rejected.
pub const REJECTION_GRACE: Duration = Duration::from_secs(1);

/// Number of cookies that one attempt accepts.
pub const MAX_COOKIES: usize = 3;

/// Retransmission interval of an unanswered message. The same bytes are sent until the attempt is over.
///
/// A login has three round trips. With a doubling interval, the third would seldom get more than one
/// retransmission: at 30 % loss each way, one login in seven would fail. With a constant interval, one in
/// some thousands fails.
pub const REPEAT_AFTER: Duration = Duration::from_millis(400);

/// Maximum jitter that is added to [`REPEAT_AFTER`], so that clients that started together drift apart.
pub const REPEAT_JITTER: Duration = Duration::from_millis(100);

/// Shortest time without settings after KE3, until the client begins the login again.
///
/// After a NAT rebinding the server does not accept the KE3, because it does not know the new address. After a restart it
/// does not know the login.
pub const RESTART_AFTER: Duration = Duration::from_secs(2);

/// Number of round trips that KE3 waits for the settings if they take longer than [`RESTART_AFTER`].
pub const RESTART_ROUND_TRIPS: u32 = 3;

/// [`REPEAT_AFTER`] with its jitter.
pub(super) const REPEAT: Schedule = Schedule::Steady {
    wait: REPEAT_AFTER,
    jitter: REPEAT_JITTER,
};

/// Progress of an attempt.
pub(super) enum Stage {
    /// M0 or M1 is sent. The client waits for a cookie or KE2.
    Login,
    /// KE2 has arrived. A job stretches the password.
    Stretch {
        job: u64,
        indices: Indices,
        /// Another KE2 that has arrived meanwhile. It is tried if this one fails.
        waiting: Option<Candidate>,
    },
    /// M3 is sent. The client waits for the settings, which are sealed under the session keys.
    Confirm(Box<Session>),
}

impl Stage {
    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Login => state.number(0),
            Self::Stretch {
                job,
                indices: Indices { ours, theirs },
                waiting,
            } => {
                state.number(1);
                describe::job_id(state, *job);
                describe::random(state, *ours);
                describe::random(state, *theirs);
                describe::option(state, waiting.as_ref(), |state, (index, ke2)| {
                    describe::random(state, *index);
                    state.secret(&**ke2);
                });
            }
            Self::Confirm(session) => {
                state.number(2);
                session.describe(state);
            }
        }
    }
}

/// A KE2 and the receiver index of the server.
pub(super) type Candidate = (u32, Box<[u8; 320]>);

/// A login whose KE3 has got no answer in time. Its settings still count until the next KE3 is sent.
pub(super) struct Earlier {
    /// Receiver index of the client.
    pub(super) index: u32,
    pub(super) session: Box<Session>,
    /// The datagram with KE3. It is still repeated.
    pub(super) ke3: PacketBuf,
}

impl Earlier {
    fn describe(&self, state: &mut State<'_>) {
        let Self { index, session, ke3 } = self;
        describe::random(state, *index);
        session.describe(state);
        state.secret(ke3);
    }
}

/// A login attempt.
pub(super) struct LoginAttempt {
    /// Receiver index of the client, which the server puts into its replies.
    pub(super) index: u32,
    pub(super) state: ClientLoginState,
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) stage: Stage,
    pub(super) timer: RetransmitTimer,
    /// Kind and bytes of the datagram that is retransmitted.
    pub(super) sent: (&'static str, PacketBuf),
    /// Accepted cookies. If one arrives again, it is a replayed message.
    pub(super) cookies: Vec<[u8; 16]>,
    /// Each KE2 that was tried or waits.
    pub(super) candidates: Vec<[u8; 320]>,
    /// Set when a KE2 has failed.
    pub(super) rejected_at: Option<Instant>,
    /// Time of the first message, until its first reply arrives.
    pub(super) sent_at: Option<Instant>,
    /// Time that KE3 waits for the settings.
    pub(super) restart_after: Duration,
    /// Time at which the login begins again, because KE3 or the last cookie has no answer.
    pub(super) restart_at: Option<Instant>,
    /// The login before this one.
    pub(super) earlier: Option<Earlier>,
}

impl LoginAttempt {
    /// Returns the datagram to send, and schedules its retransmission.
    pub(super) fn send(&mut self, now: Instant, rng: &mut impl RngCore) -> (&'static str, PacketBuf) {
        self.timer.sent(now, rng);
        let (kind, datagram) = &self.sent;
        (kind, datagram.clone())
    }

    /// Takes the time of the first round trip. It determines how long KE3 waits for the settings.
    pub(super) fn note_reply(&mut self, now: Instant) {
        if let Some(sent) = self.sent_at.take() {
            let round_trip = now.saturating_duration_since(sent);
            self.restart_after = round_trip.saturating_mul(RESTART_ROUND_TRIPS).max(RESTART_AFTER);
        }
    }

    /// Returns the receiver indices under which settings may arrive.
    pub(super) fn indices(&self) -> impl Iterator<Item = u32> {
        let earlier = self.earlier.as_ref().map(|earlier| earlier.index);
        core::iter::once(self.index).chain(earlier)
    }

    /// Returns true if no further KE2 is accepted.
    pub(super) fn has_max_candidates(&self) -> bool {
        self.candidates.len() >= MAX_CANDIDATES
    }

    /// Returns true if the deadline was before `now`.
    pub(super) fn was_over_before(&self, now: Instant) -> bool {
        self.timer.was_over_before(now)
    }

    /// Returns the timer that is due, if any.
    pub(super) fn due(&self, now: Instant) -> Option<Reason> {
        if self.rejected_at.is_some_and(|at| now >= at) && matches!(self.stage, Stage::Login) {
            return Some(Reason::Rejection);
        }
        match self.timer.due(now) {
            Some(Reason::LoginDeadline) => Some(Reason::LoginDeadline),
            _ if self.restart_at.is_some_and(|at| now >= at) => Some(Reason::Reconnect),
            other => other,
        }
    }

    /// Returns the next timer.
    pub(super) fn next_timeout(&self) -> (Instant, Reason) {
        let rejection = self
            .rejected_at
            .filter(|_| matches!(self.stage, Stage::Login))
            .map(|at| (at, Reason::Rejection));
        let restart = self.restart_at.map(|at| (at, Reason::Reconnect));
        let timer = self.timer.next_timeout();
        rejection.into_iter().chain(restart).fold(timer, Ord::min)
    }

    /// The session that waits for settings at this receiver index.
    pub(super) fn session(&mut self, index: u32) -> Option<&mut Session> {
        match (&mut self.stage, &mut self.earlier) {
            (Stage::Confirm(session), _) if self.index == index => Some(session),
            (_, Some(earlier)) if earlier.index == index => Some(&mut earlier.session),
            _ => None,
        }
    }

    /// The session that waits for settings at this receiver index, out of the attempt.
    pub(super) fn into_session(self, index: u32) -> Option<Session> {
        match (self.stage, self.earlier) {
            (Stage::Confirm(session), _) if self.index == index => Some(*session),
            (_, Some(earlier)) if earlier.index == index => Some(*earlier.session),
            _ => None,
        }
    }

    /// Describes the attempt.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            index,
            state: _, // `ke1` stands for it
            ke1,
            stage,
            timer,
            sent: (kind, datagram),
            cookies,
            candidates,
            rejected_at,
            sent_at,
            restart_after,
            restart_at,
            earlier,
        } = self;
        describe::random(state, *index);
        state.secret(&**ke1);
        stage.describe(state);
        timer.describe(state);
        describe::text(state, kind);
        state.secret(datagram);
        // Only the server's secret decides whether a cookie is valid. Equality does not show that.
        describe::list(state, cookies.iter(), |state, cookie| {
            describe::fingerprint(state, cookie);
        });
        describe::list(state, candidates.iter(), |state, ke2| state.secret(ke2));
        state.deadline(*rejected_at);
        state.age(*sent_at);
        state.duration(*restart_after);
        state.deadline(*restart_at);
        describe::option(state, earlier.as_ref(), |state, earlier| earlier.describe(state));
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
