//! Digest of the state of a whole run: hosts, peers, inner hosts and datagrams in flight.

use std::collections::BTreeMap;

use sandhog_peer::{Instant, State, StateSink};
use sha2::{Digest as _, Sha256};

use crate::node::Node;
use crate::world::World;

/// SHA-256 over the description of a state.
pub(crate) type StateDigest = [u8; 32];

/// A described state.
#[derive(Clone, Debug)]
pub(crate) struct Described {
    /// Digest of all parts except the deadlines.
    pub(crate) shape: StateDigest,
    /// Times in nanoseconds until the deadlines.
    pub(crate) deadlines: Vec<u64>,
}

impl Described {
    /// Digest of all parts.
    pub(crate) fn digest(&self) -> StateDigest {
        let mut hash = Sha256::new_with_prefix(self.shape);
        for deadline in &self.deadlines {
            hash.update(deadline.to_be_bytes());
        }
        hash.finalize().into()
    }
}

/// Digests a description. Random values are numbered in the order of their first appearance.
#[derive(Default)]
struct Canonical {
    hash: Sha256,
    secrets: BTreeMap<Vec<u8>, u64>,
    deadlines: Vec<u64>,
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

    fn deadline(&mut self, nanos: u64) {
        self.hash.update([0xfe]);
        self.deadlines.push(nanos);
    }
}

/// The description of the state before the tick at `now`. `None` if a peer, an inner host or an adversary does not describe its state.
pub(crate) fn describe_state<'a>(
    world: &World,
    now: Instant,
    nodes: impl Iterator<Item = Option<&'a Node>>,
) -> Option<Described> {
    let mut sink = Canonical::default();
    let mut state = State::new(now, &mut sink);
    let mut complete = world.describe(&mut state);
    for node in nodes {
        state.flag(node.is_some());
        complete = complete && node.is_none_or(|node| node.describe(now, &mut state));
    }
    complete.then(|| Described {
        shape: sink.hash.finalize().into(),
        deadlines: sink.deadlines,
    })
}
