//! New keys under load: two changes of keys, and not one packet is lost.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::namespace::Namespace;
use super::tunnel::{Outer, SERVER_INNER, Tunnel, World};

/// UDP flows at the same time; several, so that several threads carry them.
const FLOWS: usize = 4;
/// Datagrams of a flow under way at a time. All of them fit into every buffer, so that a lost one was lost by the tunnel.
const UNDER_WAY: u64 = 32;
/// Longest wait for a datagram.
const LIMIT: Duration = Duration::from_secs(5);
/// How often an echo looks whether it is over.
const BREATH: Duration = Duration::from_millis(300);
/// Longest wait for the keys to change.
const PATIENCE: Duration = Duration::from_secs(40);

fn bind(namespace: &Namespace, address: SocketAddr, limit: Duration) -> UdpSocket {
    let socket = namespace
        .enter(|| UdpSocket::bind(address))
        .expect("a UDP socket");
    socket.set_read_timeout(Some(limit)).expect("a time limit");
    socket
}

/// Sends back all that comes, until it is over and nothing comes any more.
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

/// Sends numbered datagrams of changing sizes and waits for each to come back, until it is over; how many.
fn ask(socket: &UdpSocket, is_over: &AtomicBool) -> u64 {
    let mut buffer = [0; 2048];
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let mut missing: Vec<u64> = (count..count + UNDER_WAY).collect();
        for number in &missing {
            let mut datagram = vec![0; 8 + (*number as usize * 97) % 1300];
            datagram[..8].copy_from_slice(&number.to_be_bytes());
            socket.send(&datagram).expect("send");
        }
        while !missing.is_empty() {
            let len = socket
                .recv(&mut buffer)
                .unwrap_or_else(|error| panic!("{missing:?} are lost: {error}"));
            assert!(len >= 8, "{len} bytes");
            let number = u64::from_be_bytes(buffer[..8].try_into().expect("8 bytes"));
            let place = missing.iter().position(|missing| *missing == number);
            missing.swap_remove(place.unwrap_or_else(|| panic!("{number} has come twice")));
        }
        count += UNDER_WAY;
        // A pace that leaves something of the machine to the other tests.
        std::thread::sleep(Duration::from_millis(2));
    }
    count
}

/// How often the keys of the session have been changed, as the server tells.
#[track_caller]
fn epoch(world: &World) -> u64 {
    let (code, stdout, stderr) = world.ask(&world.server, &["status", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let all: Value = serde_json::from_str(&stdout).expect("JSON");
    let epoch = &all["tunnels"][0]["server"]["sessions"][0]["epoch"];
    epoch.as_u64().unwrap_or_else(|| panic!("no session: {all}"))
}

#[test]
fn keys_change_twice_under_load_and_no_packet_is_lost() {
    let world = world_or_skip!(World::secure(Outer::V4));
    for file in ["server.toml", "client.toml"] {
        let text = std::fs::read_to_string(world.path(file)).expect("a file of ours");
        let more = if file == "client.toml" {
            "workers = 2\nrekey-after = 11\n"
        } else {
            "workers = 2\n"
        };
        world.write(file, &format!("{more}{text}"));
    }
    let Tunnel { mut server, client } = world.tunnel();
    let is_over = AtomicBool::new(false);
    let begun = Instant::now();
    let total: u64 = std::thread::scope(|scope| {
        let flows: Vec<_> = (0..FLOWS)
            .map(|_| {
                let far = bind(&world.server, (SERVER_INNER[0], 0).into(), BREATH);
                let near = bind(&world.client, ([0, 0, 0, 0], 0).into(), LIMIT);
                near.connect(far.local_addr().expect("a bound socket"))
                    .expect("a route");
                let is_over = &is_over;
                scope.spawn(move || echo(&far, is_over));
                scope.spawn(move || ask(&near, is_over))
            })
            .collect();
        while epoch(&world) < 2 && begun.elapsed() < PATIENCE && !flows.iter().any(|flow| flow.is_finished())
        {
            std::thread::sleep(Duration::from_millis(200));
        }
        is_over.store(true, Ordering::Relaxed);
        flows.into_iter().map(|flow| flow.join().expect("a flow")).sum()
    });
    assert!(epoch(&world) >= 2, "the keys have not changed twice");
    println!(
        "{total} datagrams there and back in {:?}, none lost",
        begun.elapsed()
    );
    let (_, log) = client.terminate();
    assert!(
        log.contains("dropped: none") && !log.contains("reasserting"),
        "{log}"
    );
    server.wait_for("a session of kean has ended: bye");
    let (_, log) = server.terminate();
    assert!(log.contains("dropped: none"), "{log}");
    assert_eq!(log.matches("kean logged in").count(), 1, "{log}");
}
