//! Logins over slow and silent links: rows 1 to 3, 7 to 11 and 25.

use std::collections::BTreeSet;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_sim::{Run, Scenario};

use super::scenario;
use crate::support::{
    ALICE, AliceAndServer, SERVER, between, consequences, ends, logins, ms, pings, records, retries, run,
    run_any, run_both, run_builtin, sent, started, statuses, work_end,
};

/// Kind, sender and time of each datagram until the end of the work.
fn wire(run: &Run) -> Vec<(&'static str, Option<u16>, u64)> {
    let until = work_end(run);
    let datagrams = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::Sent { kind, .. } if record.at < until => {
            Some((kind, record.host, record.at.as_millis()))
        }
        _ => None,
    });
    datagrams.collect()
}

#[test]
fn a_login_takes_six_datagrams_in_three_round_trips_over_ipv4_and_ipv6() {
    let v4 = scenario("1s", "", "delay = \"20ms\"", "");
    let mut v6 = v4.clone();
    v6.servers[0].address = "[2001:db8::1]:4000".parse().unwrap();
    v6.clients[0].address = "[2001:db8:2::2]:50000".parse().unwrap();
    for scenario in [v4, v6] {
        let run = run_both(&scenario.setup(), 7);
        let (alice, server) = (Some(ALICE), Some(SERVER));
        let expected = [
            ("login", alice, 0),
            ("cookie", server, 20),
            ("login-cookie", alice, 40),
            ("ke2", server, 60),
            ("ke3", alice, 80),
            ("settings", server, 100),
            ("ping", alice, 120),
            ("rekey", alice, 120),
            ("pong", server, 140),
            ("rekeyed", server, 140),
            ("ping", alice, 160),
            ("pong", server, 180),
        ];
        assert_eq!(wire(&run), expected);
        assert_eq!(started(&run, ALICE), Some((ms(120), "connected")));
        assert_eq!(logins(&run), [ms(140)]);
    }
}

#[test]
fn with_a_delay_of_750_ms_each_message_is_sent_at_most_four_times() {
    for seed in 0..10 {
        let run = run_builtin("long-rtt", seed);
        assert_eq!(started(&run, ALICE), Some((ms(4500), "connected")), "seed {seed}");
        assert_eq!(logins(&run), [ms(5250)], "seed {seed}");
        for (host, kind) in [
            (ALICE, "login"),
            (SERVER, "cookie"),
            (ALICE, "login-cookie"),
            (SERVER, "ke2"),
            (ALICE, "ke3"),
            (SERVER, "settings"),
        ] {
            let count = sent(&run, host, kind).len();
            assert!((3..=4).contains(&count), "seed {seed}: {count} times {kind}");
        }
    }
}

#[test]
fn first_messages_after_fourteen_weeks_get_no_reply() {
    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
    let scenario = AliceAndServer {
        duration: "11s",
        ends_early: false,
        inner: "inner = [\"10.9.0.2/24\"]\nonce = true",
        link: "delay = \"2352h\"",
        rest: "[[expect]]\nclient = \"alice\"\noutcome = \"connection-timed-out\"\nat = \"10s\"\nfinally = \"disconnected\"\n",
        ..AliceAndServer::default()
    };
    let mut setup = scenario.scenario().setup();
    setup.duration = WEEK * 30;
    for seed in 0..10 {
        let run = run(&setup, seed);
        let requests = sent(&run, ALICE, "login");
        assert!(sent(&run, SERVER, "cookie").is_empty(), "seed {seed}");
        assert_eq!(run.counters["server.dropped.stale"], requests.len() as u64);
        assert_eq!(run.counters["datagrams.made"], requests.len() as u64);
        assert_eq!(run.counters["datagrams.in-flight"], 0);
    }
}

#[test]
fn five_copies_of_every_message_make_one_session() {
    for seed in 0..10 {
        let run = run_builtin("handshake-dup", seed);
        assert_eq!(logins(&run).len(), 1, "seed {seed}");
        assert_eq!(ends(&run), [], "seed {seed}");
        let proofs = records(&run, ALICE, |kind| {
            matches!(kind, RecordKind::Sent { kind: "ke3", .. })
        });
        let proofs: BTreeSet<_> = proofs.map(|record| run.packet(record.id).unwrap()).collect();
        assert_eq!(
            proofs.len(),
            1,
            "seed {seed}: a retransmission is the same datagram"
        );
        let is_done = |kind: &RecordKind| matches!(kind, RecordKind::Task { text, .. } if text == "ping: 4 of 4 answered");
        assert_eq!(records(&run, ALICE, is_done).count(), 1);
    }
}

#[test]
fn a_packet_that_overtakes_the_ping_makes_the_session_live() {
    for seed in 0..10 {
        let run = run_builtin("handshake-reorder", seed);
        let login = records(&run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. }))
            .next()
            .unwrap();
        let cause = &run.record(login.cause).unwrap().kind;
        assert!(
            matches!(
                cause,
                RecordKind::Received {
                    kind: "data" | "rekey",
                    ..
                }
            ),
            "seed {seed}: {cause:?}"
        );
        assert_eq!(sent(&run, SERVER, "settings").len(), 2, "seed {seed}");
        let dropped = |kind: &RecordKind| matches!(kind, RecordKind::Dropped { .. });
        let by_server = records(&run, SERVER, dropped).count();
        assert_eq!(by_server, 0, "seed {seed}: the server accepts the late ping");
    }
}

#[test]
fn packets_before_the_tunnel_is_up_are_dropped_and_counted() {
    let steps = pings(60, "100ms", 1);
    let events = "[[event]]\nat = \"1s\"\nstop = \"alice\"\n[[event]]\nat = \"2s\"\nstart = \"alice\"\n";
    for seed in 0..5 {
        let run = run_both(&scenario("8s", &steps, "delay = \"100ms\"", events).setup(), seed);
        let up = statuses(&run, ALICE)
            .into_iter()
            .filter(|(_, status)| *status == "connected");
        let [first, second] = up.map(|(at, _)| at).collect::<Vec<_>>()[..] else {
            panic!("seed {seed}: {:?}", statuses(&run, ALICE))
        };
        assert_eq!([first, second], [ms(600), ms(2600)], "seed {seed}");
        let down = |at| at >= ms(1000) && at < second;
        let early = records(&run, ALICE, |kind| matches!(kind, RecordKind::InnerOut { .. }));
        let early = early.filter(|record| down(record.at)).count();
        assert_eq!(early, 16, "seed {seed}: one every 100 ms");
        assert_eq!(
            run.counters["alice.dropped.not-connected"], early as u64,
            "seed {seed}"
        );
        let data = sent(&run, ALICE, "data");
        assert!(data.iter().all(|at| *at >= first && !down(*at)), "seed {seed}");
    }
}

#[test]
fn a_login_is_retransmitted_every_400_to_500_ms_for_exactly_ten_seconds() {
    let scenario = Scenario::builtin("auth-timeout").unwrap();
    for seed in 0..20 {
        let run = run_both(&scenario.setup(), seed);
        assert_eq!(started(&run, ALICE), Some((ms(10_000), "connection-timed-out")));
        let requests = sent(&run, ALICE, "login");
        assert_eq!(requests[0], ms(0));
        assert!(requests.last().unwrap() < &ms(10_000));
        for pair in requests.windows(2) {
            let gap = between(pair[0], pair[1]).as_millis();
            // One more, because times are rounded up to a time step.
            assert!((400..=501).contains(&gap), "seed {seed}: {gap} ms");
        }
        assert!(between(*requests.last().unwrap(), ms(10_000)) <= Duration::from_millis(501));
        let payloads: BTreeSet<_> = records(&run, ALICE, |kind| matches!(kind, RecordKind::Sent { .. }))
            .map(|record| run.packet(record.id).unwrap())
            .collect();
        assert_eq!(
            payloads.len(),
            requests.len(),
            "each retransmission is sealed anew"
        );
    }
}

#[test]
fn a_first_login_without_an_answer_goes_on_after_the_outage() {
    let cut = "[[event]]\nat = \"0s\"\npartition = [\"alice\", \"server\"]\n";
    let heal = "[[event]]\nat = \"45s\"\nrepair = [\"alice\", \"server\"]\n";
    let scenario = scenario("120s", "", "delay = \"20ms\"", &[cut, heal].concat());
    for seed in 0..10 {
        let run = run_both(&scenario.setup(), seed);
        let failed = retries(&run, ALICE);
        assert_eq!(failed[0], (ms(10_000), "connection-timed-out"), "seed {seed}");
        let (at, result) = started(&run, ALICE).unwrap();
        assert_eq!(result, "connected", "seed {seed}");
        assert!(
            at > ms(45_000) && failed.iter().all(|(failed, _)| *failed < at),
            "seed {seed}: {at}"
        );
        assert_eq!(
            statuses(&run, ALICE).len(),
            2,
            "seed {seed}: connecting, connected"
        );
    }
}

#[test]
fn a_tunnel_that_was_up_retries_with_pauses_that_double_up_to_60_s() {
    let scenario = scenario(
        "30min",
        "",
        "delay = \"20ms\"",
        "[[event]]\nat = \"5s\"\ncrash = \"server\"\n[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\n\
         finally = \"reasserting\"\n",
    );
    for seed in 0..10 {
        let run = run(&scenario.setup(), seed);
        let requests = sent(&run, ALICE, "login");
        let mut later = requests.iter().filter(|at| **at > ms(1000));
        // The keepalive at 25.16 s gets no reply for 15 s.
        let mut attempt = *later.next().unwrap();
        assert_eq!(attempt, ms(40_160));
        let retries = retries(&run, ALICE);
        assert!(retries.len() > 20, "seed {seed}: {}", retries.len());
        for (number, (failed, error)) in retries.iter().enumerate() {
            assert_eq!(*error, "connection-timed-out");
            assert_eq!(between(attempt, *failed), Duration::from_secs(10), "seed {seed}");
            let Some(next) = requests.iter().find(|at| *at > failed) else {
                break;
            };
            let max = Duration::from_secs(60.min(1 << number.min(10))) + Duration::from_millis(1);
            assert!(between(*failed, *next) <= max, "seed {seed}: pause {number}");
            attempt = *next;
        }
        let longest = retries
            .windows(2)
            .map(|pair| between(pair[0].0, pair[1].0))
            .max()
            .unwrap();
        assert!(longest > Duration::from_secs(30), "seed {seed}: the pauses grow");
    }
}

#[test]
fn data_in_both_directions_right_after_the_login_causes_no_second_login() {
    for seed in 0..10 {
        let run = run_builtin("handshake-ping-pong", seed);
        assert_eq!(
            (logins(&run).len(), sent(&run, ALICE, "login").len()),
            (1, 1),
            "seed {seed}"
        );
        let first = |host| sent(&run, host, "data")[0];
        assert!(between(logins(&run)[0], first(SERVER)) < Duration::from_millis(100));
        assert_eq!(
            first(ALICE),
            started(&run, ALICE).unwrap().0,
            "in the same millisecond"
        );
    }
}

#[test]
fn no_corrupted_datagram_is_accepted_in_three_hundred_logins() {
    let setup = Scenario::builtin("handshake-corrupt-30").unwrap().setup();
    let (mut corrupted, mut failed) = (0, 0);
    for seed in 0..300 {
        // The last ping of a run may fail here.
        let run = run_any(&setup, seed);
        for flight in run
            .records
            .iter()
            .filter(|record| matches!(record.kind, RecordKind::Flight { corrupted: true, .. }))
        {
            let received = run.records.iter().find(|record| record.cause == flight.id);
            let Some(received) = received else { continue };
            let caused: Vec<_> = consequences(&run, received.id).collect();
            let [RecordKind::Dropped { .. }] = caused[..] else {
                panic!("seed {seed}: {caused:?}")
            };
            corrupted += 1;
        }
        failed += usize::from(started(&run, ALICE).is_none_or(|(_, result)| result != "connected"));
    }
    assert!(corrupted > 1000, "{corrupted}");
    assert_eq!(failed, 0, "of 300");
}
