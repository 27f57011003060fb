//! Recorded logins, sent again by somebody without the key: the server answers none of them.
//!
//! `cargo xtask netns --long` sends 100,000 of them: during the session, 60 s after the login, and after a restart of the server.

use std::time::{Duration, Instant};

use sandhog_proto::{Batch, Peer};
use serde_json::Value;

use super::is_long;
use super::ping_three_times;
use super::program::Program;
use super::stranger::{SERVER, SharedKeys, Stranger};
use super::tap::{Tap, udp_payload};
use super::tunnel::{Outer, SERVER_INNER, Testbed};

/// Datagrams in each of the three phases, if the test is long.
const LONG: u64 = 33_334;
/// The same for the two phases of the usual test.
const SHORT: u64 = 3_000;
/// Datagrams per millisecond. The server must get all of them, so its receive buffer must never be full.
const PER_MILLISECOND: u64 = 10;

/// First byte and length of the messages of a login to the server.
const LOGIN: (u8, usize) = (1, 1200);

/// Logs in while the client's network is recorded. Returns the client and the messages of the login to the server.
#[track_caller]
fn record_login(testbed: &Testbed) -> (Program, Vec<Vec<u8>>) {
    let tap = Tap::start(&testbed.client);
    let client = testbed.start_client();
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for frame in tap.stop_with_frames() {
        let payload = udp_payload(&frame).unwrap_or_default();
        let is_new = !messages.iter().any(|message| message == payload);
        if is_new && (payload.first(), payload.len()) == (Some(&LOGIN.0), LOGIN.1) {
            messages.push(payload.to_vec());
        }
    }
    assert!(messages.len() >= 3, "{} messages", messages.len());
    (client, messages)
}

/// Number of datagrams that the server has received.
#[track_caller]
fn received(testbed: &Testbed) -> u64 {
    let (code, stdout, stderr) = testbed.query(&testbed.server, &["status", "--json"]);
    assert_eq!(code, Some(0), "{stderr}");
    let all: Value = serde_json::from_str(&stdout).expect("JSON");
    let received = &all["tunnels"][0]["traffic"]["datagrams_received"];
    received.as_u64().unwrap_or_else(|| panic!("no number: {all}"))
}

/// Sends the messages again, `count` datagrams in total, from the networks of the stranger. The server must receive all of them, and
/// not a single byte may come back.
#[track_caller]
fn replay(testbed: &Testbed, stranger: &Stranger, messages: &[Vec<u8>], count: u64, phase: &str) {
    let sockets = stranger.sockets(8);
    let (before, start) = (received(testbed), Instant::now());
    let mut sent: u64 = 0;
    while sent < count {
        let due = (start.elapsed().as_millis() as u64 + 1) * PER_MILLISECOND;
        for number in sent..due.min(count) {
            let socket = &sockets[number as usize % sockets.len()];
            let message = &messages[number as usize % messages.len()];
            socket.send_to(message, SERVER).expect("a route");
        }
        sent = due.min(count);
        std::thread::sleep(Duration::from_millis(1));
    }
    // The reply to the request follows all datagrams that have arrived before it.
    let arrived = received(testbed) - before;
    let back = stranger.traffic().received;
    println!(
        "{phase}: {sent} datagrams sent, {arrived} arrived at the server, {back:?} packets and bytes came back"
    );
    assert!(arrived >= count, "only {arrived} of {count} arrived");
    assert_eq!(back, (0, 0), "{phase}");
}

/// Sends a first message that a holder of the key has just made. It shows that the server hears the stranger, and that the
/// stranger would see an answer.
#[track_caller]
fn assert_new_message_is_answered(testbed: &Testbed, stranger: &Stranger) {
    let now = sandhog_proto::Instant::ZERO;
    let mut client = SharedKeys::of(testbed).begin("nobody", 1, now);
    let mut output = Batch::default();
    client.turn(now, &mut Batch::default(), &mut output);
    let [socket] = &stranger.sockets(1)[..] else {
        panic!("one socket");
    };
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .expect("a valid time");
    for datagram in &output.datagrams {
        socket.send_to(&datagram.payload, SERVER).expect("a route");
    }
    let answer = socket.recv(&mut [0; 2048]).expect("an answer");
    assert_eq!((answer, stranger.traffic().received.0), (LOGIN.1, 1));
}

#[test]
fn replays_of_a_recorded_login_get_no_byte_during_the_session_and_after_a_restart() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let stranger = testbed_or_skip!(Stranger::join(&testbed));
    let count = if is_long() { LONG } else { SHORT };
    let mut server = testbed.start_server();
    let (mut client, mut messages) = record_login(&testbed);
    let recorded = Instant::now();
    replay(&testbed, &stranger, &messages, count, "during the session");
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    if is_long() {
        std::thread::sleep(Duration::from_secs(60).saturating_sub(recorded.elapsed()));
        replay(&testbed, &stranger, &messages, count, "after 60 s");
        ping_three_times(&testbed.client, SERVER_INNER[0]);
        // Messages that are not too old for the server that starts now.
        client.terminate();
        (client, messages) = record_login(&testbed);
    }
    server.kill();
    server = testbed.start_server();
    replay(&testbed, &stranger, &messages, count, "after a restart");
    assert_new_message_is_answered(&testbed, &stranger);
    server.terminate();
    client.kill();
}
