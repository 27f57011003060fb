//! Attacks with many datagrams: probes, amplification, floods of replays. Rows 1 to 3 of the table in
//! `SECURITY.md`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_proto::secure::{ConfigError, Server};
use sandhog_proto::{Counters, DropReason, EventKind, Peer, TunnelStatus};

use crate::attacker::{Attempt, Insider, ask, elsewhere};
use crate::support::{
    DELAY, Net, PASSWORD, Seen, client_address, client_config, packet, server_address, server_config,
};

/// Number of datagrams in a flood. WebAssembly takes about ten times as long for each.
const FLOOD: u32 = if cfg!(target_family = "wasm") {
    10_000
} else {
    100_000
};

fn drops(counters: &Counters) -> u64 {
    counters.drops().map(|(_, count)| count).sum()
}

/// A connected client after one rekey. The log contains all datagrams.
fn after_two_minutes() -> Net {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.client_sends(0, packet(&inner, "10.9.0.1", b"there"));
    net.server_sends(packet("10.9.0.1", &inner, b"and back"));
    net.run_for(Duration::from_secs(140));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert!(net.count("rekeyed") >= 1);
    net
}

/// Bytes that differ from all of `recorded`: random, or derived from one of them.
fn probe(rng: &mut ChaCha20Rng, recorded: &[Seen]) -> Vec<u8> {
    let mut below = |most: usize| usize::try_from(rng.next_u32()).unwrap() % most;
    let choice = below(6);
    let mut bytes = recorded[below(recorded.len())].bytes.clone();
    let (place, bit) = (below(bytes.len()), below(8));
    match choice {
        0 => bytes[place] ^= 1 << bit,
        1 => bytes.truncate(place),
        2 => bytes.extend(vec![0; 1 + below(64)]),
        3 => bytes.rotate_left(1 + place / 2),
        4 => {
            bytes.resize(below(1500), 0);
            rng.fill_bytes(&mut bytes);
        }
        _ => {
            bytes.resize(1200, 0);
            rng.fill_bytes(&mut bytes);
        }
    }
    // Half of the random datagrams get a known code.
    if choice >= 4
        && let Some(code) = bytes.first_mut().filter(|code| **code & 1 == 0)
    {
        *code = 1 + *code % 3;
    }
    bytes
}

/// Attack 1: probes without the key.
#[test]
fn probes_without_the_key_get_no_reply_from_either_side() {
    let mut net = after_two_minutes();
    let recorded = std::mem::take(&mut net.log);
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let before = (drops(&net.server.counters()), net.server.gauges());
    for n in 0..FLOOD {
        let from = if n % 2 == 0 {
            client_address(0)
        } else {
            elsewhere(n as u16)
        };
        net.inject(from, server_address(), &probe(&mut rng, &recorded));
    }
    assert!(net.log.is_empty(), "{:?}", net.kinds());
    assert_eq!(drops(&net.server.counters()), before.0 + u64::from(FLOOD));
    assert_eq!(net.server.gauges(), before.1);

    let before = drops(&net.clients[0].peer.counters());
    for n in 0..FLOOD {
        let from = if n % 2 == 0 {
            server_address()
        } else {
            elsewhere(n as u16)
        };
        net.inject(from, client_address(0), &probe(&mut rng, &recorded));
    }
    assert!(net.log.is_empty(), "{:?}", net.kinds());
    let counters = net.clients[0].peer.counters();
    assert_eq!(drops(&counters), before + u64::from(FLOOD));
    assert_eq!(net.clients[0].jobs, 1);

    // The tunnel still works.
    let inner = net.inner(0);
    net.client_sends(0, packet(&inner, "10.9.0.1", b"still there"));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.server_packets.len(), 2);
}

/// Numbers of bytes that an address has sent and received.
#[derive(Default)]
struct Account {
    sent: usize,
    received: usize,
}

/// Attack 2: amplification.
#[test]
fn an_address_without_a_valid_cookie_gets_no_more_bytes_than_it_has_sent() {
    let mut net = after_two_minutes();
    let mut insider = Insider::new(3);
    let mut probes: Vec<Vec<u8>> = net.log.iter().map(|seen| seen.bytes.clone()).collect();
    // Datagrams that need the key: KE1 without a cookie, KE1 with a wrong cookie, KE3 for an unknown index.
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    probes.push(attempt.first_message(&mut insider, None));
    probes.push(attempt.first_message(&mut insider, Some(&[0; 16])));
    probes.push(insider.seal(1, &[&[0x35, 0, 0, 0, 9][..], &[7; 1166]].concat()));
    let mut accounts: BTreeMap<SocketAddr, Account> = BTreeMap::new();
    for (n, bytes) in probes.iter().enumerate() {
        for from in [elsewhere(n as u16), elsewhere(60_000)] {
            // The server answers a datagram once, so each gets a new nonce and the present time.
            let mut bytes = bytes.clone();
            if bytes[0] == 1 {
                let time = insider.at(&net).time.to_be_bytes();
                bytes = insider.changed(&bytes, |body| {
                    if body[0] != 0x35 {
                        body[1..9].copy_from_slice(&time);
                    }
                });
            }
            let answers = ask(&mut net, from, &bytes);
            accounts.entry(from).or_default().sent += bytes.len();
            for answer in answers {
                assert_eq!(answer.to, from, "only the sender gets a reply");
                accounts.entry(from).or_default().received += answer.bytes.len();
            }
        }
        net.run_for(Duration::from_millis(100));
    }
    for (address, account) in &accounts {
        assert!(account.received <= account.sent, "{address}");
    }
    let answered = accounts.values().filter(|account| account.received > 0).count();
    assert!(answered >= 5, "cookies were sent: {answered}");
}

/// Attack 2: amplification with another user's login.
#[test]
fn a_ke3_from_an_address_without_a_cookie_gets_no_reply() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen: &Seen| match seen.kind {
        "ke3" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_millis(200));
    let m3 = Insider::new(3).again(&net.first("ke3").bytes);
    let answers = ask(&mut net, elsewhere(1), &m3);
    assert!(
        answers.iter().all(|seen| seen.to == client_address(0)),
        "{answers:?}"
    );
    // The source of the KE3 is not a known source of the user now, and the user can still log in.
    net.wire = Box::new(|seen: &Seen| vec![(DELAY, seen.clone())]);
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// Attack 2: amplification with a KE3 that the server has accepted.
#[test]
fn an_accepted_ke3_from_another_address_gets_no_settings() {
    let mut net = Net::pair();
    // The settings are lost, so the session stays unconfirmed.
    net.wire = Box::new(|seen: &Seen| match seen.kind {
        "settings" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_millis(200));
    let m3 = net.first("ke3");
    // Without the check of the address, the owner of the first address would get settings for it.
    net.wire = Box::new(|_| vec![]);
    net.run_for(Duration::from_millis(300));
    let before = net.count("settings");
    assert!(before > 0);
    let mut insider = Insider::new(3);
    let again = insider.again(&m3.bytes);
    net.inject(elsewhere(1), m3.to, &again);
    assert_eq!(net.count("settings"), before);
    let again = insider.again(&m3.bytes);
    net.inject(m3.from, m3.to, &again);
    assert_eq!(net.count("settings"), before + 1);
}

/// Attack 2: no reply is longer than its request, even if the server has many settings.
#[test]
fn settings_longer_than_the_datagram_that_they_answer_are_rejected() {
    let mut config = server_config();
    config.routes = (0..32)
        .map(|n| {
            format!("fd00:1234:5678:9abc:def0:1234:5678:{n:x}/128")
                .parse()
                .unwrap()
        })
        .collect();
    assert_eq!(
        Server::new(config.clone()).err(),
        Some(ConfigError::SettingsTooLong)
    );
    config.routes.truncate(16);
    let mut net = Net::new(config, [client_config("kean", 1)]);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    let (asked, answered) = (net.first("ke3").bytes.len(), net.first("settings").bytes.len());
    assert!(answered <= asked, "{answered} for {asked}");
}

/// Work of the server during a flood.
#[derive(Default)]
struct Tally {
    by_kind: BTreeMap<&'static str, u64>,
    most_unauthenticated: usize,
}

impl Tally {
    fn take(&mut self, net: &mut Net) {
        for seen in net.log.drain(..) {
            *self.by_kind.entry(seen.kind).or_default() += 1;
        }
        let unauthenticated = net.server.gauges().unauthenticated;
        self.most_unauthenticated = self.most_unauthenticated.max(unauthenticated);
    }

    fn count(&self, kind: &str) -> u64 {
        self.by_kind.get(kind).copied().unwrap_or_default()
    }
}

/// Sends `flood` during 10 s, each datagram from its own address. After 2 s `anna`, the second client, logs
/// in.
fn flooded(net: &mut Net, flood: impl Iterator<Item = (SocketAddr, Vec<u8>)>) -> Tally {
    let is_host = |to| to == server_address() || to == client_address(0) || to == client_address(1);
    net.wire = Box::new(move |seen: &Seen| match is_host(seen.to) {
        true => vec![(DELAY, seen.clone())],
        false => vec![],
    });
    let mut tally = Tally::default();
    let per_millisecond = usize::try_from(FLOOD).unwrap() / 10_000;
    let mut flood = flood.take(usize::try_from(FLOOD).unwrap());
    for millisecond in 0..10_000 {
        if millisecond == 2000 {
            net.start(1);
        }
        for (from, bytes) in flood.by_ref().take(per_millisecond) {
            net.inject(from, server_address(), &bytes);
        }
        net.run_for(Duration::from_millis(1));
        tally.take(net);
    }
    assert_eq!(flood.next(), None);
    let (at, result) = net.started(1).expect("anna's login is over");
    assert_eq!(result, Ok(()));
    let took = at.saturating_duration_since(net.now - Duration::from_secs(8));
    assert!(took < Duration::from_secs(3), "a genuine login took {took:?}");
    tally
}

/// Number of guesses at a user's password that a stranger has left. Each guess gets a KE2 and stops.
fn guesses_left(net: &mut Net, insider: &mut Insider, login: &str) -> usize {
    (0..12)
        .filter(|n| {
            let attempt = Attempt::new(insider, login, "a guess");
            let from = elsewhere(50_000 + n);
            attempt.begin(insider, net, from).is_some()
        })
        .count()
}

/// Attack 3: a flood of recorded M0 and M1 whose cookie is still valid.
#[test]
fn a_flood_of_replays_costs_no_opaque_computation_no_login_token_and_no_memory() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("anna", 2)],
    );
    net.start(0);
    net.run_for(Duration::from_secs(1));
    let (m0, m1, m3) = (net.first("login"), net.first("login-cookie"), net.first("ke3"));
    net.log.clear();
    let mut n = 0u16;
    let replays = std::iter::repeat_with(|| {
        n = n.wrapping_add(1);
        // From the recorded address, and from other addresses.
        let from = if n.is_multiple_of(4) {
            client_address(0)
        } else {
            elsewhere(n)
        };
        let bytes = [&m0, &m1, &m3][usize::from(n / 4 % 3)].bytes.clone();
        (from, bytes)
    });
    let tally = flooded(&mut net, replays);
    assert_eq!(tally.count("ke2"), 1, "anna's: {:?}", tally.by_kind);
    assert_eq!(tally.most_unauthenticated, 1, "anna's");
    assert_eq!(net.server.session_count(), 2);
    let mut insider = Insider::new(3);
    assert_eq!(guesses_left(&mut net, &mut insider, "kean"), 10);
}

/// Attack 3: a flood of forged M0 and M1 from a holder of the pre-shared key.
#[test]
fn a_flood_of_forgeries_costs_no_opaque_computation_no_login_token_and_no_memory() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("anna", 2)],
    );
    let mut insider = Insider::new(3);
    let forgeries: Vec<Vec<u8>> = (0..500)
        .map(|n| {
            let attempt = Attempt::new(&mut insider, ["kean", "anna", "nobody"][n % 3], "a guess");
            let cookie = insider.random::<16>();
            let message = attempt.first_message(&mut insider, (n % 2 == 0).then_some(&cookie));
            insider.read(&message)
        })
        .collect();
    let mut sealer = Insider::new(4);
    let mut n = 0usize;
    let flood = std::iter::repeat_with(|| {
        n += 1;
        (
            elsewhere(n as u16),
            sealer.seal_bytes(1, &forgeries[n % forgeries.len()]),
        )
    });
    let tally = flooded(&mut net, flood);
    assert_eq!(tally.count("ke2"), 1, "anna's: {:?}", tally.by_kind);
    assert!(
        tally.count("cookie") > 10_000,
        "they were answered: {:?}",
        tally.by_kind
    );
    assert_eq!(tally.most_unauthenticated, 1, "anna's");
    assert_eq!(guesses_left(&mut net, &mut insider, "kean"), 10);
    let is_told = |kind: &EventKind| matches!(kind, EventKind::LoginRefused { .. });
    assert!(!net.server_events.iter().any(|(_, kind)| is_told(kind)));
    assert_eq!(net.server.counters().dropped(DropReason::LoginLimited), 2);
}
