//! The real program over real devices: two network namespaces, a pair of veth devices between them, `sandhog server` in
//! one and `sandhog client` in the other. Needs root, `ip` and `ping`; leaves nothing behind.
//!
//! The program is the file that the environment variable `SANDHOG_BIN` names, or else `sandhog` in the folder above
//! this test binary (`target/debug`), where `cargo build --package sandhog` puts it.

mod namespace;
mod program;
mod tap;
mod tunnel;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use namespace::Namespace;
use tap::{CANARY, Tap};
use tunnel::{CLIENT_INNER, Outer, SERVER_INNER, World};

/// Gives a world to play in, or ends the test with a printed reason where the machine cannot have one. In strict mode
/// (`SANDHOG_STRICT=1`) that is a failure.
macro_rules! world_or_skip {
    ($outer:expr) => {
        match World::new($outer) {
            Ok(world) => world,
            Err(reason) if std::env::var_os("SANDHOG_STRICT").is_some_and(|strict| strict == "1") => {
                panic!("cannot run in strict mode: {reason}")
            }
            Err(reason) => {
                println!("skipped: {reason}");
                return;
            }
        }
    };
}

/// Three pings from one side; they and their answers must be all that crosses both devices.
#[track_caller]
fn ping_three_times(from: &Namespace, to: IpAddr) {
    let before = from.tunnel_packets();
    let output = from.run("ping", &["-c", "3", "-i", "0.1", "-W", "2", &to.to_string()]);
    assert!(
        output.contains("3 packets transmitted, 3 received, 0% packet loss"),
        "{output}"
    );
    let after = from.tunnel_packets();
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (3, 3),
        "packets out of and into the tunnel"
    );
}

#[test]
fn pings_of_both_families_cross_in_both_directions_and_nothing_else_does() {
    let world = world_or_skip!(Outer::V4);
    let tunnel = world.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&world.client, to);
    }
    for to in CLIENT_INNER {
        ping_three_times(&world.server, to);
    }
    let (server_log, client_log) = tunnel.stop();
    let packets = "from the tunnel: 12 packets, 1128 bytes; into it: 12 packets, 1128 bytes";
    for log in [server_log, client_log] {
        assert!(log.contains(packets) && log.contains("dropped: none"), "{log}");
    }
}

#[test]
fn an_ipv6_network_outside_carries_both_families_inside() {
    let world = world_or_skip!(Outer::V6);
    let _tunnel = world.tunnel();
    for to in SERVER_INNER {
        ping_three_times(&world.client, to);
    }
}

#[test]
fn tcp_crosses_whole_in_both_directions_and_unreadable_from_outside() {
    const LEN: usize = 2 << 20;
    let world = world_or_skip!(Outer::V4);
    let _tunnel = world.tunnel();
    let text: Vec<u8> = (0..)
        .flat_map(|line| format!("{line:08} {CANARY}\n").into_bytes())
        .take(LEN)
        .collect();
    let tap = Tap::start(&world.server);
    let listener = world
        .server
        .enter(|| TcpListener::bind((SERVER_INNER[0], 0)))
        .expect("listen inside the tunnel");
    let address = listener.local_addr().expect("a bound socket");
    let (at_server, at_client) = std::thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let (mut stream, _) = listener.accept().expect("a connection");
            let received = receive(&mut stream, LEN);
            stream.write_all(&received).expect("send it back");
            received
        });
        let mut stream = world.client.enter(|| connect(address));
        stream.write_all(&text).expect("send");
        let received = receive(&mut stream, LEN);
        (echo.join().expect("the echo"), received)
    });
    assert!(at_server == text, "the server got other bytes than were sent");
    assert!(at_client == text, "the client got other bytes back");
    let seen = tap.stop();
    assert!(
        seen.inner_with_canary > 1000,
        "the tap does not see what it looks for: {seen:?}"
    );
    assert!(
        seen.outer > 2000,
        "the transfer did not go over the outer network: {seen:?}"
    );
    assert_eq!(
        seen.outer_with_canary, 0,
        "inner plaintext on the outer network: {seen:?}"
    );
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream =
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).expect("connect through the tunnel");
    let limit = Some(Duration::from_secs(5));
    stream.set_read_timeout(limit).expect("a time limit above zero");
    stream.set_write_timeout(limit).expect("a time limit above zero");
    stream
}

fn receive(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut received = vec![0; len];
    stream.read_exact(&mut received).expect("receive all");
    received
}

#[test]
fn a_stopped_client_leaves_no_device_and_the_next_one_logs_in() {
    let world = world_or_skip!(Outer::V4);
    let server = world.start_server();
    for _ in 0..2 {
        let client = world.start_client();
        assert!(world.client.run("ip", &["link"]).contains("sandhog0"));
        let (code, log) = client.terminate();
        assert_eq!(code, Some(0), "{log}");
        assert!(!world.client.run("ip", &["link"]).contains("sandhog0"));
    }
    let (code, log) = server.terminate();
    assert_eq!(
        (code, log.matches("kean logged in").count()),
        (Some(0), 2),
        "{log}"
    );
}

#[test]
fn a_wrong_password_ends_with_code_3_and_is_in_no_log() {
    let world = world_or_skip!(Outer::V4);
    world.write("password", "not the battery staple\n");
    let server = world.start_server();
    let (code, client_log) = world.spawn_client().wait();
    assert_eq!(code, Some(3), "{client_log}");
    assert!(
        client_log.contains("error: the server rejected the name or the password"),
        "{client_log}"
    );
    let (_, server_log) = server.terminate();
    assert!(
        server_log.contains("refused a login from 198.18.0.2:"),
        "{server_log}"
    );
    assert!(!client_log.contains("staple") && !server_log.contains("staple"));
}

#[test]
fn a_silent_server_ends_with_code_4_after_ten_seconds() {
    let world = world_or_skip!(Outer::V4);
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(4), "{log}");
    assert!(
        log.contains("error: the server did not answer in time\nhelp: check that the server runs"),
        "{log}"
    );
}

#[test]
fn a_taken_device_name_ends_with_code_1_and_advice() {
    let world = world_or_skip!(Outer::V4);
    world
        .client
        .run("ip", &["tuntap", "add", "sandhog0", "mode", "tun"]);
    let (code, log) = world.spawn_client().wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot make the device `sandhog0`"), "{log}");
    assert!(
        log.contains("help: a device of that name exists already"),
        "{log}"
    );
}

#[test]
fn a_device_that_is_taken_away_ends_the_program_with_code_1() {
    let world = world_or_skip!(Outer::V4);
    let server = world.start_server();
    world.server.run("ip", &["link", "delete", "sandhog0"]);
    let (code, log) = server.wait();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: cannot read from the tunnel device"), "{log}");
}
