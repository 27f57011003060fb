//! The one interface between a protocol and its shells.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use crate::{
    ApiMisuse, Counters, DropReason, Instant, Job, JobDone, NetworkSettings, PacketBuf, StartError,
    TunnelStatus,
};

/// One UDP datagram on the outer network.
#[derive(Clone, Debug)]
pub struct Datagram {
    /// Where it goes to (output) or came from (input).
    pub remote: SocketAddr,
    /// What it means, in the protocol's own words (`auth-request`, `data`). Set by the peer that sends it, for
    /// people, traces and scripted faults; never on the wire. Empty on input.
    pub kind: &'static str,
    /// UDP payload.
    pub payload: PacketBuf,
}

/// What one turn takes in or gives out. A shell keeps two of them and reuses their memory.
#[derive(Debug, Default)]
pub struct Batch {
    /// Datagrams of the outer network.
    pub datagrams: Vec<Datagram>,
    /// IP packets of the inner network.
    pub packets: Vec<PacketBuf>,
}

impl Batch {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.datagrams.is_empty() && self.packets.is_empty()
    }

    /// Forgets everything, keeps the memory.
    pub fn clear(&mut self) {
        self.datagrams.clear();
        self.packets.clear();
    }
}

/// Why a peer wants to be woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Reason {
    /// A request without an answer is due to be repeated.
    Repeat,
    /// The time for the whole login is up.
    LoginDeadline,
    /// A login that has failed is given up unless another answer comes.
    Rejection,
    /// A failed login is due to be tried again.
    Reconnect,
    /// New keys are due.
    Rekey,
    /// The other side has heard nothing for as long as the path may forget.
    Keepalive,
    /// Something sent has stayed unanswered: the other side is asked whether it lives.
    Probe,
    /// Something sent has stayed unanswered for too long.
    Dead,
    /// The keys are too old.
    KeyExpiry,
    /// The keys before the last change are not needed any more.
    ForgetKey,
    /// A session from which nothing comes is ended.
    Idle,
    /// A login that was begun and not finished is forgotten.
    HalfOpen,
    /// The search for the path's MTU goes on.
    PathMtu,
    /// The peer's own purpose, in its own words; for protocols that are not ours.
    Other(&'static str),
}

impl Reason {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Repeat => "repeat",
            Self::LoginDeadline => "login-deadline",
            Self::Rejection => "rejection",
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

/// What the user of a tunnel asks for, in the words of Apple's `NEPacketTunnelProvider`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Bring the tunnel up. Completes exactly once, with [`EventKind::Started`].
    Start,
    /// Take the tunnel down.
    Stop,
    /// The machine is about to sleep: send nothing until [`Command::Wake`].
    Sleep,
    /// The machine is awake again.
    Wake,
    /// The way to the other side is a new one (another interface, another address).
    NetworkChanged,
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
        }
    }
}

/// Something that happened inside a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The tag of the input that it came from, 0 if it came from a timer or a command.
    pub tag: u64,
    /// What happened.
    pub kind: EventKind,
}

/// What happened inside a peer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A client's status changed.
    Status(TunnelStatus),
    /// [`Command::Start`] completed: the settings to apply, or why there is no tunnel.
    Started(Result<NetworkSettings, StartError>),
    /// A server accepted a login.
    LoggedIn {
        /// The user's name.
        login: String,
        /// Where the session is.
        remote: SocketAddr,
    },
    /// A tunnel that was up has logged in again and got other settings: they are to be applied in place of the old ones.
    SettingsChanged(NetworkSettings),
    /// A tunnel that was up went down by itself (`cancelTunnelWithError`): logging in again failed.
    Cancelled(StartError),
    /// A server refused a login. The name is not given: it may be a password typed into the wrong field.
    LoginRefused {
        /// Where the request came from.
        remote: SocketAddr,
    },
    /// The other side of a session is somewhere else now; the tag is that of the datagram that showed it.
    Roamed {
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// This side seals under new keys from now on.
    Rekeyed {
        /// How often the session has changed its keys.
        epoch: u32,
    },
    /// Logging in again failed; it will be tried again. Time to resolve the server's name anew.
    Retrying(StartError),
    /// A server's session is over.
    SessionEnded {
        /// The user's name.
        login: String,
        /// Why, in kebab case.
        reason: &'static str,
    },
    /// A server has a new record of a user, who has changed their password; it is stored.
    RecordChanged {
        /// The user's name.
        login: String,
    },
    /// A client's change of its password is over.
    PasswordChanged(Result<(), StartError>),
    /// A datagram or packet was not taken, and why.
    Dropped(DropReason),
}

/// A protocol, as every shell drives it: the simulators, the browser, the program with the real device.
///
/// # Order of calls
///
/// A shell calls [`turn`](Self::turn) with all that is ready (datagrams, packets, or neither when a deadline is due),
/// then sends what is in `output`, then drains [`poll_event`](Self::poll_event) and [`poll_job`](Self::poll_job),
/// then sleeps until the deadline or the next input. [`command`](Self::command) may be called between turns; call `turn` with an empty input after it.
/// `now` must never go backwards; if it does, the peer treats it as the latest time it has seen.
///
/// # Contract
///
/// - `turn` takes everything out of `input`, appends to `output`, and returns the next deadline with its reason.
/// - A due deadline is acted upon by a turn at or after it; a turn with nothing to do is harmless.
/// - One packet's failure never keeps the others of the batch from being handled.
/// - What is made from an input carries the input's [`PacketBuf::tag`].
/// - Nothing that comes in `input` can make it panic or grow without bound.
pub trait Peer {
    /// Takes all that is ready, acts on due timers, gives out what is to be sent, and says when to come again.
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)>;

    /// What happened since the last call, oldest first, `None` when drained.
    fn poll_event(&mut self) -> Option<Event>;

    /// Passes on what the user asks for.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse`] if the command makes no sense in the present state; nothing has changed then.
    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse>;

    /// Slow work that this peer waits for, oldest first, `None` when drained. Ask after every turn; run each job
    /// where blocking does no harm and bring the result back with [`handle_job`](Self::handle_job).
    fn poll_job(&mut self) -> Option<Job> {
        None
    }

    /// Takes the result of a job. Call [`turn`](Self::turn) with an empty input afterwards.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::UnknownJob`] if this peer does not wait for it; nothing has changed then.
    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        let _ = (now, done);
        Err(ApiMisuse::UnknownJob)
    }

    /// What has been counted so far.
    fn counters(&self) -> Counters;

    /// How much it keeps at present.
    fn gauges(&self) -> Gauges {
        Gauges::default()
    }
}

/// How much a peer keeps at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Entries of state that nobody stands behind who has proved who they are.
    pub unauthenticated: usize,
    /// Sessions.
    pub sessions: usize,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
