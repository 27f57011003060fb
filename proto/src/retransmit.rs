//! Retransmit timer of one login attempt, and the deadline of the attempt.

use core::time::Duration;

use rand_core::RngCore;

use crate::{Instant, Reason, State, describe};

/// Time limit of a login.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Waiting times before the first, second and third retransmission. Each starts when the request was last
/// sent, and is extended by a jitter of at most [`MAX_JITTER`].
pub const REPEAT_WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Maximum jitter that is added to [`REPEAT_WAITS`], so that clients that started together drift apart.
pub const MAX_JITTER: Duration = Duration::from_millis(333);

/// Times at which an unanswered message is sent again.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// Three times, after [`REPEAT_WAITS`] plus a jitter of at most [`MAX_JITTER`].
    Backoff,
    /// At a fixed interval plus a jitter, until the attempt is over.
    Steady {
        /// The interval.
        wait: Duration,
        /// Maximum jitter.
        jitter: Duration,
    },
}

impl Schedule {
    /// Returns the waiting time after `repeats` retransmissions, and its maximum jitter.
    fn wait(self, repeats: usize) -> Option<(Duration, Duration)> {
        match self {
            Self::Backoff => REPEAT_WAITS.get(repeats).map(|wait| (*wait, MAX_JITTER)),
            Self::Steady { wait, jitter } => Some((wait, jitter)),
        }
    }

    fn describe(self, state: &mut State<'_>) {
        match self {
            Self::Backoff => state.number(0),
            Self::Steady { wait, jitter } => {
                state.number(1);
                state.duration(wait);
                state.duration(jitter);
            }
        }
    }
}

/// Timers of one attempt: the next retransmission and the deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetransmitTimer {
    schedule: Schedule,
    deadline: Instant,
    repeat: Option<Instant>,
    repeats: usize,
}

impl RetransmitTimer {
    /// Timers of an attempt that begins now. Nothing has been sent yet.
    pub(crate) fn new(now: Instant, schedule: Schedule) -> Self {
        Self {
            schedule,
            deadline: now.saturating_add(LOGIN_TIMEOUT),
            repeat: None,
            repeats: 0,
        }
    }

    /// Timers of the same attempt on a new path: all retransmissions again, but the old deadline.
    pub(crate) fn restarted(self) -> Self {
        Self {
            repeat: None,
            repeats: 0,
            ..self
        }
    }

    /// Timers of the same attempt while nothing may be sent: only the deadline remains.
    pub(crate) fn paused(self) -> Self {
        Self { repeat: None, ..self }
    }

    /// Records that the request was sent, and schedules its retransmission.
    pub(crate) fn sent(&mut self, now: Instant, rng: &mut impl RngCore) {
        let wait = self.schedule.wait(self.repeats);
        self.repeat =
            wait.map(|(wait, max_jitter)| now.saturating_add(wait).saturating_add(jitter(rng, max_jitter)));
        self.repeats = self.repeats.saturating_add(1);
    }

    /// Returns true if the deadline was before `now`.
    pub(crate) fn was_over_before(&self, now: Instant) -> bool {
        now > self.deadline
    }

    /// Returns the timer that is due, if any.
    pub(crate) fn due(&self, now: Instant) -> Option<Reason> {
        if now >= self.deadline {
            return Some(Reason::LoginDeadline);
        }
        self.repeat
            .is_some_and(|repeat| now >= repeat)
            .then_some(Reason::Repeat)
    }

    /// Returns the next timer. If both are due at the same time, the deadline comes first, as in
    /// [`due`](Self::due).
    pub(crate) fn next_timeout(&self) -> (Instant, Reason) {
        match self.repeat {
            Some(repeat) if repeat < self.deadline => (repeat, Reason::Repeat),
            _ => (self.deadline, Reason::LoginDeadline),
        }
    }

    /// Describes the timers.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            schedule,
            deadline,
            repeat,
            repeats,
        } = self;
        schedule.describe(state);
        state.flag(self.was_over_before(state.now()));
        state.deadline(Some(*deadline));
        state.deadline(*repeat);
        describe::len(state, *repeats);
    }
}

/// Uniform random duration from 0 to `max`, in whole nanoseconds. It takes 32 bits from the generator.
pub(crate) fn jitter(rng: &mut impl RngCore, max: Duration) -> Duration {
    let span = max.as_nanos().saturating_add(1);
    let scaled = u128::from(rng.next_u32()).saturating_mul(span) >> 32;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or_default())
}
