//! Tests for planted bugs that no other test detected (`cargo xtask mutants`).

use std::time::Duration;

use sandhog_proto::{Command, DropReason, EventKind, Peer, TunnelStatus};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::attacker::{Attempt, Insider, ask, elsewhere, logged_in};
use crate::support::{
    DELAY, Net, PASSWORD, Seen, client_config, packet, server_address, server_config, store, user,
};

#[test]
fn messages_in_a_session_are_padded_to_a_multiple_of_64_bytes() {
    let mut net = Net::connected();
    net.run_for(Duration::from_secs(140));
    net.command(0, Command::Stop);
    for kind in ["settings", "ping", "pong", "rekey", "rekeyed", "bye"] {
        let len = net.first(kind).bytes.len() - 29;
        assert_eq!(len % 64, 0, "{kind} has {len} bytes");
    }
}

#[test]
fn a_rekey_for_any_epoch_except_the_next_gets_no_reply() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let pk = x25519(insider.random(), X25519_BASEPOINT_BYTES);
    for epoch in [1, 2, 1000, u32::MAX - 1] {
        let mut ahead = session.clone();
        ahead.epoch = epoch;
        let datagram = session.seal(&ahead.rekey_message(7, &pk));
        assert!(ask(&mut net, elsewhere(1), &datagram).is_empty(), "after {epoch}");
    }
    session.rekey(&mut insider, &mut net, elsewhere(1));
    net.inject(
        elsewhere(1),
        server_address(),
        &session.seal(br#"{"t":"ping","n":2}"#),
    );
    // A datagram of the current epoch.
    let mut present = session.clone();
    present.epoch = 0;
    let datagram = session.seal(&present.rekey_message(8, &pk));
    assert!(ask(&mut net, elsewhere(1), &datagram).is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::Unexpected), 5);
}

#[test]
fn a_source_can_begin_five_logins_at_once_and_then_one_every_50_ms() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let mut begun = |net: &mut Net, from: u16, tries: usize| {
        let is_begun = |_: &usize| {
            let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
            attempt.begin(&mut insider, net, elsewhere(from)).is_some()
        };
        (0..tries).filter(is_begun).count()
    };
    assert_eq!(begun(&mut net, 1, 8), 5);
    assert_eq!(net.server.counters().dropped(DropReason::RateLimited), 3);
    net.run_for(Duration::from_millis(49));
    assert_eq!(begun(&mut net, 1, 1), 0);
    net.run_for(Duration::from_millis(1));
    assert_eq!(begun(&mut net, 1, 3), 1);
    assert_eq!(begun(&mut net, 2, 1), 1, "others are not touched");
}

#[test]
fn a_repeated_login_with_a_cookie_is_answered_by_its_ke2_alone() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let cookie = attempt.cookie(&mut insider, &mut net, elsewhere(1));
    let m1 = attempt.first_message(&mut insider, Some(&cookie));
    let first = ask(&mut net, elsewhere(1), &m1);
    let m1 = insider.again(&m1);
    let again = ask(&mut net, elsewhere(1), &m1);
    assert_eq!(first.len(), 1);
    assert_eq!(again.len(), 1, "no byte more than was received");
    assert_eq!(insider.read(&again[0].bytes), insider.read(&first[0].bytes));
}

/// Replies of the server to an M3 with a wrong KE3.
fn answer_to_wrong_ke3(net: &mut Net, insider: &mut Insider, m3: &[u8]) -> Vec<Seen> {
    let wrong = insider.random::<64>();
    let changed = insider.changed(m3, |body| body[5..69].copy_from_slice(&wrong));
    ask(net, elsewhere(1), &changed)
}

#[test]
fn after_three_wrong_ke3_the_right_one_is_rejected() {
    for (wrong, is_answered) in [(2, true), (3, false)] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
        let m2 = attempt.begin(&mut insider, &mut net, elsewhere(1)).unwrap();
        let (m3, _) = attempt.confirm(&mut insider, &m2);
        net.run_for(Duration::from_secs(1));
        for _ in 0..wrong {
            assert!(answer_to_wrong_ke3(&mut net, &mut insider, &m3).is_empty());
        }
        assert_eq!(
            !ask(&mut net, elsewhere(1), &m3).is_empty(),
            is_answered,
            "{wrong} wrong ones"
        );
        assert_eq!(net.server.half_open_count(), 0);
        net.run_for(Duration::from_secs(20));
        let refused = EventKind::LoginRefused { remote: elsewhere(1) };
        let told = net.server_events.iter().filter(|(_, kind)| *kind == refused);
        assert_eq!(told.count(), usize::from(!is_answered), "it is reported once");
    }
}

#[test]
fn settings_are_sent_again_only_for_the_right_ke3() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let m2 = attempt.begin(&mut insider, &mut net, elsewhere(1)).unwrap();
    let (m3, _) = attempt.confirm(&mut insider, &m2);
    assert_eq!(ask(&mut net, elsewhere(1), &m3).len(), 1);
    net.run_for(Duration::from_secs(1));
    assert!(answer_to_wrong_ke3(&mut net, &mut insider, &m3).is_empty());
    let m3 = insider.again(&m3);
    assert_eq!(ask(&mut net, elsewhere(1), &m3).len(), 1);
}

#[test]
fn an_account_is_valid_until_the_second_before_it_expires() {
    const ORIGIN: u64 = 1_800_000_000;
    for (expires, result) in [(ORIGIN + 10, Err("account-expired")), (ORIGIN + 11, Ok(()))] {
        let mut config = server_config();
        let mut kean = user("kean");
        kean.expires = Some(expires);
        config.users = store([kean]);
        let mut net = Net::new(config, [client_config("kean", 1)]);
        net.run_for(Duration::from_secs(10));
        net.start(0);
        net.run_for(Duration::from_millis(500));
        assert_eq!(net.started(0).unwrap().1, result);
        assert_eq!(net.status(0) == TunnelStatus::Connected, result.is_ok());
    }
}

#[test]
fn no_packet_is_sent_in_an_unconfirmed_session() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen: &Seen| match seen.kind {
        "settings" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert!(net.count("settings") >= 1);
    net.server_sends(packet("10.9.0.1", "10.9.0.2", b"is anybody there"));
    assert_eq!(net.count("data"), 0);
    assert_eq!(net.server.counters().dropped(DropReason::NotConnected), 1);
    net.wire = Box::new(|seen: &Seen| vec![(DELAY, seen.clone())]);
    net.run_for(Duration::from_secs(2));
    net.server_sends(packet("10.9.0.1", "10.9.0.2", b"now there is"));
    assert_eq!(net.count("data"), 1);
}

#[test]
fn a_sleeping_client_accepts_nothing() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.command(0, Command::Sleep);
    net.server_sends(packet("10.9.0.1", &inner, b"good night"));
    net.run_for(Duration::from_secs(5));
    assert!(net.clients[0].packets.is_empty());
    assert_eq!(
        net.clients[0].peer.counters().dropped(DropReason::NotConnected),
        1
    );
}

#[test]
fn after_15_s_of_sleep_a_client_logs_in_again_although_its_keys_are_valid() {
    for (slept, first) in [(14_999, "ping"), (15_000, "login")] {
        let mut net = Net::connected();
        net.command(0, Command::Sleep);
        net.run_for(Duration::from_millis(slept));
        let before = net.log.len();
        net.command(0, Command::Wake);
        assert_eq!(net.kinds()[before..], [first], "{slept} ms");
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.status(0), TunnelStatus::Connected);
    }
}
