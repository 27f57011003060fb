//! Attacks with recorded datagrams: replay, reordering, reflection, delayed copies. Rows 4 to 6, 13 and 16 of
//! the table in `SECURITY.md`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_proto::{Command, DropReason, EventKind, Gauges, Instant, Peer, TunnelStatus};

use crate::attacker::{HandServer, Insider, Session, elsewhere, logged_in};
use crate::support::{
    DELAY, Net, Seen, client_address, client_config, packet, server_address, server_config,
};

/// Observations of two minutes: datagrams, events and deliveries, each with its time.
#[derive(Debug, PartialEq)]
struct Story {
    wire: Vec<(Instant, SocketAddr, SocketAddr, &'static str, usize)>,
    client: Vec<(Instant, EventKind)>,
    server: Vec<(Instant, EventKind)>,
    packets: (usize, usize),
    gauges: Vec<(Gauges, Gauges)>,
    jobs: usize,
}

/// A login, packets, a rekey, an outage with a second login, a stop and a third login. With `replays`, all
/// recorded datagrams arrive again in every state of both sides, from their source and from other addresses.
fn life(replays: bool) -> Story {
    let mut net = Net::pair();
    let mut gauges = Vec::new();
    let mut heard = 0;
    let mut outage = Instant::FAR_FUTURE..Instant::FAR_FUTURE;
    for tick in 0..4000u64 {
        match tick {
            0 | 3500 => net.start(0),
            3000 => net.command(0, Command::Stop),
            2000 => {
                net.wire = Box::new(|_| vec![]);
                outage.start = net.now;
            }
            2300 => {
                net.wire = Box::new(|seen: &Seen| vec![(DELAY, seen.clone())]);
                outage.end = net.now;
            }
            _ => {}
        }
        if tick % 250 == 100 && net.status(0) == TunnelStatus::Connected {
            let inner = net.inner(0);
            net.client_sends(0, packet(&inner, "10.9.0.1", b"there"));
            net.server_sends(packet("10.9.0.1", &inner, b"and back"));
        }
        let step = if tick % 100 < 20 { 10 } else { 110 };
        net.run_for(Duration::from_millis(step));
        if replays && (net.log.len() > heard || tick % 10 == 0) {
            heard = net.log.len();
            replay_all(&mut net, &outage);
            assert_eq!(net.log.len(), heard, "answered: {:?}", &net.kinds()[heard..]);
        }
        gauges.push((net.server.gauges(), net.clients[0].peer.gauges()));
    }
    let replayed: u64 = [&net.server as &dyn Peer, &net.clients[0].peer]
        .iter()
        .flat_map(|peer| peer.counters().drops().collect::<Vec<_>>())
        .map(|(_, count)| count)
        .sum();
    assert_eq!(replayed > 10_000, replays, "{replayed} were dropped");
    let without_drops = |events: &[(Instant, EventKind)]| {
        let told = events
            .iter()
            .filter(|(_, kind)| !matches!(kind, EventKind::Dropped(_)));
        told.cloned().collect()
    };
    let line = |seen: &Seen| (seen.at, seen.from, seen.to, seen.kind, seen.bytes.len());
    Story {
        wire: net.log.iter().map(line).collect(),
        client: without_drops(&net.clients[0].events),
        server: without_drops(&net.server_events),
        packets: (net.server_packets.len(), net.clients[0].packets.len()),
        gauges,
        jobs: net.clients[0].jobs,
    }
}

/// Delivers all datagrams again that have arrived before.
fn replay_all(net: &mut Net, outage: &Range<Instant>) {
    let has_arrived = |seen: &&Seen| net.now >= seen.at + DELAY && !outage.contains(&seen.at);
    let arrived = net.log.iter().filter(has_arrived);
    let recorded: Vec<Seen> = arrived.cloned().collect();
    for (n, seen) in recorded.iter().enumerate() {
        net.inject(elsewhere(n as u16), seen.to, &seen.bytes);
        net.inject(seen.from, seen.to, &seen.bytes);
    }
}

/// Attack 4: replay of all datagrams of logins and sessions.
#[test]
fn replays_of_recorded_datagrams_change_nothing_in_any_later_state() {
    let undisturbed = life(false);
    for kind in [
        "login",
        "login-cookie",
        "cookie",
        "ke2",
        "ke3",
        "settings",
        "data",
        "rekey",
        "rekeyed",
        "ping",
        "pong",
        "bye",
    ] {
        assert!(
            undisturbed.wire.iter().any(|line| line.3 == kind),
            "{kind} was recorded"
        );
    }
    let logins = undisturbed
        .server
        .iter()
        .filter(|(_, kind)| matches!(kind, EventKind::LoggedIn { .. }));
    assert_eq!(logins.count(), 3);
    let disturbed = life(true);
    for (ours, theirs) in disturbed.wire.iter().zip(&undisturbed.wire) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(disturbed.client, undisturbed.client);
    assert_eq!(disturbed.server, undisturbed.server);
    assert!(disturbed == undisturbed, "a replay has changed the result");
}

/// Attack 4: M3 from its own address, while the settings are in flight and afterwards.
#[test]
fn a_retransmitted_m3_gets_rate_limited_settings_until_the_session_is_confirmed() {
    let mut net = Net::pair();
    // The settings are lost, so the session stays unconfirmed.
    net.wire = Box::new(|seen: &Seen| match seen.kind {
        "settings" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_millis(110));
    let m3 = net.first("ke3");
    // After 2 s the client begins the login again.
    let mut insider = Insider::new(3);
    for _ in 0..20 {
        let again = insider.again(&m3.bytes);
        net.inject(m3.from, m3.to, &again);
        net.run_for(Duration::from_millis(50));
    }
    let settings: Vec<Instant> = net
        .log
        .iter()
        .filter(|seen| seen.kind == "settings")
        .map(|seen| seen.at)
        .collect();
    assert!((3..=5).contains(&settings.len()), "{settings:?}");
    assert!(
        settings
            .windows(2)
            .all(|pair| pair[1] >= pair[0] + Duration::from_millis(250))
    );
    assert_eq!(net.server.session_count(), 1);
    net.wire = Box::new(|seen: &Seen| vec![(DELAY, seen.clone())]);
    net.run_for(Duration::from_secs(5));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    let before = net.count("settings");
    let again = insider.again(&m3.bytes);
    net.inject(m3.from, m3.to, &again);
    assert_eq!((net.count("settings"), net.server.session_count()), (before, 1));
}

/// The smallest IPv4 packet from and to these addresses.
fn small(from: &str, to: &str) -> Vec<u8> {
    packet(from, to, b"").to_vec()
}

/// Attack 5: replay and reordering exactly at the edge of the window.
#[test]
fn a_datagram_at_most_8192_behind_the_newest_is_accepted_once() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (session, settings) = logged_in(&mut net, &mut insider, "kean");
    let inner = settings["addr4"]
        .as_str()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let body = small(&inner, "10.9.0.1");
    let mut is_taken = |counter: u64| {
        let before = net.server_packets.len();
        net.inject(elsewhere(1), server_address(), &session.seal_at(counter, &body));
        net.server_packets.len() > before
    };
    let limit = u64::MAX - (1 << 13);
    let steps = [
        (20_000, true),
        (20_000, false),
        (20_000 - 8192, true),
        (20_000 - 8192, false),
        (20_000 - 8193, false),
        (20_001, true),
        (20_000 - 8192, false),
        (20_001 - 8191, true),
        (19_999, true),
        (19_999, false),
        (limit, false),
        (u64::MAX, false),
        (limit - 1, true),
        (limit - 1, false),
        (limit - 1 - 8192, true),
        (limit - 2 - 8192, false),
        (20_002, false),
    ];
    for (n, (counter, expected)) in steps.into_iter().enumerate() {
        assert_eq!(is_taken(counter), expected, "step {n}: {counter}");
    }
    assert_eq!(net.server.counters().dropped(DropReason::Replayed), 10);
}

/// Attack 5: comparison with a model, for any order of counters.
#[test]
fn a_server_accepts_the_same_datagrams_as_a_model_of_the_replay_window() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (session, settings) = logged_in(&mut net, &mut insider, "kean");
    let inner = settings["addr4"]
        .as_str()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let body = small(&inner, "10.9.0.1");
    let mut rng = ChaCha20Rng::from_seed([5; 32]);
    // The ping of the login had counter 0.
    let (mut newest, mut seen) = (0u64, BTreeSet::from([0u64]));
    let mut taken = 0;
    for n in 0..30_000 {
        let (choice, distance) = (rng.next_u32() % 8, u64::from(rng.next_u32()));
        let counter = match choice {
            0 => newest + 1,
            1 => newest + distance % 100,
            2 if distance % 50 == 0 => newest + distance % 20_000,
            3 => newest.saturating_sub(8192 + distance % 4),
            4 => newest.saturating_sub(8190 + distance % 4),
            _ => newest.saturating_sub(distance % 9000),
        };
        let expected = counter + 8192 >= newest && seen.insert(counter);
        newest = if expected { newest.max(counter) } else { newest };
        net.inject(elsewhere(1), server_address(), &session.seal_at(counter, &body));
        taken += usize::from(expected);
        assert_eq!(
            net.server_packets.len(),
            taken,
            "step {n}: {counter}, newest {newest}"
        );
    }
    assert!(taken > 5000 && taken < 25_000, "{taken}");
    assert!(newest > 50_000, "{newest}");
}

/// A datagram for the same receiver with another counter, followed by garbage.
fn forged(genuine: &[u8], counter: u64) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    bytes[5..13].copy_from_slice(&counter.to_be_bytes());
    bytes
}

/// Attack 6: a forgery that would move the window.
#[test]
fn a_forged_counter_of_two_to_the_63_moves_neither_window_nor_address() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    let (there, back) = (packet(&inner, "10.9.0.1", b"x"), packet("10.9.0.1", &inner, b"x"));
    net.client_sends(0, there.clone());
    net.server_sends(back.clone());
    let (up, down) = (
        net.log[net.log.len() - 2].clone(),
        net.log[net.log.len() - 1].clone(),
    );
    net.run_for(Duration::from_millis(100));
    for counter in [1 << 63, 3, 100, 9000, u64::MAX - (1 << 13) - 1] {
        for from in [client_address(0), elsewhere(1)] {
            net.inject(from, server_address(), &forged(&up.bytes, counter));
        }
        for from in [server_address(), elsewhere(1)] {
            net.inject(from, client_address(0), &forged(&down.bytes, counter));
        }
    }
    for peer in [&net.server as &dyn Peer, &net.clients[0].peer] {
        assert_eq!(peer.counters().dropped(DropReason::AuthenticationFailed), 10);
    }
    for _ in 0..50 {
        net.client_sends(0, there.clone());
        net.server_sends(back.clone());
    }
    net.run_for(Duration::from_millis(100));
    assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (51, 51));
    let is_move = |kind: &EventKind| matches!(kind, EventKind::Roamed { .. });
    assert!(
        !net.server_events
            .iter()
            .chain(&net.clients[0].events)
            .any(|(_, kind)| is_move(kind))
    );
}

/// Attack 13: reflection.
#[test]
fn every_reflected_datagram_is_dropped() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen: &Seen| {
        let back = Seen {
            from: seen.to,
            to: seen.from,
            ..seen.clone()
        };
        vec![
            (Duration::ZERO, back.clone()),
            (DELAY, seen.clone()),
            (DELAY, back),
        ]
    });
    net.start(0);
    net.run_for(Duration::from_secs(1));
    let inner = net.inner(0);
    for _ in 0..30 {
        net.client_sends(0, packet(&inner, "10.9.0.1", b"there"));
        net.server_sends(packet("10.9.0.1", &inner, b"and back"));
        net.run_for(Duration::from_secs(10));
    }
    net.run_for(Duration::from_secs(1));
    assert!(net.count("rekeyed") >= 2);
    assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (30, 30));
    for (peer, address) in [
        (&net.server as &dyn Peer, server_address()),
        (&net.clients[0].peer, client_address(0)),
    ] {
        let sent = net.log.iter().filter(|seen| seen.from == address).count() as u64;
        let drops: Vec<_> = peer.counters().drops().collect();
        assert_eq!(
            drops.iter().map(|(_, count)| count).sum::<u64>(),
            2 * sent,
            "{drops:?}"
        );
        let reasons = [DropReason::InvalidCode, DropReason::UnknownIndex];
        assert!(
            drops.iter().all(|(reason, _)| reasons.contains(reason)),
            "{drops:?}"
        );
    }
}

/// Address to which the server sends a packet for the client's inner address.
fn server_sends_to(net: &mut Net, inner: &str) -> SocketAddr {
    net.server_sends(packet("10.9.0.1", inner, b"where are you"));
    net.log.last().unwrap().to
}

/// Attack 16: hijacking a session with an old copy.
#[test]
fn copies_late_packets_and_packets_of_old_epochs_do_not_move_a_session() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, settings) = logged_in(&mut net, &mut insider, "kean");
    let inner = settings["addr4"]
        .as_str()
        .unwrap()
        .split('/')
        .next()
        .unwrap()
        .to_owned();
    let body = small(&inner, "10.9.0.1");
    let (home, thief) = (elsewhere(1), elsewhere(2));
    let copy = session.seal(&body);
    let late = session.seal(&body);
    let held_back = session.seal_at(1000, &body);
    for bytes in [&copy, &session.seal(&body)] {
        net.inject(home, server_address(), bytes);
    }
    // A copy, and a datagram that was delayed and is older than the newest.
    for bytes in [&copy, &late] {
        net.inject(thief, server_address(), bytes);
        assert_eq!(server_sends_to(&mut net, &inner), home);
    }
    assert_eq!(net.server_packets.len(), 3, "the late one was taken");
    // A datagram of the previous epoch, newer than all that arrived in that epoch.
    session.rekey(&mut insider, &mut net, home);
    net.inject(home, server_address(), &session.seal(&body));
    net.inject(thief, server_address(), &held_back);
    assert_eq!(server_sends_to(&mut net, &inner), home);
    assert_eq!(net.server_packets.len(), 5, "it was taken, too");
    let is_move = |kind: &EventKind| matches!(kind, EventKind::Roamed { .. });
    assert!(!net.server_events.iter().any(|(_, kind)| is_move(kind)));
    // Only a new datagram moves the session.
    net.inject(thief, server_address(), &session.seal(&body));
    assert_eq!(server_sends_to(&mut net, &inner), thief);
}

/// Attack 16: the client does not follow an attacker either.
#[test]
fn copies_and_late_packets_do_not_move_a_client_to_another_server() {
    let mut net = Net::new(server_config(), [client_config("kean", 1)]);
    let mut insider = Insider::new(3);
    let mut session = by_hand_server(&mut net, &mut insider);
    let inner = net.inner(0);
    let body = small("10.9.0.1", &inner);
    let (copy, late, newest) = (session.seal(&body), session.seal(&body), session.seal(&body));
    for bytes in [&copy, &newest] {
        net.inject(server_address(), client_address(0), bytes);
    }
    for bytes in [&copy, &late] {
        net.inject(elsewhere(2), client_address(0), bytes);
        net.client_sends(0, packet(&inner, "10.9.0.1", b"where are you"));
        assert_eq!(net.log.last().unwrap().to, server_address());
    }
    assert_eq!(net.clients[0].packets.len(), 3);
    assert_eq!(net.clients[0].peer.counters().dropped(DropReason::Replayed), 1);
}

/// Logs client 0 in at a hand-made server. Afterwards all datagrams are lost.
pub(crate) fn by_hand_server(net: &mut Net, insider: &mut Insider) -> Session {
    net.wire = Box::new(|_| vec![]);
    net.start(0);
    let mut server = HandServer::genuine();
    let m0 = net.first("login");
    let m0r = server.cookie(insider, &m0.bytes);
    net.inject(server_address(), client_address(0), &m0r);
    let m1 = net.first("login-cookie");
    let m2 = server.ke2(insider, &m1.bytes);
    net.inject(server_address(), client_address(0), &m2);
    let m3 = net.first("ke3");
    let mut session = server.finish(insider, &m3.bytes).expect("KE3 is right");
    let settings =
        br#"{"isOK":true,"addr4":"10.9.0.2/24","mtu":1420,"dns":[],"search":[],"routes":[],"keepalive":0}"#;
    let m4 = session.seal(settings);
    net.inject(server_address(), client_address(0), &m4);
    assert_eq!(net.status(0), TunnelStatus::Connected);
    session
}
