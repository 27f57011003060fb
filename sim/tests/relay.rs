//! Command `relay`: a simulated link between real sockets on the loopback interface.

use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::program::PROGRAM;

const LOOPBACK: &str = "127.0.0.1:0";

/// A running relay. Dropping it kills the process.
struct Relay {
    child: Child,
    output: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Relay {
    fn start(to: SocketAddr, link: &str) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(["relay", "--listen", LOOPBACK, "--to", &to.to_string()])
            .args(["--link", link, "--seed", "7"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line
            .strip_prefix("ready: ")
            .and_then(|rest| rest.split(' ').next());
        let address = address
            .unwrap_or_else(|| panic!("no address: {line}"))
            .parse()
            .unwrap();
        Self {
            child,
            output,
            address,
        }
    }

    /// Sends SIGTERM, and returns the rest of the output.
    fn stop(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        assert!(self.child.wait().unwrap().success(), "{rest}");
        rest
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind(LOOPBACK).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

#[test]
fn each_client_address_gets_the_replies_to_its_own_datagrams() {
    let server = socket();
    let relay = Relay::start(server.local_addr().unwrap(), "");
    let clients = [socket(), socket(), socket()];
    for (number, client) in clients.iter().enumerate() {
        client.send_to(&[number as u8; 100], relay.address).unwrap();
        let mut buffer = [0; 200];
        let (len, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(buffer[..len], [number as u8; 100]);
        server.send_to(&[100 + number as u8; 50], from).unwrap();
    }
    for (number, client) in clients.iter().enumerate() {
        let mut buffer = [0; 200];
        let (len, from) = client.recv_from(&mut buffer).unwrap();
        assert_eq!(
            (&buffer[..len], from),
            (&[100 + number as u8; 50][..], relay.address)
        );
    }
    assert_eq!(
        relay.stop(),
        "to the server: 3 datagrams, 300 bytes in; 3 datagrams, 300 bytes out; duplicated 0, corrupted 0; lost: none\n\
         to the clients: 3 datagrams, 150 bytes in; 3 datagrams, 150 bytes out; duplicated 0, corrupted 0; lost: none\n"
    );
}

#[test]
fn a_link_delays_and_loses_datagrams_in_real_time() {
    let server = socket();
    let relay = Relay::start(server.local_addr().unwrap(), "delay 30ms loss 20%");
    let client = socket();
    // The same seed loses the same datagrams. The last one is not lost.
    for number in 0..100_u8 {
        client.send_to(&[number], relay.address).unwrap();
    }
    let mut arrived = Vec::new();
    let mut buffer = [0; 10];
    while arrived.last() != Some(&99) {
        server.recv_from(&mut buffer).unwrap();
        arrived.push(buffer[0]);
    }
    assert!((70..90).contains(&arrived.len()), "{arrived:?}");
    assert!(arrived.is_sorted(), "without jitter there is no reordering");
    let counters = relay.stop();
    let lost = 100 - arrived.len();
    assert!(counters.contains(&format!("lost: random {lost}\n")), "{counters}");
}

#[test]
fn a_mistake_in_the_link_is_reported_with_exit_code_2() {
    let output = Command::new(PROGRAM)
        .args([
            "relay",
            "--listen",
            LOOPBACK,
            "--to",
            "127.0.0.1:9",
            "--link",
            "los 2%",
        ])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        (output.status.code(), &*message),
        (
            Some(2),
            "error: `--link`: `los` is not a property of a link; did you mean `loss`?\n"
        )
    );
}
