//! Transfers through the tunnel: the data must arrive unchanged and must not be readable outside.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use super::namespace::Namespace;
use super::tap::{CANARY, Tap};
use super::tunnel::{SERVER_INNER, Testbed};

const LEN: usize = 2 << 20;

/// Longest pause of a stream.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Sends 2 MiB to an echo server inside the tunnel and receives them back, during a packet capture.
#[track_caller]
pub(super) fn transfer_both_ways(testbed: &Testbed) {
    let tap = Tap::start(&testbed.server);
    tcp_both_ways(testbed, SERVER_INNER[0], LEN);
    let seen = tap.stop();
    assert!(
        seen.inner_with_canary > LEN,
        "the capture has not seen the canary: {seen:?}"
    );
    assert!(
        seen.outer > 2 * LEN,
        "the transfer did not use the outer network: {seen:?}"
    );
    assert_eq!(
        seen.outer_with_canary, 0,
        "inner plaintext on the outer network: {seen:?}"
    );
}

/// Sends `len` bytes over TCP to an echo server at the server's address `to` and receives them back.
#[track_caller]
pub(super) fn tcp_both_ways(testbed: &Testbed, to: IpAddr, len: usize) {
    let text = text(len);
    let echo = Echo::start(&testbed.server, to, TIMEOUT);
    let (mut writer, mut reader) = echo.connect(&testbed.client);
    // Send and receive at the same time, because the echo server stops reading while its output is not read.
    let back = std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(&text).expect("send"));
        receive(&mut reader, len)
    });
    assert!(back == text, "the echoed data differs");
}

/// Returns numbered lines with the canary.
pub(super) fn text(len: usize) -> Vec<u8> {
    (0..)
        .flat_map(|line| format!("{line:08} {CANARY}\n").into_bytes())
        .take(len)
        .collect()
}

/// Echo server for one TCP connection.
#[derive(Debug)]
pub(super) struct Echo {
    address: SocketAddr,
    timeout: Duration,
}

impl Echo {
    /// Listens at `address` in a namespace. `timeout` is the longest pause of the stream.
    pub(super) fn start(namespace: &Namespace, address: IpAddr, timeout: Duration) -> Self {
        let listener = namespace
            .enter(|| TcpListener::bind((address, 0)))
            .expect("listen inside the tunnel");
        let address = listener.local_addr().expect("a bound socket");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept()?;
            limit(&stream, timeout);
            io::copy(&mut stream.try_clone()?, &mut stream)
        });
        Self { address, timeout }
    }

    /// Connects from a namespace. Returns two handles of the connection, for writing and reading.
    pub(super) fn connect(&self, from: &Namespace) -> (TcpStream, TcpStream) {
        let stream = from
            .enter(|| TcpStream::connect_timeout(&self.address, TIMEOUT))
            .expect("connect through the tunnel");
        limit(&stream, self.timeout);
        (stream.try_clone().expect("a second handle"), stream)
    }
}

fn limit(stream: &TcpStream, timeout: Duration) {
    stream.set_read_timeout(Some(timeout)).expect("a time limit");
    stream.set_write_timeout(Some(timeout)).expect("a time limit");
}

/// Reads exactly `len` bytes.
pub(super) fn receive(stream: &mut TcpStream, len: usize) -> Vec<u8> {
    let mut received = vec![0; len];
    stream.read_exact(&mut received).expect("receive all");
    received
}

/// Repeats a wait with a time limit if it was interrupted because the process was stopped and continued
/// (signal(7)).
fn uninterrupted<T>(mut wait: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match wait() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// Sends UDP datagrams of these sizes from one side to the other, one after another. Each must be echoed
/// unchanged.
#[track_caller]
pub(super) fn udp_round_trips(from: &Namespace, to: &Namespace, address: IpAddr, sizes: &[usize]) {
    let bind = |namespace: &Namespace, address: IpAddr| {
        let socket = namespace
            .enter(|| UdpSocket::bind((address, 0)))
            .expect("a UDP socket");
        socket.set_read_timeout(Some(TIMEOUT)).expect("a time limit");
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
            .unwrap_or_else(|error| panic!("a reply of {size} bytes from {address}: {error}"));
        assert!(
            buffer[..len] == text[..*size],
            "the echo of {size} bytes has {len} bytes or differs"
        );
    }
}
