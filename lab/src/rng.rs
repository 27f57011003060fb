//! Random numbers: one stream for each link direction and each purpose, so that a new fault does not change other random
//! decisions.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sha2::{Digest, Sha256};

use crate::values::{Chance, Probability};

/// A seed for one purpose, derived from the seed of a run with SHA-256.
///
/// ```
/// use sandhog_lab::derive_seed;
///
/// let seed = derive_seed(7, "peer", &[0]);
/// assert_eq!(seed, derive_seed(7, "peer", &[0]));
/// assert_ne!(seed, derive_seed(7, "peer", &[1]));
/// assert_ne!(seed, derive_seed(8, "peer", &[0]));
/// ```
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

/// A stream of random numbers for one purpose.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    rng: ChaCha8Rng,
    /// The last correlated number. `None` before the first one.
    last: Option<u32>,
}

/// Largest number of steps from the uniform to the stationary distribution of correlated numbers. It is reached above a
/// correlation of 99.96 %.
const MAX_STEPS_TO_STATIONARY: u32 = 1 << 16;

impl Stream {
    /// Stream `number` of `seed`.
    pub(crate) fn new(seed: [u8; 32], number: u64) -> Self {
        let mut rng = ChaCha8Rng::from_seed(seed);
        rng.set_stream(number);
        Self { rng, last: None }
    }

    /// 32 uniformly distributed bits.
    pub(crate) fn next(&mut self) -> u32 {
        self.rng.next_u32()
    }

    /// The next number, correlated with the one before it, like `get_crandom` in Linux' `sch_netem`. The first number has the
    /// stationary distribution, so that a link begins as it goes on.
    pub(crate) fn next_correlated(&mut self, correlation: Probability) -> u32 {
        if correlation.0 == 0 {
            return self.next();
        }
        let rho = u64::from(correlation.0) + 1;
        let last = match self.last {
            Some(last) => last,
            None => self.stationary(rho),
        };
        let next = self.mixed(last, rho);
        self.last = Some(next);
        next
    }

    /// A new number mixed with `last`, which has the weight `rho` / 2³².
    fn mixed(&mut self, last: u32, rho: u64) -> u32 {
        let value = u64::from(self.next());
        ((value * ((1 << 32) - rho) + u64::from(last) * rho) >> 32) as u32
    }

    /// A number with the stationary distribution: steps from a uniform number until its weight is below 2⁻³².
    fn stationary(&mut self, rho: u64) -> u32 {
        let mut last = self.next();
        let mut weight = (1 << 32) - 1;
        for _ in 0..MAX_STEPS_TO_STATIONARY {
            if weight == 0 {
                break;
            }
            last = self.mixed(last, rho);
            weight = (weight * rho) >> 32;
        }
        last
    }

    /// Returns true with the probability of `chance`. A probability of 0 or 1 draws no number.
    pub(crate) fn happens(&mut self, chance: Chance) -> bool {
        match chance.probability.0 {
            0 => false,
            u32::MAX => true,
            probability => self.next_correlated(chance.correlation) < probability,
        }
    }

    /// A uniformly distributed number below `bound`, or 0 if `bound` is 0. Lemire's multiplication without rejection: with 64 random
    /// bits the bias is below `bound` / 2⁶⁴.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        let draw = self.rng.next_u64();
        ((u128::from(draw) * u128::from(bound)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_streams_of_a_seed_differ() {
        let seed = derive_seed(7, "link", &[0, 1]);
        let (mut loss, mut delay) = (Stream::new(seed, 0), Stream::new(seed, 1));
        let draws = |stream: &mut Stream| (0..8).map(|_| stream.next()).collect::<Vec<_>>();
        assert_ne!(draws(&mut loss), draws(&mut delay));
    }

    #[test]
    fn an_event_happens_with_its_probability() {
        let mut stream = Stream::new(derive_seed(1, "test", &[]), 0);
        let chance: Chance = "30%".parse().unwrap();
        let hits = (0..100_000).filter(|_| stream.happens(chance)).count();
        assert!((29_500..30_500).contains(&hits), "{hits} of 100000");
    }

    /// Number of losses among 100,000 datagrams, and number of losses directly after a loss.
    fn losses(chance: &str) -> (u64, u64) {
        let mut stream = Stream::new(derive_seed(1, "test", &[]), 0);
        let chance = chance.parse().unwrap();
        let fates: Vec<bool> = (0..100_000).map(|_| stream.happens(chance)).collect();
        let count = |lost: &dyn Fn(&[bool]) -> bool| fates.windows(2).map(|pair| u64::from(lost(pair))).sum();
        (count(&|pair| pair[0]), count(&|pair| pair[0] && pair[1]))
    }

    #[test]
    fn correlated_losses_form_bursts() {
        // Without correlation, a loss after a loss is as likely as any loss. With it, it is more than twice as likely.
        let ratio = |(lost, pairs): (u64, u64)| pairs * 100_000 * 10 / (lost * lost);
        assert!((9..=10).contains(&ratio(losses("30%"))), "{:?}", losses("30%"));
        assert!(ratio(losses("30% 50%")) > 20, "{:?}", losses("30% 50%"));
    }

    #[test]
    fn the_first_correlated_number_is_as_likely_to_be_small_as_later_ones() {
        let chance: Chance = "50% 90%".parse().unwrap();
        let first = |seed| Stream::new(derive_seed(seed, "test", &[]), 0).happens(chance);
        let hits = (0..2000).filter(|seed| first(*seed)).count();
        assert!((900..1100).contains(&hits), "{hits} of 2000");
    }

    #[test]
    fn correlation_lowers_a_small_loss_rate_as_in_netem() {
        // Mixed random numbers gather around the middle, so fewer are below a small threshold.
        let (lost, _) = losses("30% 50%");
        assert!((10_000..20_000).contains(&lost), "{lost}");
    }
}
