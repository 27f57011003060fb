//! The Sandhog tunnel protocol as sans-IO state machines.
//!
//! Nothing in this crate reads a clock, an entropy source or a socket. Every input carries `now`, randomness comes
//! from a seed given at construction, and outputs are polled. The same code therefore runs in a simulator, in a
//! browser tab and behind a real TUN device, and gives the same bytes in each.
//!
//! - [`Peer`] is the one interface that every shell drives: a batch of datagrams and packets in, a batch out, and
//!   the next deadline with its reason.
//! - [`secure`] is the profile that people should run: login by OPAQUE, keys that change, replays that fail.
//! - [`classic`] is the profile of the article this protocol descends from. It is insecure by design and says so.
//!
//! `docs/protocol.md` specifies both.
//!
//! The crate is `no_std` and needs `alloc`.

#![no_std]
#![forbid(unsafe_code)]
// The packet path cannot panic: what could is not compiled. Tests may.
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

extern crate alloc;

pub mod aead;
pub mod classic;
mod ip;
mod job;
mod queues;
mod retransmit;
pub mod secure;
mod turn;

pub use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Gauges, Instant, IpPrefix,
    Job, JobDone, NetworkSettings, PacketBuf, Peer, Reason, StartError, TunnelStatus,
};
