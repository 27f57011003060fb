//! One direction of a link: a netem of our own, sans-IO, in integers only.
//!
//! A datagram passes, in this order: partition, the scripted drops, the MTU, random loss, duplication, corruption of
//! each copy, the queue of the rate limit, the delay, and what else the scenario does to this one. `tc netem` does the same things; where Linux decides them
//! differently from one kernel to the next, this order is the definition.

mod text;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sandhog_peer::Instant;

use crate::pick::Pick;
use crate::rng::{Stream, derive_seed};
use crate::values::{Chance, Delay, Rate, Span};

/// What one direction of a link does. The default is a perfect link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkConfig {
    /// Delay, jitter, correlation.
    pub delay: Delay,
    /// Random loss.
    pub loss: Chance,
    /// Random duplication.
    pub duplicate: Chance,
    /// One random bit flipped.
    pub corrupt: Chance,
    /// Bandwidth, counted over outer IP packets.
    pub rate: Option<Rate>,
    /// How many datagrams may wait for the rate limit; `None` is netem's 1000.
    pub limit: Option<u32>,
    /// Largest outer IP packet in bytes.
    pub mtu: Option<u16>,
    /// Datagrams to drop.
    pub drop: Vec<Pick>,
    /// Datagrams that take longer, by their `by`.
    pub late: Vec<Pick>,
    /// Datagrams of which a second copy arrives together with the first.
    pub double: Vec<Pick>,
    /// Datagrams of which one bit is flipped.
    pub damage: Vec<Pick>,
}

/// netem's default queue, in datagrams.
const DEFAULT_LIMIT: u32 = 1000;

/// Why a link lost a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossReason {
    /// By chance.
    Random,
    /// The scenario picked it.
    Scripted,
    /// Larger than the link's MTU.
    Mtu,
    /// The queue of the rate limit was full.
    QueueFull,
    /// The two hosts were cut off from each other.
    Partition,
    /// The receiver was down when it arrived.
    HostDown,
    /// Nobody has the address it was sent to.
    NoHost,
    /// An adversary held it back.
    Intercepted,
}

impl LossReason {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Random => "random",
            Self::Scripted => "scripted",
            Self::Mtu => "mtu",
            Self::QueueFull => "queue-full",
            Self::Partition => "partition",
            Self::HostDown => "host-down",
            Self::NoHost => "no-host",
            Self::Intercepted => "intercepted",
        }
    }
}

/// One copy of a datagram on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// How long it takes, from now, before any rounding.
    pub after: Duration,
    /// The bit that is flipped on the way, counted from the first byte's highest bit.
    pub flipped_bit: Option<u64>,
}

/// What becomes of a datagram: lost, or one or two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It never arrives.
    Lost(LossReason),
    /// The copies that set out. The second exists when it was duplicated. A copy is lost where the queue was full.
    Copies([Option<Result<Copy, LossReason>>; 2]),
}

/// The concerns that have a stream of their own. Numbers are part of every digest: never renumber.
mod concern {
    pub(super) const LOSS: u64 = 0;
    pub(super) const DUPLICATE: u64 = 1;
    pub(super) const CORRUPT: u64 = 2;
    pub(super) const DELAY: u64 = 4; // and 5 for the duplicate, as corruption has 2 and 3
    pub(super) const DAMAGE: u64 = 6;
}

/// One direction of a link, with its streams, queue and counts.
#[derive(Debug)]
pub struct LinkDirection {
    config: LinkConfig,
    seed: [u8; 32],
    streams: BTreeMap<u64, Stream>,
    partitioned: bool,
    counts: BTreeMap<&'static str, u64>,
    total: u64,
    departures: VecDeque<Instant>,
}

/// What a [`Pick`] can ask of a datagram.
#[derive(Clone, Copy)]
struct Which {
    now: Instant,
    kind: &'static str,
    nth: u64,
    /// Which one of all in this direction.
    total: u64,
}

impl Which {
    fn is_in(self, picks: &[Pick]) -> bool {
        picks.iter().any(|pick| self.fits(pick))
    }

    fn fits(self, pick: &Pick) -> bool {
        let number = if pick.kind.is_some() { self.nth } else { self.total };
        let at = |span: Span| Instant::ZERO + span.0;
        pick.kind.as_ref().is_none_or(|kind| kind == self.kind)
            && pick.nth.is_none_or(|nth| nth == number)
            && pick.from.is_none_or(|from| self.now >= at(from))
            && pick.until.is_none_or(|until| self.now < at(until))
    }
}

impl LinkDirection {
    /// A direction from host number `source` to host number `target` in the run of `seed`.
    #[must_use]
    pub fn new(config: LinkConfig, seed: u64, source: u16, target: u16) -> Self {
        Self {
            config,
            seed: derive_seed(seed, "link", &[u64::from(source), u64::from(target)]),
            streams: BTreeMap::new(),
            partitioned: false,
            counts: BTreeMap::new(),
            total: 0,
            departures: VecDeque::new(),
        }
    }

    /// Cuts the direction, or ends the cut.
    pub fn set_partitioned(&mut self, partitioned: bool) {
        self.partitioned = partitioned;
    }

    /// Takes every fault away; delay and rate stay, for they are how the link is, not what befalls it.
    pub fn heal(&mut self) {
        self.partitioned = false;
        self.config.loss = Chance::default();
        self.config.duplicate = Chance::default();
        self.config.corrupt = Chance::default();
        let LinkConfig {
            drop,
            late,
            double,
            damage,
            ..
        } = &mut self.config;
        for picks in [drop, late, double, damage] {
            picks.clear();
        }
    }

    /// Decides what becomes of a datagram of `kind` with `ip_len` bytes of outer IP packet and `payload_len` bytes
    /// of UDP payload, sent at `now`. Also tells which one of its kind it is, from 1.
    pub fn decide(&mut self, now: Instant, kind: &'static str, ip_len: u64, payload_len: u64) -> (u64, Fate) {
        let nth = {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            *count
        };
        self.total += 1;
        let which = Which {
            now,
            kind,
            nth,
            total: self.total,
        };
        (nth, self.fate(which, ip_len, payload_len))
    }

    fn fate(&mut self, which: Which, ip_len: u64, payload_len: u64) -> Fate {
        let now = which.now;
        // Drawn first and always, so that a scripted drop or a partition does not shift the random ones.
        let lost = self.happens(concern::LOSS, self.config.loss);
        let doubled = self.happens(concern::DUPLICATE, self.config.duplicate);
        if self.partitioned {
            return Fate::Lost(LossReason::Partition);
        }
        if which.is_in(&self.config.drop) {
            return Fate::Lost(LossReason::Scripted);
        }
        if self.config.mtu.is_some_and(|mtu| ip_len > u64::from(mtu)) {
            return Fate::Lost(LossReason::Mtu);
        }
        if lost {
            return Fate::Lost(LossReason::Random);
        }
        let first = self.copy(now, 0, ip_len, payload_len);
        let second = doubled.then(|| self.copy(now, 1, ip_len, payload_len));
        self.scripted(which, payload_len, [first, second.unwrap_or(first)], doubled)
    }

    /// What the scenario does to the copies of one datagram. Nothing of it draws from the streams of chance.
    fn scripted(
        &mut self,
        which: Which,
        payload_len: u64,
        copies: [Result<Copy, LossReason>; 2],
        doubled: bool,
    ) -> Fate {
        let late = self.config.late.iter().filter(|pick| which.fits(pick));
        let late: Duration = late.filter_map(|pick| Some(pick.by?.0)).sum();
        let damaged = payload_len > 0 && which.is_in(&self.config.damage);
        let bit = damaged.then(|| self.stream(concern::DAMAGE).below(payload_len.saturating_mul(8)));
        let doubled = doubled || which.is_in(&self.config.double);
        let [first, second] = copies.map(|copy| {
            copy.map(|copy| Copy {
                after: copy.after + late,
                flipped_bit: bit.or(copy.flipped_bit),
            })
        });
        Fate::Copies([Some(first), doubled.then_some(second)])
    }

    fn copy(&mut self, now: Instant, which: u64, ip_len: u64, payload_len: u64) -> Result<Copy, LossReason> {
        let corrupted = self.happens(concern::CORRUPT + which, self.config.corrupt);
        let flipped_bit = (corrupted && payload_len > 0).then(|| {
            self.stream(concern::CORRUPT + which)
                .below(payload_len.saturating_mul(8))
        });
        let delay = self.delay(concern::DELAY + which);
        let wait = self.queue(now, ip_len)?;
        Ok(Copy {
            after: wait + delay,
            flipped_bit,
        })
    }

    /// `time - jitter ..= time + jitter`, evenly, in nanoseconds, never below 0.
    fn delay(&mut self, concern: u64) -> Duration {
        let Delay {
            time,
            jitter,
            correlation,
        } = self.config.delay;
        if jitter.is_zero() {
            return time;
        }
        let span = 2 * jitter.as_nanos() + 1;
        let draw = u128::from(self.stream(concern).next_correlated(correlation));
        let offset = (draw * span) >> 32;
        let nanos = (time.as_nanos() + offset).saturating_sub(jitter.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// How long the datagram waits for the rate limit, its own transmission included.
    fn queue(&mut self, now: Instant, ip_len: u64) -> Result<Duration, LossReason> {
        let Some(Rate { bits_per_second }) = self.config.rate else {
            return Ok(Duration::ZERO);
        };
        while self.departures.front().is_some_and(|departure| *departure <= now) {
            self.departures.pop_front();
        }
        let limit = u64::from(self.config.limit.unwrap_or(DEFAULT_LIMIT));
        if self.departures.len() as u64 >= limit {
            return Err(LossReason::QueueFull);
        }
        let transmission = u128::from(ip_len) * 8 * 1_000_000_000 / u128::from(bits_per_second);
        let start = self.departures.back().copied().unwrap_or(now).max(now);
        let departure = start + Duration::from_nanos(u64::try_from(transmission).unwrap_or(u64::MAX));
        self.departures.push_back(departure);
        Ok(departure.saturating_duration_since(now))
    }

    fn happens(&mut self, concern: u64, chance: Chance) -> bool {
        chance.probability.0 > 0 && self.stream(concern).happens(chance)
    }

    fn stream(&mut self, concern: u64) -> &mut Stream {
        self.streams
            .entry(concern)
            .or_insert_with(|| Stream::new(self.seed, concern))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn direction(config: LinkConfig) -> LinkDirection {
        LinkDirection::new(config, 7, 0, 1)
    }

    fn arrivals(link: &mut LinkDirection, count: u64) -> Vec<Duration> {
        let copies = (0..count).map(|_| link.decide(Instant::ZERO, "data", 128, 100).1);
        copies
            .flat_map(|fate| match fate {
                Fate::Copies(copies) => copies
                    .into_iter()
                    .flatten()
                    .flatten()
                    .map(|copy| copy.after)
                    .collect(),
                Fate::Lost(_) => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn jitter_stays_within_its_bounds_and_reaches_both_halves() {
        let delay = "30ms 10ms".parse().unwrap();
        let times = arrivals(
            &mut direction(LinkConfig {
                delay,
                ..LinkConfig::default()
            }),
            1000,
        );
        assert!(
            times
                .iter()
                .all(|time| (20_000_000..=40_000_000).contains(&time.as_nanos()))
        );
        assert!(
            times.iter().any(|time| time.as_millis() < 22) && times.iter().any(|time| time.as_millis() > 38)
        );
    }

    #[test]
    fn adding_loss_does_not_change_the_delay_of_what_arrives() {
        let delay = "30ms 10ms".parse().unwrap();
        let clean = arrivals(
            &mut direction(LinkConfig {
                delay,
                ..LinkConfig::default()
            }),
            200,
        );
        let mut lossy = direction(LinkConfig {
            delay,
            duplicate: "20%".parse().unwrap(),
            ..LinkConfig::default()
        });
        let mut firsts = Vec::new();
        for _ in 0..200 {
            if let (_, Fate::Copies([Some(Ok(copy)), _])) = lossy.decide(Instant::ZERO, "data", 128, 100) {
                firsts.push(copy.after);
            }
        }
        assert_eq!(clean, firsts);
    }

    #[test]
    fn a_scripted_drop_hits_the_nth_of_its_kind_and_nothing_else() {
        let drop = vec![Pick {
            kind: Some("auth-request".into()),
            nth: Some(2),
            ..Pick::default()
        }];
        let mut link = direction(LinkConfig {
            drop,
            ..LinkConfig::default()
        });
        let mut decide = |kind| {
            matches!(
                link.decide(Instant::ZERO, kind, 128, 100).1,
                Fate::Lost(LossReason::Scripted)
            )
        };
        assert_eq!(
            [
                decide("auth-request"),
                decide("data"),
                decide("auth-request"),
                decide("auth-request"),
                decide("data")
            ],
            [false, false, true, false, false]
        );
    }

    #[test]
    fn a_rate_spaces_datagrams_out_and_a_full_queue_drops() {
        let rate = Some("1mbit".parse().unwrap());
        let mut link = direction(LinkConfig {
            rate,
            limit: Some(2),
            ..LinkConfig::default()
        });
        let fates: Vec<_> = (0..3)
            .map(|_| link.decide(Instant::ZERO, "data", 1250, 1222).1)
            .collect();
        let after = |millis| {
            Fate::Copies([
                Some(Ok(Copy {
                    after: Duration::from_millis(millis),
                    flipped_bit: None,
                })),
                None,
            ])
        };
        assert_eq!(
            fates,
            [
                after(10),
                after(20),
                Fate::Copies([Some(Err(LossReason::QueueFull)), None])
            ]
        );
        let later = link.decide(Instant::from_millis(15), "data", 1250, 1222).1;
        assert_eq!(
            later,
            after(15),
            "the first has left, the second leaves at 20 ms, this one at 30 ms"
        );
    }

    #[test]
    fn a_datagram_larger_than_the_mtu_vanishes() {
        let mut link = direction(LinkConfig {
            mtu: Some(1280),
            ..LinkConfig::default()
        });
        assert_eq!(
            link.decide(Instant::ZERO, "data", 1281, 1253).1,
            Fate::Lost(LossReason::Mtu)
        );
        assert!(matches!(
            link.decide(Instant::ZERO, "data", 1280, 1252).1,
            Fate::Copies(_)
        ));
    }

    #[test]
    fn corruption_flips_a_bit_inside_the_payload() {
        let mut link = direction(LinkConfig {
            corrupt: "100%".parse().unwrap(),
            ..LinkConfig::default()
        });
        for _ in 0..100 {
            let (_, Fate::Copies([Some(Ok(copy)), None])) = link.decide(Instant::ZERO, "data", 38, 10) else {
                panic!()
            };
            assert!(copy.flipped_bit.unwrap() < 80);
        }
    }

    #[test]
    fn healing_takes_the_faults_and_leaves_the_delay() {
        let config = LinkConfig {
            delay: "5ms".parse().unwrap(),
            loss: "100%".parse().unwrap(),
            ..LinkConfig::default()
        };
        let mut link = direction(config);
        link.set_partitioned(true);
        link.heal();
        assert_eq!(arrivals(&mut link, 3), [Duration::from_millis(5); 3]);
    }
}
