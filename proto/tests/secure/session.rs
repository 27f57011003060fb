//! Events of a session after its login: silence, timeout, roaming, sleep, rekey, end.

use std::time::Duration;

use sandhog_proto::{Command, EventKind, TunnelStatus};

use crate::support::{
    DELAY, Net, Wire, client_address, client_config, packet, server_address, server_config, store, user,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A network that loses all datagrams of these kinds.
fn losing(kinds: &'static [&'static str]) -> Wire {
    Box::new(move |seen| {
        if kinds.contains(&seen.kind) {
            vec![]
        } else {
            vec![(DELAY, seen.clone())]
        }
    })
}

fn statuses(net: &Net) -> Vec<TunnelStatus> {
    let status = |(_, kind): &(_, EventKind)| match kind {
        EventKind::Status(status) => Some(*status),
        _ => None,
    };
    net.clients[0].events.iter().filter_map(status).collect()
}

fn ended(net: &Net) -> Vec<&'static str> {
    let reason = |(_, kind): &(_, EventKind)| match kind {
        EventKind::SessionEnded { reason, .. } => Some(*reason),
        _ => None,
    };
    net.server_events.iter().filter_map(reason).collect()
}

#[test]
fn a_silent_client_pings_every_25_s_and_is_answered() {
    let mut net = Net::connected();
    let before = net.log.len();
    net.run_for(secs(100));
    let after = &net.log[before..];
    let pings: Vec<u64> = after
        .iter()
        .filter(|seen| seen.kind == "ping")
        .map(|seen| seen.at.as_millis())
        .collect();
    assert_eq!(pings, [25_160, 50_160, 75_160, 100_160]);
    assert_eq!(after.len(), 8, "only pings and their answers are sent");
}

#[test]
fn a_silent_day_has_exactly_the_expected_pings_and_rekeys() {
    let mut net = Net::connected();
    let before = net.log.len();
    net.run_for(secs(24 * 3600));
    let after = &net.log[before..];
    let count = |kind: &str| after.iter().filter(|seen| seen.kind == kind).count();
    let rekeys = count("rekey");
    // A rekey comes 110 to 120 s after the last one. Each is one exchange and a ping under the new keys.
    assert!((720..=785).contains(&rekeys), "{rekeys} rekeys");
    assert_eq!(count("rekeyed"), rekeys);
    assert_eq!(count("ping"), count("pong"));
    assert_eq!(after.len(), 2 * rekeys + 2 * count("ping"));
    let own: Vec<_> = after
        .iter()
        .filter(|seen| seen.from != server_address())
        .collect();
    for (last, next) in own.iter().zip(&own[1..]) {
        let gap = next.at.saturating_duration_since(last.at);
        match (last.kind, next.kind) {
            ("rekey", "ping") => assert_eq!(gap, DELAY + DELAY, "at {}", next.at),
            (_, "ping") => assert_eq!(gap, secs(25), "at {}", next.at),
            (_, kind) => assert!(kind == "rekey" && gap <= secs(25), "{kind} at {}", next.at),
        }
    }
    let asked: Vec<_> = own.iter().filter(|seen| seen.kind == "rekey").collect();
    for (last, next) in asked.iter().zip(&asked[1..]) {
        let age = next.at.saturating_duration_since(last.at + DELAY + DELAY);
        assert!((secs(110)..=secs(120)).contains(&age), "{age:?}");
    }
    assert_eq!(
        statuses(&net),
        [TunnelStatus::Connecting, TunnelStatus::Connected]
    );
}

#[test]
fn a_silent_server_is_probed_after_10_s_and_given_up_after_15_s() {
    let mut net = Net::connected();
    net.wire = Box::new(|seen| {
        if seen.from == server_address() {
            vec![]
        } else {
            vec![(DELAY, seen.clone())]
        }
    });
    let inner = net.inner(0);
    let before = net.log.len();
    let start = net.now;
    net.client_sends(0, packet(&inner, "10.9.0.1", b"anybody there?"));
    net.run_for(Duration::from_millis(15_300));
    let own: Vec<_> = net.log[before..]
        .iter()
        .filter(|seen| seen.from != server_address())
        .map(|seen| (seen.kind, seen.at.saturating_duration_since(start).as_secs()))
        .collect();
    assert_eq!(
        own,
        [
            ("data", 0),
            ("ping", 10),
            ("ping", 11),
            ("ping", 12),
            ("ping", 13),
            ("ping", 14),
            ("login", 15),
        ]
    );
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
}

#[test]
fn a_tunnel_that_was_up_logs_in_again_until_the_server_is_back() {
    let mut net = Net::connected();
    net.wire = Box::new(|_| vec![]);
    net.run_for(secs(300));
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
    let failed = |(_, kind): &&(_, EventKind)| matches!(kind, EventKind::Retrying(_));
    let tries = net.clients[0].events.iter().filter(failed).count();
    assert!((6..=20).contains(&tries), "{tries} tries in five minutes");
    net.wire = Box::new(|seen| vec![(DELAY, seen.clone())]);
    net.run_for(secs(75));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert_eq!(net.server.session_count(), 1);
}

#[test]
fn packets_in_flight_during_a_rekey_are_not_lost() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    // Each datagram takes up to 200 ms, so some sealed under the old keys arrive after some under the new
    // ones.
    let mut n = 0u64;
    net.wire = Box::new(move |seen| {
        n += 1;
        vec![(Duration::from_millis(5 + n * 37 % 200), seen.clone())]
    });
    let total = 5 * 400;
    for _ in 0..total {
        net.client_sends(0, packet(&inner, "10.9.0.1", &[1; 100]));
        net.server_sends(packet("10.9.0.1", &inner, &[2; 100]));
        net.run_for(Duration::from_millis(200));
    }
    net.run_for(secs(1));
    assert!(net.count("rekeyed") >= 3);
    assert_eq!(
        (net.server_packets.len(), net.clients[0].packets.len()),
        (total, total)
    );
}

#[test]
fn a_client_can_rekey_more_often_but_at_most_every_10_s() {
    for (told, least, most) in [(30, 27, 31), (1, 10, 12), (3600, 110, 121)] {
        let mut net = Net::pair();
        net.clients[0].peer.set_rekey_after(secs(told));
        net.start(0);
        net.run_for(secs(600));
        let asked: Vec<u64> = net
            .log
            .iter()
            .filter(|seen| seen.kind == "rekey")
            .map(|seen| seen.at.as_millis() / 1000)
            .collect();
        assert!(asked.len() >= 4, "{asked:?}");
        let waits = asked.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(
            waits.clone().all(|wait| (least..=most).contains(&wait)),
            "{asked:?}"
        );
        assert_eq!(net.count("rekeyed"), asked.len(), "each is answered");
    }
}

#[test]
fn without_a_rekey_data_stops_at_180_s_and_continues_after_a_new_login() {
    let mut net = Net::connected();
    net.wire = losing(&["rekey"]);
    let inner = net.inner(0);
    net.run_for(secs(170));
    net.client_sends(0, packet(&inner, "10.9.0.1", b"before"));
    net.run_for(secs(1));
    assert_eq!(net.server_packets.len(), 1);
    net.run_for(secs(20));
    assert!(net.count("login") > 1, "it has logged in again");
    assert_eq!(net.status(0), TunnelStatus::Connected);
    net.client_sends(0, packet(&net.inner(0), "10.9.0.1", b"after"));
    net.run_for(secs(1));
    assert_eq!(net.server_packets.len(), 2);
}

#[test]
fn the_server_follows_a_client_to_a_new_address_with_its_first_packet() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.clients[0].address = client_address(77);
    net.client_sends(0, packet(&inner, "10.9.0.1", b"from elsewhere"));
    net.run_for(Duration::from_millis(100));
    net.server_sends(packet("10.9.0.1", &inner, b"to there"));
    net.run_for(Duration::from_millis(100));
    assert_eq!(net.clients[0].packets.len(), 1);
    let moved = net.server_events.iter().find_map(|(_, kind)| match kind {
        EventKind::Roamed { from, to } => Some((*from, *to)),
        _ => None,
    });
    assert_eq!(moved, Some((client_address(0), client_address(77))));
}

#[test]
fn stop_tells_the_server_to_end_the_session() {
    let mut net = Net::connected();
    net.command(0, Command::Stop);
    net.run_for(secs(1));
    assert_eq!(net.kinds().last(), Some(&"bye"));
    assert_eq!(ended(&net), ["bye"]);
    assert_eq!(
        (net.server.session_count(), net.status(0)),
        (0, TunnelStatus::Disconnected)
    );
}

#[test]
fn a_second_device_of_a_user_replaces_the_first_which_does_not_log_in_again() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("kean", 3)],
    );
    net.start(0);
    net.run_for(secs(1));
    net.start(1);
    net.run_for(secs(120));
    assert_eq!(net.inner(1), "10.9.0.2");
    assert_eq!(ended(&net), ["replaced"]);
    assert_eq!(net.status(0), TunnelStatus::Disconnected);
    assert!(
        net.clients[0].events.iter().any(
            |(_, kind)| matches!(kind, EventKind::Cancelled(error) if error.name() == "session-replaced")
        )
    );
    assert_eq!(net.count("login"), 2);
}

#[test]
fn an_idle_session_ends_after_180_s() {
    let mut net = Net::connected();
    net.wire = Box::new(|_| vec![]);
    net.command(0, Command::Sleep);
    net.run_for(secs(178));
    assert_eq!(net.server.session_count(), 1);
    net.run_for(secs(3));
    assert_eq!(net.server.session_count(), 0);
    assert_eq!(net.server.poll_timeout(), None, "no timer is left");
}

#[test]
fn a_client_sends_nothing_while_asleep_and_logs_in_again_when_awake() {
    let mut net = Net::connected();
    net.command(0, Command::Sleep);
    let before = net.log.len();
    net.run_for(secs(8 * 3600));
    assert_eq!(net.log.len(), before);
    assert_eq!(net.client_timer(0), None);
    net.command(0, Command::Wake);
    net.run_for(secs(1));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    let expected = [
        "login",
        "cookie",
        "login-cookie",
        "ke2",
        "ke3",
        "settings",
        "ping",
        "rekey",
        "pong",
        "rekeyed",
        "ping",
        "pong",
    ];
    assert_eq!(net.kinds()[before..], expected);
}

#[test]
fn after_a_short_sleep_one_ping_is_enough() {
    let mut net = Net::connected();
    net.command(0, Command::Sleep);
    let before = net.log.len();
    net.run_for(secs(5));
    net.command(0, Command::Wake);
    net.run_for(secs(1));
    assert_eq!(net.kinds()[before..], ["ping", "pong"]);
}

#[test]
fn disabling_a_connected_user_ends_the_session_and_refuses_the_next_login() {
    let mut net = Net::connected();
    let mut users = store([user("kean")]);
    users.disable(&crate::support::login("kean")).unwrap();
    let now = net.now;
    net.server.set_users(now, users).unwrap();
    net.client_sends(0, packet("10.9.0.2", "10.9.0.1", b"?"));
    net.run_for(secs(60));
    assert_eq!(ended(&net), ["removed"]);
    assert!(
        net.clients[0].events.iter().any(
            |(_, kind)| matches!(kind, EventKind::Retrying(error) if error.name() == "account-disabled")
        )
    );
}

#[test]
fn a_password_changed_through_the_session_is_valid_at_the_next_login() {
    let mut net = Net::connected();
    let now = net.now;
    let old = net.server.users().to_text();
    net.clients[0]
        .peer
        .change_password(now, "battery staple".to_owned().into())
        .unwrap();
    net.run_for(secs(2));
    assert_eq!(
        net.clients[0].events.last().map(|(_, kind)| kind.clone()),
        Some(EventKind::PasswordChanged(Ok(())))
    );
    let saved = net.saved.last().expect("the store was written").clone();
    assert_eq!(saved, net.server.users().to_text());
    assert_ne!(saved, old);
    net.command(0, Command::Stop);
    net.start(0);
    net.run_for(secs(2));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

#[test]
fn if_a_new_password_cannot_be_stored_the_old_one_stays_valid() {
    let mut net = Net::connected();
    net.disk_is_full = true;
    let now = net.now;
    let old = net.server.users().to_text();
    net.clients[0]
        .peer
        .change_password(now, "battery staple".to_owned().into())
        .unwrap();
    net.run_for(secs(12));
    assert!(matches!(
        net.clients[0].events.last(),
        Some((_, EventKind::PasswordChanged(Err(_))))
    ));
    assert_eq!(net.server.users().to_text(), old);
}

#[test]
fn both_sides_report_the_age_of_the_session_and_its_keys() {
    let mut net = Net::connected();
    net.run_for(secs(200));
    let client = net.clients[0].peer.session_info().expect("a session");
    assert_eq!(client.remote, server_address());
    let (login, addresses, server) = net.server.session_infos().next().expect("a session");
    assert_eq!((login.as_str(), addresses.len()), ("kean", 2));
    assert_eq!(server.remote, client_address(0));
    for info in [client, server] {
        let age = |then| net.now.saturating_duration_since(then);
        assert_eq!(info.epoch, 2);
        assert!(age(info.since) >= secs(200), "{info:?}");
        assert!((secs(80)..secs(91)).contains(&age(info.keys_since)), "{info:?}");
        assert!(age(info.last_heard) < secs(26), "{info:?}");
    }
}
