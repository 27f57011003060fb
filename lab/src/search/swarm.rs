//! Random faults of many kinds, of which each seed uses a random half.
//!
//! The idea is swarm testing (Groce et al., "Swarm Testing", 2012): a run with few kinds of faults reaches states that a run
//! with all kinds never reaches.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sandhog_peer::Instant;

use super::faults::{FaultKind, Values};
use crate::record::HostId;
use crate::rng::{Stream, derive_seed};
use crate::setup::Setup;
use crate::tape::{Departure, Director, Fault, Steering};
use crate::values::{Chance, Delay};

/// Selection of the families of faults for a swarm. A family that is neither mandatory nor excluded is used in half of the
/// seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swarm {
    /// Families that every seed uses.
    pub mandatory: BTreeSet<Family>,
    /// Families that no seed uses.
    pub excluded: BTreeSet<Family>,
    /// Values of the faults.
    pub values: Values,
}

/// A family of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Random loss of the links.
    Loss,
    /// Random duplication of the links.
    Duplicate,
    /// Random corruption of the links.
    Corrupt,
    /// Jitter of the links.
    Jitter,
    /// Outages of one direction: all its datagrams are lost for some seconds.
    Outage,
    /// Faults of single datagrams of this kind.
    Single(FaultKind),
}

impl Family {
    /// All families.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let single = FaultKind::ALL.map(Self::Single);
        [
            Self::Loss,
            Self::Duplicate,
            Self::Corrupt,
            Self::Jitter,
            Self::Outage,
        ]
        .into_iter()
        .chain(single)
        .collect()
    }

    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Duplicate => "duplicate",
            Self::Corrupt => "corrupt",
            Self::Jitter => "jitter",
            Self::Outage => "outage",
            Self::Single(kind) => kind.name(),
        }
    }
}

/// A datagram has a fault with a probability of one in this many.
const ONE_IN: u64 = 12;

/// Length of an outage in seconds.
const OUTAGE_SECONDS: std::ops::Range<u64> = 2..20;

/// Largest number of faults of single datagrams in a run, so that a client has a chance to connect.
const MAX_FAULTS: u32 = 12;

impl Swarm {
    /// The families of a seed.
    #[must_use]
    pub fn families(&self, seed: u64) -> BTreeSet<Family> {
        let mut stream = Stream::new(derive_seed(seed, "swarm", &[]), 0);
        let mut families = BTreeSet::new();
        for family in Family::all() {
            // Every family takes a number, so that an excluded one does not change the others.
            let drawn = stream.next() >> 31 == 1;
            if !self.excluded.contains(&family) && (drawn || self.mandatory.contains(&family)) {
                families.insert(family);
            }
        }
        families
    }

    /// The setup with only the link faults of a seed.
    pub(super) fn reduce(&self, setup: &Setup, families: &BTreeSet<Family>) -> Setup {
        let mut setup = setup.clone();
        for (.., link) in &mut setup.links {
            if !families.contains(&Family::Loss) {
                link.loss = Chance::default();
            }
            if !families.contains(&Family::Duplicate) {
                link.duplicate = Chance::default();
            }
            if !families.contains(&Family::Corrupt) {
                link.corrupt = Chance::default();
            }
            if !families.contains(&Family::Jitter) {
                link.delay = Delay {
                    time: link.delay.time,
                    ..Delay::default()
                };
            }
        }
        setup
    }

    /// The faults of single datagrams of a seed.
    pub(super) fn director(
        &self,
        setup: &Setup,
        seed: u64,
        families: &BTreeSet<Family>,
    ) -> Box<dyn Director> {
        let faults = families
            .iter()
            .filter(|family| matches!(family, Family::Outage | Family::Single(_)));
        Box::new(RandomFaults {
            families: faults.copied().collect(),
            values: self.values,
            clients: setup.hosts.iter().map(|host| host.script.is_some()).collect(),
            stream: Stream::new(derive_seed(seed, "swarm", &[]), 1),
            left: MAX_FAULTS,
            dark_until: BTreeMap::new(),
        })
    }
}

/// Random faults of single datagrams and outages.
#[derive(Debug)]
struct RandomFaults {
    families: Vec<Family>,
    values: Values,
    clients: Vec<bool>,
    stream: Stream,
    left: u32,
    /// Ends of the outages, by direction.
    dark_until: BTreeMap<(HostId, HostId), Instant>,
}

impl Director for RandomFaults {
    fn steer(&mut self, departure: &Departure) -> Steering {
        let mut steering = Steering::default();
        let hit = self.stream.below(ONE_IN) == 0;
        let family = self.stream.below(self.families.len() as u64);
        let seconds = OUTAGE_SECONDS.start + self.stream.below(OUTAGE_SECONDS.end - OUTAGE_SECONDS.start);
        let is_host = usize::from(departure.sender) < self.clients.len();
        if !is_host || departure.faults_are_off {
            return steering;
        }
        let direction = (departure.sender, departure.receiver);
        if hit && self.left > 0 {
            self.left -= 1;
            match self.families.get(family as usize) {
                Some(Family::Single(kind)) => {
                    self.values.add(*kind, departure, &self.clients, &mut steering);
                }
                Some(_) => {
                    let end = departure.now + Duration::from_secs(seconds);
                    self.dark_until.insert(direction, end);
                }
                None => {}
            }
        }
        if self
            .dark_until
            .get(&direction)
            .is_some_and(|end| departure.now < *end)
        {
            steering.faults.push(Fault::Drop);
        }
        steering
    }
}
