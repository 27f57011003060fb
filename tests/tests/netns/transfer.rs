//! A transfer through the tunnel that must come out whole, and of which nothing may be seen outside.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use super::tap::{CANARY, Tap};
use super::tunnel::{SERVER_INNER, World};

const LEN: usize = 2 << 20;

/// Sends 2 MiB to an echo inside the tunnel and gets them back, while a tap listens.
#[track_caller]
pub(super) fn transfer_both_ways(world: &World) {
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
        seen.inner_with_canary > LEN,
        "the tap does not see what it looks for: {seen:?}"
    );
    assert!(
        seen.outer > 2 * LEN,
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
