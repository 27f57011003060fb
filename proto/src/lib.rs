//! The Sandhog tunnel protocol as sans-IO state machines.
//!
//! Sans-IO means that the crate never reads a clock, an entropy source or a socket. Each input carries the
//! time. Randomness comes from a seed that is passed to the constructor. Outputs are polled. So the same code
//! runs in a simulator, in a browser tab and behind a real TUN device, and produces the same bytes in each.
//!
//! - [`Peer`] is the interface between the protocol and its shells. A shell passes in a batch of datagrams
//!   and packets, and gets back a batch and the next deadline with its reason.
//! - [`secure`] is the profile for production: login with OPAQUE, rekeying, replay protection.
//! - [`classic`] is the profile of the article from which this protocol descends. It is insecure by design.
//!
//! `docs/protocol.md` specifies both profiles.
//!
//! The crate is `no_std` and needs `alloc`.

#![no_std]
#![forbid(unsafe_code)]
// Code that could panic does not compile in the packet path. Tests may panic.
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
mod describe;
mod ip;
pub mod kem;
mod queues;
mod retransmit;
mod secret;
pub mod secure;
mod sync;
mod turn;

pub use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Gauges, Instant, IpPrefix,
    Job, JobDone, NetworkSettings, PacketBuf, Peer, Reason, StartError, State, StateSink, TunnelStatus,
};
