//! Digest of the state of a whole run: hosts, peers, inner hosts and datagrams in flight.

use std::collections::BTreeMap;

use sandhog_peer::{Instant, State, StateSink};
use sha2::{Digest as _, Sha256};

use crate::node::Node;
use crate::world::World;

/// SHA-256 over the description of a state.
pub(crate) type StateDigest = [u8; 32];

/// Digests a description. Random values are numbered in the order of their first appearance.
#[derive(Default)]
struct Canonical {
    hash: Sha256,
    secrets: BTreeMap<Vec<u8>, u64>,
}

impl StateSink for Canonical {
    fn number(&mut self, number: u64) {
        self.hash.update(number.to_be_bytes());
    }

    fn secret(&mut self, bytes: &[u8]) {
        let next = self.secrets.len() as u64;
        let number = *self.secrets.entry(bytes.to_vec()).or_insert(next);
        self.hash.update([0xff]);
        self.hash.update(number.to_be_bytes());
    }
}

/// The digest of the state before the tick at `now`. `None` if a peer, an inner host or an adversary does not describe its state.
pub(crate) fn state_digest<'a>(
    world: &World,
    now: Instant,
    nodes: impl Iterator<Item = Option<&'a Node>>,
) -> Option<StateDigest> {
    let mut sink = Canonical::default();
    let mut state = State::new(now, &mut sink);
    let mut complete = world.describe(&mut state);
    for node in nodes {
        state.flag(node.is_some());
        complete = complete && node.is_none_or(|node| node.describe(now, &mut state));
    }
    complete.then(|| sink.hash.finalize().into())
}
