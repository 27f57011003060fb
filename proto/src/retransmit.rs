//! The timetable of one login attempt: when the request is repeated, and when the attempt is over.

use core::time::Duration;

use rand_core::RngCore;

use crate::{Instant, Reason};

/// How long a login may take in all.
pub const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an unanswered request waits before it is repeated: the first, second and third time. Each wait begins when
/// the request before it was sent, and is longer by a jitter of at most [`MAX_JITTER`].
pub const REPEAT_WAITS: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// Most that a wait is longer than [`REPEAT_WAITS`] says, so that clients that started together drift apart.
pub const MAX_JITTER: Duration = Duration::from_millis(333);

/// When an unanswered message is repeated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Schedule {
    /// Three times, after [`REPEAT_WAITS`] and up to [`MAX_JITTER`] each.
    Backoff,
    /// Until the attempt is over, each time after this long and up to a jitter.
    Steady {
        /// The wait.
        wait: Duration,
        /// Most that it is longer.
        jitter: Duration,
    },
}

impl Schedule {
    /// The wait after `repeats` repeats, and the most that it is longer.
    fn wait(self, repeats: usize) -> Option<(Duration, Duration)> {
        match self {
            Self::Backoff => REPEAT_WAITS.get(repeats).map(|wait| (*wait, MAX_JITTER)),
            Self::Steady { wait, jitter } => Some((wait, jitter)),
        }
    }
}

/// The timers of one attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RetransmitTimer {
    schedule: Schedule,
    deadline: Instant,
    repeat: Option<Instant>,
    repeats: usize,
}

impl RetransmitTimer {
    /// An attempt that begins now; nothing has been sent yet.
    pub(crate) fn new(now: Instant, schedule: Schedule) -> Self {
        Self {
            schedule,
            deadline: now.saturating_add(LOGIN_TIMEOUT),
            repeat: None,
            repeats: 0,
        }
    }

    /// The same attempt on a new path: as many repeats again, but the old deadline.
    pub(crate) fn restarted(self) -> Self {
        Self {
            repeat: None,
            repeats: 0,
            ..self
        }
    }

    /// The same attempt while nothing may be sent: only the deadline is left.
    pub(crate) fn paused(self) -> Self {
        Self { repeat: None, ..self }
    }

    /// Notes that the request has been sent and sets the timer for its repeat.
    pub(crate) fn sent(&mut self, now: Instant, rng: &mut impl RngCore) {
        let wait = self.schedule.wait(self.repeats);
        self.repeat = wait.map(|(wait, most)| now.saturating_add(wait).saturating_add(jitter(rng, most)));
        self.repeats = self.repeats.saturating_add(1);
    }

    /// Whether the time for the login was up before `now`.
    pub(crate) fn was_over_before(&self, now: Instant) -> bool {
        now > self.deadline
    }

    /// The timer that is due, if one is.
    pub(crate) fn due(&self, now: Instant) -> Option<Reason> {
        if now >= self.deadline {
            return Some(Reason::LoginDeadline);
        }
        self.repeat
            .is_some_and(|repeat| now >= repeat)
            .then_some(Reason::Repeat)
    }

    /// The next timer; at the same instant the deadline wins, as in [`due`](Self::due).
    pub(crate) fn next_timeout(&self) -> (Instant, Reason) {
        match self.repeat {
            Some(repeat) if repeat < self.deadline => (repeat, Reason::Repeat),
            _ => (self.deadline, Reason::LoginDeadline),
        }
    }
}

/// Uniform in whole nanoseconds from 0 to `most`; one draw of 32 bits.
pub(crate) fn jitter(rng: &mut impl RngCore, most: Duration) -> Duration {
    let span = most.as_nanos().saturating_add(1);
    let scaled = u128::from(rng.next_u32()).saturating_mul(span) >> 32;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or_default())
}
