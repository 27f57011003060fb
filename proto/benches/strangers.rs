//! Cost of first messages on the server, from outsiders and key holders, and the cost of a complete login, on
//! one core. `cargo bench --package sandhog-proto --bench strangers`, and again with `--features ring`. The
//! exit status is 1 if a limit is missed.
//!
//! Each figure is the median of several rounds. Each datagram has its own buffer, as if it came from a
//! socket. The time to fill this buffer is included.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use attacker::{Attempt, Insider, elsewhere};
use sandhog_proto::secure::{CONTROL_LEN, Client, ClientConfig, Server};
use sandhog_proto::{Batch, Datagram, Instant, PacketBuf, Peer, TunnelStatus};
use support::{client_config, login, server_address, server_config, store, user};

#[path = "../tests/secure/attacker.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod attacker;
#[path = "../tests/secure/support.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod support;

/// Minimum number of outsiders' datagrams that are rejected per second.
const PROMISED_RATE: u128 = 100_000;
/// Maximum time of the server for a login.
const PROMISED_LOGIN: Duration = Duration::from_micros(550);

const ROUNDS: usize = 9;

/// Duration of `work`.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measurement only"
)]
fn timed(work: impl FnOnce()) -> Duration {
    let begin = std::time::Instant::now();
    work();
    begin.elapsed()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A datagram as it comes from a socket.
fn datagram(from: SocketAddr, bytes: &[u8]) -> Datagram {
    Datagram {
        remote: from,
        kind: "",
        payload: PacketBuf::copied_from(bytes),
    }
}

/// Number of datagrams per second that the server handles. It must answer each of them, or none.
fn rate(
    what: &str,
    server: &mut Server,
    now: Instant,
    mut datagrams: impl FnMut() -> Vec<(SocketAddr, Vec<u8>)>,
    answered: bool,
) -> u128 {
    let mut round = || {
        // A server answers each datagram once.
        let sent = datagrams();
        let mut answers = 0;
        let time = timed(|| {
            for (from, bytes) in &sent {
                server.handle_datagram(now, datagram(*from, bytes)).unwrap();
                while server.poll_datagram().is_some() {
                    answers += 1;
                }
                while server.poll_event().is_some() {}
            }
        });
        assert_eq!(answers, if answered { sent.len() } else { 0 }, "{what}");
        time / u32::try_from(sent.len()).unwrap()
    };
    let time = median((0..ROUNDS).map(|_| round()).collect());
    let rate = 1_000_000_000 / time.as_nanos().max(1);
    println!("{what:<58}{rate:>10} a second");
    rate
}

/// Random bytes that look like a first message.
fn outsiders(insider: &mut Insider, count: u16) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut probe = |n| {
        let mut bytes = insider.random::<CONTROL_LEN>().to_vec();
        bytes[0] = 1;
        (elsewhere(n), bytes)
    };
    (0..count).map(&mut probe).collect()
}

/// First messages of a holder of the pre-shared key, with an optional cookie.
fn insiders(insider: &mut Insider, count: u16, cookie: Option<&[u8; 16]>) -> Vec<(SocketAddr, Vec<u8>)> {
    let attempt = Attempt::new(insider, "user0", "a guess");
    let mut first_message = |n| (elsewhere(n), attempt.first_message(insider, cookie));
    (0..count).map(&mut first_message).collect()
}

/// Passes the datagrams in `batch` from `sender` through a turn of `peer`. Afterwards `batch` contains the
/// output.
fn exchange(peer: &mut impl Peer, now: Instant, batch: &mut Batch, sender: SocketAddr) {
    let mut output = Batch::default();
    for datagram in &mut batch.datagrams {
        datagram.remote = sender;
    }
    peer.turn(now, batch, &mut output);
    while let Some(job) = peer.poll_job() {
        peer.handle_job(now, job.run()).unwrap();
        peer.turn(now, &mut Batch::default(), &mut output);
    }
    while peer.poll_event().is_some() {}
    *batch = output;
}

/// Time of the server for a complete login, from M0 to the first datagram of the session.
fn log_in(server: &mut Server, now: Instant, n: usize) -> Duration {
    // Clients with one seed would use the same nonces, and the server answers each nonce once.
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&(n as u64).to_be_bytes());
    let mut client = Client::new(ClientConfig {
        login: login(&format!("user{n}")),
        seed,
        ..client_config("kean", 1)
    });
    client.start(now).unwrap();
    let (mut batch, mut time) = (Batch::default(), Duration::ZERO);
    loop {
        exchange(&mut client, now, &mut batch, server_address());
        if batch.is_empty() {
            assert_eq!(client.status(), TunnelStatus::Connected);
            return time;
        }
        let from = SocketAddr::from(([198, 18, 0, u8::try_from(n % 200).unwrap()], 50_000));
        time += timed(|| exchange(server, now, &mut batch, from));
    }
}

fn main() -> ExitCode {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    let (count, logins) = if is_measured { (20_000, 200) } else { (100, 3) };
    let mut config = server_config();
    config.users = store((0..logins).map(|n| user(&format!("user{n}"))));
    let mut server = Server::new(config).unwrap();
    let mut insider = Insider::new(3);
    let now = Instant::from_secs(100);
    insider.time += 100_000;

    let strangers = || outsiders(&mut insider, count);
    let outsiders = rate("outsiders, refused", &mut server, now, strangers, false);
    let sent = || insiders(&mut insider, count, None);
    rate(
        "M0 by holders of the key, answered by M0r",
        &mut server,
        now,
        sent,
        true,
    );
    let old = insider.random::<16>();
    // The client's part of an M1 takes much longer than the server's.
    let sent = || insiders(&mut insider, count / 20, Some(&old));
    rate(
        "M1 with an old cookie, answered by M0r",
        &mut server,
        now,
        sent,
        true,
    );
    let wrong = || {
        let mut wrong = |n: u16| {
            let to = (1 + u32::from(n)).to_be_bytes();
            (
                elsewhere(n),
                insider.seal(1, &[&[0x35][..], &to, &[7; 1166]].concat()),
            )
        };
        (0..count).map(&mut wrong).collect()
    };
    rate("M3 for no login, refused", &mut server, now, wrong, false);

    let login = (0..logins).map(|n| {
        log_in(
            &mut server,
            now + Duration::from_millis(50) * u32::try_from(n).unwrap(),
            n,
        )
    });
    let login = median(login.collect());
    println!(
        "{:<58}{:>10} µs",
        "the server's part of a login",
        login.as_micros()
    );
    let is_kept = outsiders >= PROMISED_RATE && login <= PROMISED_LOGIN;
    println!(
        "limits: {PROMISED_RATE} outsiders a second, {} µs for a login",
        PROMISED_LOGIN.as_micros()
    );
    ExitCode::from(u8::from(is_measured && !is_kept))
}
