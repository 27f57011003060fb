//! P2: no nonce is reused under a key. The used nonces are stored compactly enough for ten million datagrams.

use std::collections::BTreeMap;

use crate::setup::Nonce;

/// The used nonces, by key.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// Session keys: their nonces are counters, so a few intervals describe the used ones.
    counters: BTreeMap<u64, Intervals>,
    /// Other keys: their nonces are random. Each is stored with the fingerprint of its datagram, in about 40 bytes.
    random: BTreeMap<u64, BTreeMap<[u8; 12], u64>>,
}

impl Nonces {
    /// Adds the nonce of a datagram.
    ///
    /// # Errors
    ///
    /// The nonce was used before.
    pub(super) fn add(&mut self, nonce: &Nonce, fingerprint: u64) -> Result<(), &'static str> {
        if nonce.session {
            let mut value = [0; 16];
            value[4..].copy_from_slice(&nonce.nonce);
            let intervals = self.counters.entry(nonce.key).or_default();
            return match intervals.insert(u128::from_be_bytes(value)) {
                true => Ok(()),
                false => Err("the nonce of a session is used again"),
            };
        }
        let random = self.random.entry(nonce.key).or_default();
        match *random.entry(nonce.nonce).or_insert(fingerprint) == fingerprint {
            true => Ok(()),
            false => Err("a nonce is used again for another datagram"),
        }
    }
}

/// A set of numbers as intervals: first and last number of each.
#[derive(Debug, Default)]
struct Intervals(BTreeMap<u128, u128>);

impl Intervals {
    /// Adds a number below 2⁹⁶. Returns false if it is already in the set.
    fn insert(&mut self, number: u128) -> bool {
        let before = self.0.range(..=number).next_back();
        let before = before.map(|(first, last)| (*first, *last));
        if before.is_some_and(|(_, last)| number <= last) {
            return false;
        }
        let first = before
            .filter(|(_, last)| last + 1 == number)
            .map_or(number, |(first, _)| first);
        let last = self.0.remove(&(number + 1)).unwrap_or(number);
        self.0.insert(first, last);
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::rng::{Stream, derive_seed};

    fn nonce(number: u64, session: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce {
            key: 3,
            nonce,
            session,
        }
    }

    #[test]
    fn intervals_contain_exactly_the_added_numbers() {
        let mut stream = Stream::new(derive_seed(1, "intervals", &[]), 0);
        let (mut intervals, mut model) = (Intervals::default(), BTreeSet::new());
        for _ in 0..2000 {
            let number = u128::from(stream.below(1000));
            assert_eq!(intervals.insert(number), model.insert(number), "{number}");
        }
        let members: u128 = intervals.0.iter().map(|(first, last)| last - first + 1).sum();
        assert_eq!(members, model.len() as u128);
    }

    #[test]
    fn ten_million_nonces_of_a_session_are_one_interval() {
        let mut nonces = Nonces::default();
        for number in 0..10_000_000 {
            assert!(nonces.add(&nonce(number, true), 0).is_ok());
        }
        assert_eq!(nonces.counters[&3].0.len(), 1);
        assert!(nonces.add(&nonce(5_000_000, true), 0).is_err());
    }

    #[test]
    fn a_random_nonce_may_be_repeated_only_with_the_same_datagram() {
        let mut nonces = Nonces::default();
        assert!(nonces.add(&nonce(7, false), 1).is_ok());
        assert!(nonces.add(&nonce(7, false), 1).is_ok());
        assert!(nonces.add(&nonce(7, false), 2).is_err());
    }

    #[test]
    fn the_same_nonce_under_two_keys_is_allowed() {
        let mut nonces = Nonces::default();
        assert!(nonces.add(&nonce(7, false), 1).is_ok());
        let other = Nonce {
            key: 4,
            ..nonce(7, false)
        };
        assert!(nonces.add(&other, 2).is_ok());
    }
}
