//! Transfers through the tunnel that must come out whole, and of which nothing may be seen outside.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::namespace::Namespace;
use super::tap::{CANARY, Tap};
use super::tunnel::{SERVER_INNER, World};

const LEN: usize = 2 << 20;

/// How long a stream may stand still.
const PATIENCE: Duration = Duration::from_secs(5);

/// Sends 2 MiB to an echo inside the tunnel and gets them back, while a tap listens.
#[track_caller]
pub(super) fn transfer_both_ways(world: &World) {
    let tap = Tap::start(&world.server);
    tcp_both_ways(world, SERVER_INNER[0], LEN);
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

/// Sends `len` bytes over TCP to an echo at the server's address `to` and gets them back.
#[track_caller]
pub(super) fn tcp_both_ways(world: &World, to: IpAddr, len: usize) {
    let text = text(len);
    let echo = Echo::start(&world.server, to, PATIENCE);
    let (mut writer, mut reader) = echo.connect(&world.client);
    // Both at a time: an echo that is not read from stops reading.
    let back = std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&text).expect("send"));
        receive(&mut reader, len)
    });
    assert!(back == text, "other bytes came back than were sent");
}

/// Lines with numbers and the canary.
pub(super) fn text(len: usize) -> Vec<u8> {
    (0..)
        .flat_map(|line| format!("{line:08} {CANARY}\n").into_bytes())
        .take(len)
        .collect()
}

/// Sends back what comes over one TCP connection, until its end.
#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    patience: Duration,
}

impl Echo {
    /// Listens at `address` in a namespace. Nothing of it may stand still for longer than `patience`.
    pub(super) fn start(namespace: &Namespace, address: IpAddr, patience: Duration) -> Self {
        let listener = namespace
            .enter(|| TcpListener::bind((address, 0)))
            .expect("listen inside the tunnel");
        let address = listener.local_addr().expect("a bound socket");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            limit(&stream, patience);
            io::copy(&mut stream.try_clone()?, &mut stream)
        });
        Self { address, patience }
    }

    /// Connects from a namespace; the two halves of the connection.
    pub(super) fn connect(&self, from: &Namespace) -> (TcpStream, TcpStream) {
        let stream = from
            .enter(|| TcpStream::connect_timeout(&self.address, PATIENCE))
            .expect("connect through the tunnel");
        limit(&stream, self.patience);
        (stream.try_clone().expect("a second handle"), stream)
    }
}

fn limit(stream: &TcpStream, patience: Duration) {
    stream.set_read_timeout(Some(patience)).expect("a time limit");
    stream.set_write_timeout(Some(patience)).expect("a time limit");
}

/// Reads exactly so many bytes.
pub(super) fn receive(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut received = vec![0; len];
    stream.read_exact(&mut received).expect("receive all");
    received
}

/// Waits again where a wait with a time limit has ended because the test was stopped and went on (signal(7)).
fn uninterrupted<T>(mut wait: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match wait() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Sends UDP datagrams of these sizes from one side to the other, one after another; each must come back unchanged.
#[track_caller]
pub(super) fn udp_round_trips(from: &Namespace, to: &Namespace, address: IpAddr, sizes: &[usize]) {
    let bind = |namespace: &Namespace, address: IpAddr| {
        let socket = namespace
            .enter(|| UdpSocket::bind((address, 0)))
            .expect("a UDP socket");
        socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
        socket
    };
    let echo = bind(to, address);
    let any: IpAddr = if address.is_ipv4() {
        [0; 4].into()
    } else {
        [0_u16; 8].into()
    };
    let socket = bind(from, any);
    socket
        .connect(echo.local_addr().expect("a bound socket"))
        .expect("a route");
    let text = text(1 << 16);
    let mut buffer = vec![0; 1 << 16];
    for size in sizes {
        socket.send(&text[..*size]).expect("send");
        let (len, peer) = uninterrupted(|| echo.recv_from(&mut buffer))
            .unwrap_or_else(|error| panic!("{size} bytes to {address}: {error}"));
        echo.send_to(&buffer[..len], peer).expect("send it back");
        let len = uninterrupted(|| socket.recv(&mut buffer))
            .unwrap_or_else(|error| panic!("an answer of {size} bytes from {address}: {error}"));
        assert!(
            buffer[..len] == text[..*size],
            "{size} bytes came back as {len}, or changed"
        );
    }
}
