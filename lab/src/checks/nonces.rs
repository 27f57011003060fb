//! P2: no nonce is used twice under one key. What has been used is kept compactly enough for ten million datagrams.

use std::collections::BTreeMap;

use crate::setup::Nonce;

/// The nonces that have been used, by key.
#[derive(Debug, Default)]
pub(super) struct Nonces {
    /// Session keys count their nonces up, so what has been used is a few runs however long the session is.
    counted: BTreeMap<u64, Runs>,
    /// Other keys draw their nonces: each with the print of the datagram that it sealed, some 40 bytes in all.
    drawn: BTreeMap<u64, BTreeMap<[u8; 12], u64>>,
}

impl Nonces {
    /// Takes note of a datagram with this `print`.
    ///
    /// # Errors
    ///
    /// In words, if its nonce had been used before.
    pub(super) fn see(&mut self, nonce: &Nonce, print: u64) -> Result<(), &'static str> {
        if nonce.session {
            let mut value = [0; 16];
            value[4..].copy_from_slice(&nonce.nonce);
            let runs = self.counted.entry(nonce.key).or_default();
            return match runs.insert(u128::from_be_bytes(value)) {
                true => Ok(()),
                false => Err("a session's nonce is used for the second time"),
            };
        }
        let drawn = self.drawn.entry(nonce.key).or_default();
        match *drawn.entry(nonce.nonce).or_insert(print) == print {
            true => Ok(()),
            false => Err("a nonce is used for the second time, with other bytes"),
        }
    }
}

/// A set of numbers as runs of neighbours: first and last of each.
#[derive(Debug, Default)]
struct Runs(BTreeMap<u128, u128>);

impl Runs {
    /// Adds a number below 2⁹⁶. Tells whether it is new.
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
    fn runs_know_exactly_the_numbers_that_were_added() {
        let mut stream = Stream::new(derive_seed(1, "runs", &[]), 0);
        let (mut runs, mut model) = (Runs::default(), BTreeSet::new());
        for _ in 0..2000 {
            let number = u128::from(stream.below(1000));
            assert_eq!(runs.insert(number), model.insert(number), "{number}");
        }
        let members: u128 = runs.0.iter().map(|(first, last)| last - first + 1).sum();
        assert_eq!(members, model.len() as u128);
    }

    #[test]
    fn ten_million_counted_nonces_are_one_run() {
        let mut nonces = Nonces::default();
        for number in 0..10_000_000 {
            assert!(nonces.see(&nonce(number, true), 0).is_ok());
        }
        assert_eq!(nonces.counted[&3].0.len(), 1);
        assert!(nonces.see(&nonce(5_000_000, true), 0).is_err());
    }

    #[test]
    fn a_drawn_nonce_may_come_again_with_the_same_bytes_only() {
        let mut nonces = Nonces::default();
        assert!(nonces.see(&nonce(7, false), 1).is_ok());
        assert!(nonces.see(&nonce(7, false), 1).is_ok());
        assert!(nonces.see(&nonce(7, false), 2).is_err());
    }

    #[test]
    fn one_nonce_under_two_keys_is_none_used_twice() {
        let mut nonces = Nonces::default();
        assert!(nonces.see(&nonce(7, false), 1).is_ok());
        let other = Nonce {
            key: 4,
            ..nonce(7, false)
        };
        assert!(nonces.see(&other, 2).is_ok());
    }
}
