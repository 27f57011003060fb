//! Options of a TCP task: timeout, slow reader, half-close, reset.

use core::time::Duration;

/// Interval at which a slow reader reads.
const READ_INTERVAL: Duration = Duration::from_millis(100);
/// Number of read intervals in one second.
const READS_PER_SECOND: u64 = 10;

/// Options of a TCP task. The default is an ordinary client.
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Task, TcpOptions};
///
/// let download = Task::Download { from: ([10, 9, 0, 1], 5001).into(), bytes: 1 << 20 };
/// let slow = TcpOptions { read_rate: Some(20_000), ..TcpOptions::default() };
/// let Task::WithOptions { options, .. } = download.with_options(slow) else { panic!("a task with options") };
/// assert_eq!(options.read_rate, Some(20_000));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpOptions {
    /// User timeout of the connection (RFC 5482). `None` for the timeout of the host.
    pub timeout: Option<Duration>,
    /// Maximum number of bytes that the client reads from its socket in one second. It reads ten times a second. Its receive
    /// buffer has 16 KiB, so the window closes while more data waits (RFC 9293, section 3.8.6). No effect on an upload.
    pub read_rate: Option<u64>,
    /// If true, the client closes its half of the connection (FIN) as soon as it has sent everything, and still receives
    /// (RFC 9293, section 3.6).
    pub half_close: bool,
    /// Number of content bytes after which the client aborts the connection (RST): received ones for a download or GET,
    /// acknowledged ones for an upload. The task then succeeds, without a SHA-256.
    pub reset_after: Option<u64>,
}

/// Reads of a slow reader.
pub(crate) struct Pace {
    /// Bytes per second.
    rate: u64,
    start: Duration,
    taken: u64,
}

impl Pace {
    /// Receive buffer of a slow reader, in bytes.
    pub(crate) const BUFFER: u64 = 16 * 1024;

    pub(crate) fn new(rate: u64, start: Duration) -> Self {
        Self {
            rate,
            start,
            taken: 0,
        }
    }

    /// Number of bytes that may be read at `now`.
    pub(crate) fn allowance(&self, now: Duration) -> u64 {
        let total = u128::from(self.rate) * self.intervals(now) / u128::from(READS_PER_SECOND);
        u64::try_from(total)
            .unwrap_or(u64::MAX)
            .saturating_sub(self.taken)
    }

    /// Notes that bytes were read.
    pub(crate) fn take(&mut self, bytes: u64) {
        self.taken = self.taken.saturating_add(bytes);
    }

    /// The time of the next read.
    pub(crate) fn next_read(&self, now: Duration) -> Duration {
        let number = u32::try_from(self.intervals(now) + 1).unwrap_or(u32::MAX);
        self.start.saturating_add(READ_INTERVAL.saturating_mul(number))
    }

    /// Number of complete intervals at `now`.
    fn intervals(&self, now: Duration) -> u128 {
        now.saturating_sub(self.start).as_nanos() / READ_INTERVAL.as_nanos()
    }
}
