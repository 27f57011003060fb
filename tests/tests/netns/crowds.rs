//! Many at once: forged datagrams while a user logs in.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandhog_proto::secure::CONTROL_LEN;

use super::ping_three_times;
use super::tunnel::{Outer, SERVER_INNER, World};

/// Forged datagrams each second.
const FLOOD: u64 = 50_000;

/// Sends until it is over, as evenly as a millisecond allows: logins, session data and garbage that nobody has sealed.
fn flood(socket: &UdpSocket, is_over: &AtomicBool, sent: &AtomicU64) {
    let forged: Vec<Vec<u8>> = [(1, CONTROL_LEN), (3, 1_000), (1, CONTROL_LEN), (3, 125), (7, 60)]
        .into_iter()
        .map(|(code, len)| {
            let mut bytes: Vec<u8> = (0..len).map(|at: usize| (at * 167 + len) as u8).collect();
            bytes[0] = code;
            bytes
        })
        .collect();
    let start = Instant::now();
    let mut count = 0;
    while !is_over.load(Ordering::Relaxed) {
        let due = start.elapsed().as_micros() as u64 * FLOOD / 1_000_000;
        for number in count..due {
            // A full buffer here loses one; the others are enough.
            let _ = socket.send(&forged[number as usize % forged.len()]);
        }
        count = due;
        sent.store(count, Ordering::Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_user_logs_in_within_three_seconds_under_50_000_forged_datagrams_a_second() {
    let world = world_or_skip!(World::alone(Outer::V4));
    let server = world.start_server();
    let socket = world
        .client
        .enter(|| UdpSocket::bind("198.18.0.2:0"))
        .expect("a UDP socket");
    socket.connect("198.18.0.1:40404").expect("a route");
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| flood(&socket, &is_over, &sent));
        while sent.load(Ordering::Relaxed) < FLOOD / 5 {
            std::thread::yield_now();
        }
        let (start, before) = (Instant::now(), sent.load(Ordering::Relaxed));
        let client = world.start_client();
        let took = start.elapsed();
        ping_three_times(&world.client, SERVER_INNER[0]);
        let rate = (sent.load(Ordering::Relaxed) - before) as f64 / start.elapsed().as_secs_f64();
        is_over.store(true, Ordering::Relaxed);
        println!("logged in after {took:?} under {rate:.0} forged datagrams a second");
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(rate > FLOOD as f64 * 0.9, "only {rate:.0} a second");
        drop(client);
    });
    let (_, log) = server.terminate();
    assert!(
        log.contains("authentication-failed ") && log.contains("unknown-index "),
        "{log}"
    );
}
