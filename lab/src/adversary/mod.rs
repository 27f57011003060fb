//! Adversaries of a setup. An adversary sees the datagrams of one link, or of none, and sends datagrams with any source address.
//! It knows no protocol, but it can run endpoints of the protocol of its hosts.

mod agent;
mod endpoint;

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::boot::MakePeer;
use crate::record::HostId;
use crate::values::Chance;

pub(crate) use agent::{Adversaries, Captured, Plan};
pub(crate) use endpoint::Endpoint;
pub use endpoint::MAX_ENDPOINTS;

/// One adversary. Adversaries are numbered after the hosts, in the order of the setup.
///
/// This one is on the path between the hosts 0 and 1. It sends a copy of every datagram of the kind `data` 100 ms later:
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::adversary::{Act, AdversarySpec, Pick};
/// use sandhog_lab::setup::Setup;
///
/// let replay = Act::Replay {
///     pick: Pick { kind: "data".into(), nth: None, by: None, chance: None },
///     to: None,
///     from: None,
///     after: Duration::from_millis(100),
///     every: Duration::ZERO,
///     count: 1,
/// };
/// let mallory = AdversarySpec {
///     name: "mallory".into(),
///     address: "198.51.100.9:4000".parse().unwrap(),
///     on_path: Some((0, 1)),
///     budget: 1000,
///     seed: 0,
///     acts: vec![replay],
/// };
/// let setup = Setup { adversaries: vec![mallory], ..Setup::default() };
/// assert_eq!(setup.adversaries[0].on_path, Some((0, 1)));
/// ```
#[derive(Clone, Debug)]
pub struct AdversarySpec {
    /// The name, unique among hosts and adversaries.
    pub name: String,
    /// Its own address on the outer network, unique among hosts and adversaries.
    pub address: SocketAddr,
    /// The two ends of the link that it observes. It sees every datagram of both directions when it is sent. `None` for an
    /// off-path adversary, which sees no datagram. It can only inject bytes of its own.
    pub on_path: Option<(HostId, HostId)>,
    /// Largest number of datagrams that it sends, at least 1.
    pub budget: u64,
    /// Seed of its randomness, combined with the seed of the run.
    pub seed: u64,
    /// Its actions.
    pub acts: Vec<Act>,
}

/// An action of an adversary.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends its own datagrams.
    Inject(Inject),
    /// Sends copies of datagrams that it has seen.
    Replay {
        /// The datagrams.
        pick: Pick,
        /// The destination. `None` for the destination of the original.
        to: Option<HostId>,
        /// The source address. `None` for the source of the original.
        from: Option<Source>,
        /// Delay of the first copy after the original.
        after: Duration,
        /// Interval between the copies.
        every: Duration,
        /// Number of copies.
        count: u64,
    },
    /// Flips a bit of datagrams in transit, without a change of their delay.
    Alter {
        /// The datagrams.
        pick: Pick,
        /// Number of the bit, from the highest bit of the first byte. `None` for a random bit. A number beyond the end flips no
        /// bit.
        bit: Option<u64>,
        /// True if the original does not arrive.
        drop_original: bool,
    },
    /// Sends datagrams back to their sender, with their destination as source address.
    Reflect {
        /// The datagrams.
        pick: Pick,
    },
    /// Runs endpoints of the protocol.
    Speak(Speak),
}

/// A series of datagrams from an adversary.
#[derive(Clone, Debug)]
pub struct Inject {
    /// Name in the trace: `inject`, or `flood` for a large number.
    pub name: &'static str,
    /// Time of the first datagram.
    pub first: Instant,
    /// Interval between datagrams. It may be shorter than the resolution.
    pub spacing: Duration,
    /// Number of datagrams.
    pub count: u64,
    /// The destination.
    pub to: HostId,
    /// The source address.
    pub from: Source,
    /// The payload.
    pub bytes: Bytes,
}

/// A series of attempts to speak the protocol. Each attempt is a peer of its own, with an address of its own.
///
/// A peer gets the command [`Start`](sandhog_peer::Command::Start) at the beginning of its attempt. A server refuses it, and waits
/// for datagrams. An attempt ends when the start or the tunnel of its peer fails, when [`MAX_ENDPOINTS`] newer attempts of the
/// adversary have begun, or when the budget is used up. Each datagram costs one unit of the budget. Inner packets are dropped.
#[derive(Clone)]
pub struct Speak {
    /// Creates the peer of an attempt.
    pub make_peer: MakePeer,
    /// Time of the first attempt.
    pub first: Instant,
    /// Interval between attempts. It may be shorter than the resolution.
    pub spacing: Duration,
    /// Number of attempts.
    pub count: u64,
    /// The address of each attempt. [`Source::Own`] and [`Source::Address`] are the address of the first attempt, and each
    /// further one gets the next unused port. [`Source::Random`] has the IP version of the adversary's own address.
    /// [`Source::Host`] answers in place of that host, which must be an end of the adversary's link: the datagrams that the other
    /// end sends to the host arrive at the adversary.
    pub from: Source,
    /// Kinds of datagrams that the peers create and the adversary does not send. They cost nothing.
    pub withheld: Vec<String>,
}

impl fmt::Debug for Speak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speak")
            .field("first", &self.first)
            .field("spacing", &self.spacing)
            .field("count", &self.count)
            .field("from", &self.from)
            .field("withheld", &self.withheld)
            .finish_non_exhaustive()
    }
}

/// A selection among the datagrams that an adversary sees.
#[derive(Clone, Debug)]
pub struct Pick {
    /// Message kind.
    pub kind: String,
    /// Number among the datagrams of its kind in its direction, from 1. `None` for all.
    pub nth: Option<u64>,
    /// The sender, one of the two ends of the link. `None` for both.
    pub by: Option<HostId>,
    /// Probability of the selection of each remaining datagram. `None` for all.
    pub chance: Option<Chance>,
}

/// The source address of an adversary's datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The adversary's own address.
    Own,
    /// A random address for each datagram. No host should have it.
    Random,
    /// The present address of a host.
    Host(HostId),
    /// A fixed address.
    Address(SocketAddr),
}

/// Payload of an adversary's datagram.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// Random bytes, with this length. At most [`MAX_PAYLOAD`](crate::limits::MAX_PAYLOAD), like each length here.
    Random(u64),
    /// The first bytes of the newest datagram that it has seen on the way to the destination, then random bytes.
    CopiedHeader {
        /// Number of copied bytes.
        header: usize,
        /// Length of the payload. `None` for the length of the copied datagram.
        len: Option<u64>,
    },
    /// Fixed bytes.
    Exactly(Vec<u8>),
    /// The seen datagrams of a kind, oldest first, in a cycle.
    Recorded(String),
}
