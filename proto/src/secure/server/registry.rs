//! Receiver indices of a server and their owners.

use alloc::collections::BTreeMap;

use rand_core::RngCore;

use crate::secure::Generator;
use crate::{State, describe};

/// Number of a session, never used twice by one server.
pub(super) type SessionId = u64;

/// Owner of a receiver index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// A login between KE2 and KE3.
    HalfOpen,
    Session(SessionId),
}

/// All receiver indices of a server.
#[derive(Debug)]
pub(super) struct Registry {
    owners: BTreeMap<u32, Owner>,
    rng: Generator,
}

impl Registry {
    pub(super) const fn new(rng: Generator) -> Self {
        Self {
            owners: BTreeMap::new(),
            rng,
        }
    }

    /// Takes another generator.
    pub(super) fn reseed(&mut self, rng: Generator) {
        self.rng = rng;
    }

    #[cfg(test)]
    pub(super) fn generator(&self) -> &rand_chacha::ChaCha20Rng {
        &self.rng
    }

    pub(super) fn owner(&self, index: u32) -> Option<Owner> {
        self.owners.get(&index).copied()
    }

    /// Returns a random index that is not in use and not 0. Outsiders cannot guess it.
    ///
    /// The loop ends after a few rounds: there are 2^32 indices, and a server has memory for a few million
    /// sessions.
    pub(super) fn fresh(&mut self) -> u32 {
        loop {
            let index = self.rng.next_u32();
            if index != 0 && !self.owners.contains_key(&index) {
                return index;
            }
        }
    }

    pub(super) fn insert(&mut self, index: u32, owner: Owner) {
        self.owners.insert(index, owner);
    }

    /// Describes the number of indices. Half-open logins and sessions describe their own.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            owners,
            rng: _, // positions of generators do not count
        } = self;
        describe::len(state, owners.len());
    }

    pub(super) fn remove(&mut self, index: u32) {
        self.owners.remove(&index);
    }

    /// Replaces the indices `before` of a session by `now`.
    pub(super) fn replace(&mut self, id: SessionId, before: &[Option<u32>], now: &[Option<u32>]) {
        for old in before.iter().filter(|index| !now.contains(index)).flatten() {
            self.remove(*old);
        }
        for new in now.iter().filter(|index| !before.contains(index)).flatten() {
            self.insert(*new, Owner::Session(id));
        }
    }
}
