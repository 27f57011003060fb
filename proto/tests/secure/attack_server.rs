//! Attacks on the server as a whole: finding it with recorded datagrams, locking users out, reading names, and recording for a
//! quantum computer. Rows 9, 28, 29 and 30 of the table in `SECURITY.md`.

use std::time::Duration;

use sandhog_proto::secure::{ConfigError, Psk, Server, ServerConfig, WallClock};
use sandhog_proto::{DropReason, EventKind, Instant, Peer, TunnelStatus};

use crate::attacker::{Attempt, Insider, PSK, ask, elsewhere, logged_in};
use crate::support::{
    DELAY, Net, PASSWORD, START, Seen, client_address, client_config, psk, server_address, server_config,
};

/// Number of replays. WebAssembly takes about ten times as long for each.
const REPLAYS: usize = if cfg!(target_family = "wasm") {
    10_000
} else {
    100_000
};

fn wall(now: Instant) -> u64 {
    START + now.as_nanos() / 1_000_000
}

/// Starts the server again, without its memory.
fn restart(net: &mut Net) {
    net.server = Server::new(ServerConfig {
        clock: Some(WallClock::new(net.now, wall(net.now))),
        seed: [77; 32],
        ..server_config()
    })
    .unwrap();
}

/// Sends recorded datagrams again, from their own address and from others.
fn replay(net: &mut Net, recorded: &[Seen], times: usize) {
    let before = net.log.len();
    for n in 0..times {
        let seen = &recorded[n % recorded.len()];
        let from = if n % 2 == 0 {
            seen.from
        } else {
            elsewhere(n as u16)
        };
        net.inject(from, server_address(), &seen.bytes);
    }
    assert_eq!(net.log.len(), before, "{:?}", &net.kinds()[before..]);
}

/// Attack 28: recorded first messages, to find a server or to make it send to a forged address.
#[test]
fn replays_of_recorded_m0_m1_and_m3_get_no_byte_also_after_60_s_and_after_a_restart() {
    let mut net = Net::connected();
    let is_first = |seen: &&Seen| ["login", "login-cookie", "ke3"].contains(&seen.kind);
    let recorded: Vec<Seen> = net.log.iter().filter(is_first).cloned().collect();
    assert_eq!(recorded.len(), 3);
    replay(&mut net, &recorded, REPLAYS / 4);
    net.run_for(Duration::from_secs(61));
    replay(&mut net, &recorded, REPLAYS / 4);
    restart(&mut net);
    replay(&mut net, &recorded, REPLAYS / 4);
    net.run_for(Duration::from_secs(3));
    replay(&mut net, &recorded, REPLAYS / 4);
}

/// Attack 28: first messages that were recorded seconds before a restart.
#[test]
fn first_messages_from_before_a_restart_get_no_answer_after_it() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    net.run_for(Duration::from_secs(5));
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let before = attempt.first_message(insider.at(&net), None);
    net.run_for(Duration::from_millis(1));
    restart(&mut net);
    assert!(ask(&mut net, elsewhere(1), &before).is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::Stale), 1);
    let after = attempt.first_message(insider.at(&net), None);
    assert_eq!(ask(&mut net, elsewhere(1), &after).len(), 1);
}

/// Attack 28: messages that are kept back.
#[test]
fn a_server_answers_clocks_within_30_s_and_no_others() {
    for (difference, is_answered) in [
        (-30_001i64, false),
        (-30_000, true),
        (0, true),
        (30_000, true),
        (30_001, false),
        (-31_536_000_000, false),
        (31_536_000_000, false),
    ] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        net.run_for(Duration::from_secs(100));
        let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
        insider.at(&net).time = wall(net.now).saturating_add_signed(difference);
        let m0 = attempt.first_message(&mut insider, None);
        let answers = ask(&mut net, elsewhere(1), &m0);
        assert_eq!(!answers.is_empty(), is_answered, "{difference} ms");
    }
}

#[test]
fn a_client_whose_clock_is_a_year_off_times_out_and_the_server_counts_it() {
    for clock in [None, Some(WallClock::new(Instant::ZERO, START + 31_536_000_000))] {
        let mut config = client_config("kean", 1);
        config.clock = clock;
        let mut net = Net::new(server_config(), [config]);
        net.start(0);
        net.run_for(Duration::from_secs(11));
        assert_eq!(net.started(0).unwrap().1, Err("connection-timed-out"));
        assert!(net.server.counters().dropped(DropReason::Stale) > 20);
        assert!(
            net.log.iter().all(|seen| seen.from != server_address()),
            "silence"
        );
    }
}

#[test]
fn a_server_that_does_not_check_clocks_answers_a_client_without_one() {
    let mut config = client_config("kean", 1);
    config.clock = None;
    let server = ServerConfig {
        checks_clock: false,
        ..server_config()
    };
    let mut net = Net::new(server, [config]);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// A client's clock is set an hour back while the tunnel is up. The client knows the server's clock from M4.
#[test]
fn a_clock_that_is_set_wrong_later_does_not_stop_a_client_from_logging_in_again() {
    let mut net = Net::connected();
    let now = net.now;
    net.clients[0].peer.set_clock(now, START - 3_600_000);
    restart(&mut net);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert_eq!(net.server.session_count(), 1);
}

/// The server's clock was an hour ahead, and is set right. The client's own clock was right all the time.
#[test]
fn a_server_whose_clock_is_set_right_later_accepts_its_clients_again() {
    let mut config = client_config("kean", 1);
    let ahead = WallClock::new(Instant::ZERO, START + 3_600_000);
    config.clock = Some(ahead);
    let server = ServerConfig {
        clock: Some(ahead),
        ..server_config()
    };
    let mut net = Net::new(server, [config]);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    let now = net.now;
    net.clients[0].peer.set_clock(now, wall(now));
    restart(&mut net);
    net.run_for(Duration::from_secs(120));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// Attack 9: locking everybody out with begun logins from many networks.
#[test]
fn a_flood_of_begun_logins_from_256_networks_delays_no_honest_login() {
    let mut net = Net::new(server_config(), [client_config("kean", 1)]);
    let mut insider = Insider::new(3);
    net.wire = Box::new(|seen: &Seen| {
        let is_honest = [seen.from, seen.to].contains(&client_address(0));
        if is_honest {
            vec![(DELAY, seen.clone())]
        } else {
            vec![]
        }
    });
    // 400 begun logins a second, each for another user.
    for n in 0..4_000u32 {
        let attempt = Attempt::new(&mut insider, &format!("user{n}"), "a guess");
        let from = std::net::SocketAddr::from(([10, (n % 256) as u8, 0, 1], 40_000));
        attempt.begin(&mut insider, &mut net, from);
        net.run_for(Duration::from_micros(2_500));
        if n == 3_000 {
            net.start(0);
        }
    }
    let (at, result) = net.started(0).expect("the login is over");
    let begun = Instant::ZERO + Duration::from_micros(3_001 * 2_500);
    assert_eq!(result, Ok(()));
    assert!(
        at.saturating_duration_since(begun) < Duration::from_secs(1),
        "{at}"
    );
    assert!(net.server.half_open_count() <= 768);
}

/// Attack 29: a holder of the pre-shared key reads along.
#[test]
fn names_and_tickets_are_readable_to_the_server_only() {
    let mut net = Net::pair();
    net.start(0);
    net.run_for(Duration::from_secs(1));
    let insider = Insider::new(3);
    for seen in net.log.iter().filter(|seen| seen.bytes[0] != 3) {
        let body = insider.read(&seen.bytes);
        assert!(!body.windows(4).any(|bytes| bytes == b"kean"), "{}", seen.kind);
    }
    // A server with the pre-shared key, but another X25519 key, cannot open M1.
    let mut other = Net::pair();
    other.server = Server::new(ServerConfig {
        setup: sandhog_proto::secure::ServerSetup::generate(
            &mut <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([8; 32]),
        ),
        ..server_config()
    })
    .unwrap();
    let mut insider = Insider::new(3);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    assert!(attempt.begin(&mut insider, &mut other, elsewhere(1)).is_none());
    assert_eq!(other.server.counters().dropped(DropReason::OtherServer), 1);
}

/// Attack 30: traffic that is recorded today and read with a quantum computer.
#[test]
fn the_keys_of_a_login_depend_on_ml_kem_and_on_the_transcript() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let m2 = attempt.begin(&mut insider, &mut net, elsewhere(1)).unwrap();
    let (m3, session) = attempt.confirm(&mut insider, &m2);
    // The same login with another ciphertext for the server's key.
    let (_, other) = attempt.confirm(&mut insider, &m2);
    let m4 = ask(&mut net, elsewhere(1), &m3);
    assert!(session.open(&m4[0].bytes).is_some());
    assert!(other.open(&m4[0].bytes).is_none());
}

/// Attack 30: a later theft of the server's keys.
#[test]
fn a_client_changes_to_keys_without_the_servers_static_key_as_soon_as_it_is_up() {
    let mut net = Net::pair();
    net.start(0);
    net.run_for(Duration::from_millis(200));
    let (up, _) = net.started(0).unwrap();
    let is_rekeyed = |(_, kind): &&(Instant, EventKind)| matches!(kind, EventKind::Rekeyed { epoch: 1 });
    let (at, _) = net.clients[0].events.iter().find(is_rekeyed).unwrap();
    assert_eq!(at.saturating_duration_since(up), 2 * DELAY);
}

/// Two pre-shared keys at a time, so that clients can change one after the other.
#[test]
fn clients_with_either_of_two_pre_shared_keys_can_log_in() {
    let other = Psk::new([0x77; 32]).unwrap();
    let server = ServerConfig {
        second_psk: Some(other.clone()),
        ..server_config()
    };
    let mut config = client_config("anna", 2);
    config.psk = other;
    let mut net = Net::new(server, [client_config("kean", 1), config]);
    net.start(0);
    net.start(1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(
        (net.started(0).unwrap().1, net.started(1).unwrap().1),
        (Ok(()), Ok(()))
    );
}

#[test]
fn answers_to_a_client_use_the_pre_shared_key_of_its_login() {
    let server = ServerConfig {
        psk: Psk::new([0x77; 32]).unwrap(),
        second_psk: Some(psk()),
        ..server_config()
    };
    let mut net = Net::new(server, []);
    let mut insider = Insider::new(3);
    let (_, settings) = logged_in(&mut net, &mut insider, "kean");
    assert_eq!(settings["isOK"], true);
    // M3 under the other key is not accepted, although both keys are valid.
    let attempt = Attempt::new(&mut insider, "anna", PASSWORD);
    let m2 = attempt.begin(&mut insider, &mut net, elsewhere(2)).unwrap();
    let (m3, _) = attempt.confirm(&mut insider, &m2);
    let body = insider.read(&m3);
    let sealed = Insider::with_key(4, &[0x77; 32]).seal_bytes(1, &body);
    assert!(ask(&mut net, elsewhere(2), &sealed).is_empty());
    assert_eq!(ask(&mut net, elsewhere(2), &m3).len(), 1);
}

#[test]
fn two_equal_pre_shared_keys_are_a_configuration_error() {
    let config = ServerConfig {
        second_psk: Some(Psk::new(PSK).unwrap()),
        ..server_config()
    };
    assert_eq!(Server::new(config).err(), Some(ConfigError::EqualKeys));
}
