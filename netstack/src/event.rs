//! Events, results and errors of tasks.

use core::fmt;
use core::time::Duration;

/// The number of a task, unique within its host, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// An event of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The task.
    pub task: TaskId,
    /// The kind of event.
    pub kind: EventKind,
}

/// The kind of an event. Each task ends with exactly one [`Done`](Self::Done) or [`Failed`](Self::Failed).
///
/// A lost ping is an event, and the task goes on:
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Config, EventKind, Host, Task};
///
/// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" };
/// let mut alice = Host::new(config);
/// let second = Duration::from_secs(1);
/// let ping = Task::Ping { to: [10, 9, 0, 1].into(), count: 1, interval: second, payload_len: 56, timeout: second };
/// alice.start(Duration::ZERO, ping);
///
/// // Nobody carries the packet to the other host, so the ping is lost when its timeout is over.
/// assert_eq!(alice.poll_timeout(Duration::ZERO), Some(second));
/// alice.handle_timeout(second);
/// assert_eq!(alice.poll_event().unwrap().kind, EventKind::PingLost { seq: 0 });
///
/// let EventKind::Done(summary) = alice.poll_event().unwrap().kind else { panic!("the task has ended") };
/// assert_eq!((summary.sent, summary.received), (1, 0));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The reply to a ping arrived in time.
    PingReply {
        /// Number of the ping, counted from 0.
        seq: u16,
        /// Time from sending the request to receiving the reply.
        rtt: Duration,
    },
    /// No reply to a ping arrived in time. A later reply is ignored.
    PingLost {
        /// Number of the ping, counted from 0.
        seq: u16,
    },
    /// A UDP datagram came back in time.
    EchoReply {
        /// Number of the datagram, counted from 0.
        seq: u16,
        /// Time from sending the datagram to receiving it again.
        rtt: Duration,
    },
    /// A UDP datagram did not come back in time. A later copy is ignored.
    EchoLost {
        /// Number of the datagram, counted from 0.
        seq: u16,
    },
    /// The TCP connection of the task is established.
    Connected,
    /// The task has succeeded. Content that arrived completely is verified.
    Done(Summary),
    /// The task has failed.
    Failed(TaskError),
}

/// The result of a finished task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Number of content bytes: of a transfer or an HTTP body. For echo tasks, the payload bytes that came back.
    pub bytes: u64,
    /// SHA-256 of the content. The receiver computed it, and it equals the one that the sender announced. `None` for echo
    /// tasks, and for a connection that the client aborted ([`TcpOptions::reset_after`](crate::TcpOptions::reset_after)).
    pub sha256: Option<[u8; 32]>,
    /// Time from [`Host::start`](crate::Host::start) to the end.
    pub elapsed: Duration,
    /// Number of echo requests sent. 0 for other tasks.
    pub sent: u32,
    /// Number of echo requests answered in time. 0 for other tasks.
    pub received: u32,
}

/// The reason why a task failed.
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Config, EventKind, Host, Task, TaskError};
///
/// # let config = Config { addresses: vec![([10, 9, 0, 2].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" };
/// let mut alice = Host::new(config);
/// let task = alice.start(Duration::ZERO, Task::HttpGet { from: ([10, 9, 0, 1], 80).into(), path: "index.html".into() });
///
/// // The path has no leading `/`, so the task fails at once and sends nothing.
/// let event = alice.poll_event().unwrap();
/// assert_eq!((event.task, event.kind), (task, EventKind::Failed(TaskError::BadPath)));
/// assert!(!alice.poll_packet(&mut Vec::new()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// The destination is not a unicast address, or its port is 0.
    BadDestination,
    /// The host has no address of the destination's family to send from.
    NoSourceAddress,
    /// The length of an echo payload is out of range. All lengths are in bytes.
    PayloadLength {
        /// The length in the task.
        given: u16,
        /// The minimum length.
        min: u16,
        /// The maximum length: the MTU minus the headers.
        max: u16,
    },
    /// An HTTP path does not start with `/`, or contains a byte that is not printable ASCII.
    BadPath,
    /// The destination answered the connection attempt with a reset: the port is closed.
    Refused,
    /// The peer reset the connection.
    Reset,
    /// The peer sent nothing until the timeout of the connection.
    TimedOut {
        /// The timeout.
        after: Duration,
    },
    /// The peer closed the connection before everything had arrived.
    ClosedEarly {
        /// Number of content bytes that had arrived.
        received: u64,
    },
    /// The received content differs from the content that was sent.
    DigestMismatch {
        /// SHA-256 that the sender announced.
        announced: [u8; 32],
        /// SHA-256 of the received content.
        computed: [u8; 32],
    },
    /// The status of the HTTP response, if it is not 200.
    HttpStatus(u16),
    /// The HTTP response is malformed or cannot be verified.
    BadResponse(HttpFault),
}

/// The defect of an HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Not HTTP/1.1 (RFC 9112).
    Malformed,
    /// The status line and the header fields are together longer than 16 KiB.
    HeadTooLong,
    /// The `Content-Length` is missing or invalid (RFC 9110, section 8.6), or there is a transfer coding.
    NoLength,
    /// There is no SHA-256 in a `Content-Digest` (RFC 9530, section 2).
    NoDigest,
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadDestination => {
                f.write_str("the destination is not a unicast address with a port above 0")
            }
            Self::NoSourceAddress => f.write_str("this host has no address of the destination's family"),
            Self::PayloadLength { given, min, max } => {
                write!(
                    f,
                    "a payload of {given} bytes cannot be sent; {min} to {max} are possible"
                )
            }
            Self::BadPath => f.write_str("the path does not start with / or holds more than printable ASCII"),
            Self::Refused => f.write_str("connection refused"),
            Self::Reset => f.write_str("connection reset by the other side"),
            Self::TimedOut { after } if after.subsec_nanos() == 0 => {
                write!(f, "nothing came from the other side for {} s", after.as_secs())
            }
            Self::TimedOut { after } => {
                write!(f, "nothing came from the other side for {} ms", after.as_millis())
            }
            Self::ClosedEarly { received } => {
                write!(
                    f,
                    "the other side closed the connection after {received} bytes of content"
                )
            }
            Self::DigestMismatch { .. } => {
                f.write_str("the content arrived with another SHA-256 than it was sent with")
            }
            Self::HttpStatus(status) => write!(f, "the server answered with status {status}"),
            Self::BadResponse(fault) => write!(f, "the server's response {fault}"),
        }
    }
}

impl fmt::Display for HttpFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "is not HTTP/1.1",
            Self::HeadTooLong => "has more than 16 KiB of header fields",
            Self::NoLength => "has no valid Content-Length",
            Self::NoDigest => "has no SHA-256 in a Content-Digest field",
        })
    }
}

impl core::error::Error for TaskError {}
