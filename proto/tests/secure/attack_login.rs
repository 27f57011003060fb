//! Attacks on the login: guessing, lockout, user enumeration, rogue servers, stolen cookies. Rows 8 to 12, 20
//! and 24 of the table in `SECURITY.md`.

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{ServerConfig, ServerSetup, Suite, User, WallClock, register};
use sandhog_proto::{Command, DropReason, EventKind, Instant, Peer, TunnelStatus};

use crate::attacker::{Attempt, Insider, ask, client_index, context, elsewhere};
use crate::hand_server::HandServer;
use crate::support::{
    DELAY, Net, PASSWORD, START, Seen, client_address, client_config, login, server_address, server_config,
    setup, store, user,
};

/// Requests a KE2 from the n-th stranger's address and stops. Returns true if the KE2 arrived.
fn guess(net: &mut Net, insider: &mut Insider, name: &str, n: u16) -> bool {
    let attempt = Attempt::new(insider, name, "a guess");
    let Some(m2) = attempt.begin(insider, net, elsewhere(n)) else {
        return false;
    };
    let context = context(attempt.index, m2.index);
    assert!(attempt.finish(&context, &m2.ke2).is_none(), "guessed");
    true
}

/// Attack 8: stopping before KE3, to test a guess without being counted.
#[test]
fn the_eleventh_ke1_without_ke3_gets_no_ke2_for_known_and_unknown_names() {
    for name in ["kean", "nobody"] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let answered: Vec<bool> = (0..11).map(|n| guess(&mut net, &mut insider, name, n)).collect();
        assert_eq!(answered, [[true; 10].as_slice(), &[false]].concat(), "{name}");
        assert_eq!(net.server.counters().dropped(DropReason::LoginLimited), 1);
        // One guess returns per minute. After a longer wait there are at most ten.
        for (n, (wait, expected)) in [(59, 0), (1, 1), (60, 1), (3600, 10)].into_iter().enumerate() {
            net.run_for(Duration::from_secs(wait));
            let base = 100 * (n as u16 + 1);
            let more = (0..12)
                .filter(|m| guess(&mut net, &mut insider, name, base + m))
                .count();
            assert_eq!(more, expected, "{name}, after {wait} s");
        }
    }
}

/// Attack 9: locking a user out.
#[test]
fn a_user_with_a_ticket_is_not_locked_out_by_a_stranger_not_even_somewhere_new() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("kean", 2)],
    );
    net.start(0);
    net.run_for(Duration::from_secs(1));
    net.command(0, Command::Stop);
    let mut insider = Insider::new(3);
    // The attack lasts an hour, so the returning guesses are used up too.
    for n in 0..3600 {
        guess(&mut net, &mut insider, "kean", n);
        net.run_for(Duration::from_secs(1));
    }
    assert!(net.server.counters().dropped(DropReason::LoginLimited) > 3500);
    guess(&mut net, &mut insider, "kean", 3600);
    net.start(1);
    net.run_for(Duration::from_secs(11));
    assert_eq!(
        net.started(1).unwrap().1,
        Err("connection-timed-out"),
        "without a ticket"
    );
    net.clients[0].events.clear();
    // The ticket survives a restart of the server, and a move of the client.
    net.server = sandhog_proto::secure::Server::new(ServerConfig {
        clock: Some(WallClock::new(net.now, START + net.now.as_nanos() / 1_000_000)),
        ..server_config()
    })
    .unwrap();
    for n in 0..12 {
        guess(&mut net, &mut insider, "kean", n);
    }
    net.clients[0].address = elsewhere(4000);
    let begun = net.now;
    net.start(0);
    net.run_for(Duration::from_secs(3));
    let (at, result) = net.started(0).expect("in less than 3 s");
    assert_eq!((result, at < begun + Duration::from_secs(3)), (Ok(()), true));
}

/// Attack 9: a thief of a ticket uses up its attempts.
#[test]
fn a_client_whose_ticket_is_used_up_logs_in_without_it() {
    let mut net = Net::connected();
    let mut insider = Insider::new(3);
    let user = user("kean");
    let ticket = setup().ticket(&login("kean"), &user.record, START / 1000);
    net.command(0, Command::Sleep);
    net.run_for(Duration::from_secs(20));
    net.command(0, Command::Wake);
    for n in 0..120u16 {
        let mut attempt = Attempt::new(&mut insider, "kean", "a guess");
        attempt.ticket = ticket;
        attempt.begin(&mut insider, &mut net, elsewhere(n));
        net.run_for(Duration::from_millis(1));
    }
    net.clients[0].address = client_address(7);
    net.command(0, Command::NetworkChanged);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// Attack 9: using up the limit of an address in its name.
#[test]
fn replays_with_a_forged_address_do_not_use_up_the_limit_of_its_owner() {
    let mut net = Net::connected();
    let recorded = ["login", "login-cookie", "ke3"].map(|kind| net.first(kind).bytes);
    net.command(0, Command::Stop);
    net.run_for(Duration::from_secs(1));
    net.log.clear();
    net.start(0);
    for n in 0..3000 {
        net.inject(client_address(0), server_address(), &recorded[n % 3]);
        net.run_for(Duration::from_millis(1));
        if net.status(0) == TunnelStatus::Connected {
            break;
        }
    }
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert_eq!(net.count("ke2"), 1, "the genuine one");
    assert_eq!(net.count("login"), 1, "no retransmission was needed");
}

/// View of a holder of the pre-shared key of a control datagram: time, direction, length and first byte.
type Line = (Instant, SocketAddr, SocketAddr, usize, u8);

/// A dozen rejected logins as seen on the network, at the client and at the server.
#[derive(Debug, PartialEq)]
struct Transcript {
    wire: Vec<Line>,
    client: Vec<(Instant, EventKind)>,
    server: Vec<(Instant, EventKind)>,
    drops: Vec<(DropReason, u64)>,
}

/// A dozen logins as `name` with a wrong password.
fn rejected(name: &str) -> Transcript {
    let disabled = User {
        disabled: true,
        ..user("anna")
    };
    let mut client = client_config(name, 1);
    client.password = "wrong".to_owned().into();
    let config = ServerConfig {
        users: store([user("kean"), disabled]),
        ..server_config()
    };
    let mut net = Net::new(config, [client]);
    for _ in 0..12 {
        net.start(0);
        while net.status(0) != TunnelStatus::Disconnected {
            net.run_for(Duration::from_secs(1));
        }
    }
    assert!(net.now < Instant::from_secs(60), "no guess has come back");
    let insider = Insider::new(3);
    let line = |seen: &Seen| {
        let body = insider.read(&seen.bytes);
        (seen.at, seen.from, seen.to, seen.bytes.len(), body[0])
    };
    Transcript {
        wire: net.log.iter().map(line).collect(),
        client: std::mem::take(&mut net.clients[0].events),
        drops: net.server.counters().drops().collect(),
        server: net.server_events,
    }
}

/// Attack 10: user enumeration.
#[test]
fn wrong_password_unknown_name_and_disabled_account_are_indistinguishable() {
    let known = rejected("kean");
    let is_failure = |kind: &EventKind| matches!(kind, EventKind::Started(Err(_)));
    assert_eq!(
        known.client.iter().filter(|(_, kind)| is_failure(kind)).count(),
        12
    );
    // Ten logins get M0r and M2. The two above the limit get only M0r.
    let from_server = known
        .wire
        .iter()
        .filter(|line| line.1 == server_address())
        .count();
    assert_eq!(from_server, 10 * 2 + 2);
    assert!(known.wire.iter().all(|line| line.3 == 1200));
    for name in ["nobd", "anna"] {
        assert_eq!(rejected(name), known, "{name}");
    }
}

/// Attack 10: equal bytes in two replies to the same request.
#[test]
fn two_replies_to_one_ke1_share_the_same_bytes_for_known_and_unknown_names() {
    for name in ["kean", "nobody"] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let mut attempt = Attempt::new(&mut insider, name, "a guess");
        let mut answer = |net: &mut Net, n| {
            attempt.index += 1;
            attempt.begin(&mut insider, net, elsewhere(n)).unwrap().ke2
        };
        let (one, other) = (answer(&mut net, 1), answer(&mut net, 2));
        assert_eq!(one.len(), 320);
        let common: Vec<usize> = (0..10)
            .filter(|n| one[32 * n..][..32] == other[32 * n..][..32])
            .collect();
        assert_eq!(common, [0], "{name}: the evaluated element and nothing else");
    }
}

/// A rogue server with the pre-shared key that wants to learn the password.
fn rogue(password: Option<&str>) -> ServerConfig {
    let mut rng = ChaCha20Rng::from_seed([66; 32]);
    let setup = ServerSetup::generate(&mut rng);
    let users = password.map(|password| User {
        record: register(&setup, Suite::Laboratory, &login("kean"), password, &mut rng).unwrap(),
        ..user("kean")
    });
    ServerConfig {
        setup,
        users: store(users),
        seed: [66; 32],
        ..server_config()
    }
}

/// Attack 11: a rogue server with the pre-shared key.
#[test]
fn a_server_with_other_keys_gets_no_name_no_guess_and_no_tunnel() {
    assert_ne!(*rogue(None).setup.to_bytes(), *setup().to_bytes());
    // The genuine record under another setup, the right password, and no record.
    let stolen = ServerConfig {
        users: store([user("kean")]),
        ..rogue(None)
    };
    for config in [stolen, rogue(Some(PASSWORD)), rogue(None)] {
        let mut net = Net::new(config, [client_config("kean", 1)]);
        net.start(0);
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.started(0).unwrap().1, Err("other-server"));
        assert_eq!((net.count("cookie") > 0, net.count("login-cookie")), (true, 0));
        assert_eq!(net.status(0), TunnelStatus::Disconnected);
        assert_eq!(net.clients[0].jobs, 0);
    }
}

/// Attack 11: a rogue server that also has the server's setup, but not the record.
#[test]
fn a_server_without_the_users_record_gets_no_ke3_and_no_tunnel() {
    let guessed = |password| {
        let mut rng = ChaCha20Rng::from_seed([66; 32]);
        let record = register(&setup(), Suite::Laboratory, &login("kean"), password, &mut rng).unwrap();
        User {
            record,
            ..user("kean")
        }
    };
    for users in [store([guessed("a guess")]), store([])] {
        let config = ServerConfig {
            users,
            ..server_config()
        };
        let mut net = Net::new(config, [client_config("kean", 1)]);
        net.start(0);
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.started(0).unwrap().1, Err("authentication-rejected"));
        assert_eq!((net.count("ke2") > 0, net.count("ke3")), (true, 0));
        assert_eq!(net.clients[0].jobs, 1);
    }
}

/// Attack 11: a tunnel that was up does not connect to a rogue server either.
#[test]
fn a_server_with_other_keys_cannot_take_over_an_existing_tunnel() {
    let mut net = Net::connected();
    net.log.clear();
    net.server = sandhog_proto::secure::Server::new(rogue(Some(PASSWORD))).unwrap();
    net.run_for(Duration::from_secs(600));
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
    assert_eq!((net.count("cookie") > 0, net.count("login-cookie")), (true, 0));
}

/// Attack 11: a holder of the pre-shared key who answers faster than the server.
#[test]
fn a_forged_cookie_with_a_wrong_key_half_does_not_deny_the_login() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    net.wire = Box::new(move |seen: &Seen| {
        if seen.kind != "cookie" {
            return vec![(DELAY, seen.clone())];
        }
        let forge = |insider: &mut Insider, places: core::ops::Range<usize>| Seen {
            bytes: insider.changed(&seen.bytes, |body| body[places].fill(9)),
            ..seen.clone()
        };
        let (wrong_half, wrong_fingerprint) = (forge(&mut insider, 60..80), forge(&mut insider, 21..53));
        vec![
            (DELAY / 2, wrong_fingerprint),
            (DELAY / 2, wrong_half),
            (DELAY, seen.clone()),
        ]
    });
    net.start(0);
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// A login through a machine in the middle that has the pre-shared key and applies `tamper` to each control
/// message.
fn login_through(tamper: impl Fn(&'static str, &mut [u8]) + 'static) -> Net {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    net.wire = Box::new(move |seen: &Seen| {
        let mut seen = seen.clone();
        if seen.bytes[0] != 3 {
            seen.bytes = insider.changed(&seen.bytes, |body| tamper(seen.kind, body));
        }
        vec![(DELAY, seen)]
    });
    net.start(0);
    net.run_for(Duration::from_secs(12));
    net
}

/// Attack 12: consistent tampering with the indices, so that each side sees its own value.
#[test]
fn a_flipped_bit_in_either_index_makes_the_login_fail_before_ke3() {
    assert_eq!(login_through(|_, _| {}).status(0), TunnelStatus::Connected);
    for bit in 0..32 {
        let flip = move |body: &mut [u8], place: usize| body[place + bit / 8] ^= 1 << (bit % 8);
        let of_client = login_through(move |kind, body| match kind {
            "login" | "login-cookie" => flip(body, 9),
            "cookie" | "ke2" => flip(body, 1),
            _ => {}
        });
        let of_server = login_through(move |kind, body| match kind {
            "ke2" => flip(body, 5),
            "ke3" => flip(body, 1),
            _ => {}
        });
        for net in [of_client, of_server] {
            assert_eq!(
                net.started(0).unwrap().1,
                Err("connection-timed-out"),
                "bit {bit}"
            );
            assert_eq!(net.count("ke3"), 0);
            assert_eq!(net.server.session_count(), 0);
        }
    }
}

/// Attack 12: the same for the number of the suite, which is not transmitted, and the rest of the context.
#[test]
fn a_flipped_bit_in_the_context_makes_the_login_fail() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let m2 = attempt.begin(&mut insider, &mut net, elsewhere(1)).unwrap();
    let context = context(attempt.index, m2.index);
    assert_eq!((context.len(), context[9]), (50, Suite::Laboratory.byte()));
    assert!(attempt.finish(&context, &m2.ke2).is_some());
    for bit in 0..8 * context.len() {
        let mut flipped = context.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(attempt.finish(&flipped, &m2.ke2).is_none(), "bit {bit}");
    }
}

/// Attack 12: the same for every byte of M1, M2 and M3 after the version, except the time of M1.
#[test]
fn a_changed_byte_in_any_message_makes_the_login_fail() {
    let m1 = (9..270).step_by(9).map(|place| ("login-cookie", place));
    let m2 = (1..969).step_by(29).map(|place| ("ke2", place));
    let m3 = (1..1171).step_by(31).map(|place| ("ke3", place));
    for (which, place) in m1.chain(m2).chain(m3) {
        let net = login_through(move |kind, body| {
            if kind == which {
                body[place] ^= 1;
            }
        });
        assert!(net.started(0).unwrap().1.is_err(), "byte {place} of {which}");
        assert_eq!(net.server.session_count(), 0);
    }
}

/// Attack 12: a changed ciphertext for the key against quantum computers, once.
#[test]
fn one_changed_m3_does_not_end_the_login() {
    for place in [5, 69, 1156, 1170] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let mut is_first = true;
        net.wire = Box::new(move |seen: &Seen| {
            let mut seen = seen.clone();
            if seen.kind == "ke3" && core::mem::take(&mut is_first) {
                seen.bytes = insider.changed(&seen.bytes, |body| body[place] ^= 1);
            }
            vec![(DELAY, seen)]
        });
        net.start(0);
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.status(0), TunnelStatus::Connected, "byte {place}");
    }
}

/// Attack 20: a stolen cookie.
#[test]
fn a_cookie_is_bound_to_address_port_and_index_and_expires_after_30_s() {
    let home = elsewhere(1);
    let port = SocketAddr::new(home.ip(), home.port() + 1);
    for (from, other_index, wait, expected) in [
        (home, false, 0, "ke2"),
        (home, false, 15_000, "ke2"),
        (elsewhere(2), false, 0, "cookie"),
        (client_address(0), false, 0, "cookie"),
        (port, false, 0, "cookie"),
        (home, true, 0, "cookie"),
        (home, false, 30_000, "cookie"),
        (home, false, 3_600_000, "cookie"),
    ] {
        // At different times in the life of the cookie secret.
        for offset in [0, 1, 7_500, 14_999] {
            let mut net = Net::pair();
            let mut insider = Insider::new(3);
            net.run_for(Duration::from_millis(45_000 + offset));
            let mut attempt = Attempt::new(&mut insider, "kean", PASSWORD);
            let cookie = attempt.cookie(&mut insider, &mut net, home);
            net.run_for(Duration::from_millis(wait));
            attempt.index ^= u32::from(other_index) << 7;
            let m1 = attempt.first_message(insider.at(&net), Some(&cookie));
            let answers = ask(&mut net, from, &m1);
            let kinds: Vec<_> = answers.iter().map(|seen| seen.kind).collect();
            assert_eq!(
                kinds,
                [expected],
                "{from}, {other_index}, {wait} ms after {offset}"
            );
            assert_eq!(net.server.half_open_count(), usize::from(expected == "ke2"));
        }
    }
}

/// Attack 3: a cookie that is shown again, in a message that is sealed anew.
#[test]
fn a_cookie_gives_no_second_ke2_after_its_login_is_over() {
    let (mut net, mut insider, home) = (Net::pair(), Insider::new(3), elsewhere(1));
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let cookie = attempt.cookie(&mut insider, &mut net, home);
    let mut shown = |net: &mut Net| -> Vec<_> {
        let m1 = attempt.first_message(insider.at(net), Some(&cookie));
        ask(net, home, &m1).iter().map(|seen| seen.kind).collect()
    };
    assert_eq!(shown(&mut net), ["ke2"]);
    net.run_for(Duration::from_millis(10_001));
    assert_eq!(
        net.server.half_open_count(),
        0,
        "the login is over, and the cookie is still valid"
    );
    assert_eq!(shown(&mut net), [""; 0]);
}

/// Attack 24: forcing the client to stretch its password repeatedly.
#[test]
fn a_hundred_forged_m2_cost_the_client_no_run_of_argon2() {
    for spread in [0, 5, 100] {
        let mut net = Net::new(server_config(), [client_config("kean", 1)]);
        let mut insider = Insider::new(3);
        net.wire = Box::new(|_| vec![]);
        net.start(0);
        let m0 = net.first("login").bytes;
        let to = client_index(&insider.read(&m0));
        let mut genuine = HandServer::genuine();
        let m0r = genuine.cookie(&mut insider, &m0);
        net.inject(server_address(), client_address(0), &m0r);
        for _ in 0..100 {
            let forged = insider.forged_m2(to);
            net.inject(server_address(), client_address(0), &forged);
            net.run_for(Duration::from_millis(spread));
        }
        assert_eq!(net.clients[0].jobs, 0, "{spread} ms apart");
        if spread < 100 {
            let m1 = net.first("login-cookie").bytes;
            let m2 = genuine.ke2(&mut insider, &m1);
            net.inject(server_address(), client_address(0), &m2);
            let m3 = net.first("ke3").bytes;
            assert!(genuine.finish(&insider, &m3).is_some());
        }
        net.run_for(Duration::from_secs(10));
        assert!(net.started(0).unwrap().1.is_err());
    }
}
