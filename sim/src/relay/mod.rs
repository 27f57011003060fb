//! `sandhog-sim relay`: a link of the laboratory in real time, for programs on real sockets.
//!
//! Clients send to the relay, the relay sends on to a server and back, and what the link model decides befalls each datagram on
//! its way. What is decided is in `road`, as everywhere in the laboratory without a clock; `live` has the sockets and the one clock.

mod live;
mod phrase;
mod road;

use std::net::SocketAddr;

use crate::link::LinkConfig;

pub(crate) use live::run;
pub(crate) use phrase::{both_ways, of_scenario};

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
