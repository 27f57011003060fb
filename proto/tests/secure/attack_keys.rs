//! Attacks on keys: stolen, weak and old ones, and secrets in memory. Rows 14, 15, 21 and 23 of the table in
//! `SECURITY.md`. The tests of row 14 that need access to a session's state are in
//! `proto/src/secure/session/tests/forward_secrecy.rs`.

use std::fmt::Debug;
use std::time::Duration;

use sandhog_proto::kem::PublicKey;
use sandhog_proto::secure::{Client, ClientConfig, Psk, Server, ServerConfig, Suite, User, register};
use sandhog_proto::{Command, Datagram, DropReason, EventKind, Instant, PacketBuf, Peer, TunnelStatus};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::ZeroizeOnDrop;

use crate::attack_replay::by_hand_server;
use crate::attacker::{
    Insider, Parts, Recorded, Session, ask, b64, elsewhere, logged_in, rekey_index, rekey_public,
};
use crate::support::{
    DELAY, Net, Seen, client_address, client_config, login, packet, server_address, server_config, setup,
    store, user,
};

/// All sessions that an attacker with the keys of epoch e can derive from memory and recorded datagrams, without one of the two
/// shared secrets of the rekey.
fn derived(stolen: &Session, recorded: &Recorded, receiver: u32) -> Vec<Session> {
    let (ours, theirs) = (rekey_public(&recorded.rekey), rekey_public(&recorded.rekeyed));
    let guesses = [
        [0; 32],
        ours,
        theirs,
        x25519(ours, theirs),
        x25519(theirs, ours),
        stolen.up,
        stolen.down,
    ];
    let texts = (&recorded.rekey[..], &recorded.rekeyed[..]);
    guesses
        .iter()
        .flat_map(|guess| {
            [
                // Without X25519, which a quantum computer may break, and without ML-KEM.
                stolen.after(guess, &recorded.shared, texts, receiver),
                stolen.after(&recorded.dh, guess, texts, receiver),
            ]
        })
        .collect()
}

/// Attack 14: later theft of live keys.
#[test]
fn stolen_keys_of_an_epoch_open_neither_earlier_nor_later_epochs() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let from = elsewhere(1);
    // Epochs 0, 1 and 2, each with its datagrams in both directions.
    let mut traffic: Vec<(Session, Vec<Vec<u8>>)> = Vec::new();
    let mut rekeys = Vec::new();
    for epoch in 0..3 {
        let mut seen = Vec::new();
        for n in 0..20 {
            let ping = session.seal(format!(r#"{{"t":"ping","n":{n}}}"#).as_bytes());
            seen.extend(ask(&mut net, from, &ping).into_iter().map(|seen| seen.bytes));
            seen.push(ping);
        }
        traffic.push((session.clone(), seen));
        if epoch < 2 {
            rekeys.push(session.rekey(&mut insider, &mut net, from));
        }
    }
    let opened = |by: &Session, of: &[Vec<u8>]| {
        let keys = [
            &by.up,
            &by.down,
            by.next.first_chunk().unwrap(),
            by.next.last_chunk().unwrap(),
        ];
        of.iter()
            .filter(|bytes| keys.iter().any(|key| crate::attacker::open(key, bytes).is_some()))
            .count()
    };
    let (before, stolen, after) = (&traffic[0], &traffic[1].0, &traffic[2]);
    assert_eq!(
        opened(stolen, &traffic[1].1),
        40,
        "the stolen state is the right one"
    );
    assert_eq!(opened(stolen, &before.1), 0);
    assert_eq!(opened(stolen, &after.1), 0);
    // With all messages of both rekeys, for later and earlier epochs.
    for (rekey, of) in [(&rekeys[0], &before.1), (&rekeys[1], &after.1)] {
        for guess in derived(stolen, rekey, after.0.theirs) {
            assert_eq!(opened(&guess, of), 0);
        }
    }
    // Only the secrets of the second rekey are missing.
    let with = |rekey: &Recorded, theirs: u32| {
        stolen.after(&rekey.dh, &rekey.shared, (&rekey.rekey, &rekey.rekeyed), theirs)
    };
    let complete = with(&rekeys[1], after.0.theirs);
    assert_eq!(opened(&complete, &after.1), 40);
    // The secrets of the first rekey reveal no earlier keys, because its other input was erased.
    let backwards = with(&rekeys[0], stolen.theirs);
    assert_eq!(opened(&backwards, &before.1), 0);
}

/// The points of small order on Curve25519 and its twist (cr.yp.to/ecdh.html). Bit 255 is ignored (RFC 7748,
/// section 5), so each point has two encodings. The other five of the published list of twelve are ordinary
/// points if that bit is masked.
const SMALL_ORDER: [&str; 7] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// All fourteen encodings.
fn small_order() -> impl Iterator<Item = [u8; 32]> {
    SMALL_ORDER.into_iter().flat_map(|hex| {
        let point: [u8; 32] =
            core::array::from_fn(|n| u8::from_str_radix(&hex[2 * n..2 * n + 2], 16).unwrap());
        let mut other = point;
        other[31] ^= 0x80;
        [point, other]
    })
}

/// Attack 15: points of small order from a client.
#[test]
fn a_server_drops_rekeys_with_points_of_small_order_in_every_encoding() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    for point in small_order() {
        assert_eq!(x25519([0x42; 32], point), [0; 32], "{point:x?} is one");
        net.run_for(Duration::from_secs(1));
        let rekey = session.rekey_message(77, &point);
        let sealed = session.seal(&rekey);
        assert!(ask(&mut net, elsewhere(1), &sealed).is_empty(), "{point:x?}");
    }
    assert_eq!(net.server.counters().dropped(DropReason::MalformedBody), 14);
    session.rekey(&mut insider, &mut net, elsewhere(1));
    let ping = session.seal(br#"{"t":"ping","n":2}"#);
    let pong = ask(&mut net, elsewhere(1), &ping);
    assert_eq!(
        session.read(&pong[0].bytes)["n"],
        2,
        "a genuine rekey is answered as before"
    );
}

/// Attack 15: points of small order from a server.
#[test]
fn a_client_drops_rekeys_with_points_of_small_order_in_every_encoding() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let mut session = by_hand_server(&mut net, &mut insider);
    net.run_for(Duration::from_secs(1));
    let asked = net.first("rekey");
    let mut rekey = session.open(&asked.bytes).unwrap();
    rekey.truncate(42 + 1184);
    let kem = PublicKey::new(rekey[42..].try_into().unwrap()).unwrap();
    let (ciphertext, shared) = kem.encapsulate(&mut insider.rng);
    let rekeyed = |pk: &[u8; 32]| [&[2, 0, 0, 0, 1, 0, 0, 0, 88, 0][..], pk, &*ciphertext].concat();
    for point in small_order() {
        let answer = session.seal(&rekeyed(&point));
        net.inject(server_address(), client_address(0), &answer);
    }
    let is_rekeyed = |kind: &EventKind| matches!(kind, EventKind::Rekeyed { .. });
    assert!(!net.clients[0].events.iter().any(|(_, kind)| is_rekeyed(kind)));
    assert_eq!(
        net.clients[0].peer.counters().dropped(DropReason::MalformedBody),
        14
    );
    // A genuine answer is accepted as before, and the first ping is sealed under the new key.
    let secret = [0x42; 32];
    let genuine = rekeyed(&x25519(secret, X25519_BASEPOINT_BYTES));
    let answer = session.seal(&genuine);
    net.inject(server_address(), client_address(0), &answer);
    let dh = x25519(secret, rekey_public(&rekey));
    let next = session.after(&dh, &shared, (&rekey, &genuine), rekey_index(&rekey));
    let ping = net.log.last().unwrap();
    assert_eq!(
        (next.read(&ping.bytes)["t"].as_str(), index_of(ping)),
        (Some("ping"), 88)
    );
}

/// A public key of ML-KEM with a coefficient that is not below the modulus.
#[test]
fn a_server_drops_rekeys_with_an_invalid_encapsulation_key() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    net.run_for(Duration::from_secs(1));
    let mut rekey = session.rekey_message(77, &x25519([0x42; 32], X25519_BASEPOINT_BYTES));
    rekey[42..45].fill(0xff);
    let sealed = session.seal(&rekey);
    assert!(ask(&mut net, elsewhere(1), &sealed).is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::MalformedBody), 1);
}

/// Receiver index of a session datagram.
fn index_of(seen: &Seen) -> u32 {
    u32::from_be_bytes(*seen.bytes[1..].first_chunk().unwrap())
}

const HOUR: Duration = Duration::from_secs(3600);

/// Attack 21: the clock jumps an hour ahead, or the machine has slept without notice.
#[test]
fn after_an_unannounced_hour_no_old_key_is_used_and_the_client_logs_in_again() {
    for announced in [false, true] {
        let mut net = Net::connected();
        let inner = net.inner(0);
        let (there, back) = (packet(&inner, "10.9.0.1", b"x"), packet("10.9.0.1", &inner, b"x"));
        // Datagrams in flight arrive an hour late, before any timer is handled.
        net.wire = Box::new(|_| vec![]);
        net.client_sends(0, there.clone());
        net.server_sends(back.clone());
        let held_back = net.log[net.log.len() - 2..].to_vec();
        let old: Vec<u32> = net
            .log
            .iter()
            .filter(|seen| seen.bytes[0] == 3)
            .map(index_of)
            .collect();
        net.wire = Box::new(|seen: &Seen| vec![(DELAY, seen.clone())]);
        if announced {
            net.command(0, Command::Sleep);
        }
        net.now = net.now + HOUR;
        let before = net.log.len();
        for seen in &held_back {
            net.inject(seen.from, seen.to, &seen.bytes);
        }
        net.client_sends(0, there.clone());
        net.server_sends(back.clone());
        if announced {
            net.command(0, Command::Wake);
        }
        net.run_for(Duration::from_secs(2));
        assert_eq!(net.status(0), TunnelStatus::Connected);
        assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (0, 0));
        let sealed = net.log[before..].iter().filter(|seen| seen.bytes[0] == 3);
        assert_eq!(sealed.filter(|seen| old.contains(&index_of(seen))).count(), 0);
        assert_eq!(net.log[before].kind, "login");
        net.client_sends(0, there);
        net.server_sends(back);
        net.run_for(Duration::from_secs(1));
        assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (1, 1));
    }
}

/// Attack 21: the same in every state that has a deadline.
#[test]
fn datagrams_delayed_by_an_hour_complete_no_login_and_no_rekey() {
    for kind in [
        "cookie",
        "login-cookie",
        "ke2",
        "ke3",
        "settings",
        "rekeyed",
        "rekey",
    ] {
        let mut net = Net::pair();
        net.wire = Box::new(move |seen: &Seen| match seen.kind == kind {
            true => vec![],
            false => vec![(DELAY, seen.clone())],
        });
        net.start(0);
        while !net.kinds().contains(&kind) {
            net.run_for(Duration::from_millis(10));
        }
        let held_back = net.first(kind);
        let (logins, started) = (net.count("settings"), net.started(0).is_some());
        net.now = net.now + HOUR;
        net.inject(held_back.from, held_back.to, &held_back.bytes);
        assert_eq!(net.count("settings"), logins, "{kind}");
        assert_eq!(
            net.started(0).is_some_and(|(_, result)| result.is_ok()),
            started,
            "{kind}"
        );
        let is_rekeyed = |kind: &EventKind| matches!(kind, EventKind::Rekeyed { .. });
        assert!(
            !net.clients[0].events.iter().any(|(_, kind)| is_rekeyed(kind)),
            "{kind}"
        );
        if held_back.to == server_address() {
            assert_eq!(net.server.half_open_count(), 0, "{kind}");
        }
    }
}

/// Attack 21: a ping under an answered rekey does not revive an ended session.
#[test]
fn a_ping_under_a_rekey_of_an_hour_ago_does_not_revive_the_session() {
    let mut net = Net::pair();
    // The first ping under the new keys is delayed. The server has answered and waits for it.
    net.wire = Box::new(
        |seen: &Seen| match seen.at > Instant::from_secs(100) && seen.kind == "ping" {
            true => vec![],
            false => vec![(DELAY, seen.clone())],
        },
    );
    net.start(0);
    while net.count("rekeyed") == 0 {
        net.run_for(Duration::from_millis(10));
    }
    net.run_for(Duration::from_millis(30));
    let ping = net.log.last().unwrap().clone();
    assert_eq!(ping.kind, "ping");
    net.now = net.now + HOUR;
    let before = net.log.len();
    net.inject(ping.from, ping.to, &ping.bytes);
    assert_eq!((net.log.len(), net.server.session_count()), (before, 0));
}

/// Attack 21: the clock jumps an hour back, which it must not. The time of the peers then stops, and
/// everything else continues.
#[test]
fn a_clock_that_jumps_back_an_hour_breaks_nothing_and_revives_no_old_key() {
    let mut net = Net::pair();
    net.now = Instant::from_secs(7200);
    net.start(0);
    net.run_for(Duration::from_secs(300));
    let recorded = std::mem::take(&mut net.log);
    net.now = net.now - HOUR;
    let inner = net.inner(0);
    for seen in recorded
        .iter()
        .filter(|seen| seen.bytes[0] == 3 || seen.kind == "ke2")
    {
        net.inject(seen.from, seen.to, &seen.bytes);
    }
    assert!(net.log.is_empty(), "{:?}", net.kinds());
    net.client_sends(0, packet(&inner, "10.9.0.1", b"there"));
    net.server_sends(packet("10.9.0.1", &inner, b"and back"));
    net.run_for(Duration::from_secs(1));
    assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (1, 1));
    net.command(0, Command::Stop);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(
        net.status(0),
        TunnelStatus::Connected,
        "a login works while the time does not advance"
    );
    // Once the clock has caught up, keys age again.
    net.log.clear();
    net.run_for(HOUR + HOUR);
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert!(net.count("rekeyed") >= 25, "{}", net.count("rekeyed"));
}

const CANARY: &str = "canary-password-8f1c";
const NEW_CANARY: &str = "canary-password-again";

fn printed(what: &impl Debug) -> String {
    format!("{what:?}\n{what:#?}\n")
}

/// All printable text of a client, a server and their interfaces during a login, a password change and its
/// rejection.
fn everything_printed(client: ClientConfig, server: ServerConfig) -> String {
    let mut text = printed(&client) + &printed(&server);
    let (mut client, mut server) = (Client::new(client), Server::new(server).unwrap());
    client.start(Instant::ZERO).unwrap();
    let mut asked = false;
    for n in 0..200 {
        let now = Instant::from_millis(50 * n);
        if client.status() == TunnelStatus::Connected && !asked {
            asked = true;
            client.change_password(now, NEW_CANARY.to_owned().into()).unwrap();
        }
        text += &(printed(&client) + &printed(&server));
        while let Some(sent) = client.poll_datagram() {
            text += &printed(&sent);
            let remote = client_address(0);
            let _ = server.handle_datagram(now, Datagram { remote, ..sent });
            while let Some(answer) = server.poll_datagram() {
                text += &printed(&answer);
                let remote = server_address();
                let _ = client.handle_datagram(now, Datagram { remote, ..answer });
                text += &printed(&client);
                finish_jobs(&mut client, now, &mut text);
            }
            text += &printed(&server);
            finish_jobs(&mut server, now, &mut text);
        }
        let _ = (client.handle_timeout(now), server.handle_timeout(now));
        for peer in [&mut client as &mut dyn Peer, &mut server] {
            while let Some(event) = peer.poll_event() {
                text += &printed(&event);
            }
            text += &printed(&peer.counters());
        }
    }
    text
}

fn finish_jobs(peer: &mut dyn Peer, now: Instant, text: &mut String) {
    while let Some(job) = peer.poll_job() {
        *text += &printed(&job);
        let done = job.run();
        *text += &printed(&done);
        peer.handle_job(now, done).unwrap();
    }
}

/// Attack 23: secrets in logs, errors and traces.
#[test]
fn a_canary_password_never_appears_in_printed_text() {
    let mut rng = <rand_chacha::ChaCha20Rng as rand_core::SeedableRng>::from_seed([9; 32]);
    let record = register(&setup(), Suite::Laboratory, &login("kean"), CANARY, &mut rng).unwrap();
    let psk = *b"canary-key-canary-key-canary-key";
    let client = ClientConfig {
        password: CANARY.to_owned().into(),
        psk: Psk::new(psk).unwrap(),
        ..client_config("kean", 0x77)
    };
    let server = ServerConfig {
        users: store([User {
            record: record.clone(),
            ..user("kean")
        }]),
        psk: Psk::new(psk).unwrap(),
        seed: [0x77; 32],
        ..server_config()
    };
    let text = everything_printed(client.clone(), server.clone());
    for reached in ["LoggedIn", "Connected", "PasswordChanged", "Job(finish login)"] {
        assert!(text.contains(reached), "unexpected run: no {reached}");
    }
    let wrong = ClientConfig {
        password: NEW_CANARY.to_owned().into(),
        ..client
    };
    let text = text + &everything_printed(wrong, server) + &printed(&record) + &printed(&setup());
    assert!(
        text.contains("AuthenticationRejected"),
        "the second run must be as expected"
    );
    let list = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    for secret in [
        "canary".to_owned(),
        list(b"canary"),
        list(&[0x77; 4]),
        b64(CANARY.as_bytes())[..12].to_owned(),
        b64(&record.to_bytes())[..12].to_owned(),
        list(&record.to_bytes()[..6]),
        list(&setup().to_bytes()[..6]),
    ] {
        assert!(!text.contains(&secret), "{secret} was printed");
    }
    // Errors do not contain their input either.
    let key = printed(&Psk::from_base64(CANARY).unwrap_err())
        + &Psk::from_slice(b"canary").unwrap_err().to_string();
    assert!(!key.contains("canary"), "{key}");
}

/// Attack 23: secrets in memory. The test passes if it compiles.
#[test]
fn keys_passwords_and_login_states_are_erased_when_dropped() {
    fn zeroized<T: ZeroizeOnDrop>() {}
    fn zeroized_value<T: ZeroizeOnDrop>(_: &T) {}
    zeroized::<Psk>();
    let config = client_config("kean", 1);
    zeroized_value(&config.psk);
    zeroized_value(&config.password);
    zeroized_value(&setup().to_bytes());
    zeroized::<aes_gcm::Aes256Gcm>();
    zeroized::<chacha20poly1305::ChaCha20Poly1305>();
    // The state that the crate keeps of OPAQUE consists of these library types.
    zeroized::<opaque_ke::ClientLogin<Parts>>();
    zeroized::<opaque_ke::ServerLogin<Parts>>();
    zeroized::<opaque_ke::ClientRegistration<Parts>>();
    zeroized::<opaque_ke::ServerRegistration<Parts>>();
    // A login request is erased from the buffer in which it arrived.
    assert_eq!(
        printed(&PacketBuf::copied_from(CANARY.as_bytes())),
        printed(&PacketBuf::copied_from(&[0; 20]))
    );
}
