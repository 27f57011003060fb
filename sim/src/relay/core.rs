//! Datagrams in flight between the clients of a relay and its server. Without clock and sockets.

use std::collections::BTreeMap;

use sandhog_lab::link::{Copy, Fate, LinkConfig, LinkDirection, LossReason};
use sandhog_peer::Instant;

/// Largest number of copies in flight. Copies above the limit are lost.
const MAX_COPIES: usize = 1 << 16;
/// Largest number of bytes in flight. Copies above the limit are lost.
const MAX_BYTES: usize = 64 << 20;

/// Direction of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    /// From a client to the server.
    ToServer,
    /// From the server to a client.
    ToClient,
}

/// Counters of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Datagrams that arrived at the relay, and their bytes.
    pub(super) received: (u64, u64),
    /// Copies that were due, and their bytes.
    pub(super) forwarded: (u64, u64),
    /// Datagrams that were duplicated.
    pub(super) duplicated: u64,
    /// Copies with a flipped bit.
    pub(super) corrupted: u64,
    /// Lost copies, by reason.
    pub(super) lost: BTreeMap<&'static str, u64>,
}

/// A copy at the end of its link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrival {
    /// The number of the client.
    pub(super) client: u16,
    pub(super) direction: Direction,
    pub(super) payload: Vec<u8>,
}

/// The links of all clients, and the copies in flight on them.
#[derive(Debug)]
pub(super) struct RelayCore {
    config: [LinkConfig; 2],
    seed: u64,
    links: BTreeMap<u16, [LinkDirection; 2]>,
    in_flight: BTreeMap<(Instant, u64), Arrival>,
    /// Bytes in flight.
    bytes: usize,
    /// Number of all copies so far, which makes the keys of `in_flight` unique.
    copies: u64,
    counts: [Counts; 2],
}

impl RelayCore {
    pub(super) fn new(config: [LinkConfig; 2], seed: u64) -> Self {
        Self {
            config,
            seed,
            links: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            bytes: 0,
            copies: 0,
            counts: [Counts::default(), Counts::default()],
        }
    }

    /// Sends a datagram on the link of `client`. A new client gets a new link. `header_len` is the length of the IP header.
    pub(super) fn send(
        &mut self,
        now: Instant,
        client: u16,
        direction: Direction,
        header_len: u64,
        payload: &[u8],
    ) {
        let (config, seed) = (&self.config, self.seed);
        let link = self.links.entry(client).or_insert_with(|| {
            let [to_server, to_client] = config.clone();
            // The server has the number 0, as in a scenario.
            let client = client.saturating_add(1);
            [
                LinkDirection::new(to_server, seed, client, 0),
                LinkDirection::new(to_client, seed, 0, client),
            ]
        });
        let payload_len = payload.len() as u64;
        let counts = &mut self.counts[direction as usize];
        counts.received.0 += 1;
        counts.received.1 += payload_len;
        let ip_len = header_len + 8 + payload_len;
        let (_, fate) = link[direction as usize].decide(now, "", ip_len, payload_len);
        match fate {
            Fate::Lost(reason) => counts.lose(reason.name()),
            Fate::Copies([first, second]) => {
                counts.duplicated += u64::from(second.is_some());
                for copy in [first, second].into_iter().flatten() {
                    self.send_copy(now, client, direction, copy, payload);
                }
            }
        }
    }

    fn send_copy(
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
        if self.in_flight.len() >= MAX_COPIES || self.bytes + payload.len() > MAX_BYTES {
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
        self.in_flight.insert((now + copy.after, self.copies), arrival);
    }

    /// The time at which the next copy arrives.
    pub(super) fn next(&self) -> Option<Instant> {
        self.in_flight.keys().next().map(|(at, _)| *at)
    }

    /// The next copy that has arrived by `now`.
    pub(super) fn arrive(&mut self, now: Instant) -> Option<Arrival> {
        let entry = self.in_flight.first_entry()?;
        if entry.key().0 > now {
            return None;
        }
        let arrival = entry.remove();
        self.bytes -= arrival.payload.len();
        let counts = &mut self.counts[arrival.direction as usize];
        counts.forwarded.0 += 1;
        counts.forwarded.1 += arrival.payload.len() as u64;
        Some(arrival)
    }

    /// Counts a datagram that the relay could not receive or send.
    pub(super) fn lose(&mut self, direction: Direction, reason: &'static str) {
        self.counts[direction as usize].lose(reason);
    }

    /// Removes a client. Its copies in flight are lost.
    pub(super) fn forget(&mut self, client: u16) {
        self.links.remove(&client);
        let gone: Vec<_> = self
            .in_flight
            .iter()
            .filter(|(_, arrival)| arrival.client == client)
            .map(|(key, _)| *key)
            .collect();
        for key in gone {
            if let Some(arrival) = self.in_flight.remove(&key) {
                self.bytes -= arrival.payload.len();
                self.counts[arrival.direction as usize].lose("client-forgotten");
            }
        }
    }

    /// The counters as text, one line for each direction.
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
                counts.received.0,
                counts.received.1,
                counts.forwarded.0,
                counts.forwarded.1,
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
    use crate::relay::link_spec::both_ways;

    fn core(link: &str) -> RelayCore {
        RelayCore::new(both_ways(link).expect("a link"), 7)
    }

    #[test]
    fn a_datagram_arrives_after_the_delay_of_its_link_and_not_before() {
        let mut core = core("delay 20ms");
        core.send(Instant::ZERO, 3, Direction::ToServer, 20, b"hello");
        assert_eq!(core.next(), Some(Instant::from_millis(20)));
        assert_eq!(core.arrive(Instant::from_millis(19)), None);
        let arrival = core.arrive(Instant::from_millis(20)).expect("an arrival");
        assert_eq!(
            (arrival.client, arrival.direction, &*arrival.payload),
            (3, Direction::ToServer, &b"hello"[..])
        );
        assert_eq!(core.arrive(Instant::from_millis(99)), None);
    }

    #[test]
    fn every_datagram_is_counted_as_forwarded_or_lost() {
        let mut core = core("delay 1ms loss 10% duplicate 10% corrupt 10%");
        for client in [0, 1] {
            for _ in 0..500 {
                core.send(Instant::ZERO, client, Direction::ToClient, 40, &[0; 100]);
            }
        }
        let arrivals: Vec<_> = std::iter::from_fn(|| core.arrive(Instant::from_millis(1))).collect();
        let counts = &core.counts[1];
        let lost = counts.lost["random"];
        assert!(
            lost > 50 && counts.duplicated > 50 && counts.corrupted > 50,
            "{counts:?}"
        );
        assert_eq!(counts.received, (1000, 100_000));
        assert_eq!(counts.forwarded.0, 1000 - lost + counts.duplicated);
        assert_eq!(arrivals.len() as u64, counts.forwarded.0);
        let ones = arrivals.iter().flat_map(|arrival| &arrival.payload);
        let flipped: u64 = ones.map(|byte| u64::from(byte.count_ones())).sum();
        assert_eq!(flipped, counts.corrupted, "one bit each");
        assert_eq!(core.bytes, 0);
    }

    #[test]
    fn a_flood_is_lost_above_the_limit_of_copies_in_flight() {
        let mut core = core("delay 1h");
        for _ in 0..MAX_COPIES + 9 {
            core.send(Instant::ZERO, 0, Direction::ToServer, 20, b"x");
        }
        assert_eq!(core.in_flight.len(), MAX_COPIES);
        assert_eq!(core.counts[0].lost["relay-full"], 9);
        core.forget(0);
        assert_eq!((core.in_flight.len(), core.bytes), (0, 0));
    }
}
