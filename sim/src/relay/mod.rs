//! Command `sandhog-sim relay`: a link of the laboratory in real time, for programs on real sockets.
//!
//! Clients send to the relay. The relay forwards each datagram to a server, and the replies back, as the link model decides.
//! The module `core` decides without a clock, like the rest of the laboratory. The module `sockets` has the sockets and the
//! clock.

mod core;
mod link_spec;
mod sockets;

use std::net::SocketAddr;

use sandhog_lab::link::LinkConfig;

pub(crate) use link_spec::{both_ways, of_scenario};
pub(crate) use sockets::run;

/// What a relay is asked to be.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where clients send to; port 0 takes a free one.
    pub(crate) listen: SocketAddr,
    /// Where the server is.
    pub(crate) to: SocketAddr,
    /// From clients to the server, and back.
    pub(crate) link: [LinkConfig; 2],
    /// What chance draws from.
    pub(crate) seed: u64,
}
