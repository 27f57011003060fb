//! Creation of peers: the function of a setup, and its inputs.

use std::sync::Arc;

use sandhog_peer::{Instant, Peer};

/// Creates the peer of a host, once for each boot, or an endpoint of an adversary, once for each attempt. If it panics, the run
/// panics.
pub type MakePeer = Arc<dyn Fn(&Boot) -> Box<dyn Peer> + Send + Sync>;

/// Inputs of a new peer.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Randomness for this boot of this host in this run.
    pub seed: [u8; 32],
    /// Time of this boot.
    pub now: Instant,
    /// Number of earlier boots of the host, or of earlier attempts of the adversary's action.
    pub number: u32,
}
