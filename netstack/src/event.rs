//! What a host tells its caller: events, results and errors of tasks, all plain values.

use core::fmt;
use core::time::Duration;

/// The name of a task, unique within its host, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub u32);

/// Something that happened to a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The task it happened to.
    pub task: TaskId,
    /// What happened.
    pub kind: EventKind,
}

/// What happened to a task. Each task ends with exactly one [`Done`](Self::Done) or [`Failed`](Self::Failed).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The answer to a ping came in time.
    PingReply {
        /// Which ping, counted from 0.
        seq: u16,
        /// Time from sending the request to receiving the reply.
        rtt: Duration,
    },
    /// No answer to a ping came in time. An answer that comes later is ignored.
    PingLost {
        /// Which ping, counted from 0.
        seq: u16,
    },
    /// A UDP datagram came back in time.
    EchoReply {
        /// Which datagram, counted from 0.
        seq: u16,
        /// Time from sending the datagram to receiving it again.
        rtt: Duration,
    },
    /// A UDP datagram did not come back in time. One that comes later is ignored.
    EchoLost {
        /// Which datagram, counted from 0.
        seq: u16,
    },
    /// The task's TCP connection stands.
    Connected,
    /// The task has ended; what it was for has been done and checked.
    Done(Summary),
    /// The task has ended without its purpose.
    Failed(TaskError),
}

/// What a finished task did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// Content transferred, in bytes: of a transfer or an HTTP body; of an echo task, the payload that came back.
    pub bytes: u64,
    /// SHA-256 of the content, computed at the receiver and equal to the one the sender announced. `None` for echo tasks.
    pub sha256: Option<[u8; 32]>,
    /// Time from [`Host::start`](crate::Host::start) to the end.
    pub elapsed: Duration,
    /// Echo requests sent; 0 for other tasks.
    pub sent: u32,
    /// Echo requests answered in time; 0 for other tasks.
    pub received: u32,
}

/// Why a task failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskError {
    /// The destination is not a unicast address, or its port is 0.
    BadDestination,
    /// The host has no address of the destination's family to send from.
    NoSourceAddress,
    /// An echo payload of this length cannot be sent; the lengths are in bytes.
    PayloadLength {
        /// What the task asked for.
        given: u16,
        /// The shortest that works.
        min: u16,
        /// The longest that fits into one packet: the MTU less the headers.
        max: u16,
    },
    /// An HTTP path does not start with `/` or holds bytes outside of printable ASCII.
    BadPath,
    /// The destination answered the connection attempt with a reset: nothing listens there.
    Refused,
    /// The other side reset the connection.
    Reset,
    /// Nothing came from the other side for [`TCP_TIMEOUT`](crate::TCP_TIMEOUT).
    TimedOut,
    /// The other side closed the connection before all had arrived.
    ClosedEarly {
        /// Content that had arrived, in bytes.
        received: u64,
    },
    /// The content that arrived is not what was sent.
    DigestMismatch {
        /// SHA-256 the sender announced.
        announced: [u8; 32],
        /// SHA-256 of what arrived.
        computed: [u8; 32],
    },
    /// The HTTP server answered with a status other than 200.
    HttpStatus(u16),
    /// The HTTP server's answer cannot be understood or checked.
    BadResponse(HttpFault),
}

/// What is wrong with an HTTP response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpFault {
    /// Not HTTP/1.1 (RFC 9112).
    Malformed,
    /// The status line and the header fields are longer than 16 KiB.
    HeadTooLong,
    /// No valid `Content-Length` (RFC 9110, 8.6), or a transfer coding.
    NoLength,
    /// No SHA-256 in a `Content-Digest` (RFC 9530, 2).
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
            Self::TimedOut => {
                write!(
                    f,
                    "nothing came from the other side for {} s",
                    crate::TCP_TIMEOUT.as_secs()
                )
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
