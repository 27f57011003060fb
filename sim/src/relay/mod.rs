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

/// Configuration of a relay.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Address for the clients. Port 0 selects a free port.
    pub(crate) listen: SocketAddr,
    /// Address of the server.
    pub(crate) to: SocketAddr,
    /// The link: from the clients to the server, and back.
    pub(crate) link: [LinkConfig; 2],
    /// Seed of all randomness.
    pub(crate) seed: u64,
}
