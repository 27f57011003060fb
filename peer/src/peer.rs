//! The trait [`Peer`] and the types of its inputs and outputs.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::{ApiMisuse, Counters, Event, Instant, Job, JobDone, PacketBuf, State};

/// One UDP datagram on the outer network.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Destination address (output) or source address (input).
    pub remote: SocketAddr,
    /// Message kind, a name that the protocol chooses (`auth-request`, `data`). The sending peer sets it for logs, traces
    /// and scripted faults. It is not on the wire, and it is empty on input.
    pub kind: &'static str,
    /// UDP payload.
    pub payload: PacketBuf,
}

/// The input or the output of one turn. A shell keeps two of them and reuses their memory.
///
/// ```
/// use sandhog_peer::{Batch, PacketBuf};
///
/// let mut batch = Batch::default();
/// batch.packets.push(PacketBuf::copied_from(&[0x45]));
/// batch.clear();
/// assert!(batch.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct Batch {
    /// Datagrams of the outer network.
    pub datagrams: Vec<Datagram>,
    /// IP packets of the inner network.
    pub packets: Vec<PacketBuf>,
}

impl Batch {
    /// Returns true if it contains no datagram and no packet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.packets.is_empty()
    }

    /// Removes all datagrams and packets, and keeps the memory.
    pub fn clear(&mut self) {
        self.datagrams.clear();
        self.packets.clear();
    }
}

/// The timer behind a deadline.
///
/// ```
/// use sandhog_peer::Reason;
///
/// assert_eq!(Reason::PathMtu.name(), "path-mtu");
/// assert_eq!(Reason::Other("poll").to_string(), "poll");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// Retransmit timer: a request has no reply yet.
    Repeat,
    /// Login timeout.
    LoginDeadline,
    /// Delay before the next login attempt.
    Reconnect,
    /// Rekey interval.
    Rekey,
    /// Keepalive interval: NAT and firewall state on the path may expire.
    Keepalive,
    /// Probe timer: sent packets have no reply, so the other side is probed.
    Probe,
    /// Dead peer timeout: sent packets and probes have no reply.
    Dead,
    /// Key expiry.
    KeyExpiry,
    /// Erasure of the keys before the last rekey.
    ForgetKey,
    /// Idle timeout of a session.
    Idle,
    /// Timeout of an unfinished login.
    HalfOpen,
    /// Next step of path MTU discovery.
    PathMtu,
    /// A timer of another protocol, in kebab case.
    Other(&'static str),
}

impl Reason {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::LoginDeadline => "login-deadline",
            Self::Reconnect => "reconnect",
            Self::Rekey => "rekey",
            Self::Keepalive => "keepalive",
            Self::Probe => "probe",
            Self::Dead => "dead",
            Self::KeyExpiry => "key-expiry",
            Self::ForgetKey => "forget-key",
            Self::Idle => "idle",
            Self::HalfOpen => "half-open",
            Self::PathMtu => "path-mtu",
            Self::Other(name) => name,
        }
    }
}

/// A command of the tunnel's user, with the names of Apple's `NEPacketTunnelProvider`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Bring the tunnel up. Completes exactly once, with [`EventKind::Started`](crate::EventKind::Started).
    Start,
    /// Take the tunnel down.
    Stop,
    /// The machine is about to sleep. The peer sends nothing until [`Command::Wake`].
    Sleep,
    /// The machine is awake again.
    Wake,
    /// The network path changed (another interface, another address).
    NetworkChanged,
    /// The wall clock of the machine was set. A peer never reads it.
    ClockSet {
        /// The time that it shows now, in milliseconds since 1970.
        unix_millis: u64,
    },
}

impl Command {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Sleep => "sleep",
            Self::Wake => "wake",
            Self::NetworkChanged => "network-changed",
            Self::ClockSet { .. } => "clock-set",
        }
    }
}

/// A sans-IO protocol endpoint, client or server. Simulators, the browser and real sockets all drive it through this trait.
///
/// # Order of calls
///
/// 1. Call [`turn`](Self::turn) with all datagrams and packets that are ready. When only a deadline is due, the input is
///    empty.
/// 2. Send the contents of `output`.
/// 3. Drain [`poll_event`](Self::poll_event) and [`poll_job`](Self::poll_job).
/// 4. Sleep until the deadline or the next input.
///
/// [`command`](Self::command) may be called between turns. Call `turn` with an empty input after it. `now` must never go
/// backwards. If it does, the peer uses the latest time that it has seen.
///
/// # Contract
///
/// - `turn` empties `input`, appends to `output`, and returns the next deadline with its reason.
/// - A turn at or after a deadline handles it. A turn with nothing to do changes nothing.
/// - The failure of one packet never affects the other packets of the batch.
/// - An output carries the [`PacketBuf::tag`] of the input that caused it.
/// - No input makes the peer panic or grow without bound.
pub trait Peer {
    /// Handles all inputs and due timers, and returns the next deadline with its reason.
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)>;

    /// Returns the oldest event that was not polled yet, or `None`.
    fn poll_event(&mut self) -> Option<Event>;

    /// Handles a command of the user.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the present state does not allow the command. Nothing has changed then.
    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse>;

    /// Returns the oldest job that was not polled yet, or `None`.
    ///
    /// Poll after every turn. Run each job on a thread that may block, and return the result through
    /// [`handle_job`](Self::handle_job).
    fn poll_job(&mut self) -> Option<Job> {
        None
    }

    /// Handles the result of a job. Call [`turn`](Self::turn) with an empty input afterwards.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownJob`] if this peer does not wait for the job. Nothing has changed then.
    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        let _ = (now, done);
        Err(ApiMisuse::UnknownJob)
    }

    /// Returns the event counts so far.
    fn counters(&self) -> Counters;

    /// Returns the present amount of state.
    fn gauges(&self) -> Gauges {
        Gauges::default()
    }

    /// Describes the state that decides the future behaviour. Returns false if the peer does not describe its state. Then an
    /// exhaustive search runs every schedule in full.
    fn describe(&self, state: &mut State<'_>) -> bool {
        let _ = state;
        false
    }
}

/// The amount of state of a peer at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Entries of state held for peers that have not authenticated.
    pub unauthenticated: usize,
    /// Established sessions.
    pub sessions: usize,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
