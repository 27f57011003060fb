//! Rekey under load: two key changes without a lost packet.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::SetOnDrop;
use super::namespace::Namespace;
use super::tunnel::{Outer, SERVER_INNER, Testbed, Tunnel};

/// Number of simultaneous UDP flows. Several flows are carried by several threads.
const FLOWS: usize = 4;
/// Datagrams in flight per flow. All of them fit into every buffer, so a lost one was lost by the tunnel.
const IN_FLIGHT: u64 = 32;
/// Longest wait for a datagram.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);
/// Interval at which an echo checks for the end.
const ECHO_TIMEOUT: Duration = Duration::from_millis(300);
/// Longest wait for the key changes.
const TIMEOUT: Duration = Duration::from_secs(40);

fn bind(namespace: &Namespace, address: SocketAddr, limit: Duration) -> UdpSocket {
    let socket = namespace
        .enter(|| UdpSocket::bind(address))
        .expect("a UDP socket");
    socket.set_read_timeout(Some(limit)).expect("a time limit");
    socket
}

/// Sends back all datagrams, until `is_over` is set and no more arrive.
fn echo(socket: &UdpSocket, is_over: &AtomicBool) {
    let mut buffer = [0; 2048];
    loop {
        match socket.recv_from(&mut buffer) {
            Ok((len, from)) => drop(socket.send_to(&buffer[..len], from).expect("send it back")),
            Err(_) if is_over.load(Ordering::Relaxed) => return,
            Err(_) => {}
        }
    }
}

/// Sends numbered datagrams of various sizes and waits for their echoes, until `is_over`. Returns their
/// number.
fn send_and_receive(socket: &UdpSocket, is_over: &AtomicBool) -> u64 {
    let mut buffer = [0; 2048];
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut missing: Vec<u64> = (count..count + IN_FLIGHT).collect();
        for number in &missing {
            let mut datagram = vec![0; 8 + (*number as usize * 97) % 1300];
            datagram[..8].copy_from_slice(&number.to_be_bytes());
            socket.send(&datagram).expect("send");
        }
        while !missing.is_empty() {
            let len = socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("{missing:?} were lost: {error}"));
            assert!(len >= 8, "{len} bytes");
            let number = u64::from_be_bytes(buffer[..8].try_into().expect("8 bytes"));
            let place = missing.iter().position(|missing| *missing == number);
            missing.swap_remove(place.unwrap_or_else(|| panic!("{number} was received twice")));
        }
        count += IN_FLIGHT;
        // A pause leaves processor time for other tests.
        std::thread::sleep(Duration::from_millis(2));
    }
    count
}

/// The number of key changes of the session, from the server's status.
#[track_caller]
fn epoch(testbed: &Testbed) -> u64 {
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["status", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let all: Value = serde_json::from_str(&stdout).expect("JSON");
    let epoch = &all["tunnels"][0]["server"]["sessions"][0]["epoch"];
    epoch.as_u64().unwrap_or_else(|| panic!("no session: {all}"))
}

#[test]
fn keys_change_twice_under_load_and_no_packet_is_lost() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    for file in ["server.toml", "client.toml"] {
        let text = std::fs::read_to_string(testbed.path(file)).expect("a file of the test");
        let more = if file == "client.toml" {
            "workers = 2\nrekey-after = 11\n"
        } else {
            "workers = 2\n"
        };
        testbed.write(file, &format!("{more}{text}"));
    }
    let Tunnel { mut server, client } = testbed.tunnel();
    let is_over = AtomicBool::new(false);
    let start = Instant::now();
    let total: u64 = std::thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        let flows: Vec<_> = (0..FLOWS)
            .map(|_| {
                let far = bind(&testbed.server, (SERVER_INNER[0], 0).into(), ECHO_TIMEOUT);
                let near = bind(&testbed.client, ([0, 0, 0, 0], 0).into(), REPLY_TIMEOUT);
                near.connect(far.local_addr().expect("a bound socket"))
                    .expect("a route");
                let is_over = &is_over;
                scope.spawn(move || echo(&far, is_over));
                scope.spawn(move || send_and_receive(&near, is_over))
            })
            .collect();
        while epoch(&testbed) < 2 && start.elapsed() < TIMEOUT && !flows.iter().any(|flow| flow.is_finished())
        {
            std::thread::sleep(Duration::from_millis(200));
        }
        drop(over);
        flows.into_iter().map(|flow| flow.join().expect("a flow")).sum()
    });
    assert!(epoch(&testbed) >= 2, "the keys have not changed twice");
    println!(
        "{total} datagrams there and back in {:?}, none lost",
        start.elapsed()
    );
    let (_, log) = client.terminate();
    assert!(
        log.contains("dropped: none") && !log.contains("reasserting"),
        "{log}"
    );
    server.wait_for("session of kean ended: bye");
    let (_, log) = server.terminate();
    assert!(log.contains("dropped: none"), "{log}");
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}
