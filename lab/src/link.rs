//! One direction of a link: network emulation like `tc netem`, sans-IO, with integers only.
//!
//! A datagram passes, in this order: partition, scripted drop, MTU, random loss, duplication, corruption of each copy, queue of the
//! rate limit, delay, and the other scripted faults. Linux kernels differ in the order of netem's faults. Here this order is fixed.
//!
//! Random decisions are independent of each other, because each fault has its own random stream and takes a number from it for
//! every datagram. Only the queue of a rate limit depends on the datagrams before: a lost datagram takes no place in it.

mod text;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sandhog_peer::{Instant, State};

use crate::limits::MAX_PAYLOAD;
use crate::pick::Pick;
use crate::rng::{Stream, derive_seed};
use crate::values::{Chance, Delay, Rate, Span};

/// Configuration of one direction of a link. The default is a perfect link.
///
/// `parse` reads a link in the terms of `tc netem`, and [`Self::describe`] writes it:
///
/// ```
/// use sandhog_lab::link::LinkConfig;
///
/// let link: LinkConfig = "delay 20ms 5ms, loss 2%, rate 50mbit".parse().unwrap();
/// assert_eq!(link.describe(), "delay 20ms 5ms, loss 2%, rate 50mbit limit 1000");
/// let error = "los 2%".parse::<LinkConfig>().unwrap_err();
/// assert_eq!(error, "`los` is not a property of a link; did you mean `loss`?");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkConfig {
    /// Delay with jitter and correlation.
    pub delay: Delay,
    /// Probability of loss.
    pub loss: Chance,
    /// Probability of duplication.
    pub duplicate: Chance,
    /// Probability that one random bit is flipped.
    pub corrupt: Chance,
    /// Rate limit, applied to the length of outer IP packets.
    pub rate: Option<Rate>,
    /// Length of the queue of the rate limit, in datagrams. `None` for netem's default of 1000. It needs a `rate`.
    pub limit: Option<u32>,
    /// Largest outer IP packet in bytes.
    pub mtu: Option<u16>,
    /// Datagrams to drop.
    pub drop: Vec<Pick>,
    /// Datagrams with an extra delay of `by`.
    pub late: Vec<Pick>,
    /// Datagrams that are duplicated. Both copies arrive at the same time.
    pub double: Vec<Pick>,
    /// Datagrams with one flipped bit.
    pub damage: Vec<Pick>,
}

/// netem's default queue length, in datagrams.
const DEFAULT_LIMIT: u32 = 1000;

/// The reason for the loss of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossReason {
    /// Random loss.
    Random,
    /// A scripted drop.
    Scripted,
    /// Larger than the MTU of the link.
    Mtu,
    /// Larger than the largest UDP payload, [`MAX_PAYLOAD`].
    TooLong,
    /// The queue of the rate limit was full.
    QueueFull,
    /// A partition between the two hosts.
    Partition,
    /// The receiver was down when it arrived.
    HostDown,
    /// No host had the destination address.
    NoHost,
    /// An adversary intercepted it.
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
            Self::TooLong => "too-long",
            Self::QueueFull => "queue-full",
            Self::Partition => "partition",
            Self::HostDown => "host-down",
            Self::NoHost => "no-host",
            Self::Intercepted => "intercepted",
        }
    }
}

/// One copy of a datagram in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Delay until its arrival, before rounding to the time grid.
    pub after: Duration,
    /// Number of the flipped bit, from the highest bit of the first byte.
    pub flipped_bit: Option<u64>,
}

/// The fate of a datagram: a loss, or one or two copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The loss of the datagram, with its reason.
    Lost(LossReason),
    /// The copies. The second exists if the datagram was duplicated. A copy is lost if the queue is full.
    Copies([Option<Result<Copy, LossReason>>; 2]),
}

/// Numbers of the random streams of a link direction. They determine every digest, so they must not change.
mod stream_number {
    pub(super) const LOSS: u64 = 0;
    pub(super) const DUPLICATE: u64 = 1;
    pub(super) const CORRUPT: u64 = 2;
    pub(super) const DELAY: u64 = 4; // and 5 for the duplicate, like 2 and 3 for corruption
    pub(super) const DAMAGE: u64 = 6;
}

/// One direction of a link: its configuration, random streams, queue and counts.
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::link::{Copy, Fate, LinkDirection, LossReason};
/// use sandhog_peer::Instant;
///
/// let config = "delay 20ms, mtu 1400".parse().unwrap();
/// let mut direction = LinkDirection::new(config, 7, 0, 1);
/// let copy = Copy { after: Duration::from_millis(20), flipped_bit: None };
/// let (nth, fate) = direction.decide(Instant::ZERO, "data", 128, 100);
/// assert_eq!((nth, fate), (1, Fate::Copies([Some(Ok(copy)), None])));
/// let (nth, fate) = direction.decide(Instant::ZERO, "data", 1428, 1400);
/// assert_eq!((nth, fate), (2, Fate::Lost(LossReason::Mtu)));
/// ```
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

/// Decisions about one datagram that the configuration leaves to chance, or that a tape prescribes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Draws {
    /// True for a lost datagram.
    pub(crate) lost: bool,
    /// True for a duplicated datagram.
    pub(crate) duplicated: bool,
    /// Delays of the original and of the duplicate.
    pub(crate) delays: [Duration; 2],
    /// The flipped bits of the original and of the duplicate.
    pub(crate) flipped_bits: [Option<u64>; 2],
    /// Extra delay of all copies.
    pub(crate) late: Duration,
    /// Earliest arrival of all copies.
    pub(crate) hold: Option<Instant>,
}

/// The properties of a datagram that a [`Pick`] tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Candidate {
    pub(crate) now: Instant,
    pub(crate) kind: &'static str,
    /// Number among the datagrams of its kind in this direction, from 1.
    pub(crate) nth: u64,
    /// Number among all datagrams of this direction, from 1.
    total: u64,
}

impl Candidate {
    fn is_selected_by(self, picks: &[Pick]) -> bool {
        picks.iter().any(|pick| self.matches(pick))
    }

    fn matches(self, pick: &Pick) -> bool {
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

    /// Starts or ends a partition. All datagrams are lost during a partition.
    pub fn set_partitioned(&mut self, partitioned: bool) {
        self.partitioned = partitioned;
    }

    /// Removes all faults. Delay, rate and MTU stay, because they are normal properties of a link.
    pub fn switch_faults_off(&mut self) {
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

    /// Decides the fate of a datagram of `kind` that is sent at `now`. `ip_len` is the length of the outer IP packet, `payload_len` that
    /// of the UDP payload. Also returns its number among the datagrams of its kind, from 1.
    pub fn decide(&mut self, now: Instant, kind: &'static str, ip_len: u64, payload_len: u64) -> (u64, Fate) {
        let candidate = self.count(now, kind);
        let draws = self.draw(payload_len);
        (candidate.nth, self.fate(candidate, &draws, ip_len, payload_len))
    }

    /// Number of datagrams of this kind so far, or of any kind.
    pub(crate) fn sent(&self, kind: Option<&str>) -> u64 {
        let count = |kind| self.counts.get(kind).copied().unwrap_or_default();
        kind.map_or(self.total, count)
    }

    /// The numbers of the next datagram of `kind`.
    pub(crate) fn count(&mut self, now: Instant, kind: &'static str) -> Candidate {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        self.total += 1;
        Candidate {
            now,
            kind,
            nth: *count,
            total: self.total,
        }
    }

    /// The random decisions about the next datagram.
    ///
    /// Every fault with randomness has a stream of its own, and takes its numbers for every datagram, even if another fault has
    /// already dropped the datagram. So a fault that is added to a link changes no random decision of another fault.
    pub(crate) fn draw(&mut self, payload_len: u64) -> Draws {
        let lost = self.happens(stream_number::LOSS, self.config.loss);
        let duplicated = self.happens(stream_number::DUPLICATE, self.config.duplicate);
        let flipped_bits = [0, 1].map(|number| self.corruption(stream_number::CORRUPT + number, payload_len));
        let delays = [0, 1].map(|number| self.delay(stream_number::DELAY + number));
        Draws {
            lost,
            duplicated,
            delays,
            flipped_bits,
            ..Draws::default()
        }
    }

    /// Describes the state without the random streams. Counts matter only if a scripted fault selects datagrams.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        state.flag(self.partitioned);
        state.number(self.departures.len() as u64);
        self.departures.iter().for_each(|at| state.deadline(Some(*at)));
        let LinkConfig {
            drop,
            late,
            double,
            damage,
            ..
        } = &self.config;
        if [drop, late, double, damage].iter().any(|picks| !picks.is_empty()) {
            state.number(self.total);
            self.counts.values().for_each(|count| state.number(*count));
        }
    }

    /// The decisions about a datagram if no random number is drawn: no fault, and the delay without jitter.
    pub(crate) fn nominal(&self) -> Draws {
        Draws {
            delays: [self.config.delay.time; 2],
            ..Draws::default()
        }
    }

    /// Decides the fate of a datagram after all random decisions were taken.
    pub(crate) fn fate(
        &mut self,
        candidate: Candidate,
        draws: &Draws,
        ip_len: u64,
        payload_len: u64,
    ) -> Fate {
        let damage = self.damage(candidate, payload_len);
        if payload_len > MAX_PAYLOAD as u64 {
            return Fate::Lost(LossReason::TooLong);
        }
        if self.partitioned {
            return Fate::Lost(LossReason::Partition);
        }
        if candidate.is_selected_by(&self.config.drop) {
            return Fate::Lost(LossReason::Scripted);
        }
        if self.config.mtu.is_some_and(|mtu| ip_len > u64::from(mtu)) {
            return Fate::Lost(LossReason::Mtu);
        }
        if draws.lost {
            return Fate::Lost(LossReason::Random);
        }
        let late = self.config.late.iter().filter(|pick| candidate.matches(pick));
        let late: Duration = late.filter_map(|pick| Some(pick.by?.0)).sum::<Duration>() + draws.late;
        let mut copy = |number: usize| -> Result<Copy, LossReason> {
            let wait = self.queue(candidate.now, ip_len)?;
            let held = draws
                .hold
                .map(|until| until.saturating_duration_since(candidate.now));
            Ok(Copy {
                after: (wait + draws.delays[number] + late).max(held.unwrap_or_default()),
                flipped_bit: damage.or(draws.flipped_bits[number]),
            })
        };
        let first = copy(0);
        let second = draws.duplicated.then(|| copy(1));
        let doubled = candidate.is_selected_by(&self.config.double);
        Fate::Copies([Some(first), second.or_else(|| doubled.then_some(first))])
    }

    /// The bit that a scripted damage flips. It does not depend on the fate of the datagram.
    fn damage(&mut self, candidate: Candidate, payload_len: u64) -> Option<u64> {
        let damaged = payload_len > 0 && candidate.is_selected_by(&self.config.damage);
        damaged.then(|| {
            self.stream(stream_number::DAMAGE)
                .below(payload_len.saturating_mul(8))
        })
    }

    /// The bit that random corruption flips, if any.
    fn corruption(&mut self, stream: u64, payload_len: u64) -> Option<u64> {
        let corrupted = self.happens(stream, self.config.corrupt);
        (corrupted && payload_len > 0).then(|| self.stream(stream).below(payload_len.saturating_mul(8)))
    }

    /// A random delay from `time - jitter` to `time + jitter` in nanoseconds, never below 0.
    fn delay(&mut self, stream: u64) -> Duration {
        let Delay {
            time,
            jitter,
            correlation,
        } = self.config.delay;
        if jitter.is_zero() {
            return time;
        }
        let span = 2 * jitter.as_nanos() + 1;
        let draw = u128::from(self.stream(stream).next_correlated(correlation));
        let offset = (draw * span) >> 32;
        let nanos = (time.as_nanos() + offset).saturating_sub(jitter.as_nanos());
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The time in the queue of the rate limit, with the transmission of the datagram.
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
        let transmission = u128::from(ip_len) * 8 * 1_000_000_000 / u128::from(bits_per_second.max(1));
        let start = self.departures.back().copied().unwrap_or(now).max(now);
        let departure = start + Duration::from_nanos(u64::try_from(transmission).unwrap_or(u64::MAX));
        self.departures.push_back(departure);
        Ok(departure.saturating_duration_since(now))
    }

    fn happens(&mut self, stream: u64, chance: Chance) -> bool {
        chance.probability.0 > 0 && self.stream(stream).happens(chance)
    }

    fn stream(&mut self, number: u64) -> &mut Stream {
        self.streams
            .entry(number)
            .or_insert_with(|| Stream::new(self.seed, number))
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
    fn duplication_does_not_change_the_delays_of_the_originals() {
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
    fn a_scripted_drop_selects_exactly_the_nth_datagram_of_a_kind() {
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
    fn a_rate_delays_datagrams_and_a_full_queue_drops_them() {
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
            "the first left at 10 ms, the second leaves at 20 ms, this one at 30 ms"
        );
    }

    #[test]
    fn a_datagram_larger_than_the_mtu_is_lost() {
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
    fn switching_faults_off_keeps_the_delay() {
        let config = LinkConfig {
            delay: "5ms".parse().unwrap(),
            loss: "100%".parse().unwrap(),
            ..LinkConfig::default()
        };
        let mut link = direction(config);
        link.set_partitioned(true);
        link.switch_faults_off();
        assert_eq!(arrivals(&mut link, 3), [Duration::from_millis(5); 3]);
    }
}
