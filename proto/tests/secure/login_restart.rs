//! Logins that begin again, because KE3 has no answer.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use sandhog_proto::secure::{Server, ServerConfig};
use sandhog_proto::{DropReason, Instant, Peer, TunnelStatus};

use crate::support::{DELAY, Net, Seen, client_address, packet, server_address, server_config};

/// The outer address of the client after the NAT has bound it anew.
fn rebound() -> SocketAddr {
    "198.51.100.99:61000".parse().unwrap()
}

/// A NAT that gives the client a new address as soon as the server has sent a datagram of this kind. Datagrams for the old
/// address are lost; `arrives` decides about the first one.
fn rebind_at(net: &mut Net, kind: &'static str, arrives: bool) {
    let mut is_rebound = false;
    net.wire = Box::new(move |seen| {
        let mut passed = seen.clone();
        if seen.from != server_address() {
            if is_rebound {
                passed.from = rebound();
            }
            return vec![(DELAY, passed)];
        }
        let is_current = seen.to == rebound() || !is_rebound && (seen.kind != kind || arrives);
        is_rebound |= seen.kind == kind;
        passed.to = client_address(0);
        let arriving = is_current.then_some((DELAY, passed));
        arriving.into_iter().collect()
    });
}

/// True if a ping from the client arrives at the server.
fn carries_packets(net: &mut Net) -> bool {
    let before = net.server_packets.len();
    net.client_sends(0, packet(&net.inner(0), "10.9.0.1", b"x"));
    net.run_for(Duration::from_millis(100));
    net.server_packets.len() > before
}

/// Starts the client, and checks that its tunnel is up after 3 s.
#[track_caller]
fn connects_within_3_s(net: &mut Net) {
    net.start(0);
    net.run_for(Duration::from_secs(3));
    assert_eq!(net.started(0).map(|(_, result)| result), Some(Ok(())));
    assert!(carries_packets(net));
}

#[test]
fn a_login_begins_again_if_a_nat_binds_anew_before_ke3() {
    let mut net = Net::pair();
    rebind_at(&mut net, "ke2", true);
    connects_within_3_s(&mut net);
}

#[test]
fn a_login_begins_again_if_a_nat_binds_anew_before_the_settings() {
    let mut net = Net::pair();
    rebind_at(&mut net, "settings", false);
    connects_within_3_s(&mut net);
}

#[test]
fn a_login_begins_again_if_the_server_restarts_before_ke3() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen| match seen.kind {
        "ke3" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.server.half_open_count(), 1);
    net.server = Server::new(ServerConfig {
        seed: [99; 32],
        ..server_config()
    })
    .unwrap();
    net.wire = Box::new(|seen| vec![(DELAY, seen.clone())]);
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.started(0).map(|(_, result)| result), Some(Ok(())));
    assert!(carries_packets(&mut net));
}

#[test]
fn late_settings_count_while_the_next_login_is_in_progress() {
    let mut net = Net::pair();
    let since = Rc::new(Cell::new(Instant::ZERO));
    let second = since.clone();
    net.wire = Box::new(move |seen| match seen.kind {
        "settings" => vec![(Duration::from_millis(2300), seen.clone())],
        // The second login gets no reply.
        "login" if seen.at > Instant::from_secs(1) => {
            second.set(seen.at);
            vec![]
        }
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(3));
    assert!(since.get() > Instant::from_secs(2), "the login has begun again");
    assert_eq!(net.started(0).map(|(_, result)| result), Some(Ok(())));
    assert_eq!(net.server.session_count(), 1);
    assert!(carries_packets(&mut net));
    net.run_for(Duration::from_secs(30));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

#[test]
fn the_ke3_of_the_earlier_login_is_repeated_until_the_next_one() {
    let mut net = Net::pair();
    // The first login loses everything after KE2 for 2.5 s, and the second login gets no reply.
    net.wire = Box::new(move |seen| match seen.kind {
        "ke3" if seen.at < Instant::from_millis(2500) => vec![],
        "login" if seen.at > Instant::from_secs(1) => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(4));
    assert_eq!(net.started(0).map(|(_, result)| result), Some(Ok(())));
}

#[test]
fn settings_of_the_earlier_login_do_not_count_after_the_next_ke3() {
    let mut net = Net::pair();
    let held: Rc<Cell<Option<Seen>>> = Rc::default();
    let first = held.clone();
    net.wire = Box::new(move |seen| match seen.kind {
        "settings" => {
            let kept = first.take().unwrap_or_else(|| seen.clone());
            first.set(Some(kept));
            vec![]
        }
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_millis(2500));
    let m4 = held.take().expect("the server has answered");
    let dropped = |net: &Net| net.clients[0].peer.counters().dropped(DropReason::UnknownIndex);
    let before = dropped(&net);
    net.inject(m4.from, m4.to, &m4.bytes);
    assert_eq!(dropped(&net), before + 1);
    assert_eq!(net.status(0), TunnelStatus::Connecting);
}

#[test]
fn ke3_waits_for_three_round_trips_on_a_slow_path() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen| match seen.kind {
        "settings" => vec![],
        _ => vec![(Duration::from_millis(500), seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(9));
    let logins = |from: u64, to: u64| {
        let range = Instant::from_millis(from)..Instant::from_millis(to);
        let in_range = |seen: &&Seen| seen.kind == "login" && range.contains(&seen.at);
        net.log.iter().filter(in_range).count()
    };
    let ke3 = net.first("ke3").at;
    assert_eq!(ke3, Instant::from_secs(2));
    assert_eq!(logins(2000, 5000), 0);
    assert!(logins(5000, 5100) > 0);
}

#[test]
fn a_login_that_begins_again_ends_at_the_first_deadline() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen| match seen.kind {
        "settings" => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(20));
    let timed_out = Some((Instant::from_secs(10), Err("connection-timed-out")));
    assert_eq!(net.started(0), timed_out);
}

#[test]
fn the_first_ping_is_repeated_every_second_until_the_server_answers() {
    let mut net = Net::pair();
    net.wire = Box::new(|seen| match seen.kind {
        "ping" if seen.at < Instant::from_secs(3) => vec![],
        _ => vec![(DELAY, seen.clone())],
    });
    net.start(0);
    net.run_for(Duration::from_secs(20));
    // The fifth is the first under the keys of the first rekey.
    assert_eq!(net.count("ping"), 5);
    assert_eq!((net.count("ke3"), net.server.session_count()), (1, 1));
    assert!(carries_packets(&mut net));
}

#[test]
fn a_login_begins_again_if_the_server_takes_none_of_three_cookies() {
    let mut net = Net::pair();
    let mut cookies = 0;
    net.wire = Box::new(move |seen| {
        let mut passed = seen.clone();
        // The client has another address after each of the first three cookies.
        if seen.from == server_address() {
            cookies += u16::from(seen.kind == "cookie");
            passed.to = client_address(0);
        } else {
            passed.from.set_port(50_000 + cookies.min(3));
        }
        vec![(DELAY, passed)]
    });
    net.start(0);
    net.run_for(Duration::from_secs(4));
    assert_eq!(net.started(0).map(|(_, result)| result), Some(Ok(())));
}
