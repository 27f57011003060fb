//! Sans-IO interface between a tunnel protocol and the program that runs it.
//!
//! A protocol implements [`Peer`]. A *shell* owns sockets, devices and the clock, and drives the peer: it passes in a
//! [`Batch`] of received datagrams and packets, sends the batch that comes out, and sleeps until the next deadline. Nothing
//! in this crate reads a clock, an entropy source or a socket, so the same peer runs on real sockets, in a simulator and in
//! a browser, and gives the same bytes in each.
//!
//! ```
//! use sandhog_peer::{
//!     ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason,
//! };
//!
//! /// Sends every datagram back to its sender.
//! #[derive(Default)]
//! struct Echo {
//!     counters: Counters,
//! }
//!
//! impl Peer for Echo {
//!     fn turn(&mut self, _: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
//!         for datagram in input.datagrams.drain(..) {
//!             self.counters.datagrams_in += 1;
//!             self.counters.datagrams_out += 1;
//!             output.datagrams.push(Datagram { kind: "echo", ..datagram });
//!         }
//!         input.clear();
//!         None
//!     }
//!     fn poll_event(&mut self) -> Option<Event> {
//!         None
//!     }
//!     fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
//!         Err(ApiMisuse::NotAClient)
//!     }
//!     fn counters(&self) -> Counters {
//!         self.counters.clone()
//!     }
//! }
//!
//! let mut peer = Echo::default();
//! let (mut input, mut output) = (Batch::default(), Batch::default());
//! input.datagrams.push(Datagram {
//!     remote: "192.0.2.1:4000".parse().unwrap(),
//!     kind: "",
//!     payload: PacketBuf::copied_from(b"ping"),
//! });
//! peer.turn(Instant::ZERO, &mut input, &mut output);
//! assert_eq!(&output.datagrams[0].payload[..], b"ping");
//! ```
//!
//! The crate is `no_std` and needs `alloc`.

#![no_std]
#![forbid(unsafe_code)]
// The packet path of every protocol passes through this crate, so code that can panic does not compile. Tests may panic.
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

mod counters;
mod error;
mod event;
mod instant;
mod job;
mod packet;
mod peer;
mod state;
mod tunnel;

pub use counters::{Counters, DropReason};
pub use error::{ApiMisuse, StartError};
pub use event::{Event, EventKind};
pub use instant::Instant;
pub use job::{Job, JobDone};
pub use packet::PacketBuf;
pub use peer::{Batch, Command, Datagram, Gauges, Peer, Reason};
pub use state::{State, StateSink};
pub use tunnel::{IpPrefix, NetworkSettings, TunnelStatus};
