//! Attacks on the login: guessing, lockout, user enumeration, rogue servers, stolen cookies. Rows 8 to 12, 20
//! and 24 of the table in `SECURITY.md`.

use std::net::SocketAddr;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{ServerConfig, ServerSetup, Suite, User, register};
use sandhog_proto::{Command, DropReason, EventKind, Instant, Peer, TunnelStatus};
use serde_json::Value;

use crate::attacker::{Attempt, HandServer, Insider, ask, context, elsewhere, from_b64, index};
use crate::support::{
    DELAY, Net, PASSWORD, Seen, client_address, client_config, login, server_address, server_config, setup,
    store, user,
};

/// Requests a KE2 from the n-th stranger's address and stops. Returns true if the KE2 arrived.
fn guess(net: &mut Net, insider: &mut Insider, name: &str, n: u16) -> bool {
    let attempt = Attempt::new(insider, name, "a guess");
    let Some(m2) = attempt.begin(insider, net, elsewhere(n)) else {
        return false;
    };
    let context = context(attempt.index, index(&m2["idx"]));
    assert!(
        attempt.finish(&context, &from_b64(&m2["ke2"])).is_none(),
        "guessed"
    );
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
fn a_user_locked_out_by_a_stranger_can_still_log_in_from_a_known_address() {
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
        "from somewhere new"
    );
    net.clients[0].events.clear();
    let begun = net.now;
    net.start(0);
    net.run_for(Duration::from_secs(3));
    let (at, result) = net.started(0).expect("in less than 3 s");
    assert_eq!((result, at < begun + Duration::from_secs(3)), (Ok(()), true));
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

/// View of an observer of a control datagram: time, direction, length and content.
type Line = (
    Instant,
    SocketAddr,
    SocketAddr,
    usize,
    usize,
    Vec<(String, usize)>,
);

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
        let json = insider.read(&seen.bytes);
        let fields = json.as_object().unwrap().iter();
        let fields = fields
            .map(|(key, value)| (key.clone(), value.to_string().len()))
            .collect();
        (
            seen.at,
            seen.from,
            seen.to,
            seen.bytes.len(),
            json.to_string().len(),
            fields,
        )
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
            from_b64(&attempt.begin(&mut insider, net, elsewhere(n)).unwrap()["ke2"])
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
fn a_server_without_the_users_record_gets_no_ke3_and_no_tunnel() {
    assert_ne!(*rogue(None).setup.to_bytes(), *setup().to_bytes());
    // The genuine record under another setup, a wrong guess, and no record.
    let stolen = ServerConfig {
        users: store([user("kean")]),
        ..rogue(None)
    };
    for config in [stolen, rogue(Some("a guess")), rogue(None)] {
        let mut net = Net::new(config, [client_config("kean", 1)]);
        net.start(0);
        net.run_for(Duration::from_secs(60));
        assert_eq!(net.started(0).unwrap().1, Err("authentication-rejected"));
        assert_eq!((net.count("ke2") > 0, net.count("ke3")), (true, 0));
        assert_eq!(net.status(0), TunnelStatus::Disconnected);
        assert!(net.clients[0].jobs <= 2);
    }
}

/// Attack 11: a tunnel that was up does not connect to a rogue server either.
#[test]
fn a_server_without_the_users_record_cannot_take_over_an_existing_tunnel() {
    let mut net = Net::connected();
    net.log.clear();
    net.server = sandhog_proto::secure::Server::new(rogue(Some("a guess"))).unwrap();
    net.run_for(Duration::from_secs(600));
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
    assert_eq!(
        (net.count("ke2") > 0, net.count("ke3"), net.count("data")),
        (true, 0, 0)
    );
}

/// A login through a machine in the middle that has the pre-shared key and applies `tamper` to each control
/// message.
fn login_through(tamper: impl Fn(&'static str, &mut Value) + 'static) -> Net {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    net.wire = Box::new(move |seen: &Seen| {
        let mut seen = seen.clone();
        if seen.bytes[0] != 3 {
            seen.bytes = insider.changed(&seen.bytes, |json| tamper(seen.kind, json));
        }
        vec![(DELAY, seen)]
    });
    net.start(0);
    net.run_for(Duration::from_secs(12));
    net
}

fn flip(json: &mut Value, key: &str, bit: u32) {
    json[key] = Value::from(index(&json[key]) ^ 1 << bit);
}

/// Attack 12: consistent tampering with the indices, so that each side sees its own value.
#[test]
fn a_flipped_bit_in_either_index_makes_the_login_fail_before_ke3() {
    assert_eq!(login_through(|_, _| {}).status(0), TunnelStatus::Connected);
    for bit in 0..32 {
        let of_client = login_through(move |kind, json| match kind {
            "login" | "login-cookie" => flip(json, "idx", bit),
            "cookie" | "ke2" => flip(json, "to", bit),
            _ => {}
        });
        let of_server = login_through(move |kind, json| match kind {
            "ke2" => flip(json, "idx", bit),
            "ke3" => flip(json, "to", bit),
            _ => {}
        });
        for net in [of_client, of_server] {
            assert_eq!(
                net.started(0).unwrap().1,
                Err("authentication-rejected"),
                "bit {bit}"
            );
            assert_eq!((net.count("ke2") > 0, net.count("ke3")), (true, 0));
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
    let (context, ke2) = (context(attempt.index, index(&m2["idx"])), from_b64(&m2["ke2"]));
    assert_eq!((context.len(), context[9]), (18, Suite::Laboratory.byte()));
    assert!(attempt.finish(&context, &ke2).is_some());
    for bit in 0..8 * context.len() {
        let mut flipped = context.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(attempt.finish(&flipped, &ke2).is_none(), "bit {bit}");
    }
}

/// Attack 12: the same for every OPAQUE byte, and for the user name.
#[test]
fn a_changed_byte_in_an_opaque_message_or_the_name_makes_the_login_fail() {
    let change = |json: &mut Value, key: &str, place: usize| {
        let mut bytes = from_b64(&json[key]);
        bytes[place] ^= 1;
        json[key] = Value::from(crate::attacker::b64(&bytes));
    };
    let ke1 = (0..96).step_by(5).map(|place| ("login", "ke1", place));
    let ke2 = (0..320).step_by(5).map(|place| ("ke2", "ke2", place));
    let ke3 = (0..64).step_by(5).map(|place| ("ke3", "ke3", place));
    for (which, key, place) in ke1.chain(ke2).chain(ke3) {
        let net = login_through(move |kind, json| {
            if kind.starts_with(which) {
                change(json, key, place);
            }
        });
        assert!(net.started(0).unwrap().1.is_err(), "byte {place} of {key}");
        assert_eq!(net.server.session_count(), 0);
    }
    let net = login_through(|_, json| {
        if json["t"] == "login" {
            json["login"] = Value::from("anna");
        }
    });
    assert_eq!(
        (net.started(0).unwrap().1, net.count("ke3")),
        (Err("authentication-rejected"), 0)
    );
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
            let m1 = attempt.first_message(&mut insider, Some(&cookie));
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

/// Attack 24: forcing the client to stretch its password repeatedly.
#[test]
fn a_hundred_forged_ke2_cost_the_client_at_most_two_runs_of_argon2() {
    for spread in [0, 5, 100] {
        let mut net = Net::new(server_config(), [client_config("kean", 1)]);
        let mut insider = Insider::new(3);
        net.wire = Box::new(|_| vec![]);
        net.start(0);
        let to = index(&insider.read(&net.first("login").bytes)["idx"]);
        for _ in 0..100 {
            let forged = insider.forged_ke2(to);
            net.inject(server_address(), client_address(0), &forged);
            net.run_for(Duration::from_millis(spread));
        }
        net.run_for(Duration::from_secs(10));
        assert_eq!(net.clients[0].jobs, 2, "{spread} ms apart");
        assert_eq!(net.count("ke3"), 0);
        assert!(net.started(0).unwrap().1.is_err());
    }
}

/// Attack 24: the same against a tunnel that was up and logs in again without limit.
#[test]
fn forged_ke2_in_every_attempt_cost_two_runs_of_argon2_and_attempts_slow_down() {
    let mut net = Net::connected();
    let mut insider = Insider::new(3);
    net.clients[0].jobs = 0;
    net.wire = Box::new(|_| vec![]);
    let (mut heard, mut attempts) = (net.log.len(), 0);
    for _ in 0..36_000 {
        net.run_for(Duration::from_millis(100));
        let first_messages: Vec<Seen> = net.log[heard..]
            .iter()
            .filter(|seen| seen.kind == "login")
            .cloned()
            .collect();
        heard = net.log.len();
        for first_message in first_messages {
            attempts += 1;
            for _ in 0..20 {
                let forged = insider.forged_ke2(index(&insider.read(&first_message.bytes)["idx"]));
                net.inject(server_address(), client_address(0), &forged);
            }
        }
    }
    assert!(net.clients[0].jobs <= 2 * attempts);
    assert!(attempts < 20, "{attempts} in an hour");
    assert_eq!(net.count("ke3"), 1, "that of the first login");
}

/// Attack 24: the genuine KE2 arrives while the client stretches the password for a forged one.
#[test]
fn a_genuine_ke2_that_arrives_during_stretching_for_a_forged_one_is_tried_next() {
    for (forged_before, is_in_time) in [(1, true), (2, false)] {
        let mut net = Net::pair();
        net.wire = Box::new(|_| vec![]);
        net.clients[0].is_busy = true;
        net.start(0);
        let first_message = net.first("login").bytes;
        let mut insider = Insider::new(3);
        let to = index(&insider.read(&first_message)["idx"]);
        for _ in 0..forged_before {
            let forged = insider.forged_ke2(to);
            net.inject(server_address(), client_address(0), &forged);
        }
        let mut genuine = HandServer::genuine();
        let ke2 = genuine.ke2(&mut insider, &first_message);
        for _ in 0..10 {
            net.inject(server_address(), client_address(0), &ke2);
        }
        net.run_for(Duration::from_millis(700));
        assert_eq!(net.count("login"), 1, "nothing is retransmitted meanwhile");
        net.finish_jobs(0);
        assert_eq!(net.clients[0].jobs, 2);
        if is_in_time {
            let m3 = net.first("ke3").bytes;
            assert!(genuine.finish(&insider, &m3).is_some());
        } else {
            assert_eq!(net.count("ke3"), 0, "two candidates were forged");
            assert_eq!(net.started(0).unwrap().1, Err("authentication-rejected"));
        }
    }
}
