//! Randomness: one stream for each link direction and each concern, so that adding a fault does not shift the rest.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::values::{Chance, Probability};

/// A seed for one purpose, derived from the run's seed; SHA-256 keeps purposes apart.
#[must_use]
pub fn derive_seed(seed: u64, purpose: &str, numbers: &[u64]) -> [u8; 32] {
    let mut hash = Sha256::new();
    hash.update(b"sandhog-sim\0");
    hash.update(seed.to_be_bytes());
    hash.update(purpose.as_bytes());
    hash.update([0]);
    for number in numbers {
        hash.update(number.to_be_bytes());
    }
    hash.finalize().into()
}

/// A stream of draws for one concern.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    rng: ChaCha8Rng,
    last: u32,
}

impl Stream {
    /// The stream of `concern` below `seed`.
    pub(crate) fn new(seed: [u8; 32], concern: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(concern);
        Self { rng, last: 0 }
    }

    /// 32 evenly distributed bits.
    pub(crate) fn next(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// The next draw, of which `correlation` is the one before it: `get_crandom` of Linux' `sch_netem`.
    pub(crate) fn next_correlated(&mut self, correlation: Probability) -> u32 {
        let value = u64::from(self.next());
        if correlation.0 == 0 {
            return value as u32;
        }
        let rho = u64::from(correlation.0) + 1;
        let mixed = (value * ((1 << 32) - rho) + u64::from(self.last) * rho) >> 32;
        self.last = mixed as u32;
        self.last
    }

    /// Whether it happens this time. Draws nothing where it never can.
    pub(crate) fn happens(&mut self, chance: Chance) -> bool {
        match chance.probability.0 {
            0 => false,
            u32::MAX => true,
            probability => self.next_correlated(chance.correlation) < probability,
        }
    }

    /// An evenly distributed number below `bound` (Lemire's multiplication, without rejection: the bias is below
    /// `bound` / 2⁶⁴ because 64 bits are drawn). 0 if `bound` is 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let draw = self.rng.next_u64();
        ((u128::from(draw) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_concerns_do_not_share_draws() {
        let seed = derive_seed(7, "link", &[0, 1]);
        let (mut loss, mut delay) = (Stream::new(seed, 0), Stream::new(seed, 1));
        let draws = |stream: &mut Stream| (0..8).map(|_| stream.next()).collect::<Vec<_>>();
        assert_ne!(draws(&mut loss), draws(&mut delay));
    }

    #[test]
    fn a_chance_is_met_as_often_as_it_says() {
        let mut stream = Stream::new(derive_seed(1, "test", &[]), 0);
        let chance: Chance = "30%".parse().unwrap();
        let hits = (0..100_000).filter(|_| stream.happens(chance)).count();
        assert!((29_500..30_500).contains(&hits), "{hits} of 100000");
    }

    /// How many of 100,000 are lost, and how many of the next ones after those.
    fn losses(chance: &str) -> (u64, u64) {
        let mut stream = Stream::new(derive_seed(1, "test", &[]), 0);
        let chance = chance.parse().unwrap();
        let fates: Vec<bool> = (0..100_000).map(|_| stream.happens(chance)).collect();
        let count = |lost: &dyn Fn(&[bool]) -> bool| fates.windows(2).map(|pair| u64::from(lost(pair))).sum();
        (count(&|pair| pair[0]), count(&|pair| pair[0] && pair[1]))
    }

    #[test]
    fn correlated_losses_come_in_runs() {
        // After a loss the next is as likely as ever without correlation, and more than twice as likely with it.
        let likelier = |(lost, pairs): (u64, u64)| pairs * 100_000 * 10 / (lost * lost);
        assert!((9..=10).contains(&likelier(losses("30%"))), "{:?}", losses("30%"));
        assert!(likelier(losses("30% 50%")) > 20, "{:?}", losses("30% 50%"));
    }

    #[test]
    fn correlation_makes_rare_losses_rarer_as_it_does_in_netem() {
        // A mixture of draws crowds around the middle, so fewer fall below a small threshold.
        let (lost, _) = losses("30% 50%");
        assert!((10_000..20_000).contains(&lost), "{lost}");
    }
}
