//! Sessions that another session of the same user replaces, and the time at which that happens.

use std::time::Duration;

use sandhog_proto::secure::{ServerConfig, User};
use sandhog_proto::{Command, EventKind, TunnelStatus};
use serde_json::Value;

use crate::attacker::{Attempt, Insider, Session, ask, elsewhere, logged_in};
use crate::support::{
    DELAY, Net, PASSWORD, Seen, client_config, packet, server_address, server_config, store, user,
};

/// A hand-made login up to M4. The client does not use the session.
fn unconfirmed(net: &mut Net, insider: &mut Insider, name: &str, from: u16) -> (Session, Value) {
    let attempt = Attempt::new(insider, name, PASSWORD);
    let m2 = attempt
        .begin(insider, net, elsewhere(from))
        .expect("the server answers KE1");
    let (m3, session) = attempt.confirm(insider, &m2);
    let m4 = ask(net, elsewhere(from), &m3);
    let settings = session.read(&m4.last().expect("the server answers KE3").bytes);
    (session, settings)
}

fn ping(net: &mut Net, session: &mut Session, from: u16) -> Vec<Seen> {
    let ping = session.seal(br#"{"t":"ping","n":1}"#);
    ask(net, elsewhere(from), &ping)
}

/// The user `kean`, with this number of sessions.
fn limited(max_sessions: u16) -> User {
    User {
        max_sessions,
        ..user("kean")
    }
}

/// Three devices of this user, not started.
fn three_devices(max_sessions: u16) -> Net {
    let mut config: ServerConfig = server_config();
    config.users = store([limited(max_sessions)]);
    Net::new(config, [1, 3, 5].map(|seed| client_config("kean", seed)))
}

fn kinds(seen: &[Seen]) -> Vec<&'static str> {
    seen.iter().map(|seen| seen.kind).collect()
}

#[test]
fn the_old_session_stays_until_the_client_uses_the_new_one() {
    let mut net = Net::connected();
    let mut insider = Insider::new(3);
    let inner = net.inner(0);
    let (mut session, settings) = unconfirmed(&mut net, &mut insider, "kean", 1);
    assert_eq!(
        settings["addr4"],
        format!("{inner}/24"),
        "the address passes over"
    );
    assert_eq!(net.count("bye"), 0);
    // Both directions of the old session still work.
    net.client_sends(0, packet(&inner, "10.9.0.1", b"up"));
    net.run_for(Duration::from_millis(100));
    net.server_sends(packet("10.9.0.1", &inner, b"down"));
    net.run_for(Duration::from_millis(100));
    assert_eq!((net.server_packets.len(), net.clients[0].packets.len()), (1, 1));
    // The first datagram of the new session ends the old one.
    assert_eq!(kinds(&ping(&mut net, &mut session, 1)), ["pong", "bye"]);
    assert_eq!(net.server.session_count(), 1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.status(0), TunnelStatus::Disconnected);
    net.server_sends(packet("10.9.0.1", &inner, b"down"));
    let sent = net.log.last().unwrap();
    assert_eq!((sent.kind, sent.to), ("data", elsewhere(1)));
}

#[test]
fn a_login_whose_settings_are_lost_does_not_take_the_tunnel_down() {
    let mut net = Net::connected();
    net.wire = Box::new(|_| vec![]);
    net.client_sends(0, packet(&net.inner(0), "10.9.0.1", b"x"));
    net.run_for(Duration::from_secs(15));
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
    // Logins pass, but nothing of a session that comes from the server.
    net.wire = Box::new(|seen| {
        let is_lost = seen.from == server_address() && seen.bytes[0] == 3;
        let arriving = (!is_lost).then(|| (DELAY, seen.clone()));
        arriving.into_iter().collect()
    });
    net.run_for(Duration::from_secs(60));
    assert!(net.count("settings") > 1, "the server has accepted logins");
    assert_eq!(net.count("bye"), 0);
    net.wire = Box::new(|seen| vec![(DELAY, seen.clone())]);
    net.run_for(Duration::from_secs(60));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

#[test]
fn two_devices_that_start_together_are_connected_or_replaced() {
    for lost in 0..40 {
        let clients = [client_config("kean", 1), client_config("kean", 3)];
        let mut net = Net::new(server_config(), clients);
        let mut sent = 0;
        net.wire = Box::new(move |seen| {
            sent += 1;
            // Two datagrams in a row are lost.
            let is_lost = (lost..lost + 2).contains(&sent);
            let arriving = (!is_lost).then(|| (DELAY, seen.clone()));
            arriving.into_iter().collect()
        });
        net.start(0);
        net.start(1);
        net.run_for(Duration::from_secs(200));
        let is_replaced = |n: usize| {
            let mut events = net.clients[n].events.iter();
            events.any(
                |(_, kind)| matches!(kind, EventKind::Cancelled(error) if error.name() == "session-replaced"),
            )
        };
        let ends = [0, 1].map(|n| (net.status(n), is_replaced(n)));
        let mut sorted = ends;
        sorted.sort_by_key(|(_, replaced)| *replaced);
        let expected = [
            (TunnelStatus::Connected, false),
            (TunnelStatus::Disconnected, true),
        ];
        assert_eq!(sorted, expected, "without datagrams {lost} and {}", lost + 1);
        assert_eq!([0, 1].map(|n| net.started(n).unwrap().1), [Ok(()); 2]);
    }
}

#[test]
fn a_user_may_reconnect_although_no_address_is_free() {
    let mut config: ServerConfig = server_config();
    config.addresses = vec!["10.9.0.1/30".parse().unwrap()];
    let mut net = Net::new(config, [client_config("kean", 1), client_config("anna", 3)]);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    net.start(1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.started(1).unwrap().1, Err("server-full"));
    let mut insider = Insider::new(3);
    let (mut session, settings) = unconfirmed(&mut net, &mut insider, "kean", 1);
    assert_eq!(settings["addr4"], "10.9.0.2/30");
    // The address is free only when the last session that has or reserves it is gone.
    ping(&mut net, &mut session, 1);
    net.start(1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.started(1).unwrap().1, Err("server-full"));
    let bye = session.seal(br#"{"t":"bye","why":"stopped"}"#);
    net.inject(elsewhere(1), server_address(), &bye);
    net.clients[1].events.clear();
    net.start(1);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.started(1).unwrap().1, Ok(()));
}

#[test]
fn an_unconfirmed_session_keeps_its_address_when_the_old_one_ends() {
    let mut net = Net::connected();
    let mut insider = Insider::new(3);
    let inner = net.inner(0);
    let (mut session, _) = unconfirmed(&mut net, &mut insider, "kean", 1);
    net.command(0, Command::Stop);
    net.run_for(Duration::from_millis(100));
    let (_, other) = logged_in(&mut net, &mut insider, "anna");
    assert_ne!(other["addr4"], format!("{inner}/24"));
    assert_eq!(kinds(&ping(&mut net, &mut session, 1)), ["pong"]);
    net.server_sends(packet("10.9.0.1", &inner, b"down"));
    assert_eq!(net.log.last().unwrap().kind, "data");
}

#[test]
fn a_user_with_two_sessions_loses_the_oldest_one_to_a_third() {
    let mut net = three_devices(2);
    for n in 0..3 {
        net.start(n);
        net.run_for(Duration::from_secs(1));
    }
    let states = [0, 1, 2].map(|n| net.status(n));
    let (up, down) = (TunnelStatus::Connected, TunnelStatus::Disconnected);
    assert_eq!(states, [down, up, up]);
    assert_ne!(net.inner(1), net.inner(2));
}

#[test]
fn four_sessions_of_a_user_at_most_wait_for_their_first_datagram() {
    let mut net = Net::connected();
    let mut insider = Insider::new(3);
    for n in 0..10 {
        unconfirmed(&mut net, &mut insider, "kean", 100 + n);
    }
    assert_eq!(net.server.session_count(), 1 + 4);
    assert_eq!((net.count("bye"), net.status(0)), (0, TunnelStatus::Connected));
    net.run_for(Duration::from_secs(10));
    assert_eq!(net.server.session_count(), 1);
}

#[test]
fn after_the_limit_is_lowered_the_next_login_ends_all_surplus_sessions() {
    let mut net = three_devices(3);
    for n in 0..2 {
        net.start(n);
        net.run_for(Duration::from_secs(1));
    }
    let now = net.now;
    net.server.set_users(now, store([limited(1)])).unwrap();
    assert_eq!(net.server.session_count(), 2);
    net.start(2);
    net.run_for(Duration::from_secs(1));
    let states = [0, 1, 2].map(|n| net.status(n));
    let (up, down) = (TunnelStatus::Connected, TunnelStatus::Disconnected);
    assert_eq!((states, net.server.session_count()), ([down, down, up], 1));
}

#[test]
fn all_devices_of_a_user_with_many_sessions_can_log_in_at_the_same_time() {
    let mut config: ServerConfig = server_config();
    config.users = store([limited(20)]);
    let mut net = Net::new(config, []);
    let mut insider = Insider::new(3);
    let mut sessions: Vec<_> = (0..20)
        .map(|n| {
            // The rate of one source is limited.
            net.run_for(Duration::from_millis(100));
            unconfirmed(&mut net, &mut insider, "kean", 100 + n).0
        })
        .collect();
    for (n, session) in sessions.iter_mut().enumerate() {
        let from = 100 + u16::try_from(n).unwrap();
        assert_eq!(kinds(&ping(&mut net, session, from)), ["pong"], "device {n}");
    }
    assert_eq!(net.server.session_count(), 20);
}
