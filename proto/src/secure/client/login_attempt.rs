//! State of one login attempt, from the first message to the settings of the server.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use crate::kem::PublicKey;
use crate::retransmit::{RetransmitTimer, Schedule};
use crate::secure::control::Nonces;
use crate::secure::epochs::Indices;
use crate::secure::keys::Ephemeral;
use crate::secure::login_box::LoginSecret;
use crate::secure::login_transcript::LoginTranscript;
use crate::secure::message::{Control, KEY_HALF_LEN, LoginRequest, Proof};
use crate::secure::opaque::ClientLoginState;
use crate::secure::session::Session;
use crate::{Instant, Reason, State, describe};

/// Number of cookies that one attempt accepts.
pub const MAX_COOKIES: usize = 3;

/// Retransmission interval of an unanswered message. It is sealed anew each time, because a server answers each datagram once.
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
        answered: Box<Answered>,
    },
    /// M3 is sent. The client waits for the settings, which are sealed under the session keys.
    Confirm {
        session: Box<Session>,
        indices: Indices,
        proof: Box<Proof>,
    },
}

/// Values from M2 that M3 needs.
pub(super) struct Answered {
    pub(super) transcript: LoginTranscript,
    pub(super) kem: PublicKey,
    /// OPAQUE key of the server. The envelope of the record must have the same.
    pub(super) opaque_key: [u8; 32],
}

impl Stage {
    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Login => state.number(0),
            Self::Stretch {
                job,
                indices: Indices { ours, theirs },
                answered: _, // follows from M1 and the receiver indices
            } => {
                state.number(1);
                describe::job_id(state, *job);
                describe::random(state, *ours);
                describe::random(state, *theirs);
            }
            Self::Confirm {
                session,
                indices: _, // described by the session
                proof,
            } => {
                state.number(2);
                session.describe(state);
                state.secret(&proof.ke3);
            }
        }
    }
}

/// A login whose KE3 has got no answer in time. Its settings still count until the next KE3 is sent.
pub(super) struct Earlier {
    /// Receiver index of the client.
    pub(super) index: u32,
    pub(super) session: Box<Session>,
    pub(super) indices: Indices,
    /// It is still repeated.
    pub(super) proof: Box<Proof>,
}

impl Earlier {
    fn describe(&self, state: &mut State<'_>) {
        let Self {
            index,
            session,
            indices: _, // described by the session
            proof,
        } = self;
        describe::random(state, *index);
        session.describe(state);
        state.secret(&proof.ke3);
    }
}

/// A cookie of the server, with the M1 that shows it.
pub(super) struct Try {
    /// First half of the server's encapsulation key.
    pub(super) key_half: Box<[u8; KEY_HALF_LEN]>,
    pub(super) request: LoginRequest,
    /// Opens the M2 that answers this M1.
    pub(super) secret: LoginSecret,
}

/// A login attempt.
pub(super) struct LoginAttempt {
    /// Receiver index of the client, which the server puts into its replies.
    pub(super) index: u32,
    pub(super) state: ClientLoginState,
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) ephemeral: Ephemeral,
    pub(super) nonces: Nonces,
    pub(super) stage: Stage,
    pub(super) timer: RetransmitTimer,
    /// Accepted cookies, the latest one last. If one arrives again, it is a replayed message.
    pub(super) tries: Vec<Try>,
    /// A server with other keys than the configured one has answered.
    pub(super) saw_other_server: bool,
    /// Both passwords that the server may have were rejected.
    pub(super) tried_other_password: bool,
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
    /// The messages that wait for an answer. `time` is the server's wall clock in milliseconds since 1970.
    pub(super) fn messages(&self, time: u64) -> impl Iterator<Item = Control> {
        let own = match (&self.stage, self.tries.last()) {
            (Stage::Login, None) => Some(Control::Hello {
                time,
                index: self.index,
            }),
            (Stage::Login, Some(latest)) => Some(Control::Login {
                time,
                request: latest.request.clone(),
            }),
            (Stage::Stretch { .. }, _) => None,
            (Stage::Confirm { proof, .. }, _) => Some(Control::Ke3((**proof).clone())),
        };
        let earlier = self
            .earlier
            .as_ref()
            .map(|earlier| Control::Ke3((*earlier.proof).clone()));
        own.into_iter().chain(earlier)
    }

    /// Returns true if the server has sent a cookie, and no KE2.
    pub(super) fn awaits_ke2(&self) -> bool {
        matches!(self.stage, Stage::Login) && !self.tries.is_empty()
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

    /// Returns true if the deadline was before `now`.
    pub(super) fn was_over_before(&self, now: Instant) -> bool {
        self.timer.was_over_before(now)
    }

    /// Returns the timer that is due, if any.
    pub(super) fn due(&self, now: Instant) -> Option<Reason> {
        match self.timer.due(now) {
            Some(Reason::LoginDeadline) => Some(Reason::LoginDeadline),
            _ if self.restart_at.is_some_and(|at| now >= at) => Some(Reason::Reconnect),
            other => other,
        }
    }

    /// Returns the next timer.
    pub(super) fn next_timeout(&self) -> (Instant, Reason) {
        let restart = self.restart_at.map(|at| (at, Reason::Reconnect));
        restart.into_iter().fold(self.timer.next_timeout(), Ord::min)
    }

    /// The session that waits for settings at this receiver index.
    pub(super) fn session(&mut self, index: u32) -> Option<&mut Session> {
        match (&mut self.stage, &mut self.earlier) {
            (Stage::Confirm { session, .. }, _) if self.index == index => Some(session),
            (_, Some(earlier)) if earlier.index == index => Some(&mut earlier.session),
            _ => None,
        }
    }

    /// The session that waits for settings at this receiver index, out of the attempt, with its first indices.
    pub(super) fn into_session(self, index: u32) -> Option<(Session, Indices)> {
        match (self.stage, self.earlier) {
            (Stage::Confirm { session, indices, .. }, _) if self.index == index => Some((*session, indices)),
            (_, Some(earlier)) if earlier.index == index => Some((*earlier.session, earlier.indices)),
            _ => None,
        }
    }

    /// Describes the attempt.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            index,
            state: _, // `ke1` stands for it
            ke1,
            ephemeral,
            nonces: _, // positions of generators do not count
            stage,
            timer,
            tries,
            saw_other_server,
            tried_other_password,
            sent_at,
            restart_after,
            restart_at,
            earlier,
        } = self;
        describe::random(state, *index);
        state.secret(&**ke1);
        ephemeral.describe(state);
        stage.describe(state);
        timer.describe(state);
        // Only the server's secret decides whether a cookie is valid. Equality does not show that.
        describe::list(state, tries.iter(), |state, attempt| {
            describe::fingerprint(state, &attempt.request.cookie);
        });
        state.flag(*saw_other_server);
        state.flag(*tried_other_password);
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
            Stage::Confirm { .. } => "confirm",
        };
        f.debug_struct("LoginAttempt")
            .field("stage", &stage)
            .field("timer", &self.timer)
            .field("tries", &self.tries.len())
            .finish_non_exhaustive()
    }
}
