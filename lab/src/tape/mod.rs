//! Tape of a run: the faults of the network as a list, each addressed by the datagram that it applies to.
//!
//! A run with a seed draws its faults at random. [`record`](crate::replay::record) runs it and writes every fault
//! down. [`replay`](crate::replay::replay) needs no randomness
//! of the network: the tape gives every fault, and all other datagrams pass as the links are configured. A tape addresses a
//! datagram by sender, receiver, kind and number, so it still applies after a change of the protocol that keeps these.

mod compact;
mod director;
mod text;

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

pub use compact::CompactError;
pub(crate) use director::{Departure, Director, HostFault, NoFaults, Player, Steering, entries_of};
pub use text::TapeError;

/// The faults of one run.
///
/// The text form has one line for each fault. `->` may be written instead of `→`.
///
/// ```
/// use sandhog_lab::tape::Tape;
///
/// let text = "\
/// sandhog tape 1
/// scenario first-light
/// seed 7
/// alice→server m1 #2: drop
/// server→alice session from #1: hold until 31.4s
/// end
/// ";
/// let tape: Tape = text.parse().unwrap();
/// assert_eq!((tape.setup.as_str(), tape.seed, tape.entries.len()), ("first-light", 7, 2));
/// assert_eq!(tape.to_string(), text);
/// let error = text.replace("drop", "drip").parse::<Tape>().unwrap_err();
/// assert_eq!(error.to_string(), "line 4: `drip` is not a fault; did you mean `drop`?");
/// assert_eq!(Tape::from_compact(&tape.to_compact()).unwrap(), tape);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tape {
    /// The name of the setup.
    pub setup: String,
    /// Seed of the peers and of the inner hosts.
    pub seed: u64,
    /// The faults.
    pub entries: Vec<Entry>,
}

/// One fault of a tape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The datagrams.
    pub datagrams: Address,
    /// Time at which the first of them was sent when the tape was recorded. It does not select datagrams. A replay reports
    /// the first entry with another time.
    pub sent_at: Option<Instant>,
    /// The fault.
    pub fault: Fault,
}

/// Selection of datagrams by their meaning.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// The name of the sender.
    pub sender: String,
    /// The name of the receiver.
    pub receiver: String,
    /// Message kind.
    pub kind: String,
    /// Number among the datagrams of its kind from sender to receiver, from 1.
    pub nth: u64,
    /// If true, all later datagrams are selected too, until all faults are switched off.
    pub onwards: bool,
}

/// A fault of the network or of a host, at the time a datagram is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The datagram is lost.
    Drop,
    /// The datagram is duplicated.
    Double,
    /// Delay of the datagram, in place of the delay of the link. The queue of a rate limit comes in addition.
    Delay(Duration),
    /// Delay of the duplicate.
    DelayCopy(Duration),
    /// Extra delay of the datagram and its duplicate.
    Late(Duration),
    /// The datagram and its duplicate arrive at this time or later.
    Hold(Instant),
    /// The datagram arrives after the next datagram of its direction.
    Swap,
    /// A flipped bit, by number from the highest bit of the first byte.
    Flip(u64),
    /// A flipped bit of the duplicate.
    FlipCopy(u64),
    /// A host gets another outer address before the datagram leaves. The host does not notice.
    Rebind {
        /// The name of the host.
        host: String,
        /// The new address.
        to: SocketAddr,
    },
    /// A host crashes after the datagram has left, and restarts later.
    Crash {
        /// The name of the host.
        host: String,
        /// Time until the restart.
        down: Duration,
    },
}
