//! Property tests with hostile input in any order: no panic, and no more state than documented.
//!
//! The generator is deterministic, so a failure is the same for everybody. Its seed is fixed, and no file is
//! written.

use core::time::Duration;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngSeed, TestRunner};
use sandhog_proto::classic::{Client, Code, MAX_EVENTS, MAX_PENDING_JOBS, Server};
use sandhog_proto::{
    Batch, Command, Datagram, Event, EventKind, Instant, Job, PacketBuf, Peer, TunnelStatus,
};

use super::support::*;

/// Number of users of `support::server`.
const MAX_SESSIONS: usize = 2;

fn config() -> Config {
    Config {
        cases: 512,
        rng_seed: RngSeed::Fixed(0x5a4d_0409),
        failure_persistence: None,
        ..Config::default()
    }
}

/// One step of a test.
#[derive(Clone, Debug)]
enum Step {
    /// Bytes from the address with this number. For a client, number 0 is its server.
    Receive(u16, Vec<u8>),
    /// Bytes from the inner network.
    Packet(Vec<u8>),
    /// Time passes, or goes backwards.
    Pass(i64),
    Command(Command),
    /// The oldest job is run and its result passed in.
    FinishJob,
}

/// Random bytes that often have known codes and lengths near the smallest datagram.
fn raw() -> impl Strategy<Value = Vec<u8>> {
    let anything = prop::collection::vec(any::<u8>(), 0..200);
    let coded = (0..=5u8, prop::collection::vec(any::<u8>(), 20..60))
        .prop_map(|(code, rest)| [&[code][..], &rest].concat());
    prop_oneof![anything, coded]
}

fn inner() -> impl Strategy<Value = Vec<u8>> {
    let address = prop_oneof![
        Just("10.9.0.1"),
        Just("10.9.0.2"),
        Just("10.9.0.3"),
        Just("192.0.2.1")
    ];
    let valid = (address.clone(), address, 20..1500usize)
        .prop_map(|(source, destination, len)| packet(source, destination, len).to_vec());
    prop_oneof![valid, raw()]
}

/// Code and body of a message. Usually they match each other.
fn message() -> impl Strategy<Value = (Code, Vec<u8>)> {
    let login = prop_oneof![4 => Just(LOGIN.to_owned()), 2 => Just("anna".to_owned()), 1 => ".{0,5}"];
    let password = prop_oneof![4 => Just(PASSWORD.to_owned()), 2 => Just("secret".to_owned()), 1 => ".{0,5}"];
    let request = (login, password).prop_map(|(login, password)| {
        let (login, password) = (serde_json::Value::from(login), serde_json::Value::from(password));
        format!("{{\"login\":{login},\"password\":{password}}}").into_bytes()
    });
    let answer = any::<bool>().prop_map(|is_ok| format!("{{\"isOK\":{is_ok}}}").into_bytes());
    let text = "[\"{}\\[\\]:,a-z\\\\/=0-9 ]{0,40}".prop_map(String::into_bytes);
    let base64 = "\"[A-Za-z0-9+/]{0,80}={0,2}\"".prop_map(String::into_bytes);
    let code = prop_oneof![
        Just(Code::AuthRequest),
        Just(Code::AuthResponse),
        Just(Code::Data)
    ];
    prop_oneof![
        4 => request.prop_map(|body| (Code::AuthRequest, body)),
        2 => answer.prop_map(|body| (Code::AuthResponse, body)),
        4 => prop_oneof![6 => inner(), 1 => base64].prop_map(|body| (Code::Data, body)),
        2 => (code, prop_oneof![text, raw(), inner()]),
    ]
}

/// Datagrams sealed with the key. Some are changed afterwards.
fn sealed() -> impl Strategy<Value = Vec<u8>> {
    let change = prop_oneof![
        6 => Just(None),
        1 => (any::<prop::sample::Index>(), 1..=255u8).prop_map(Some),
    ];
    let cut = prop_oneof![6 => Just(None), 1 => any::<prop::sample::Index>().prop_map(Some)];
    (message(), change, cut).prop_map(|((code, body), change, cut)| {
        let mut bytes = seal(code, &body).to_vec();
        if let Some((index, flip)) = change {
            let index = index.index(bytes.len());
            bytes[index] ^= flip;
        }
        if let Some(len) = cut {
            bytes.truncate(len.index(bytes.len()));
        }
        bytes
    })
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        4 => Just(Command::Start),
        1 => Just(Command::Stop),
        1 => Just(Command::Sleep),
        1 => Just(Command::Wake),
        1 => Just(Command::NetworkChanged),
    ];
    let pass = prop_oneof![
        0..2_000_000_000i64,
        -1_000_000_000..0i64,
        Just(20_000_000_000),
        Just(i64::MAX)
    ];
    prop_oneof![
        2 => (0..4u16, raw()).prop_map(|(n, bytes)| Step::Receive(n, bytes)),
        6 => (0..4u16, sealed()).prop_map(|(n, bytes)| Step::Receive(n, bytes)),
        3 => inner().prop_map(Step::Packet),
        2 => pass.prop_map(Step::Pass),
        2 => command.prop_map(Step::Command),
        2 => Just(Step::FinishJob),
    ]
}

/// Runs a peer through steps. `events` collects its events.
struct Driver<P> {
    peer: P,
    now: Instant,
    input: Batch,
    output: Batch,
    jobs: Vec<Job>,
    events: Vec<Event>,
}

impl<P: Peer> Driver<P> {
    fn new(peer: P) -> Self {
        let (input, output) = (Batch::default(), Batch::default());
        Self {
            peer,
            now: Instant::from_secs(100),
            input,
            output,
            jobs: vec![],
            events: vec![],
        }
    }

    /// Runs a step and checks the guarantees of every peer.
    fn take(&mut self, step: Step, remote: impl Fn(u16) -> core::net::SocketAddr) {
        match step {
            Step::Receive(n, bytes) => {
                let payload = PacketBuf::copied_from(&bytes);
                self.input.datagrams.push(Datagram {
                    remote: remote(n),
                    kind: "",
                    payload,
                });
            }
            Step::Packet(bytes) => self.input.packets.push(PacketBuf::copied_from(&bytes)),
            Step::Pass(nanos) if nanos < 0 => {
                self.now = self.now - Duration::from_nanos(nanos.unsigned_abs());
            }
            Step::Pass(nanos) => self.now = self.now + Duration::from_nanos(nanos.unsigned_abs()),
            Step::Command(command) => drop(self.peer.command(self.now, command)),
            Step::FinishJob => {
                if !self.jobs.is_empty() {
                    self.peer
                        .handle_job(self.now, self.jobs.remove(0).run())
                        .expect("a job of this peer");
                }
            }
        }
        self.output.clear();
        let deadline = self.peer.turn(self.now, &mut self.input, &mut self.output);
        assert!(self.input.is_empty());
        for datagram in &self.output.datagrams {
            assert_eq!(
                open(&datagram.payload).0.name(),
                datagram.kind,
                "only well-formed datagrams are sent"
            );
        }
        for packet in &self.output.packets {
            assert!(matches!(packet[0] >> 4, 4 | 6) && packet.len() <= usize::from(MTU));
        }
        if let Some((at, _)) = deadline {
            let again = self.peer.turn(self.now, &mut self.input, &mut Batch::default());
            assert_eq!(
                again,
                Some((at, again.unwrap().1)),
                "a turn without work changes nothing"
            );
        }
        self.jobs.extend(core::iter::from_fn(|| self.peer.poll_job()));
        self.events.extend(core::iter::from_fn(|| self.peer.poll_event()));
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_client_survives_any_input(steps in prop::collection::vec(step(), 1..60)) {
        let mut driver = Driver::new(client());
        let mut starts = 0;
        for step in steps {
            let is_start = matches!(step, Step::Command(Command::Start));
            starts += usize::from(is_start && driver.peer.status() == TunnelStatus::Disconnected);
            driver.take(step, |n| if n < 3 { server_address() } else { client_address(n) });
            prop_assert!(driver.output.datagrams.len() <= 2);
        }
        driver.take(Step::Pass(20_000_000_000), |_| server_address());
        if driver.peer.status() != TunnelStatus::Disconnected {
            prop_assert!(driver.peer.settings().is_some() || driver.peer.poll_timeout().is_some());
        }
        let completed = driver.events.iter().filter(|event| matches!(event.kind, EventKind::Started(_))).count();
        let pending = usize::from(driver.peer.status() == TunnelStatus::Connecting);
        prop_assert_eq!(completed + pending, starts, "start completes exactly once");
    }

    #[test]
    fn a_server_survives_any_input(steps in prop::collection::vec(step(), 1..60)) {
        let mut driver = Driver::new(server());
        for step in steps {
            driver.take(step, client_address);
            prop_assert!(driver.peer.session_count() <= MAX_SESSIONS);
            prop_assert!(driver.peer.pending_jobs() <= 4, "one for each source");
            prop_assert_eq!(driver.peer.pending_jobs(), driver.jobs.len());
        }
        while !driver.jobs.is_empty() {
            driver.take(Step::FinishJob, client_address);
        }
        prop_assert_eq!(driver.peer.pending_jobs(), 0);
    }

    #[test]
    fn every_datagram_is_delivered_answered_or_counted_as_dropped(steps in prop::collection::vec(step(), 1..60)) {
        let mut driver = Driver::new(server());
        for step in steps.into_iter().chain(vec![Step::FinishJob; 4]) {
            driver.take(step, client_address);
        }
        let counters = driver.peer.counters();
        let dropped: u64 = counters.drops().map(|(_, count)| count).sum();
        let told = driver.events.iter().filter(|event| matches!(event.kind, EventKind::Dropped(_))).count();
        prop_assert_eq!(u64::try_from(told).unwrap(), dropped, "each drop is told");
        let answers = counters.datagrams_out - counters.packets_out;
        let packets_seen = counters.datagrams_in - answers - counters.packets_in;
        prop_assert!(packets_seen <= dropped, "a datagram is delivered, answered or dropped");
    }
}

/// The property tests above are useful only if the generator gets past authentication.
#[test]
fn the_generator_reaches_every_event_and_drop_reason_of_both_peers() {
    let mut runner = TestRunner::new(config());
    let strategy = prop::collection::vec(step(), 1..60);
    let mut reached = BTreeSet::new();
    for _ in 0..config().cases {
        let steps = strategy.new_tree(&mut runner).unwrap().current();
        let mut to_server = Driver::new(server());
        let mut to_client = Driver::new(client());
        for step in steps {
            to_server.take(step.clone(), client_address);
            to_client.take(step, |n| {
                if n < 3 {
                    server_address()
                } else {
                    client_address(n)
                }
            });
        }
        for (side, events, counters) in [
            ("server", to_server.events, to_server.peer.counters()),
            ("client", to_client.events, to_client.peer.counters()),
        ] {
            reached.extend(
                events
                    .iter()
                    .map(|event| format!("{side} {}", summary(&event.kind))),
            );
            reached.extend((counters.packets_in > 0).then(|| format!("{side} packets in")));
            reached.extend((counters.packets_out > 0).then(|| format!("{side} packets out")));
        }
    }
    for (side, ways) in [("client", CLIENT_WAYS), ("server", SERVER_WAYS)] {
        for way in ways {
            assert!(
                reached.contains(&format!("{side} {way}")),
                "{side} {way} is not in {reached:#?}"
            );
        }
    }
}

const CLIENT_WAYS: &[&str] = &[
    "Cancelled(AuthenticationRejected)",
    "Cancelled(ConnectionTimedOut)",
    "Dropped(AuthenticationFailed)",
    "Dropped(InvalidCode)",
    "Dropped(MalformedBody)",
    "Dropped(NotConnected)",
    "Dropped(NotEnoughData)",
    "Dropped(NotIp)",
    "Dropped(TooLarge)",
    "Dropped(Unexpected)",
    "Dropped(UnknownRemote)",
    "Started(Err(AuthenticationRejected))",
    "Started(Err(ConnectionTimedOut))",
    "Started(Err(Stopped))",
    "Started(Ok)",
    "Status(Reasserting)",
    "packets in",
    "packets out",
];

const SERVER_WAYS: &[&str] = &[
    "Dropped(AuthenticationFailed)",
    "Dropped(Busy)",
    "Dropped(InvalidCode)",
    "Dropped(MalformedBody)",
    "Dropped(NoRoute)",
    "Dropped(NoSession)",
    "Dropped(NotEnoughData)",
    "Dropped(NotIp)",
    "Dropped(SourceNotAllowed)",
    "Dropped(TooLarge)",
    "Dropped(Unexpected)",
    "LoggedIn",
    "LoginRefused",
    "packets in",
    "packets out",
];

/// An event without its details.
fn summary(kind: &EventKind) -> String {
    match kind {
        EventKind::Started(Ok(_)) => "Started(Ok)".to_owned(),
        EventKind::LoggedIn { .. } => "LoggedIn".to_owned(),
        EventKind::LoginRefused { .. } => "LoginRefused".to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn the_number_of_unpolled_events_is_bounded() {
    let mut server = server();
    let mut client = connected_client();
    let junk = |remote| {
        (0..2 * MAX_EVENTS)
            .map(|_| from(remote, PacketBuf::copied_from(b"junk")))
            .collect()
    };
    turn(&mut server, Instant::ZERO, junk(client_address(0)), vec![]);
    turn(&mut client, Instant::ZERO, junk(server_address()), vec![]);
    assert_eq!(events(&mut server).len(), MAX_EVENTS);
    assert_eq!(events(&mut client).len(), MAX_EVENTS);
    let expected = u64::try_from(2 * MAX_EVENTS).unwrap();
    assert_eq!(drops(&server), drops(&client));
    assert_eq!(drops(&server)[0].1, expected);
}

#[test]
fn random_datagrams_without_the_key_get_no_reply_and_leave_no_state() {
    let mut server = server();
    let mut client = client();
    client.start(Instant::ZERO).unwrap();
    turn(&mut client, Instant::ZERO, vec![], vec![]);
    // SplitMix64. Any fixed stream of bytes will do.
    let mut state = 0x5a4d_0409u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).to_le_bytes()
    };
    for n in 0..100_000u32 {
        let mut bytes: Vec<u8> = (0..next()[0] % 16).flat_map(|_| next()).collect();
        if let Some(first) = bytes.first_mut() {
            *first %= 5;
        }
        let port = u16::try_from(n % 1000).unwrap();
        let datagram = PacketBuf::copied_from(&bytes);
        let to_server = vec![from(client_address(port), datagram.clone())];
        assert!(turn(&mut server, Instant::ZERO, to_server, vec![]).is_silent());
        assert!(
            turn(
                &mut client,
                Instant::ZERO,
                vec![from(server_address(), datagram)],
                vec![]
            )
            .is_silent()
        );
        assert_eq!((server.session_count(), server.pending_jobs()), (0, 0));
        assert_eq!(client.status(), TunnelStatus::Connecting);
        events(&mut server);
        events(&mut client);
    }
    let total = |peer: &dyn Peer| peer.counters().drops().map(|(_, count)| count).sum::<u64>();
    assert_eq!((total(&server), total(&client)), (100_000, 100_000));
}

#[test]
fn a_flood_of_valid_requests_creates_a_bounded_number_of_jobs() {
    let mut server = server();
    for n in 0..1000 {
        turn(
            &mut server,
            Instant::ZERO,
            vec![from(client_address(n), auth_request(LOGIN, "guess"))],
            vec![],
        );
        assert!(server.pending_jobs() <= MAX_PENDING_JOBS);
    }
    let jobs = core::iter::from_fn(|| server.poll_job()).count();
    assert_eq!(jobs, MAX_PENDING_JOBS);
}

/// A server whose jobs never finish still carries packets and keeps its bounds.
#[test]
fn a_server_whose_jobs_never_finish_keeps_its_sessions() {
    let mut server: Server = server();
    log_in(&mut server, client_address(0), LOGIN, PASSWORD);
    for n in 1..200 {
        turn(
            &mut server,
            Instant::ZERO,
            vec![from(client_address(n), auth_request(LOGIN, "guess"))],
            vec![],
        );
        server.poll_job();
    }
    let up = from(
        client_address(0),
        seal(Code::Data, &packet("10.9.0.2", "10.9.0.1", 84)),
    );
    assert_eq!(
        turn(&mut server, Instant::ZERO, vec![up], vec![]).packets.len(),
        1
    );
    assert_eq!(server.pending_jobs(), MAX_PENDING_JOBS);
}

/// A `Client` is run like any other peer.
#[test]
fn a_client_before_start_sends_nothing_for_any_input() {
    let mut client: Client = client();
    let request = from(server_address(), auth_request(LOGIN, PASSWORD));
    let data = from(
        server_address(),
        seal(Code::Data, &packet("10.9.0.1", "10.9.0.2", 84)),
    );
    let datagrams = vec![auth_response(true), auth_response(false), request, data];
    let output = turn(
        &mut client,
        Instant::ZERO,
        datagrams,
        vec![packet("10.9.0.2", "10.9.0.1", 84)],
    );
    assert!(output.is_silent() && output.deadline.is_none());
    assert_eq!(client.status(), TunnelStatus::Disconnected);
}
