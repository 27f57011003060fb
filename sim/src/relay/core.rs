//! Datagrams in flight between the clients of a relay and its server. No clock, no sockets.

use std::collections::BTreeMap;

use sandhog_lab::link::{Copy, Fate, LinkConfig, LinkDirection, LossReason};
use sandhog_peer::Instant;

/// Most copies and most bytes under direction; what comes above that is lost.
const MOST_COPIES: usize = 1 << 16;
const MOST_BYTES: usize = 64 << 20;

/// Which direction a datagram goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a client to the server.
    ToServer,
    /// From the server to a client.
    ToClient,
}

/// What has happened in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Datagrams that came to the relay, and their bytes.
    pub(super) taken: (u64, u64),
    /// Copies that were due, and their bytes.
    pub(super) given: (u64, u64),
    /// Datagrams that set out twice.
    pub(super) duplicated: u64,
    /// Copies with a flipped bit.
    pub(super) corrupted: u64,
    /// Lost copies, by reason.
    pub(super) lost: BTreeMap<&'static str, u64>,
}

/// A copy that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The number of the client whose link it came over.
    pub(super) client: u16,
    pub(super) direction: Direction,
    pub(super) payload: Vec<u8>,
}

/// The links of all clients, and what is under direction on them.
#[derive(Debug)]
pub(super) struct RelayCore {
    config: [LinkConfig; 2],
    seed: u64,
    links: BTreeMap<u16, [LinkDirection; 2]>,
    under_way: BTreeMap<(Instant, u64), Arrival>,
    bytes: usize,
    copies: u64,
    counts: [Counts; 2],
}

impl RelayCore {
    pub(super) fn new(config: [LinkConfig; 2], seed: u64) -> Self {
        Self {
            config,
            seed,
            links: BTreeMap::new(),
            under_way: BTreeMap::new(),
            bytes: 0,
            copies: 0,
            counts: [Counts::default(), Counts::default()],
        }
    }

    /// A datagram whose IP header has `header_len` bytes sets out on the link of `client`, which is made if it is new.
    pub(super) fn send_on(
        &mut self,
        now: Instant,
        client: u16,
        direction: Direction,
        header_len: u64,
        payload: &[u8],
    ) {
        let (config, seed) = (&self.config, self.seed);
        let link = self.links.entry(client).or_insert_with(|| {
            let [there, back] = config.clone();
            // The server is number 0, as in a scenario.
            let client = client.saturating_add(1);
            [
                LinkDirection::new(there, seed, client, 0),
                LinkDirection::new(back, seed, 0, client),
            ]
        });
        let payload_len = payload.len() as u64;
        let counts = &mut self.counts[direction as usize];
        counts.taken.0 += 1;
        counts.taken.1 += payload_len;
        let ip_len = header_len + 8 + payload_len;
        let (_, fate) = link[direction as usize].decide(now, "", ip_len, payload_len);
        match fate {
            Fate::Lost(reason) => counts.lose(reason.name()),
            Fate::Copies([first, second]) => {
                counts.duplicated += u64::from(second.is_some());
                for copy in [first, second].into_iter().flatten() {
                    self.send(now, client, direction, copy, payload);
                }
            }
        }
    }

    fn send(
        &mut self,
        now: Instant,
        client: u16,
        direction: Direction,
        copy: Result<Copy, LossReason>,
        payload: &[u8],
    ) {
        let counts = &mut self.counts[direction as usize];
        let copy = match copy {
            Ok(copy) => copy,
            Err(reason) => return counts.lose(reason.name()),
        };
        if self.under_way.len() >= MOST_COPIES || self.bytes + payload.len() > MOST_BYTES {
            return counts.lose("relay-full");
        }
        let mut payload = payload.to_vec();
        if let Some(bit) = copy.flipped_bit
            && let Some(byte) = usize::try_from(bit / 8).ok().and_then(|at| payload.get_mut(at))
        {
            *byte ^= 0x80 >> (bit % 8);
            counts.corrupted += 1;
        }
        self.bytes += payload.len();
        self.copies += 1;
        let arrival = Arrival {
            client,
            direction,
            payload,
        };
        self.under_way.insert((now + copy.after, self.copies), arrival);
    }

    /// When the next copy arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.under_way.keys().next().map(|(at, _)| *at)
    }

    /// The next copy that has arrived by `now`.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Arrival> {
        let entry = self.under_way.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let arrival = entry.remove();
        self.bytes -= arrival.payload.len();
        let counts = &mut self.counts[arrival.direction as usize];
        counts.given.0 += 1;
        counts.given.1 += arrival.payload.len() as u64;
        Some(arrival)
    }

    /// Notes a datagram that the relay itself could not take or pass on.
    pub(super) fn lose(&mut self, direction: Direction, reason: &'static str) {
        self.counts[direction as usize].lose(reason);
    }

    /// Forgets a client; what is under direction for it never arrives.
    pub(super) fn forget(&mut self, client: u16) {
        self.links.remove(&client);
        let gone: Vec<_> = self
            .under_way
            .iter()
            .filter(|(_, arrival)| arrival.client == client)
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            if let Some(arrival) = self.under_way.remove(&key) {
                self.bytes -= arrival.payload.len();
                self.counts[arrival.direction as usize].lose("client-forgotten");
            }
        }
    }

    /// What has happened, for people: one line for each direction.
    pub(super) fn describe(&self) -> [String; 2] {
        let line = |name: &str, counts: &Counts| {
            let lost: Vec<_> = counts
                .lost
                .iter()
                .map(|(reason, count)| format!("{reason} {count}"))
                .collect();
            let lost = if lost.is_empty() {
                "none".to_owned()
            } else {
                lost.join(", ")
            };
            format!(
                "{name}: {} datagrams, {} bytes in; {} datagrams, {} bytes out; duplicated {}, corrupted {}; lost: {lost}",
                counts.taken.0,
                counts.taken.1,
                counts.given.0,
                counts.given.1,
                counts.duplicated,
                counts.corrupted
            )
        };
        [
            line("to the server", &self.counts[0]),
            line("to the clients", &self.counts[1]),
        ]
    }
}

impl Counts {
    fn lose(&mut self, reason: &'static str) {
        *self.lost.entry(reason).or_default() += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::phrase::both_ways;

    fn road(link: &str) -> RelayCore {
        RelayCore::new(both_ways(link).expect("a link"), 7)
    }

    #[test]
    fn a_datagram_arrives_after_the_delay_of_its_link_and_not_before() {
        let mut road = road("delay 20ms");
        road.send_on(Instant::ZERO, 3, Direction::ToServer, 20, b"hello");
        assert_eq!(road.next(), Some(Instant::from_millis(20)));
        assert_eq!(road.arrive(Instant::from_millis(19)), None);
        let arrival = road.arrive(Instant::from_millis(20)).expect("an arrival");
        assert_eq!(
            (arrival.client, arrival.direction, &*arrival.payload),
            (3, Direction::ToServer, &b"hello"[..])
        );
        assert_eq!(road.arrive(Instant::from_millis(99)), None);
    }

    #[test]
    fn every_datagram_is_accounted_for() {
        let mut road = road("delay 1ms loss 10% duplicate 10% corrupt 10%");
        for client in [0, 1] {
            for _ in 0..500 {
                road.send_on(Instant::ZERO, client, Direction::ToClient, 40, &[0; 100]);
            }
        }
        let arrivals: Vec<_> = std::iter::from_fn(|| road.arrive(Instant::from_millis(1))).collect();
        let counts = &road.counts[1];
        let lost = counts.lost["random"];
        assert!(
            lost > 50 && counts.duplicated > 50 && counts.corrupted > 50,
            "{counts:?}"
        );
        assert_eq!(counts.taken, (1000, 100_000));
        assert_eq!(counts.given.0, 1000 - lost + counts.duplicated);
        assert_eq!(arrivals.len() as u64, counts.given.0);
        let ones = arrivals.iter().flat_map(|arrival| &arrival.payload);
        let flipped: u64 = ones.map(|byte| u64::from(byte.count_ones())).sum();
        assert_eq!(flipped, counts.corrupted, "one bit each");
        assert_eq!(road.bytes, 0);
    }

    #[test]
    fn no_flood_grows_the_relay_without_bound() {
        let mut road = road("delay 1h");
        for _ in 0..MOST_COPIES + 9 {
            road.send_on(Instant::ZERO, 0, Direction::ToServer, 20, b"x");
        }
        assert_eq!(road.under_way.len(), MOST_COPIES);
        assert_eq!(road.counts[0].lost["relay-full"], 9);
        road.forget(0);
        assert_eq!((road.under_way.len(), road.bytes), (0, 0));
    }
}
