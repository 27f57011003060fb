//! Warnings about a setup that is valid, but whose result may surprise its author.

use super::Setup;
use crate::link::LinkConfig;
use crate::rng::{Stream, derive_seed};
use crate::values::{Chance, Probability};

/// Number of random decisions from which a real mean is estimated.
const DRAWS: u32 = 200_000;

impl Setup {
    /// One sentence for each probability whose correlation changes its mean by more than half.
    ///
    /// The correlation of netem mixes each random number with the one before it. Mixed numbers gather around the middle of their
    /// range, so few of them are below a small probability.
    ///
    /// ```
    /// use sandhog_lab::setup::Setup;
    ///
    /// let links = vec![(0, 1, "loss 0.3% 25%".parse().unwrap())];
    /// let warnings = Setup { links, ..Setup::default() }.warnings();
    /// assert!(warnings[0].contains("loss 0.3% 25%: 0 of 200000 datagrams"), "{warnings:?}");
    /// ```
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        for (source, target, link) in &self.links {
            for (name, chance) in chances(link) {
                if let Some(hits) = surprising_hits(chance) {
                    warnings.push(format!(
                        "link {}→{}: {name} {chance}: {hits} of {DRAWS} datagrams, because the correlation of netem \
                         moves the mean. Change the probability until the mean is the wanted one, or remove the correlation",
                        self.host_name(*source),
                        self.host_name(*target),
                    ));
                }
            }
        }
        warnings
    }

    /// The name of a host or adversary, or its number.
    fn host_name(&self, number: u16) -> String {
        let hosts = self.hosts.iter().map(|host| &host.name);
        let mut names = hosts.chain(self.adversaries.iter().map(|adversary| &adversary.name));
        names
            .nth(number.into())
            .map_or_else(|| number.to_string(), ToString::to_string)
    }
}

/// The probabilities of a link that may have a correlation.
fn chances(link: &LinkConfig) -> [(&'static str, Chance); 3] {
    [
        ("loss", link.loss),
        ("duplicate", link.duplicate),
        ("corrupt", link.corrupt),
    ]
}

/// The number of events among [`DRAWS`] decisions, if it differs from the probability by more than half of it.
fn surprising_hits(chance: Chance) -> Option<u32> {
    let Chance {
        probability: Probability(probability),
        correlation,
    } = chance;
    if probability == 0 || correlation.0 == 0 {
        return None;
    }
    let mut stream = Stream::new(derive_seed(0, "mean", &[]), 0);
    let hits = (0..DRAWS).filter(|_| stream.happens(chance)).count() as u32;
    let expected = (u64::from(DRAWS) * u64::from(probability)) >> 32;
    let differs = u64::from(hits).abs_diff(expected) * 2 > expected;
    differs.then_some(hits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(chance: &str) -> Option<u32> {
        surprising_hits(chance.parse().expect("a chance"))
    }

    #[test]
    fn a_correlation_that_removes_the_loss_is_reported() {
        assert_eq!(hits("0.3% 25%"), Some(0));
        assert!(hits("5% 50%").is_some_and(|hits| hits < 5_000));
    }

    #[test]
    fn a_correlation_that_keeps_the_mean_is_not_reported() {
        assert_eq!(hits("50% 90%"), None);
        assert_eq!(hits("30% 10%"), None);
    }

    #[test]
    fn a_probability_without_correlation_is_not_reported() {
        assert_eq!(hits("0.3%"), None);
        assert_eq!(hits("100%"), None);
    }
}
