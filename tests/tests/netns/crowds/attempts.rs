//! Attempt to lock a user out: very many logins that nobody finishes, from 256 networks.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sandhog_proto::secure::Client;
use sandhog_proto::{Batch, Datagram, PacketBuf, Peer};

use super::{Keys, PER_USER, TestClient};
use crate::netns::stranger::{SERVER, SharedKeys, Stranger};
use crate::netns::tunnel::{Outer, SERVER_INNER, Testbed, USER};
use crate::netns::{SetOnDrop, ping_three_times};

/// Networks of the attacker.
const NETWORKS: u16 = 256;
/// Begun logins per second: more than the server accepts without a ticket.
const RATE: u64 = 700;
/// Time after which the attacker gives up a login that the server does not answer.
const PATIENCE: Duration = Duration::from_millis(200);
/// Longest time that a login of the user may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Number of these logins, each of another user.
const LOGINS: u16 = 20;

/// Messages of the attacker, and answers to them.
#[derive(Debug, Default)]
struct Counts {
    /// First messages (M0).
    begun: AtomicU64,
    /// Messages with a cookie, the name and KE1 (M1).
    attempts: AtomicU64,
    /// Answers with KE2 (M2).
    answers: AtomicU64,
}

/// A login in progress.
struct Attempt {
    client: Client,
    start: sandhog_proto::Instant,
    /// Number of messages that it has sent.
    sent: u64,
}

/// A place of the attacker in the network, with at most one login at a time.
struct Place {
    socket: UdpSocket,
    attempt: Option<Attempt>,
}

impl Place {
    /// Moves the login on. It ends with its KE2: the attacker never shows a password.
    fn step(&mut self, now: sandhog_proto::Instant, counts: &Counts, room: &mut [u8]) {
        let Some(attempt) = &mut self.attempt else { return };
        let (mut input, mut output) = (Batch::default(), Batch::default());
        while let Ok((len, remote)) = self.socket.recv_from(room) {
            input.datagrams.push(Datagram {
                remote,
                kind: "",
                payload: PacketBuf::copied_from(&room[..len]),
            });
        }
        if attempt.sent > 0 && input.datagrams.is_empty() {
            if now.saturating_duration_since(attempt.start) > PATIENCE {
                self.attempt = None;
            }
            return;
        }
        if attempt.sent > 1 {
            counts.answers.fetch_add(1, Ordering::Relaxed);
            self.attempt = None;
            return;
        }
        attempt.client.turn(now, &mut input, &mut output);
        for datagram in &output.datagrams {
            let count = if attempt.sent == 0 {
                &counts.begun
            } else {
                &counts.attempts
            };
            count.fetch_add(1, Ordering::Relaxed);
            attempt.sent += 1;
            // A datagram lost in a full buffer does not matter.
            let _ = self.socket.send_to(&datagram.payload, SERVER);
        }
    }
}

/// The user name of a begun login: that of the program's user, of one of the other users, or of nobody.
fn name(number: u64) -> String {
    match number % 4 {
        0 => USER.to_owned(),
        1 | 2 => format!("user{}", number / 4 % u64::from(LOGINS)),
        _ => format!("nobody{number}"),
    }
}

/// Begins logins for all users and for others until `is_over`.
fn attack(keys: &SharedKeys, sockets: Vec<UdpSocket>, is_over: &AtomicBool, counts: &Counts) {
    let mut places: Vec<_> = sockets
        .into_iter()
        .map(|socket| {
            socket.set_nonblocking(true).expect("a socket");
            Place {
                socket,
                attempt: None,
            }
        })
        .collect();
    let (start, mut room) = (Instant::now(), vec![0; 2048]);
    let now = || sandhog_proto::Instant::ZERO + start.elapsed();
    let mut number = 0;
    while !is_over.load(Ordering::Relaxed) {
        for place in &mut places {
            if place.attempt.is_none() && number < start.elapsed().as_millis() as u64 * RATE / 1000 {
                place.attempt = Some(Attempt {
                    client: keys.begin(&name(number), number, now()),
                    start: now(),
                    sent: 0,
                });
                number += 1;
            }
            place.step(now(), counts, &mut room);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Logs in one user with a ticket, without a program and with a cheap password hash. Returns the time of the login.
fn log_in(testbed: &Testbed, keys: &Keys, user: u16) -> Duration {
    testbed.server.enter(|| {
        let start = Instant::now();
        let now = || sandhog_proto::Instant::ZERO + start.elapsed();
        let (mut client, mut room) = (TestClient::start(keys, user * PER_USER, now()), vec![0; 1 << 16]);
        while client.address.is_none() {
            assert!(start.elapsed() < Duration::from_secs(20), "no login");
            client.turn(now(), &mut room);
            std::thread::sleep(Duration::from_millis(1));
        }
        start.elapsed()
    })
}

/// Logs in with the program, checks the tunnel, and stops it. Returns the number of datagrams that it has sent.
#[track_caller]
fn run_client(testbed: &Testbed) -> u64 {
    let start = Instant::now();
    let client = testbed.start_client();
    println!("the program was ready after {:?}", start.elapsed());
    ping_three_times(&testbed.client, SERVER_INNER[0]);
    let (code, log) = client.terminate();
    assert_eq!(code, Some(0), "{log}");
    let sent = log.rsplit_once(", sent: ").expect("the last line").1;
    let digits = sent.split(';').next().expect("a number");
    digits.parse().expect("a number")
}

#[test]
fn users_with_tickets_log_in_within_1_s_during_logins_from_256_networks() {
    let testbed = testbed_or_skip!(Testbed::exclusive(Outer::V4));
    let stranger = testbed_or_skip!(Stranger::join(&testbed));
    let keys = Keys::with_users(&testbed);
    let server = testbed.start_server();
    // The first login brings a ticket.
    run_client(&testbed);
    let alone = run_client(&testbed);
    let (is_over, counts) = (AtomicBool::new(false), Counts::default());
    let sockets = stranger.sockets(NETWORKS);
    let shared = SharedKeys::of(&testbed);
    std::thread::scope(|scope| {
        let over = SetOnDrop(&is_over);
        let attack = scope.spawn(|| attack(&shared, sockets, &is_over, &counts));
        // The table of half-open logins is full, and all attempts of the names are used up.
        while counts.attempts.load(Ordering::Relaxed) < 1500 && !attack.is_finished() {
            std::thread::yield_now();
        }
        let (start, before) = (Instant::now(), counts.attempts.load(Ordering::Relaxed));
        let mut times: Vec<_> = (0..LOGINS).map(|user| log_in(&testbed, &keys, user)).collect();
        let sent = run_client(&testbed);
        let attempts = counts.attempts.load(Ordering::Relaxed) - before;
        let rate = attempts as f64 / start.elapsed().as_secs_f64();
        drop(over);
        times.sort_unstable();
        let [first, .., last] = &times[..] else {
            panic!("many times")
        };
        println!("{LOGINS} logins took {first:?} to {last:?} under {rate:.0} begun logins per second");
        println!("attacker: {counts:?}, {:?}", stranger.traffic());
        assert!(rate > RATE as f64 / 2.0, "only {rate:.0} per second");
        assert!(*last < LIMIT, "{times:?}");
        assert!(sent <= alone + 3, "{sent} datagrams, {alone} without the attack");
    });
    let (_, log) = server.terminate();
    assert!(log.contains("login-limited ") && log.contains("busy "), "{log}");
}
