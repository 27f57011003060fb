//! Description of the state of a peer, for a search that visits equal states only once.

use core::time::Duration;

use crate::Instant;

/// Receiver of the parts of a [`State`].
pub trait StateSink {
    /// Adds a number.
    fn number(&mut self, number: u64);

    /// Adds a value that is random in every run, such as a key or a nonce. Only its equality with other such values counts.
    fn secret(&mut self, bytes: &[u8]);

    /// Adds the time in nanoseconds until a deadline. Two deadlines after the end of a run are equal for that run.
    fn deadline(&mut self, nanos: u64) {
        self.number(nanos);
    }
}

/// Description of the state that decides the future behaviour of a peer.
///
/// Two peers with equal descriptions must behave equally from then on, apart from the values of random numbers. So absolute
/// times are described as times from now, random values only by their equality, and counters not at all.
///
/// ```
/// use core::time::Duration;
/// use sandhog_peer::{Instant, State, StateSink};
///
/// #[derive(Default, PartialEq, Debug)]
/// struct Parts(Vec<u64>);
/// impl StateSink for Parts {
///     fn number(&mut self, number: u64) {
///         self.0.push(number);
///     }
///     fn secret(&mut self, bytes: &[u8]) {
///         self.0.push(bytes.len() as u64);
///     }
/// }
///
/// let described = |now: Instant, deadline: Instant| {
///     let mut parts = Parts::default();
///     State::new(now, &mut parts).deadline(Some(deadline));
///     parts
/// };
/// let second = Duration::from_secs(1);
/// let (early, late) = (Instant::from_secs(3), Instant::from_secs(90));
/// assert_eq!(described(early, early + second), described(late, late + second));
/// ```
pub struct State<'a> {
    now: Instant,
    sink: &'a mut dyn StateSink,
}

impl core::fmt::Debug for State<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("State")
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

impl<'a> State<'a> {
    /// A description at the time `now`.
    pub fn new(now: Instant, sink: &'a mut dyn StateSink) -> Self {
        Self { now, sink }
    }

    /// The time of the description.
    #[must_use]
    pub const fn now(&self) -> Instant {
        self.now
    }

    /// Adds a number, or the number of a variant.
    pub fn number(&mut self, number: u64) {
        self.sink.number(number);
    }

    /// Adds a boolean.
    pub fn flag(&mut self, flag: bool) {
        self.number(u64::from(flag));
    }

    /// Adds a duration.
    pub fn duration(&mut self, time: Duration) {
        self.number(nanos(time));
    }

    /// Adds a time in the future as the time from now. Times in the past are all equal.
    ///
    /// A peer must use a deadline for one purpose only: to compare it with the present time. If a time is also used for something
    /// else, such as a difference from another time, describe it as a [`duration`](Self::duration).
    pub fn deadline(&mut self, at: Option<Instant>) {
        match at {
            None => self.number(0),
            Some(at) => {
                self.number(1);
                self.sink.deadline(nanos(at.saturating_duration_since(self.now)));
            }
        }
    }

    /// Adds a time in the past as the time until now.
    pub fn age(&mut self, since: Option<Instant>) {
        match since {
            None => self.number(0),
            Some(since) => {
                self.number(1);
                self.duration(self.now.saturating_duration_since(since));
            }
        }
    }

    /// Adds a text or other bytes that are not random.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.number(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        for chunk in bytes.chunks(8) {
            let number = chunk
                .iter()
                .fold(0, |number, byte| number << 8 | u64::from(*byte));
            self.number(number);
        }
    }

    /// Adds a value that is random in every run, such as a key, a nonce, or an index drawn at random.
    pub fn secret(&mut self, bytes: &[u8]) {
        self.sink.secret(bytes);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
