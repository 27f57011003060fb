//! Peers with a data plane behave exactly like peers without one, and the data plane cannot exceed its
//! rights.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_proto::secure::{
    Body, ClientConfig, DataPaths, DataPeer, HEADER_LEN, Incoming, KeyAge, Notice, ServerConfig,
};
use sandhog_proto::{Batch, DropReason, EventKind, PacketBuf, Peer, TunnelStatus};

use super::plane::Planes;
use super::support::{
    DELAY, Net, Seen, Wire, client_address, client_config, packet, server_address, server_config,
};

const CLIENTS: usize = 2;

/// Two clients, with or without data planes.
fn net(has_planes: bool, isolate_clients: bool, wire: Wire) -> Net {
    let server = ServerConfig {
        isolate_clients,
        ..server_config()
    };
    let clients: [ClientConfig; CLIENTS] = [client_config("kean", 1), client_config("anna", 2)];
    let mut net = Net::new(server, clients);
    if has_planes {
        net.carrier = Some(Box::new(Planes::default()));
    }
    net.wire = wire;
    (0..CLIENTS).for_each(|n| net.start(n));
    net.run_for(Duration::from_secs(1));
    net
}

/// A network that loses, duplicates and reorders at random.
fn rough(seed: u8) -> Wire {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    Box::new(move |seen: &Seen| {
        let mut copies = Vec::new();
        for chance in [90, 5] {
            if rng.next_u32() % 100 < chance {
                let late = Duration::from_millis(u64::from(rng.next_u32() % 60));
                copies.push((DELAY + late, seen.clone()));
            }
        }
        copies
    })
}

/// Six minutes of traffic with three rekeys, an address change, a silence and a sleep.
fn live(net: &mut Net, seed: u8) {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    for second in 0..360_u32 {
        for n in 0..CLIENTS {
            if net.status(n) != TunnelStatus::Connected || (200..240).contains(&second) {
                continue;
            }
            let own = net.inner(n);
            let payload = [rng.next_u32().to_be_bytes(); 10].concat();
            for (to, is_own) in [("10.9.0.1", true), ("10.9.0.99", true), ("10.9.0.2", false)] {
                let from = if is_own { &own } else { "10.9.0.77" };
                net.client_sends(n, packet(from, to, &payload[..rng.next_u32() as usize % 40]));
            }
            net.server_sends(packet("10.9.0.1", &own, &payload));
        }
        if second == 100 {
            net.clients[0].address = client_address(7);
        }
        if second == 250 {
            net.command(1, sandhog_proto::Command::Sleep);
        }
        if second == 280 {
            net.command(1, sandhog_proto::Command::Wake);
        }
        net.run_for(Duration::from_millis(1000));
    }
}

/// All events except drops, because the data plane counts drops itself.
fn told(events: &[(sandhog_proto::Instant, EventKind)]) -> Vec<String> {
    let told = events
        .iter()
        .filter(|(_, kind)| !matches!(kind, EventKind::Dropped(_)));
    told.map(|event| format!("{event:?}")).collect()
}

fn bytes(packets: &[PacketBuf]) -> Vec<Vec<u8>> {
    packets.iter().map(|packet| packet.to_vec()).collect()
}

#[test]
fn datagrams_packets_and_events_are_equal_with_and_without_a_data_plane() {
    for seed in 0..4 {
        let lives = [false, true].map(|has_planes| {
            let mut net = net(has_planes, true, rough(seed));
            live(&mut net, seed);
            net
        });
        let [without, with] = &lives;
        assert!(without.count("rekeyed") >= 4, "keys were changed");
        assert!(without.server_packets.len() > 300, "packets came through");
        let wire = |net: &Net| {
            net.log
                .iter()
                .map(|seen| (seen.at, seen.bytes.clone()))
                .collect::<Vec<_>>()
        };
        assert_eq!(without.log.len(), with.log.len(), "seed {seed}");
        assert!(wire(without) == wire(with), "seed {seed}: the same datagrams");
        assert_eq!(bytes(&without.server_packets), bytes(&with.server_packets));
        assert_eq!(told(&without.server_events), told(&with.server_events));
        for n in 0..CLIENTS {
            assert_eq!(
                bytes(&without.clients[n].packets),
                bytes(&with.clients[n].packets)
            );
            assert_eq!(told(&without.clients[n].events), told(&with.clients[n].events));
        }
    }
}

#[test]
fn silence_is_detected_at_the_same_time_with_and_without_a_data_plane() {
    let mut net = net(true, false, Box::new(|seen| vec![(DELAY, seen.clone())]));
    net.wire = Box::new(|_| vec![]);
    let sent = net.now;
    let own = net.inner(0);
    net.client_sends(0, packet(&own, "10.9.0.1", b"hello?"));
    net.run_for(Duration::from_secs(16));
    let pings: Vec<_> = net
        .log
        .iter()
        .filter(|seen| seen.kind == "ping" && seen.from == client_address(0) && seen.at > sent)
        .map(|seen| seen.at.saturating_duration_since(sent))
        .collect();
    assert_eq!(pings, [10, 11, 12, 13, 14].map(Duration::from_secs));
    assert_eq!(net.status(0), TunnelStatus::Reasserting);
}

/// The data paths of both sides of an established session.
fn both_paths(net: &mut Net) -> (DataPaths, DataPaths) {
    (net.clients[0].peer.data_paths(), net.server.data_paths())
}

/// Seals a packet with the client's paths.
fn seal(net: &Net, paths: &DataPaths, packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; packet.len() + 64];
    frame[HEADER_LEN..HEADER_LEN + packet.len()].copy_from_slice(packet);
    let path = paths.route(packet).unwrap();
    let len = path.seal(net.now, &mut frame, packet.len()).unwrap();
    frame.truncate(len);
    frame
}

#[test]
fn expired_paths_neither_seal_nor_open() {
    let mut net = Net::connected();
    let (client, server) = both_paths(&mut net);
    let inner = packet(&net.inner(0), "10.9.0.1", b"late");
    let (mut one, mut other) = (seal(&net, &client, &inner), seal(&net, &client, &inner));
    // The keys are from the login, less than two seconds ago.
    let soon = net.now + Duration::from_secs(177);
    let late = net.now + Duration::from_secs(180);
    let Incoming::Data(path, age) = server.classify(&one) else {
        panic!("a session's datagram");
    };
    assert!(path.open(soon, age, &mut one).is_ok());
    assert_eq!(path.open(late, age, &mut other), Err(DropReason::KeyExpired));
    let path = client.route(&inner).unwrap();
    assert_eq!(path.seal(late, &mut [0; 100], 20), Err(DropReason::KeyExpired));
}

#[test]
fn datagrams_sealed_before_a_rekey_are_opened_for_10_s_after_it() {
    let mut net = Net::connected();
    let (client, _) = both_paths(&mut net);
    let inner = packet(&net.inner(0), "10.9.0.1", b"late");
    let (mut one, mut other) = (seal(&net, &client, &inner), seal(&net, &client, &inner));
    while net.count("rekeyed") == 1 {
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(1));
    let (_, server) = both_paths(&mut net);
    let Incoming::Data(path, KeyAge::Previous) = server.classify(&one) else {
        panic!("under the previous key");
    };
    assert!(path.open(net.now, KeyAge::Previous, &mut one).is_ok());
    let late = net.now + Duration::from_secs(10);
    let refused = path.open(late, KeyAge::Previous, &mut other);
    assert_eq!(refused, Err(DropReason::UnknownIndex));
}

#[test]
fn every_change_of_the_data_paths_changes_the_generation() {
    let mut net = Net::pair();
    let generations = |net: &Net| (net.clients[0].peer.generation(), net.server.generation());
    let idle = generations(&net);
    net.start(0);
    // The key of the login is forgotten 10 s after the first rekey.
    net.run_for(Duration::from_secs(11));
    let up = generations(&net);
    assert!(up.0 != idle.0 && up.1 != idle.1, "logged in");
    net.run_for(Duration::from_secs(60));
    assert_eq!(generations(&net), up, "pings change nothing");
    net.clients[0].address = client_address(7);
    let own = net.inner(0);
    net.client_sends(0, packet(&own, "10.9.0.1", b"from elsewhere"));
    net.run_for(Duration::from_secs(1));
    let roamed = generations(&net);
    assert!(roamed.0 == up.0 && roamed.1 != up.1, "roamed");
    while net.count("rekeyed") == 1 {
        net.run_for(Duration::from_millis(100));
    }
    net.run_for(Duration::from_secs(1));
    let rekeyed = generations(&net);
    assert!(rekeyed.0 != roamed.0 && rekeyed.1 != roamed.1, "rekeyed");
    net.run_for(Duration::from_secs(11));
    let forgotten = generations(&net);
    assert!(forgotten.0 != rekeyed.0, "the previous key is forgotten");
    net.command(0, sandhog_proto::Command::Stop);
    net.run_for(Duration::from_secs(1));
    let down = generations(&net);
    assert!(down.0 != forgotten.0 && down.1 != forgotten.1, "ended");
    let (client, server) = both_paths(&mut net);
    assert!(client.is_empty() && server.is_empty());
}

/// Opens a datagram with the server's paths and returns its notice.
fn open(net: &Net, paths: &DataPaths, from: std::net::SocketAddr, datagram: &[u8]) -> Option<Notice> {
    let mut datagram = datagram.to_vec();
    let Incoming::Data(path, age) = paths.classify(&datagram) else {
        panic!("a session's datagram");
    };
    let (place, opened) = path.open(net.now, age, &mut datagram).unwrap();
    let message = (opened.body == Body::Message).then(|| &datagram[place]);
    path.notice(age, from, &opened, message)
}

fn again(notice: &Notice) -> Notice {
    Notice {
        index: notice.index,
        remote: notice.remote,
        counter: notice.counter,
        is_newest: notice.is_newest,
        message: notice.message.clone(),
    }
}

/// A packet of the client, opened by a thread of the server after it has arrived from this address.
fn opened_from(net: &Net, (client, server): &(DataPaths, DataPaths), from: usize) -> Option<Notice> {
    let inner = packet(&net.inner(0), "10.9.0.1", b"on the move");
    open(net, server, client_address(from), &seal(net, client, &inner))
}

fn take(net: &mut Net, notice: &Notice) {
    let now = net.now;
    net.server
        .take_notices(now, &mut vec![again(notice)], &mut Batch::default());
}

/// The addresses that the server's session has moved to.
fn moves(net: &mut Net) -> Vec<std::net::SocketAddr> {
    std::iter::from_fn(|| net.server.poll_event())
        .filter_map(|event| match event.kind {
            EventKind::Roamed { to, .. } => Some(to),
            _ => None,
        })
        .collect()
}

#[test]
fn a_notice_moves_the_session_once_and_an_older_notice_does_not_undo_it() {
    let mut net = Net::connected();
    let paths = both_paths(&mut net);
    let first = opened_from(&net, &paths, 5).expect("from elsewhere");
    take(&mut net, &first);
    take(&mut net, &first);
    let second = opened_from(&net, &paths, 6).expect("from elsewhere");
    take(&mut net, &second);
    take(&mut net, &first);
    assert_eq!(moves(&mut net), [client_address(5), client_address(6)]);
}

#[test]
fn of_several_notices_only_that_of_the_newest_datagram_moves_the_session() {
    let mut net = Net::connected();
    let paths = both_paths(&mut net);
    let notices = [5, 6, 7].map(|from| opened_from(&net, &paths, from).expect("from elsewhere"));
    for order in [1, 0, 2, 0, 1] {
        take(&mut net, &notices[order]);
    }
    assert_eq!(moves(&mut net), [client_address(7)]);
}

#[test]
fn a_late_notice_moves_nothing_after_a_newer_datagram_from_the_known_address() {
    let mut net = Net::connected();
    let paths = both_paths(&mut net);
    let late = opened_from(&net, &paths, 5).expect("from elsewhere");
    assert!(opened_from(&net, &paths, 0).is_none(), "nothing to report");
    take(&mut net, &late);
    assert_eq!(moves(&mut net), []);
}

#[test]
fn a_notice_of_an_ended_session_is_dropped() {
    let mut net = Net::connected();
    let (client, server) = both_paths(&mut net);
    let inner = packet(&net.inner(0), "10.9.0.1", b"on the move");
    let datagram = seal(&net, &client, &inner);
    let notice = open(&net, &server, client_address(5), &datagram).expect("from elsewhere");
    net.command(0, sandhog_proto::Command::Stop);
    net.run_for(Duration::from_secs(1));
    let before = net.server.counters().dropped(DropReason::UnknownIndex);
    let now = net.now;
    let mut output = Batch::default();
    net.server.take_notices(now, &mut vec![notice], &mut output);
    assert!(output.is_empty());
    let after = net.server.counters().dropped(DropReason::UnknownIndex);
    assert_eq!(after, before + 1);
}

#[test]
fn a_message_that_is_passed_on_twice_is_answered_twice() {
    let mut net = Net::connected();
    let (_, server) = both_paths(&mut net);
    let pings = net.count("ping");
    while net.count("ping") == pings {
        net.run_for(Duration::from_millis(5));
    }
    let ping = net
        .log
        .iter()
        .rfind(|seen| seen.kind == "ping")
        .expect("a keepalive")
        .clone();
    // The datagram was just sent and has not arrived.
    let notice = open(&net, &server, ping.from, &ping.bytes).expect("a message");
    assert!(notice.message.is_some());
    let mut output = Batch::default();
    let now = net.now;
    let mut told = vec![again(&notice), notice];
    net.server.take_notices(now, &mut told, &mut output);
    let kinds: Vec<_> = output.datagrams.iter().map(|datagram| datagram.kind).collect();
    assert_eq!(kinds, ["pong", "pong"]);
    net.run_for(Duration::from_secs(1));
    assert_eq!(
        net.server.counters().dropped(DropReason::Replayed),
        1,
        "the one on the wire"
    );
}

#[test]
fn datagrams_before_the_first_packet_of_a_session_are_left_to_the_server() {
    let mut net = Net::pair();
    net.start(0);
    while net.count("settings") == 0 {
        net.run_for(Duration::from_millis(5));
    }
    let paths = net.server.data_paths();
    while net.count("ping") == 0 {
        net.run_for(Duration::from_millis(5));
    }
    let ping = net.first("ping");
    assert!(matches!(paths.classify(&ping.bytes), Incoming::Peer));
    let inner = packet("10.9.0.1", "10.9.0.2", b"too early");
    let path = paths.route(&inner).expect("an address of the session");
    assert_eq!(
        path.seal(net.now, &mut [0; 100], 29),
        Err(DropReason::NotConnected)
    );
}

#[test]
fn datagrams_are_sorted_by_length_code_and_index() {
    let mut net = Net::connected();
    let (client, server) = both_paths(&mut net);
    let dropped = |paths: &DataPaths, datagram: &[u8]| match paths.classify(datagram) {
        Incoming::Drop(reason) => Some(reason),
        Incoming::Peer => None,
        Incoming::Data(..) => panic!("a data datagram of an unknown session"),
    };
    for (paths, own, others) in [(&client, 2, 1), (&server, 1, 2)] {
        assert_eq!(dropped(paths, &[]), Some(DropReason::NotEnoughData));
        assert_eq!(dropped(paths, &[0; 1200]), Some(DropReason::InvalidCode));
        assert_eq!(dropped(paths, &[others; 1200]), Some(DropReason::InvalidCode));
        assert_eq!(dropped(paths, &[own; 1200]), None);
        assert_eq!(dropped(paths, &[own; 1199]), Some(DropReason::WrongLength));
        assert_eq!(dropped(paths, &[3; 28]), Some(DropReason::NotEnoughData));
        assert_eq!(dropped(paths, &[3; 100]), Some(DropReason::UnknownIndex));
    }
}

#[test]
fn an_isolated_client_reaches_the_server_but_no_other_client() {
    for has_planes in [false, true] {
        for isolates in [false, true] {
            let mut net = net(has_planes, isolates, Box::new(|seen| vec![(DELAY, seen.clone())]));
            let (own, other) = (net.inner(0), net.inner(1));
            for to in [&*other, "10.9.0.1", "192.0.2.1"] {
                net.client_sends(0, packet(&own, to, b"hello"));
            }
            net.run_for(Duration::from_secs(1));
            let came = net.server_packets.len();
            assert_eq!(came, if isolates { 2 } else { 3 }, "planes: {has_planes}");
            let dropped = net.server.counters().dropped(DropReason::ClientIsolated);
            assert_eq!(dropped, u64::from(isolates && !has_planes));
        }
    }
}

#[test]
fn traffic_is_counted_equally_with_and_without_a_data_plane() {
    let infos = [false, true].map(|has_planes| {
        let mut net = net(has_planes, false, Box::new(|seen| vec![(DELAY, seen.clone())]));
        let own = net.inner(0);
        for n in 0..10 {
            net.client_sends(0, packet(&own, "10.9.0.1", &[n; 100]));
            net.server_sends(packet("10.9.0.1", &own, b"so it is"));
        }
        net.run_for(Duration::from_secs(1));
        assert_eq!(net.server_packets.len(), 10);
        let client = net.clients[0].peer.session_info().expect("a session");
        let all: Vec<_> = net
            .server
            .session_infos()
            .map(|(login, _, info)| (login.clone(), info))
            .collect();
        assert_eq!(all.len(), CLIENTS);
        let server = all
            .iter()
            .find(|(login, _)| login.as_str() == "kean")
            .expect("kean")
            .1;
        assert_eq!(
            (client.traffic.packets_out, client.traffic.bytes_out),
            (server.traffic.packets_in, server.traffic.bytes_in)
        );
        assert_eq!((client.traffic.packets_out, client.traffic.packets_in), (10, 10));
        assert_eq!(client.remote, server_address());
        (client, server)
    });
    assert_eq!(infos[0], infos[1]);
}
