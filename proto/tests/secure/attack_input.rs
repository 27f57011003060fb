//! Attacks with the content of datagrams: forged inner addresses, garbage, JSON bombs, datagrams of the other
//! profile. Rows 17 to 19 and 22 of the table in `SECURITY.md`.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};
use sandhog_proto::{Batch, Command, DropReason, EventKind, Instant, PacketBuf, Peer, TunnelStatus, classic};

use crate::attack_replay::by_hand_server;
use crate::attacker::{Attempt, CONTROL_LEN, Insider, PSK, ask, b64, client_index, elsewhere, logged_in};
use crate::support::{
    Net, PASSWORD, START, client_address, client_config, packet, server_address, server_config,
};

/// An IPv6 packet without payload.
fn packet6(from: &str, to: &str) -> PacketBuf {
    let octets = |text: &str| text.parse::<std::net::Ipv6Addr>().unwrap().octets();
    let header = [0x60, 0, 0, 0, 0, 0, 59, 64];
    PacketBuf::copied_from(&[&header[..], &octets(from), &octets(to)].concat())
}

/// Attack 17: inner source addresses of other sessions.
#[test]
fn packets_from_inner_addresses_of_other_sessions_are_dropped_and_counted() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("anna", 2)],
    );
    net.start(0);
    net.start(1);
    net.run_for(Duration::from_secs(1));
    let (own, other) = (net.inner(0), net.inner(1));
    let own6 = net.clients[0].peer.settings().unwrap().addresses[1]
        .address
        .to_string();
    let other6 = net.clients[1].peer.settings().unwrap().addresses[1]
        .address
        .to_string();
    let forged4 = [
        &other,
        "10.9.0.1",
        "10.9.0.77",
        "0.0.0.0",
        "127.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
    ];
    let forged6 = [
        &other6,
        "fd00::1",
        "fd00::77",
        "::",
        "::1",
        "fe80::1",
        "::ffff:10.9.0.2",
        "::10.9.0.2",
    ];
    for from in forged4 {
        net.client_sends(0, packet(from, "10.9.0.1", b"trust me"));
        net.client_sends(0, packet(from, &other, b"trust me"));
    }
    for from in forged6 {
        net.client_sends(0, packet6(from, "fd00::1"));
        net.client_sends(0, packet6(from, &other6));
    }
    net.run_for(Duration::from_secs(1));
    assert!(net.server_packets.is_empty() && net.clients[1].packets.is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::SourceNotAllowed), 30);
    let told = |kind: &EventKind| *kind == EventKind::Dropped(DropReason::SourceNotAllowed);
    assert_eq!(
        net.server_events.iter().filter(|(_, kind)| told(kind)).count(),
        30
    );
    net.client_sends(0, packet(&own, "10.9.0.1", b"truly"));
    net.client_sends(0, packet6(&own6, "fd00::1"));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.server_packets.len(), 2, "packets from its own addresses pass");
}

/// Invalid messages, each with a description of its error.
fn bombs(valid: &str) -> Vec<(&'static str, String)> {
    let inside = valid.strip_prefix('{').unwrap();
    let with = |extra: &str| format!("{{{extra},{inside}");
    let nested = |depth: usize| format!(r#""x":{}{}"#, "[".repeat(depth), "]".repeat(depth));
    let objects = |depth: usize| format!(r#""x":{}1{}"#, r#"{"x":"#.repeat(depth), "}".repeat(depth));
    vec![
        ("nested arrays", with(&nested(4))),
        ("nested arrays, maximum number", with(&nested(300))),
        ("nested objects", with(&objects(4))),
        ("nested objects, maximum number", with(&objects(150))),
        ("the same key twice", with(r#""x":1,"x":2"#)),
        ("a known key twice", with(r#""t":"ping""#)),
        ("a known key twice, escaped", with(r#""\u0074":"ping""#)),
        ("the same key twice, nested", with(r#""x":{"y":1,"y":1}"#)),
        ("something behind it", format!("{valid}{valid}")),
        ("a zero byte behind it", format!("{valid}\0")),
        ("cut", valid[..valid.len() - 1].to_owned()),
        ("not closed", format!("{{{}", nested(600).replace(']', ""))),
        (
            "a number that never ends",
            with(&format!(r#""x":1{}"#, "0".repeat(400))),
        ),
        ("an exponent", with(r#""x":1e999999999"#)),
        ("no UTF-8 escape", with(r#""x":"\ud800""#)),
        ("an array", "[1,2,3]".to_owned()),
        ("nothing", String::new()),
        ("a key without a value", with(r#""x""#)),
    ]
}

/// Attack 19: malformed control datagrams, from a holder of the pre-shared key.
#[test]
fn malformed_messages_before_a_session_get_no_reply_and_leave_no_state() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let time = START.to_be_bytes();
    let hello = [&[0x31][..], &time, &[0, 0, 0, 9]].concat();
    let with = |place: usize, byte: u8| {
        let mut message = hello.clone();
        message.resize(1171, 0);
        message[place] = byte;
        message
    };
    // An index of 0, and padding that is not zero.
    let wrong = [with(12, 0), with(13, 1), with(1170, b' ')];
    for (n, message) in wrong.iter().enumerate() {
        let datagram = insider.seal(1, message);
        assert!(ask(&mut net, elsewhere(n as u16), &datagram).is_empty(), "{n}");
    }
    let counters = net.server.counters();
    assert_eq!(counters.dropped(DropReason::MalformedBody), 3);
    assert_eq!((net.server.half_open_count(), net.server.session_count()), (0, 0));
    let datagram = insider.seal(1, &hello);
    assert_eq!(
        ask(&mut net, elsewhere(9999), &datagram).len(),
        1,
        "the valid message is accepted"
    );
}

/// Attack 19: user names that are not valid, in an M1 with a valid cookie.
#[test]
fn invalid_user_names_get_no_reply_and_leave_no_state() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    for (n, name) in ["", "Kean", "ke an", "kean\u{0}", "k\u{e9}an", "../kean"]
        .into_iter()
        .enumerate()
    {
        let attempt = Attempt::new(&mut insider, name, PASSWORD);
        assert!(
            attempt
                .begin(&mut insider, &mut net, elsewhere(n as u16))
                .is_none(),
            "{name}"
        );
    }
    assert_eq!(net.server.counters().dropped(DropReason::OtherServer), 6);
    assert_eq!((net.server.half_open_count(), net.server.session_count()), (0, 0));
}

/// Attack 19: the same inside a session in both directions, where a message may be longer.
#[test]
fn json_bombs_inside_a_session_get_no_reply_and_do_not_end_it() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let ping = r#"{"t":"ping","n":7}"#;
    let large = |len: usize| format!(r#"{{"x":"{}",{}"#, "y".repeat(len), &ping[1..]);
    let many: String = (0..2000).map(|n| format!(r#""k{n}":{n},"#)).collect();
    let mut all = bombs(ping);
    all.push(("too long", large(8192)));
    all.push(("as long as UDP carries", large(65_000)));
    all.push(("as many keys as fit UDP", format!("{{{many}{}", &ping[1..])));
    for (what, bomb) in &all {
        let datagram = session.seal(bomb.as_bytes());
        assert!(ask(&mut net, elsewhere(1), &datagram).is_empty(), "{what}");
    }
    let dropped = |peer: &dyn Peer| {
        let counters = peer.counters();
        counters.dropped(DropReason::MalformedBody) + counters.dropped(DropReason::NotIp)
    };
    assert_eq!(dropped(&net.server), all.len() as u64);
    let datagram = session.seal(ping.as_bytes());
    assert_eq!(
        ask(&mut net, elsewhere(1), &datagram).len(),
        1,
        "the session is unaffected"
    );

    let mut net = Net::pair();
    let mut session = by_hand_server(&mut net, &mut insider);
    let before = net.log.len();
    for (_, bomb) in &all {
        let datagram = session.seal(bomb.as_bytes());
        net.inject(server_address(), client_address(0), &datagram);
    }
    assert_eq!(
        (net.log.len(), dropped(&net.clients[0].peer)),
        (before, all.len() as u64)
    );
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

/// Attack 22: downgrade to the classic profile.
#[test]
fn classic_datagrams_and_other_versions_get_no_reply_from_a_secure_server() {
    let mut net = Net::connected();
    net.log.clear();
    let mut old = classic::Client::new(classic_config());
    old.command(Instant::ZERO, Command::Start).unwrap();
    let mut sent = 0;
    for n in 0..100 {
        let mut output = Batch::default();
        old.turn(Instant::from_millis(100 * n), &mut Batch::default(), &mut output);
        for datagram in output.datagrams {
            net.inject(elsewhere(1), server_address(), &datagram.payload);
            sent += 1;
        }
    }
    assert!(sent >= 3);
    // Every classic code, with and without the length of a control datagram, under every key.
    let mut insider = Insider::new(3);
    let body = format!(r#"{{"login":"kean","password":"{PASSWORD}"}}"#);
    for code in [1, 2, 3] {
        for len in [body.len(), CONTROL_LEN - 29] {
            let padded = format!("{body:len$}");
            let classic = crate::attacker::seal(&PSK, code, [7; 12], padded.as_bytes());
            let sealed = insider.seal_bytes(code, padded.as_bytes());
            for bytes in [classic, sealed] {
                net.inject(elsewhere(2), server_address(), &bytes);
                net.inject(server_address(), client_address(0), &bytes);
                sent += 1;
            }
        }
    }
    // Revision 2 had JSON.
    let old = br#"{"v":2,"t":"login","idx":9,"login":"kean"}"#;
    for message in [&old[..], &[0x21; 20], &[0x41; 20]] {
        let bytes = insider.seal(1, message);
        net.inject(elsewhere(3), server_address(), &bytes);
        sent += 1;
    }
    assert!(net.log.is_empty(), "{:?}", net.kinds());
    let drops: u64 = net.server.counters().drops().map(|(_, count)| count).sum();
    assert_eq!(drops, sent);
    assert_eq!(net.server.counters().dropped(DropReason::UnsupportedVersion), 4);
}

fn classic_config() -> classic::ClientConfig {
    classic::ClientConfig {
        key: classic::Key::new(PSK),
        login: "kean".to_owned(),
        password: PASSWORD.to_owned().into(),
        server: server_address(),
        settings: sandhog_proto::NetworkSettings {
            tunnel_remote_address: server_address().ip(),
            addresses: vec![],
            included_routes: vec![],
            excluded_routes: vec![],
            dns_servers: vec![],
            search_domains: vec![],
            mtu: 1420,
        },
        seed: [4; 32],
    }
}

/// One action of an attacker who has the pre-shared key and a session.
#[derive(Clone, Debug)]
enum Step {
    /// Any bytes.
    Raw(Vec<u8>),
    /// A control datagram of the client (1) or the server (2) with any content.
    Control(u8, Vec<u8>),
    /// A control datagram with a slightly changed message.
    Message(u8, usize, prop::sample::Index, u8),
    /// A session datagram with any body.
    Session(u64, Vec<u8>),
    /// A session datagram with a slightly changed message.
    SessionMessage(usize, prop::sample::Index, u8),
    /// Time passes.
    Pass(u64),
    Command(Command),
}

/// Messages before a session.
const CONTROL: usize = 5;

/// Message number `which` before a session, for the indices of client and server.
fn control(which: usize, time: u64, client: u32, server: u32) -> Vec<u8> {
    let (time, client, server) = (time.to_be_bytes(), client.to_be_bytes(), server.to_be_bytes());
    match which {
        0 => [&[0x31][..], &time, &client].concat(),
        1 => [&[0x33][..], &time, &client, &[9; 257]].concat(),
        2 => [&[0x35][..], &server, &[9; 1166]].concat(),
        3 => [&[0x32][..], &client, &[9; 640]].concat(),
        _ => [&[0x34][..], &client, &server, &[9; 960]].concat(),
    }
}

/// Messages inside a session.
const INSIDE: [&str; 11] = [
    r#"{"t":"ping","n":1}"#,
    r#"{"t":"pong","n":1}"#,
    r#"{"t":"prove1","ke1":"{96}"}"#,
    r#"{"t":"prove2","ke2":"{320}"}"#,
    r#"{"t":"prove3","ke3":"{64}","reg1":"{32}"}"#,
    r#"{"isOK":true,"addr4":"10.9.0.2/24","mtu":1420,"dns":[],"search":[],"routes":[],"keepalive":25}"#,
    r#"{"isOK":false,"error":"disabled"}"#,
    r#"{"t":"reg2","reg2":"{64}"}"#,
    r#"{"t":"reg3","reg3":"{192}","mac":"{32}"}"#,
    r#"{"t":"regOk"}"#,
    r#"{"t":"bye","why":"replaced"}"#,
];

fn filled(template: &str) -> String {
    let mut text = template.to_owned();
    for len in [16, 32, 64, 96, 192, 320] {
        text = text.replace(&format!("{{{len}}}"), &b64(&vec![9; len]));
    }
    text
}

/// Changes one byte. With 0 the text stays unchanged.
fn changed(mut bytes: Vec<u8>, place: prop::sample::Index, by: u8) -> Vec<u8> {
    let place = place.index(bytes.len());
    bytes[place] ^= by;
    bytes
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200);
    let coded = (0..=4u8, bytes()).prop_map(|(code, rest)| Step::Raw([&[code], &rest[..]].concat()));
    let body = prop_oneof![
        bytes(),
        "[{}\\[\\]:,\"a-z0-9\\\\]{0,60}".prop_map(String::into_bytes)
    ];
    let counter = prop_oneof![4 => 0..200u64, 1 => any::<u64>()];
    let change = prop_oneof![2 => Just(0u8), 1 => any::<u8>()];
    let place = any::<prop::sample::Index>();
    let pass = prop_oneof![4 => 0..2_000u64, 1 => Just(20_000u64), 1 => Just(600_000u64)];
    let command = prop_oneof![
        4 => Just(Command::Start), 1 => Just(Command::Stop), 1 => Just(Command::Sleep),
        1 => Just(Command::Wake), 1 => Just(Command::NetworkChanged),
    ];
    prop_oneof![
        1 => coded,
        2 => (1..=2u8, body.clone()).prop_map(|(code, body)| Step::Control(code, body)),
        6 => (1..=2u8, 0..CONTROL, place.clone(), change.clone())
            .prop_map(|(code, which, place, by)| Step::Message(code, which, place, by)),
        3 => (counter, body).prop_map(|(counter, body)| Step::Session(counter, body)),
        6 => (0..INSIDE.len() + 2, place, change).prop_map(|(which, place, by)| Step::SessionMessage(which, place, by)),
        2 => pass.prop_map(Step::Pass),
        2 => command.prop_map(Step::Command),
    ]
}

/// Runs a step against both sides. `session` seals for the server, `to_client` for the client.
fn take(net: &mut Net, insider: &mut Insider, sessions: &mut [crate::attacker::Session; 2], step: Step) {
    let first_message = net.log.iter().rev().find(|seen| seen.kind == "login");
    let client = first_message.map_or(1, |seen| client_index(&insider.read(&seen.bytes)));
    let to_both = |net: &mut Net, bytes: &[u8]| {
        for from in [elsewhere(1), elsewhere(bytes.len() as u16)] {
            net.inject(from, server_address(), bytes);
            net.inject(from, client_address(0), bytes);
        }
    };
    match step {
        Step::Raw(bytes) => to_both(net, &bytes),
        Step::Control(code, mut body) => {
            body.resize(CONTROL_LEN - 29, 0);
            to_both(net, &insider.seal_bytes(code, &body));
        }
        Step::Message(code, which, place, by) => {
            let time = insider.at(net).time;
            let mut body = changed(control(which, time, client, sessions[0].theirs), place, by);
            body.resize(CONTROL_LEN - 29, 0);
            to_both(net, &insider.seal_bytes(code, &body));
        }
        Step::Session(counter, body) => {
            for session in sessions {
                to_both(net, &session.seal_at(counter, &body));
            }
        }
        Step::SessionMessage(which, place, by) => {
            let body = match INSIDE.get(which) {
                Some(template) => filled(template).into_bytes(),
                None if which == INSIDE.len() => sessions[0].rekey_message(client, &[9; 32]),
                None => [&[2, 0, 0, 0, 1, 0, 0, 0, 9, 0][..], &[9; 1120]].concat(),
            };
            let body = changed(body, place, by);
            for session in sessions {
                to_both(net, &session.seal(&body));
            }
        }
        Step::Pass(millis) => net.run_for(Duration::from_millis(millis)),
        Step::Command(command) => {
            let now = net.now;
            // A command in a wrong state returns an error and changes nothing.
            let _ = net.clients[0].peer.command(now, command);
        }
    }
}

/// Attack 18: short, long, garbage.
#[test]
fn garbage_datagrams_of_many_lengths_are_dropped_by_both_sides() {
    let mut net = Net::connected();
    net.log.clear();
    let outsider: SocketAddr = elsewhere(1);
    let mut sent = 0;
    for len in (0..1600).chain((1600..=65_507).step_by(997)) {
        for code in [0, 1, 2, 3, 4, 255] {
            let mut bytes = vec![0xa5; len];
            if let Some(first) = bytes.first_mut() {
                *first = code;
            }
            net.inject(outsider, server_address(), &bytes);
            net.inject(outsider, client_address(0), &bytes);
            sent += 1;
        }
    }
    assert!(net.log.is_empty());
    for peer in [&net.server as &dyn Peer, &net.clients[0].peer] {
        assert_eq!(peer.counters().drops().map(|(_, count)| count).sum::<u64>(), sent);
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 128,
        rng_seed: RngSeed::Fixed(0x5a4d_0409),
        failure_persistence: None,
        ..Config::default()
    })]

    /// Attack 18: garbage sealed under the right key, to both sides in every state. Neither side may panic or
    /// grow.
    #[test]
    fn no_input_of_a_key_holder_makes_either_side_panic_or_grow(steps in prop::collection::vec(step(), 1..80)) {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let to_client = by_hand_server(&mut net, &mut insider);
        net.wire = Box::new(|seen| vec![(crate::support::DELAY, seen.clone())]);
        // Session of a second user, for datagrams to the server.
        let attempt = Attempt::new(&mut insider, "anna", PASSWORD);
        let m2 = attempt.begin(&mut insider, &mut net, elsewhere(1)).unwrap();
        let (m3, to_server) = attempt.confirm(&mut insider, &m2);
        net.inject(elsewhere(1), server_address(), &m3);
        let mut sessions = [to_server, to_client];
        for step in steps {
            take(&mut net, &mut insider, &mut sessions, step);
            let (server, client) = (net.server.gauges(), net.clients[0].peer.gauges());
            prop_assert!(server.unauthenticated <= 1024 && server.sessions <= 2, "{server:?}");
            prop_assert!(client.unauthenticated <= 1 && client.sessions <= 1, "{client:?}");
        }
    }
}
