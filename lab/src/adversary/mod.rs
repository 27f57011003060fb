//! Adversaries: what they may do, as a setup says it. They have no protocol; they know what went over the links that
//! they stand on, and send datagrams under any source address.

mod actions;
mod agent;

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::Instant;

use crate::record::HostId;
use crate::values::Chance;

pub(crate) use agent::{Adversaries, Captured};

/// One adversary. Its number is the one after the hosts' and the earlier adversaries'.
#[derive(Clone, Debug)]
pub struct AdversarySpec {
    /// Its name.
    pub name: String,
    /// Its own address on the outer network.
    pub address: SocketAddr,
    /// The two hosts whose link it stands on: it sees every datagram, both ways, as it is sent. `None`: it sees none.
    pub on_path: Option<(HostId, HostId)>,
    /// How many datagrams it sends at most.
    pub budget: u64,
    /// Its randomness, beside that of the run.
    pub seed: u64,
    /// What it does.
    pub acts: Vec<Act>,
}

/// Something that an adversary does.
#[derive(Clone, Debug)]
pub enum Act {
    /// Sends datagrams of its own.
    Inject(Inject),
    /// Sends datagrams again that it has seen.
    Replay {
        /// Which.
        pick: Pick,
        /// To whom; `None`: to where the original went.
        to: Option<HostId>,
        /// As from where; `None`: from where the original came.
        from: Option<Source>,
        /// How long after the original.
        after: Duration,
        /// From one copy to the next.
        every: Duration,
        /// How many copies.
        count: u64,
    },
    /// Flips a bit of datagrams on their way. They take as long as they would have.
    Alter {
        /// Which.
        pick: Pick,
        /// Which bit, from the first byte's highest; `None`: any. One beyond the end flips nothing.
        bit: Option<u64>,
        /// Whether the original vanishes.
        drop_original: bool,
    },
    /// Sends datagrams back to their sender, as from the one they were meant for.
    Reflect {
        /// Which.
        pick: Pick,
    },
}

/// Datagrams of an adversary's own, one after another.
#[derive(Clone, Debug)]
pub struct Inject {
    /// What it is called in the trace: `inject`, or `flood` where they are many.
    pub name: &'static str,
    /// When the first is sent.
    pub first: Instant,
    /// From one to the next; several may fall on one point of the grid.
    pub spacing: Duration,
    /// How many.
    pub count: u64,
    /// To whom.
    pub to: HostId,
    /// As from where.
    pub from: Source,
    /// What is in them.
    pub bytes: Bytes,
}

/// Which of the datagrams that it sees an adversary picks.
#[derive(Clone, Debug)]
pub struct Pick {
    /// What they mean to their sender.
    pub kind: String,
    /// Only the n-th of them in its direction, from 1.
    pub nth: Option<u64>,
    /// Only those of this host.
    pub by: Option<HostId>,
    /// How often it picks what is left.
    pub chance: Option<Chance>,
}

/// The source address of an adversary's datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The adversary's own.
    Own,
    /// Another one each time, which nobody has.
    Random,
    /// A host's present one.
    Host(HostId),
    /// This one.
    Address(SocketAddr),
}

/// What is in an adversary's datagram.
#[derive(Clone, Debug)]
pub enum Bytes {
    /// This many random bytes.
    Random(u64),
    /// The first bytes of the newest datagram that it has seen on its way to the victim, and random ones.
    CopiedHeader {
        /// How many bytes are copied.
        header: usize,
        /// Bytes in all; `None`: as many as the datagram had.
        len: Option<u64>,
    },
    /// Exactly these.
    Exactly(Vec<u8>),
    /// The datagrams of a kind that it has seen, one after another, oldest first, and again.
    Recorded(String),
}
