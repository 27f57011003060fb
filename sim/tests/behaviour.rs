//! Datagrams of classic tunnels with failing hosts and links, as the records of complete runs show them.

use std::time::Duration;

use sandhog_lab::record::{Record, RecordKind};
use sandhog_peer::Instant;
use sandhog_sim::{Detail, Run, RunOptions};

use crate::support::{ALICE, AliceAndServer, SERVER, failed, ms, parse, records, run_any, sent, statuses};

/// Runs alice and a server with these tables: steps of alice, links, events and further hosts.
fn run(rest: &str) -> Run {
    let scenario = AliceAndServer {
        profile: "classic",
        duration: "30s",
        link: "",
        rest,
        ..AliceAndServer::default()
    };
    run_any(&scenario.setup(), 7)
}

/// The reasons of all losses, with the times at which the datagrams were sent.
fn lost(run: &Run) -> Vec<(&'static str, Instant)> {
    let reasons = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::Lost { reason, .. } => Some((reason, record)),
        _ => None,
    });
    reasons
        .map(|(reason, record)| (reason, sent_record(run, record).at))
        .collect()
}

/// The record `sent` of the datagram of a later record.
fn sent_record<'a>(run: &'a Run, record: &'a Record) -> &'a Record {
    match record.kind {
        RecordKind::Sent { .. } => record,
        _ => sent_record(run, run.record(record.cause).expect("a cause")),
    }
}

#[track_caller]
fn check<'a>(run: &'a Run, start: &str) -> (bool, &'a str) {
    let check = run.checks.iter().find(|check| check.name.starts_with(start));
    let check = check.expect("a check of this name");
    (check.passed, check.detail.as_str())
}

#[test]
fn a_lost_auth_request_is_retransmitted_after_1_to_1_33_s() {
    let run = run(r#"
[[link]]
between = ["alice", "server"]
delay = "10ms"
forward = { drop = [{ kind = "auth-request", nth = 1 }] }
"#);
    assert!(run.passed);
    assert_eq!(lost(&run), [("scripted", ms(0))]);
    let [first, second] = sent(&run, ALICE, "auth-request")[..] else {
        panic!("two requests")
    };
    assert_eq!(first, ms(0));
    // At most a third of a second more, rounded up to a time step.
    assert!(ms(1000) <= second && second <= ms(1334), "{second}");
    assert_eq!(
        sent(&run, SERVER, "auth-response"),
        [second + Duration::from_millis(10)]
    );
}

#[test]
fn a_restarted_server_has_no_session_and_drops_data() {
    let run = run(r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 6, every = "500ms" }
[[link]]
between = ["alice", "server"]
delay = "10ms"
[[event]]
at = "1s"
crash = "server"
[[event]]
at = "2s"
restart = "server"
"#);
    assert!(sent(&run, SERVER, "data").iter().all(|at| *at < ms(1000)));
    let after: Vec<_> = records(&run, SERVER, |kind| matches!(kind, RecordKind::Dropped { .. })).collect();
    assert!(!after.is_empty());
    for drop in &after {
        assert_eq!(drop.kind, RecordKind::Dropped { reason: "no-session" });
        let cause = &run.record(drop.cause).unwrap().kind;
        assert!(matches!(
            cause,
            RecordKind::Received {
                from: ALICE,
                kind: "data",
                ..
            }
        ));
        assert!(drop.at >= ms(2000));
    }
    assert_eq!(run.counters["server.dropped.no-session"], after.len() as u64);
    let down = lost(&run);
    assert!(
        !down.is_empty()
            && down
                .iter()
                .all(|(reason, at)| *reason == "host-down" && *at < ms(2000))
    );
}

#[test]
fn a_restarted_client_logs_in_again_and_repeats_its_unfinished_step() {
    let run = run(r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 1 }
[[client.do]]
ping = { to = "10.9.0.1", count = 8, every = "500ms" }
[[link]]
between = ["alice", "server"]
delay = "10ms"
[[event]]
at = "1s"
crash = "alice"
[[event]]
at = "3s"
restart = "alice"
"#);
    assert!(run.passed);
    assert_eq!(sent(&run, ALICE, "auth-request"), [ms(0), ms(3000)]);
    assert!(
        sent(&run, ALICE, "data")
            .iter()
            .all(|at| *at < ms(1000) || *at > ms(3000))
    );
    let count = |wanted: u32, wanted_text: &str| {
        let is_wanted = |kind: &RecordKind| matches!(kind, RecordKind::Task { step, text } if *step == wanted && text == wanted_text);
        records(&run, ALICE, is_wanted).count()
    };
    assert_eq!(
        count(1, "pings 10.9.0.1 once"),
        1,
        "a finished step is not repeated"
    );
    assert_eq!(count(2, "pings 10.9.0.1 8 times"), 2);
    assert_eq!(count(2, "ping: 8 of 8 answered"), 1);
}

#[test]
fn a_partition_loses_all_datagrams_until_its_repair() {
    let run = run(r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 8, every = "500ms", replies = 4 }
[[link]]
between = ["alice", "server"]
delay = "10ms"
[[event]]
at = "1s"
partition = ["alice", "server"]
[[event]]
at = "3s"
repair = ["alice", "server"]
"#);
    assert!(run.passed);
    let cut = |at: &Instant| *at >= ms(1000) && *at < ms(3000);
    let in_the_cut: Vec<_> = sent(&run, ALICE, "data").into_iter().filter(cut).collect();
    assert_eq!(in_the_cut.len(), 4);
    let expected: Vec<_> = in_the_cut.into_iter().map(|at| ("partition", at)).collect();
    assert_eq!(lost(&run), expected);
}

#[test]
fn the_classic_profile_delivers_a_duplicated_datagram_twice() {
    let run = run(r#"
[[client.do]]
echo = { to = "10.9.0.1:7", count = 1 }
[[link]]
between = ["alice", "server"]
delay = "10ms"
forward = { duplicate = "100%" }
"#);
    let inner_out = |kind: &RecordKind| matches!(kind, RecordKind::InnerOut { .. });
    let RecordKind::InnerOut {
        fingerprint: first, ..
    } = records(&run, ALICE, inner_out).next().unwrap().kind
    else {
        unreachable!()
    };
    let same =
        |kind: &RecordKind| matches!(kind, RecordKind::InnerIn { fingerprint, .. } if *fingerprint == first);
    assert_eq!(records(&run, SERVER, same).count(), 2);
    assert!(check(&run, "P3").0, "both copies are unchanged");
    assert!(check(&run, "P8").0);
}

#[test]
fn a_corrupted_datagram_is_never_delivered() {
    let run = run(r#"
[[client.do]]
download = { from = "10.9.0.1:5001", bytes = "128 KiB" }
[[client.do]]
upload = { to = "10.9.0.1:5001", bytes = "128 KiB" }
[[link]]
between = ["alice", "server"]
delay = "10ms 5ms"
corrupt = "5%"
"#);
    assert!(run.passed);
    let corrupted = |kind: &RecordKind| matches!(kind, RecordKind::Flight { corrupted: true, .. });
    let flights: Vec<_> = run
        .records
        .iter()
        .filter(|record| corrupted(&record.kind))
        .collect();
    assert!(flights.len() > 10);
    let caused_by = |id: u64| run.records.iter().filter(move |record| record.cause == id);
    let mut rejected = 0;
    for received in flights.iter().flat_map(|flight| caused_by(flight.id)) {
        let outcome: Vec<_> = caused_by(received.id).map(|record| &record.kind).collect();
        let is_rejected = matches!(
            outcome[..],
            [RecordKind::Dropped {
                reason: "authentication-failed" | "invalid-code"
            }]
        );
        assert!(is_rejected, "{outcome:?}");
        rejected += 1;
    }
    assert!(rejected > 10);
}

#[test]
fn exactly_the_packets_above_the_mtu_of_a_link_are_lost() {
    let run = run(r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 3, every = "100ms", replies = 3 }
[[client.do]]
ping = { to = "10.9.0.1", count = 3, every = "100ms", size = 1200, replies = 0 }
[[link]]
between = ["alice", "server"]
mtu = 1000
"#);
    assert!(run.passed);
    for record in &run.records {
        let RecordKind::Sent { len, .. } = record.kind else {
            continue;
        };
        let fate = &run.record(record.id + 1).unwrap().kind;
        // 20 bytes of IPv4 header and 8 bytes of UDP header.
        let is_lost = matches!(fate, RecordKind::Lost { reason: "mtu", .. });
        assert_eq!(is_lost, len + 28 > 1000, "{len} bytes of payload");
    }
    assert_eq!(run.counters["lost.mtu"], 3);
}

#[test]
fn a_rate_limit_spaces_datagrams_and_a_full_queue_drops_the_rest() {
    let run = run(r#"
[[client.do]]
echo = { to = "10.9.0.1:7", count = 40, every = "1ms", size = 1000, replies = 9 }
[[link]]
between = ["alice", "server"]
delay = "10ms"
rate = "1mbit"
limit = 5
"#);
    assert!(run.passed);
    assert!(lost(&run).iter().all(|(reason, _)| *reason == "queue-full"));
    assert_eq!(run.counters["lost.queue-full"], 31);
    let large =
        |kind: &RecordKind| matches!(kind, RecordKind::Received { kind: "data", len, .. } if *len > 1000);
    let arrivals: Vec<Instant> = records(&run, SERVER, large).map(|record| record.at).collect();
    assert_eq!(arrivals.len(), 9);
    for pair in arrivals.windows(2) {
        // More than 1000 bytes at 1 Mbit/s take more than 8 ms.
        assert!(pair[1].saturating_duration_since(pair[0]) >= Duration::from_millis(8));
    }
}

/// Alice sends a ping twice a second from 0 to 6 s. Her user gives the first command at 2 s, and the second at 4 s.
fn run_with_commands(first: &str, second: &str) -> Run {
    let event = |at: u32, command: &str| match command {
        "" => String::new(),
        _ => format!("[[event]]\nat = \"{at}s\"\n{command} = \"alice\"\n"),
    };
    let rest = r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 12, every = "500ms", replies = 8 }
[[link]]
between = ["alice", "server"]
delay = "10ms"
"#;
    run(&format!("{rest}{}{}", event(2, first), event(4, second)))
}

fn sent_between(run: &Run, from: u64, to: u64) -> usize {
    let sent = run
        .records
        .iter()
        .filter(|record| record.host == Some(ALICE) && matches!(record.kind, RecordKind::Sent { .. }));
    sent.filter(|record| (ms(from)..ms(to)).contains(&record.at))
        .count()
}

#[test]
fn a_stopped_tunnel_sends_nothing_until_it_is_started_again() {
    let run = run_with_commands("stop", "start");
    assert!(run.passed);
    assert_eq!(
        statuses(&run, ALICE),
        [
            (ms(0), "connecting"),
            (ms(20), "connected"),
            (ms(2000), "disconnecting"),
            (ms(2000), "disconnected"),
            (ms(4000), "connecting"),
            (ms(4020), "connected"),
        ]
    );
    assert_eq!(sent_between(&run, 2000, 4000), 0);
    assert_eq!(run.counters["alice.dropped.not-connected"], 4);
    assert_eq!(sent(&run, ALICE, "auth-request"), [ms(0), ms(4000)]);
}

#[test]
fn a_sleeping_machine_sends_nothing_and_reasserts_when_it_wakes() {
    let run = run_with_commands("sleep", "wake");
    assert!(run.passed);
    assert_eq!(
        statuses(&run, ALICE)[2..],
        [(ms(4000), "reasserting"), (ms(4020), "connected")]
    );
    assert_eq!(sent_between(&run, 2000, 4000), 0);
    assert_eq!(sent(&run, ALICE, "auth-request"), [ms(0), ms(4000)]);
}

#[test]
fn a_changed_network_causes_a_new_login_without_an_outage() {
    let run = run_with_commands("network-changed", "");
    assert!(run.passed);
    assert_eq!(
        statuses(&run, ALICE)[2..],
        [(ms(2000), "reasserting"), (ms(2020), "connected")]
    );
    let answered = |kind: &RecordKind| matches!(kind, RecordKind::Task { text, .. } if text == "ping: 12 of 12 answered");
    assert_eq!(records(&run, ALICE, answered).count(), 1);
}

#[test]
fn an_invalid_command_is_rejected_and_recorded() {
    let run = run_with_commands("start", "");
    assert!(run.passed);
    let message = "alice was refused: start: the tunnel is already up or coming up";
    let is_rejected = |kind: &RecordKind| matches!(kind, RecordKind::Fault { text } if text == message);
    assert_eq!(records(&run, ALICE, is_rejected).count(), 1);
}

#[test]
fn two_clients_of_a_server_get_only_their_own_packets() {
    let run = run(r#"
[[client.do]]
download = { from = "10.9.0.1:5001", bytes = "64 KiB" }
[[client]]
name = "bob"
address = "203.0.113.9:50000"
inner = ["10.9.0.3/24"]
server = "server"
login = "bob"
password = "battery staple"
[[client.do]]
upload = { to = "10.9.0.1:5001", bytes = "64 KiB" }
[[link]]
between = ["alice", "server"]
delay = "10ms"
[[link]]
between = ["bob", "server"]
delay = "15ms 10ms"
loss = "5%"
"#);
    assert!(run.passed);
    assert_eq!(run.outcome, "alice connected, bob connected");
    let logins = records(&run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. }));
    let logins: Vec<_> = logins.map(|record| &record.kind).collect();
    let named = |login: &str, from| RecordKind::LoggedIn {
        login: login.into(),
        from: Some(from),
    };
    assert_eq!(logins, [&named("alice", ALICE), &named("bob", ALICE + 1)]);
    for client in [ALICE, ALICE + 1] {
        let own = if client == ALICE {
            [10, 9, 0, 2]
        } else {
            [10, 9, 0, 3]
        };
        for record in records(&run, client, |kind| matches!(kind, RecordKind::InnerIn { .. })) {
            assert_eq!(
                run.packet(record.id).unwrap()[16..20],
                own,
                "the destination in the IPv4 header (RFC 791)"
            );
        }
    }
}

#[test]
fn a_tunnel_that_only_seems_to_be_up_fails_the_liveness_check() {
    let run = run(r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 4, every = "500ms" }
[[link]]
between = ["alice", "server"]
delay = "10ms"
[[event]]
at = "2s"
restart = "server"
"#);
    assert!(!run.passed);
    assert_eq!(
        check(&run, "P9"),
        (false, "alice: no ping passed within 10.000 s")
    );
    assert_eq!(failed(&run).len(), 1, "no other check fails");
    assert_eq!(statuses(&run, ALICE).last(), Some(&(ms(20), "connected")));
}

#[test]
fn the_scenario_of_the_documentation_passes_at_every_stage() {
    let page = include_str!("../../docs/scenarios.md");
    let section = page
        .split("\n## ")
        .find(|section| section.starts_with("One scenario"))
        .unwrap();
    let pieces = section
        .split("```toml\n")
        .skip(1)
        .map(|piece| piece.split("```").next().unwrap());
    let mut text = String::new();
    for piece in pieces {
        if piece.contains("[[expect]]") {
            // Before this piece, the page tells the reader to change the password of the server's user.
            text = text.replacen("password = \"correct horse\"", "password = \"another one\"", 1);
        }
        text += piece;
        text += "\n";
        let scenario = parse(&text).unwrap();
        for seed in [1, 2] {
            let options = RunOptions {
                seed,
                detail: Detail::Digest,
                ..RunOptions::default()
            };
            let run = sandhog_sim::run(&scenario, &options).unwrap();
            assert!(run.passed, "seed {seed}: {:?}", run.checks);
        }
    }
    assert!(text.contains("[[expect]]"), "all pieces were found");
}
