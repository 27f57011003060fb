//! UDP socket with segmentation offload, on loopback: a train arrives as the same datagrams.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sandhog::udp::{BATCH, Options, Route, Socket, TRAIN_BUFFER, Train};

const TIMEOUT: Duration = Duration::from_secs(10);

fn bind(address: &str, options: Options) -> Socket {
    Socket::bind(address.parse().expect("an address"), &options).expect("a free port")
}

fn port(socket: &Socket) -> u16 {
    socket.local_addr().expect("a bound socket").port()
}

fn to(address: &str, port: u16) -> Route {
    let address: IpAddr = address.parse().expect("an address");
    Route {
        remote: SocketAddr::new(address, port),
        local: None,
    }
}

/// Receives `count` datagrams. Returns the route and the bytes of each, and the number of trains.
fn receive(socket: &Socket, count: usize) -> (Vec<(Route, Vec<u8>)>, usize) {
    let mut memory = vec![0; BATCH * TRAIN_BUFFER];
    let mut trains = vec![Train::default(); BATCH];
    let (mut datagrams, mut total) = (Vec::new(), 0);
    while datagrams.len() < count {
        match socket.receive(&mut memory, &mut trains) {
            Ok(received) => {
                total += received;
                for train in &trains[..received] {
                    datagrams.extend(train.datagrams().map(|at| (train.route, memory[at].to_vec())));
                }
            }
            Err(error) => {
                assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{error}");
                let timeout = Timespec::try_from(TIMEOUT).expect("a few seconds");
                let ready = poll(&mut [PollFd::new(socket, PollFlags::IN)], Some(&timeout));
                assert_eq!(ready, Ok(1), "{} of {count} received", datagrams.len());
            }
        }
    }
    (datagrams, total)
}

/// Bytes for a train. Each datagram of `segment` bytes has different content.
fn train(segments: usize, segment: usize, last: usize) -> Vec<u8> {
    let numbers = (0..segments).flat_map(|number| vec![u8::try_from(number % 251).expect("a byte"); segment]);
    numbers.chain(std::iter::repeat_n(0xff, last)).collect()
}

#[track_caller]
fn check_crossing(sender: Options, receiver: Options, address: &str) -> usize {
    let any = if address.contains(':') {
        "[::]:0"
    } else {
        "0.0.0.0:0"
    };
    let (from, into) = (bind(any, sender), bind(any, receiver));
    let bytes = train(40, 1200, 700);
    let sent = from
        .send(to(address, port(&into)), &bytes, 1200)
        .expect("room on loopback");
    assert_eq!(sent, 41);
    let (datagrams, trains) = receive(&into, 41);
    let contents: Vec<_> = datagrams.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    assert_eq!(contents, bytes.chunks(1200).collect::<Vec<_>>());
    trains
}

#[test]
fn a_train_arrives_in_one_piece_with_its_datagrams_in_order() {
    let all = Options::default();
    assert_eq!(check_crossing(all, all, "127.0.0.1"), 1);
    assert_eq!(check_crossing(all, all, "::1"), 1);
}

#[test]
fn without_coalescing_each_datagram_is_received_alone() {
    let plain = Options {
        coalescing: false,
        ..Options::default()
    };
    assert_eq!(check_crossing(Options::default(), plain, "127.0.0.1"), 41);
}

#[test]
fn without_segmentation_the_same_datagrams_are_sent_one_by_one() {
    let plain = Options {
        segmentation: false,
        ..Options::default()
    };
    assert_eq!(check_crossing(plain, Options::default(), "127.0.0.1"), 41);
}

#[test]
fn datagrams_that_exceed_one_train_are_sent_in_several() {
    let (from, into) = (
        bind("127.0.0.1:0", Options::default()),
        bind("127.0.0.1:0", Options::default()),
    );
    for (segments, segment) in [(200, 64), (100, 1400), (3, 40_000), (2, 65_507)] {
        let bytes = train(segments, segment, 1);
        let sent = from.send(to("127.0.0.1", port(&into)), &bytes, segment);
        assert_eq!(sent.expect("room on loopback"), segments + 1);
        let (datagrams, _) = receive(&into, segments + 1);
        assert!(
            datagrams
                .iter()
                .map(|(_, bytes)| bytes.as_slice())
                .eq(bytes.chunks(segment))
        );
    }
}

#[test]
fn a_reply_is_sent_from_the_address_to_which_the_request_was_sent() {
    for (any, address) in [
        ("0.0.0.0:0", "127.0.0.77"),
        ("[::]:0", "::ffff:127.0.0.78"),
        ("[::]:0", "::1"),
    ] {
        let options = Options {
            reports_local_address: true,
            ..Options::default()
        };
        let server = bind(any, options);
        let family = if address == "::1" {
            "[::1]:0"
        } else {
            "127.0.0.1:0"
        };
        let client = UdpSocket::bind(family).expect("a free port");
        client.set_read_timeout(Some(TIMEOUT)).expect("a timeout");
        let target: IpAddr = address.parse().expect("an address");
        client
            .send_to(b"hello", (target.to_canonical(), port(&server)))
            .expect("room on loopback");
        let (datagrams, _) = receive(&server, 1);
        let (route, bytes) = &datagrams[0];
        assert_eq!((route.local, bytes.as_slice()), (Some(target), &b"hello"[..]));
        server.send(*route, b"answer", 6).expect("room on loopback");
        let (len, source) = client.recv_from(&mut [0; 16]).expect("an answer");
        assert_eq!((len, source.ip()), (6, target.to_canonical()));
    }
}

#[test]
fn a_local_address_that_no_longer_exists_is_replaced() {
    let (server, client) = (
        bind("0.0.0.0:0", Options::default()),
        bind("127.0.0.1:0", Options::default()),
    );
    let route = Route {
        local: Some("198.51.100.9".parse().expect("an address")),
        ..to("127.0.0.1", port(&client))
    };
    assert_eq!(
        server
            .send(route, &train(3, 100, 0), 100)
            .expect("another address"),
        3
    );
    let (datagrams, _) = receive(&client, 3);
    assert_eq!(datagrams[0].0.remote.ip(), IpAddr::from([127, 0, 0, 1]));
    assert!(server.is_segmenting(), "the error was not caused by the train");
}

#[test]
fn an_empty_datagram_is_received() {
    let socket = bind("127.0.0.1:0", Options::default());
    let other = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    other
        .send_to(b"", socket.local_addr().expect("an address"))
        .expect("room");
    let (datagrams, _) = receive(&socket, 1);
    assert_eq!(datagrams[0].1, b"");
}

#[test]
fn several_sockets_share_a_port_only_with_each_other() {
    let any = "127.0.0.1:0".parse().expect("an address");
    let sockets = Socket::bind_many(any, 3, &Options::default()).expect("a free port");
    let addresses: BTreeSet<_> = sockets
        .iter()
        .map(|socket| socket.local_addr().expect("bound"))
        .collect();
    assert_eq!((sockets.len(), addresses.len()), (3, 1));
    let address = *addresses.first().expect("an address");
    for count in [1, 3] {
        let error = Socket::bind_many(address, count, &Options::default()).expect_err("the port is in use");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
    let reached = (0..1000).any(|_| {
        let sender = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        sender.send_to(b"x", address).expect("room on loopback");
        let mut memory = vec![0; TRAIN_BUFFER];
        let one = sockets[2].receive(&mut memory, &mut [Train::default()]);
        one.is_ok()
    });
    assert!(reached, "the third socket also gets datagrams");
}
