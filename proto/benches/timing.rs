//! Response times of the server to M1, compared for names that exist, that do not, and that may not log in.
//! `cargo bench --package sandhog-proto --bench timing`, and again with `--features ring`. The exit status is 1 if a kind of name
//! is noticeable.
//!
//! The kinds alternate in random order, each with many names and addresses. The slowest tenth of each kind is left out, because
//! interrupts cause it. Two tests compare each kind with the first one: Mann and Whitney's with ranks, and Welch's with means.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use attacker::{Attempt, Insider};
use rand_chacha::rand_core::RngCore;
use sandhog_proto::secure::{Server, User};
use sandhog_proto::{Datagram, Instant, PacketBuf, Peer};
use support::{server_config, store, user};

#[path = "../tests/secure/attacker.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod attacker;
#[path = "../tests/secure/support.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod support;

/// Number of names of each kind.
const NAMES: usize = 200;
/// Time between two attempts. A name has two attempts in six minutes, so none is limited, not even if names share a bucket.
const INTERVAL: Duration = Duration::from_millis(300);
/// Value of a test from which on a difference counts. By chance, it occurs once in 100,000 comparisons.
const NOTICEABLE: f64 = 4.5;

/// A kind of name: in the names, in the output, and with a ticket that is not valid.
const KINDS: [(&str, &str, bool); 6] = [
    ("known", "known", false),
    ("never", "unknown", false),
    ("shut-", "disabled", false),
    ("ended", "expired", false),
    ("known", "known, wrong ticket", true),
    ("never", "unknown, wrong ticket", true),
];

fn name(kind: usize, n: usize) -> String {
    format!("{}{n:03}", KINDS[kind].0)
}

fn users() -> Vec<User> {
    let mut users = Vec::new();
    for n in 0..NAMES {
        users.push(user(&name(0, n)));
        users.push(User {
            disabled: true,
            ..user(&name(2, n))
        });
        users.push(User {
            expires: Some(1),
            ..user(&name(3, n))
        });
    }
    users
}

/// The server, its clock, and somebody who has the configuration of a client.
struct Fixture {
    server: Server,
    insider: Insider,
    now: Instant,
    attempts: usize,
}

impl Fixture {
    /// The answer of the server to a datagram, and the time that it takes, in nanoseconds.
    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "measurement only"
    )]
    fn ask(&mut self, from: SocketAddr, bytes: &[u8]) -> (Vec<u8>, f64) {
        let datagram = Datagram {
            remote: from,
            kind: "",
            payload: PacketBuf::copied_from(bytes),
        };
        let begin = std::time::Instant::now();
        self.server.handle_datagram(self.now, datagram).unwrap();
        let answer = self.server.poll_datagram();
        let time = begin.elapsed();
        while self.server.poll_event().is_some() {}
        let answer = answer.expect("the server answers").payload.to_vec();
        (answer, time.as_nanos() as f64)
    }

    /// The time that the server takes for the M1 of this name.
    fn attempt(&mut self, kind: usize, n: usize) -> f64 {
        self.now = self.now + INTERVAL;
        self.server.handle_timeout(self.now).unwrap();
        self.insider.time += u64::try_from(INTERVAL.as_millis()).unwrap();
        self.attempts += 1;
        let [_, _, high, low] = u32::try_from(self.attempts % 60_000).unwrap().to_be_bytes();
        let from = SocketAddr::from(([100, high, low, 2], 50_000));
        let mut attempt = Attempt::new(&mut self.insider, &name(kind, n), "a guess");
        if KINDS[kind].2 {
            attempt.ticket = self.insider.random();
            // Like a genuine one, it has not expired.
            attempt.ticket[..8].copy_from_slice(&(1_u64 << 40).to_be_bytes());
        }
        let hello = attempt.first_message(&mut self.insider, None);
        let (answer, _) = self.ask(from, &hello);
        let cookie = self.insider.read(&answer)[5..21].try_into().unwrap();
        let login = attempt.first_message(&mut self.insider, Some(&cookie));
        let (answer, time) = self.ask(from, &login);
        assert_eq!(self.insider.read(&answer)[0], 0x34, "the answer is M2");
        time
    }
}

/// Mean of the values, and its squared standard error.
fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (mean, squares / (count - 1.0) / count)
}

/// The statistic of Mann and Whitney in standard deviations. Both lists are sorted.
fn ranks(one: &[f64], other: &[f64]) -> f64 {
    let mut wins = 0.0;
    for value in one {
        let below = other.partition_point(|other| other < value);
        let equal = other.partition_point(|other| other <= value) - below;
        wins += below as f64 + equal as f64 / 2.0;
    }
    let (m, n) = (one.len() as f64, other.len() as f64);
    (wins - m * n / 2.0) / (m * n * (m + n + 1.0) / 12.0).sqrt()
}

/// Sorts the times and leaves out the slowest tenth.
fn trimmed(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times.truncate(times.len() * 9 / 10);
    times
}

/// Prints the comparison of a kind with the first one. Returns true if they differ.
fn compare(what: &str, times: &[f64], first: &[f64]) -> bool {
    let ((one, error), (other, other_error)) = (mean(times), mean(first));
    let deviation = (error + other_error).sqrt();
    let (rank, welch) = (ranks(times, first), (one - other) / deviation);
    // A true difference of this size exceeds the limit in nine of ten measurements.
    let smallest = (NOTICEABLE + 1.28) * deviation;
    println!(
        "{what:<24}{:>10.2}{:>10.2}{:>+12.3}{rate:>+10.2}{welch:>+10.2}{:>14.3}",
        times[times.len() / 2] / 1e3,
        one / 1e3,
        (one - other) / 1e3,
        smallest / 1e3,
        rate = rank,
    );
    rank.abs() > NOTICEABLE || welch.abs() > NOTICEABLE
}

fn main() -> ExitCode {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let rounds = if is_measured { 30 } else { 1 };
    let mut config = server_config();
    config.users = store(users());
    let mut fixture = Fixture {
        server: Server::new(config).unwrap(),
        insider: Insider::new(3),
        now: Instant::ZERO,
        attempts: 0,
    };
    let mut times = vec![Vec::new(); KINDS.len()];
    for _ in 0..rounds {
        let mut order: Vec<_> = (0..KINDS.len() * NAMES).collect();
        for last in (1..order.len()).rev() {
            order.swap(last, fixture.insider.rng.next_u32() as usize % (last + 1));
        }
        for place in order {
            let (kind, n) = (place / NAMES, place % NAMES);
            times[kind].push(fixture.attempt(kind, n));
        }
    }
    let times: Vec<_> = times.into_iter().map(trimmed).collect();
    println!(
        "{:<24}{:>10}{:>10}{:>12}{:>10}{:>10}{:>14}",
        "µs, each with M1", "median", "mean", "difference", "ranks", "Welch", "noticeable"
    );
    let kinds = KINDS.iter().zip(&times);
    let differs = kinds.filter(|((_, what, _), times_of)| compare(what, times_of, &times[0]));
    let count = differs.count();
    println!(
        "{} attempts of each kind; {count} kinds differ from the first one by more than {NOTICEABLE} standard deviations",
        rounds * NAMES
    );
    ExitCode::from(u8::from(is_measured && count > 0))
}
