//! Warnings about a setup that is valid, but whose result may surprise its author.

use crate::link::LinkConfig;
use crate::rng::{Stream, derive_seed};
use crate::run::Engine;
use crate::setup::Setup;
use crate::values::{Chance, Probability};

/// Number of random decisions from which a real mean is estimated.
const DRAWS: u32 = 200_000;

/// Time of turmoil for one link of one host in one step, in nanoseconds: the rounded result of a measurement.
const NANOS_OF_A_LINK: u128 = 3;

/// Estimated seconds from which on a warning is useful.
const LONG: u64 = 120;

/// One sentence for each probability whose correlation changes its mean by more than half, and one if the engine is slow for
/// this number of hosts.
///
/// The correlation of netem mixes each random number with the one before it. Mixed numbers gather around the middle of their
/// range, so few of them are below a small probability.
///
/// ```
/// use sandhog_lab::setup::Setup;
/// use sandhog_lab::{Engine, warnings};
///
/// let links = vec![(0, 1, "loss 0.3% 25%".parse().unwrap())];
/// let found = warnings(&Setup { links, ..Setup::default() }, Engine::Event);
/// assert!(found[0].contains("loss 0.3% 25%: 0 of 200000 datagrams"), "{found:?}");
/// ```
#[must_use]
pub fn warnings(setup: &Setup, engine: Engine) -> Vec<String> {
    let mut warnings = Vec::new();
    let seconds = turmoil_seconds(setup);
    if engine == Engine::Turmoil && seconds >= LONG {
        warnings.push(format!(
            "the turmoil engine may need {} minutes for {} hosts and {} s, because its work grows with the cube of the \
             number of hosts. Use the event engine, which gives the same trace, or fewer hosts",
            seconds / 60,
            setup.hosts.len(),
            setup.duration.as_secs(),
        ));
    }
    for (source, target, link) in &setup.links {
        for (name, chance) in chances(link) {
            if let Some(hits) = surprising_hits(chance) {
                warnings.push(format!(
                    "link {}→{}: {name} {chance}: {hits} of {DRAWS} datagrams, because the correlation of netem \
                     moves the mean. Change the probability until the mean is the wanted one, or remove the correlation",
                    host_name(setup, *source),
                    host_name(setup, *target),
                ));
            }
        }
    }
    warnings
}

/// An estimate of the time of a run in the turmoil engine, in seconds. In each step of 1 ms, turmoil visits the links between
/// all pairs of hosts once for each host.
fn turmoil_seconds(setup: &Setup) -> u64 {
    let hosts = setup.hosts.len() as u128;
    let nanos = hosts.pow(3) * setup.duration.as_millis() * NANOS_OF_A_LINK;
    u64::try_from(nanos / 1_000_000_000).unwrap_or(u64::MAX)
}

/// The name of a host or adversary, or its number.
fn host_name(setup: &Setup, number: u16) -> String {
    let hosts = setup.hosts.iter().map(|host| &host.name);
    let mut names = hosts.chain(setup.adversaries.iter().map(|adversary| &adversary.name));
    names
        .nth(number.into())
        .map_or_else(|| number.to_string(), ToString::to_string)
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

    #[test]
    fn a_large_network_in_the_turmoil_engine_is_reported() {
        let make_peer: crate::setup::MakePeer = std::sync::Arc::new(|_| unreachable!("no run begins"));
        let address = "192.0.2.1:1".parse().expect("an address");
        let host = || crate::setup::HostSpec::new("host", address, make_peer.clone());
        let setup = |hosts: usize| Setup {
            hosts: (0..hosts).map(|_| host()).collect(),
            duration: std::time::Duration::from_secs(60),
            ..Setup::default()
        };
        let found = warnings(&setup(1000), Engine::Turmoil);
        assert!(
            found[0].starts_with("the turmoil engine may need 3000 minutes for 1000 hosts and 60 s"),
            "{found:?}"
        );
        assert_eq!(warnings(&setup(1000), Engine::Event), [""; 0]);
        assert_eq!(warnings(&setup(10), Engine::Turmoil), [""; 0]);
    }

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
