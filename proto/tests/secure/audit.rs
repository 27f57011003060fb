//! Auditor of nonces and deliveries. It checks every datagram and every delivered packet against all earlier
//! ones.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_proto::{Command, EventKind, PacketBuf, TunnelStatus};

use crate::support::{DELAY, Net, Seen, client_config, packet, server_address, server_config};

/// Observations. Keys are different for the two directions.
#[derive(Default)]
pub(crate) struct Audit {
    /// The lowest unused counter of each receiver index. An index that is used again under another key would
    /// have to continue the old counters, so this check is stricter than necessary.
    sessions: BTreeMap<(bool, u32), u64>,
    /// Nonces of control datagrams.
    control: BTreeSet<(u8, [u8; 12])>,
    /// Number of session datagrams.
    pub(crate) datagrams: u64,
    /// Number of rekeys of the client, without logins.
    pub(crate) rekeys: usize,
    /// Packets delivered at the server and at the client.
    pub(crate) delivered: [Deliveries; 2],
}

/// Packets delivered at one end of the tunnel. Each carries the number of the round in which it was sent.
#[derive(Default)]
pub(crate) struct Deliveries {
    rounds: Vec<bool>,
    /// Number of packets.
    pub(crate) count: u64,
}

impl Deliveries {
    /// Checks one packet from one of `senders` for one of `receivers`.
    ///
    /// # Panics
    ///
    /// If the packet was changed or delivered before.
    pub(crate) fn look(&mut self, packet: &PacketBuf, senders: &[String], receivers: &[String]) {
        let round = u64::from_be_bytes(*packet.last_chunk().unwrap());
        let is_one_of_ours = senders
            .iter()
            .flat_map(|from| receivers.iter().map(move |to| numbered(from, to, round)))
            .any(|sent| sent[..] == packet[..]);
        assert!(
            is_one_of_ours,
            "nobody has sent this packet: {:02x?}",
            &packet[..]
        );
        let place = usize::try_from(round).unwrap();
        if self.rounds.len() <= place {
            self.rounds.resize(place + 1, false);
        }
        assert!(!self.rounds[place], "packet {round} was delivered before");
        self.rounds[place] = true;
        self.count += 1;
    }
}

/// The packet of a round.
pub(crate) fn numbered(from: &str, to: &str, round: u64) -> PacketBuf {
    packet(from, to, &round.to_be_bytes())
}

/// Inner address of the server.
pub(crate) const INNER_SERVER: &str = "10.9.0.1";

impl Audit {
    /// Checks one datagram.
    ///
    /// # Panics
    ///
    /// If its nonce was used before for another datagram.
    pub(crate) fn look(&mut self, seen: &Seen) {
        let [code, nonce @ ..] = *seen.bytes.first_chunk::<13>().unwrap();
        if code == 3 {
            let [i0, i1, i2, i3, counter @ ..] = nonce;
            let index = u32::from_be_bytes([i0, i1, i2, i3]);
            let counter = u64::from_be_bytes(counter);
            let next = self
                .sessions
                .entry((seen.from == server_address(), index))
                .or_default();
            assert!(
                counter >= *next,
                "{index:08x} {counter} was used before: {} at {}",
                seen.kind,
                seen.at
            );
            *next = counter + 1;
            self.datagrams += 1;
        } else {
            assert!(
                self.control.insert((code, nonce)),
                "two datagrams under one nonce: {} at {}",
                seen.kind,
                seen.at
            );
        }
    }

    /// Number of keys used in both directions together.
    pub(crate) fn keys(&self) -> usize {
        self.sessions.len()
    }
}

/// A run of this duration with `packets` packets, half of them in each direction. The network loses,
/// duplicates and reorders datagrams. The client roams, sleeps, stops and starts. Keys change every two
/// minutes.
pub(crate) fn audited(packets: u64, life: Duration) -> Audit {
    let mut net = Net::new(server_config(), [client_config("kean", 1)]);
    let (mut count, mut logins) = (0u64, 0u64);
    net.wire = Box::new(move |seen: &Seen| {
        count += 1;
        logins += u64::from(seen.bytes[0] != 3);
        if seen.bytes[0] != 3 && logins % 3 == 1 {
            return vec![];
        }
        let late = DELAY + Duration::from_millis(count % 7);
        match count % 23 {
            0 => vec![],
            1 => vec![(late, seen.clone()), (2 * late, seen.clone())],
            _ => vec![(late, seen.clone())],
        }
    });
    let mut audit = Audit::default();
    // Inner addresses of the client, from login to login.
    let mut inners: Vec<String> = Vec::new();
    let server = [INNER_SERVER.to_owned()];
    let rounds = packets / 2;
    let step = life / u32::try_from(rounds).unwrap();
    let at = |percent: u64| rounds * percent / 100;
    net.start(0);
    net.run_for(Duration::from_secs(10));
    for round in 0..rounds {
        if round % (rounds / 20) == 0 {
            let port = 50_000 + u16::try_from(round / (rounds / 20)).unwrap();
            net.clients[0].address = SocketAddr::new(net.clients[0].address.ip(), port);
        }
        // The run waits until the tunnel is up again where that is needed. Until then the client drops the
        // packets.
        match round {
            _ if round == at(30) => net.command(0, Command::Stop),
            _ if round == at(30) + 1 => net.command(0, Command::Start),
            _ if round == at(60) => net.command(0, Command::Sleep),
            _ if round == at(65) => net.command(0, Command::Wake),
            _ if round == at(80) => net.command(0, Command::NetworkChanged),
            _ => {}
        }
        if net.status(0) == TunnelStatus::Connected {
            let inner = net.inner(0);
            net.client_sends(0, numbered(&inner, INNER_SERVER, round));
            net.server_sends(numbered(INNER_SERVER, &inner, round));
            if !inners.contains(&inner) {
                inners.push(inner);
            }
        }
        net.run_for(step);
        net.log.drain(..).for_each(|seen| audit.look(&seen));
        let is_rekey = |(_, kind): &&(_, EventKind)| matches!(kind, EventKind::Rekeyed { .. });
        audit.rekeys += net.clients[0].events.iter().filter(is_rekey).count();
        let [at_server, at_client] = &mut audit.delivered;
        // Recorded data must stay small in long runs.
        for packet in net.server_packets.drain(..) {
            at_server.look(&packet, &inners, &server);
        }
        for packet in net.clients[0].packets.drain(..) {
            at_client.look(&packet, &server, &inners);
        }
        net.server_events.clear();
        net.clients[0].events.clear();
    }
    assert_eq!(net.status(0), TunnelStatus::Connected);
    audit
}
