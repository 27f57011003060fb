//! Sessions that end without a word: silent ones when the addresses run out, and all of them after a restore of the machine.

use std::time::Duration;

use sandhog_proto::secure::ServerConfig;
use sandhog_proto::{EventKind, Instant, Peer, TunnelStatus};

use crate::support::{
    DELAY, Net, Seen, client_address, client_config, packet, server_address, server_config, store,
};

/// A server with one address for clients. Kean has it.
fn full() -> Net {
    let config = ServerConfig {
        addresses: vec!["10.9.0.1/30".parse().unwrap()],
        routes: vec![],
        ..server_config()
    };
    let mut net = Net::new(config, [client_config("kean", 1), client_config("anna", 2)]);
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    net
}

fn ended(net: &Net) -> Vec<&'static str> {
    let reason = |(_, kind): &(Instant, EventKind)| match kind {
        EventKind::SessionEnded { reason, .. } => Some(*reason),
        _ => None,
    };
    net.server_events.iter().filter_map(reason).collect()
}

/// Starts anna and returns the result.
fn anna(net: &mut Net) -> Result<(), &'static str> {
    net.clients[1].events.clear();
    net.start(1);
    net.run_for(Duration::from_secs(1));
    net.started(1).unwrap().1
}

#[test]
fn a_silent_session_gives_its_address_to_the_next_user_after_15_s() {
    let mut net = full();
    // Kean's machine has lost its power.
    net.wire = Box::new(
        |seen: &Seen| match [seen.from, seen.to].contains(&client_address(0)) {
            true => vec![],
            false => vec![(DELAY, seen.clone())],
        },
    );
    net.run_for(Duration::from_secs(20));
    assert_eq!(anna(&mut net), Err("server-full"));
    net.run_for(Duration::from_secs(13));
    assert_eq!(anna(&mut net), Err("server-full"), "it is still asked");
    net.run_for(Duration::from_secs(1));
    assert_eq!(ended(&net), ["silent"]);
    assert_eq!(anna(&mut net), Ok(()));
}

#[test]
fn a_silent_session_that_answers_keeps_its_address() {
    let mut net = full();
    net.run_for(Duration::from_secs(20));
    let pongs = |net: &Net| {
        net.log
            .iter()
            .filter(|seen| seen.kind == "pong" && seen.from == client_address(0))
            .count()
    };
    let before = pongs(&net);
    assert_eq!(anna(&mut net), Err("server-full"));
    assert_eq!(pongs(&net), before + 1, "the server has asked");
    net.run_for(Duration::from_secs(60));
    assert_eq!((ended(&net), net.status(0)), (vec![], TunnelStatus::Connected));
}

#[test]
fn a_session_that_is_not_silent_is_not_asked() {
    let mut net = full();
    net.run_for(Duration::from_secs(5));
    let before = net.count("ping");
    assert_eq!(anna(&mut net), Err("server-full"));
    assert_eq!(net.count("ping"), before);
}

/// A server that was restored from a snapshot. Its counters may have been used already.
#[test]
fn a_restored_server_sends_nothing_in_its_old_sessions_and_clients_come_back() {
    let mut net = Net::connected();
    let now = net.now;
    let before = net.log.len();
    net.server.forget_sessions(now, [99; 32]);
    assert_eq!((net.server.session_count(), net.log.len()), (0, before));
    let inner = net.inner(0);
    net.server_sends(packet("10.9.0.1", &inner, b"lost"));
    assert_eq!(net.log.len(), before);
    net.run_for(Duration::from_secs(60));
    assert_eq!(ended(&net), ["forgotten"]);
    assert_eq!(
        (net.status(0), net.server.session_count()),
        (TunnelStatus::Connected, 1)
    );
    let inner = net.inner(0);
    net.server_sends(packet("10.9.0.1", &inner, b"delivered"));
    net.run_for(Duration::from_secs(1));
    assert_eq!(net.clients[0].packets.len(), 1);
}

#[test]
fn a_restored_client_sends_nothing_in_its_old_session_and_logs_in_again() {
    let mut net = Net::connected();
    let now = net.now;
    let before = net.log.len();
    net.clients[0].peer.forget_session(now, [99; 32]);
    net.client_sends(0, packet("10.9.0.2", "10.9.0.1", b"dropped"));
    net.run_for(Duration::from_secs(2));
    assert_eq!(net.status(0), TunnelStatus::Connected);
    let login = ["login", "cookie", "login-cookie", "ke2", "ke3", "settings"];
    assert_eq!(net.kinds()[before..before + 6], login);
    assert_eq!(net.server.session_count(), 1);
}

#[test]
fn a_restored_server_discards_a_bye_that_was_not_sent_yet() {
    let mut net = Net::connected();
    let now = net.now;
    net.server.set_users(now, store([])).unwrap();
    net.server.forget_sessions(now, [99; 32]);
    assert!(net.server.poll_datagram().is_none());
    let sent = net.server.counters().datagrams_out;
    let on_the_wire = net.log.iter().filter(|seen| seen.from == server_address());
    assert_eq!(sent, on_the_wire.count() as u64);
}

#[test]
fn a_restored_client_discards_a_ping_that_was_not_sent_yet() {
    let mut net = Net::connected();
    let now = net.now;
    let client = &mut net.clients[0].peer;
    client.network_changed(now).unwrap();
    client.forget_session(now, [99; 32]);
    let kinds: Vec<_> = core::iter::from_fn(|| client.poll_datagram())
        .map(|datagram| datagram.kind)
        .collect();
    assert_eq!(kinds, ["login"]);
}
