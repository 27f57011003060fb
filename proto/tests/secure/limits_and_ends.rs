//! Rare ends: no free address, silence, keys that are too old, a server that shuts down, and calls at the wrong time.

use std::time::Duration;

use sandhog_proto::secure::{DataPeer, HEADER_LEN, Incoming, KeyAge, REJECT_AFTER, ServerConfig};
use sandhog_proto::{
    ApiMisuse, Batch, Command, Datagram, DropReason, EventKind, PacketBuf, Peer, TunnelStatus,
};

use crate::attacker::{Attempt, Insider, elsewhere};
use crate::support::{
    DELAY, Net, Wire, client_address, client_config, login, packet, server_address, server_config, store,
    user,
};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn ended(net: &Net) -> Vec<&'static str> {
    let reason = |(_, kind): &(_, EventKind)| match kind {
        EventKind::SessionEnded { reason, .. } => Some(*reason),
        _ => None,
    };
    net.server_events.iter().filter_map(reason).collect()
}

/// A network that loses everything from and to this client.
fn without(n: usize) -> Wire {
    Box::new(move |seen| {
        let is_lost = [seen.from, seen.to].contains(&client_address(n));
        if is_lost {
            vec![]
        } else {
            vec![(DELAY, seen.clone())]
        }
    })
}

/// Starts a client and returns the result.
fn start(net: &mut Net, n: usize) -> Result<(), &'static str> {
    net.clients[n].events.clear();
    net.start(n);
    net.run_for(secs(1));
    net.started(n).unwrap().1
}

/// A server with five IPv4 addresses and two IPv6 addresses for clients. Kean and anna have both IPv6 addresses.
fn without_ipv6() -> Net {
    let names = ["kean", "anna", "bert"];
    let config = ServerConfig {
        addresses: vec!["10.9.0.1/29".parse().unwrap(), "fd00::1/126".parse().unwrap()],
        routes: vec![],
        users: store(names.map(user)),
        ..server_config()
    };
    let mut net = Net::new(
        config,
        names
            .into_iter()
            .zip(1..)
            .map(|(name, seed)| client_config(name, seed)),
    );
    assert_eq!((start(&mut net, 0), start(&mut net, 1)), (Ok(()), Ok(())));
    net
}

#[test]
fn a_login_without_an_ipv6_address_is_refused_and_gives_its_ipv4_address_back() {
    let mut net = without_ipv6();
    for _ in 0..5 {
        assert_eq!(start(&mut net, 2), Err("server-full"));
        net.run_for(secs(11));
    }
    net.command(1, Command::Stop);
    net.run_for(secs(1));
    assert_eq!(start(&mut net, 2), Ok(()));
    // The one that bert got each time, and not the one that anna had.
    assert_eq!(net.inner(2), "10.9.0.4");
}

#[test]
fn a_server_ends_a_session_after_180_s_without_a_datagram() {
    let mut net = Net::connected();
    net.wire = without(0);
    net.run_for(secs(178));
    assert_eq!((ended(&net), net.server.session_count()), (vec![], 1));
    let before = net
        .log
        .iter()
        .filter(|seen| seen.from == server_address())
        .count();
    net.run_for(secs(2));
    assert_eq!(
        (ended(&net), net.server.session_count()),
        (vec!["key-expired"], 0)
    );
    let after = net
        .log
        .iter()
        .filter(|seen| seen.from == server_address())
        .count();
    assert_eq!(after, before, "the server sends nothing to a client that is gone");
}

#[test]
fn a_client_that_is_woken_late_seals_and_opens_nothing_under_old_keys() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.server_sends(packet("10.9.0.1", &inner, b"old"));
    let old = net.log.last().unwrap().clone();
    let now = net.now + REJECT_AFTER;
    let client = &mut net.clients[0].peer;
    client
        .handle_packet(now, packet(&inner, "10.9.0.1", b"late"))
        .unwrap();
    let datagram = Datagram {
        remote: server_address(),
        kind: "",
        payload: PacketBuf::copied_from(&old.bytes),
    };
    client.handle_datagram(now, datagram).unwrap();
    assert!(client.poll_datagram().is_none() && client.poll_packet().is_none());
    assert_eq!(client.counters().dropped(DropReason::KeyExpired), 2);
}

#[test]
fn a_data_plane_seals_and_opens_nothing_under_old_keys() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.server_sends(packet("10.9.0.1", &inner, b"old"));
    let mut old = net.log.last().unwrap().bytes.clone();
    let (late, now) = (net.now + REJECT_AFTER, net.now);
    let paths = net.clients[0].peer.data_paths();
    let packet = packet(&inner, "10.9.0.1", b"late");
    let path = paths.route(&packet).unwrap();
    let mut frame = vec![0; 100];
    frame[HEADER_LEN..HEADER_LEN + packet.len()].copy_from_slice(&packet);
    assert_eq!(
        path.seal(late, &mut frame, packet.len()),
        Err(DropReason::KeyExpired)
    );
    let Incoming::Data(_, age) = paths.classify(&old) else {
        panic!("a datagram of the session");
    };
    assert_eq!(
        path.open(late, age, &mut old).map(|_| ()),
        Err(DropReason::KeyExpired)
    );
    assert_eq!(
        (age, path.open(now, age, &mut old).map(|_| ())),
        (KeyAge::Current, Ok(()))
    );
}

#[test]
fn a_data_plane_that_reports_an_expired_key_does_not_keep_the_session() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    net.server_sends(packet("10.9.0.1", &inner, b"old"));
    let mut old = net.log.last().unwrap().bytes.clone();
    let (late, now) = (net.now + REJECT_AFTER, net.now);
    let client = &mut net.clients[0].peer;
    let paths = client.data_paths();
    let Incoming::Data(path, age) = paths.classify(&old) else {
        panic!("a datagram of the session");
    };
    let (_, opened) = path.open(now, age, &mut old).unwrap();
    let notice = path.notice(age, client_address(9), &opened, None);
    client.take_notices(late, &mut notice.into_iter().collect(), &mut Batch::default());
    assert_eq!(client.counters().dropped(DropReason::KeyExpired), 1);
    client.turn(late, &mut Batch::default(), &mut Batch::default());
    assert_eq!(client.status(), TunnelStatus::Reasserting);
}

/// A client that has found the MTU of its path.
fn searched() -> Net {
    let mut config = client_config("kean", 1);
    config.mtu_search = true;
    let mut net = Net::new(server_config(), [config]);
    assert_eq!(start(&mut net, 0), Ok(()));
    net.run_for(secs(10));
    assert_eq!(net.clients[0].peer.settings().unwrap().mtu, 1420);
    net
}

#[test]
fn a_change_of_the_path_starts_the_search_for_the_mtu_again_inside_the_session() {
    let mut net = searched();
    // The new path carries inner packets of 1344 bytes.
    net.wire = Box::new(|seen| match seen.bytes.len() > 1344 + 29 {
        true => vec![],
        false => vec![(DELAY, seen.clone())],
    });
    let before = net.log.len();
    net.command(0, Command::NetworkChanged);
    let mtu = |net: &Net| net.clients[0].peer.settings().unwrap().mtu;
    assert_eq!(mtu(&net), 1280);
    net.run_for(secs(20));
    assert_eq!((mtu(&net), net.status(0)), (1344, TunnelStatus::Connected));
    let after = &net.log[before..];
    assert!(
        after
            .iter()
            .any(|seen| seen.kind == "probe" && seen.bytes.len() == 1420 + 29)
    );
    assert!(
        after.iter().all(|seen| seen.kind != "login"),
        "the session goes on"
    );
}

#[test]
fn a_shutdown_tells_each_client_and_they_come_back_to_the_next_server() {
    let mut net = Net::new(
        server_config(),
        [client_config("kean", 1), client_config("anna", 2)],
    );
    assert_eq!((start(&mut net, 0), start(&mut net, 1)), (Ok(()), Ok(())));
    let now = net.now;
    net.server.shut_down(now);
    net.run_for(Duration::ZERO);
    net.server_sends(packet("10.9.0.1", "10.9.0.2", b"lost"));
    assert_eq!(
        (ended(&net), net.server.session_count()),
        (vec!["shutdown"; 2], 0)
    );
    let byes: Vec<_> = net
        .log
        .iter()
        .filter(|seen| seen.kind == "bye")
        .map(|seen| seen.to)
        .collect();
    assert_eq!(byes, [client_address(0), client_address(1)]);
    net.run_for(DELAY);
    assert_eq!([net.status(0), net.status(1)], [TunnelStatus::Reasserting; 2]);
    net.run_for(secs(5));
    assert_eq!([net.status(0), net.status(1)], [TunnelStatus::Connected; 2]);
}

#[test]
fn an_unlocked_user_has_ten_attempts_again_and_others_have_not() {
    let mut net = Net::pair();
    let mut insider = Insider::new(5);
    let mut attempts = |net: &mut Net, name: &str, first: u16| {
        let tried = (first..first + 12).filter(|n| {
            let attempt = Attempt::new(&mut insider, name, "a guess");
            attempt.begin(insider.at(net), net, elsewhere(*n)).is_some()
        });
        tried.count()
    };
    assert_eq!(
        (attempts(&mut net, "kean", 0), attempts(&mut net, "anna", 100)),
        (10, 10)
    );
    net.server.unlock(&login("kean"));
    assert_eq!(
        (attempts(&mut net, "kean", 200), attempts(&mut net, "anna", 300)),
        (10, 0)
    );
}

#[test]
fn a_password_is_not_changed_without_a_session_or_twice_at_the_same_time() {
    let mut net = Net::pair();
    let change = |net: &mut Net| {
        let now = net.now;
        net.clients[0]
            .peer
            .change_password(now, "another".to_owned().into())
    };
    assert_eq!(change(&mut net), Err(ApiMisuse::NotStarted), "before the start");
    net.start(0);
    assert_eq!(change(&mut net), Err(ApiMisuse::NotStarted), "during the login");
    net.run_for(secs(1));
    assert_eq!(change(&mut net), Ok(()));
    assert_eq!(change(&mut net), Err(ApiMisuse::AlreadyStarted));
    let inner = net.inner(0);
    net.client_sends(0, packet(&inner, "10.9.0.1", b"a turn"));
    net.run_for(secs(1));
    let changed = |(_, kind): &&(_, EventKind)| matches!(kind, EventKind::PasswordChanged(Ok(())));
    assert_eq!(net.clients[0].events.iter().filter(changed).count(), 1);
    assert_eq!(net.count("prove1"), 1, "the calls at the wrong time sent nothing");
    net.command(0, Command::Stop);
    assert_eq!(change(&mut net), Err(ApiMisuse::NotStarted), "after the end");
}
