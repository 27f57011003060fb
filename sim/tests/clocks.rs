//! Wall clocks of clients: a server answers only those that are within 30 s of its own.

use sandhog_lab::record::RecordKind;
use sandhog_sim::Run;

use crate::support::{ALICE, AliceAndServer, SERVER, ms, parse, run_both, sent, started};

/// A login of alice, whose clock is `clock`. The result must be `outcome`.
fn login(clock: &str, outcome: &str) -> Run {
    let rest = format!("[[expect]]\nclient = \"alice\"\noutcome = \"{outcome}\"\n");
    let base = AliceAndServer {
        duration: "12s",
        rest: &rest,
        ..AliceAndServer::default()
    };
    let client = "server = \"server\"\nlogin = \"alice\"";
    let text = base
        .text()
        .replacen(client, &format!("clock = \"{clock}\"\n{client}"), 1);
    run_both(&parse(&text).unwrap().setup(), 7)
}

#[test]
fn a_clock_within_30_s_of_the_servers_does_not_delay_a_login() {
    for clock in ["right", "+29900ms", "+1s"] {
        let (at, result) = started(&login(clock, "connected"), ALICE).unwrap();
        assert_eq!((result, at < ms(1_000)), ("connected", true), "{clock}");
    }
}

/// A server that has just started answers nothing that was made before its start.
#[test]
fn a_clock_that_is_behind_waits_until_it_has_passed_the_start_of_the_server() {
    let (at, result) = started(&login("-3s", "connected"), ALICE).unwrap();
    assert_eq!(
        (result, at > ms(3_000) && at < ms(4_000)),
        ("connected", true),
        "{at}"
    );
}

#[test]
fn a_server_sends_no_byte_to_a_client_whose_clock_is_wrong_or_missing() {
    for clock in ["+31s", "-31s", "-8760h", "+8760h", "none"] {
        let run = login(clock, "connection-timed-out");
        let is_sent = |kind: &RecordKind| matches!(kind, RecordKind::Sent { .. });
        let from_server = run.records.iter().filter(|record| record.host == Some(SERVER));
        assert_eq!(
            from_server.filter(|record| is_sent(&record.kind)).count(),
            0,
            "{clock}"
        );
        let asked = sent(&run, ALICE, "login").len() as u64;
        assert!(asked > 20, "{clock}");
        assert_eq!(run.counters["server.dropped.stale"], asked, "{clock}");
    }
}

#[test]
fn a_clock_that_is_not_a_time_and_a_clock_in_the_classic_profile_are_rejected() {
    let client = "server = \"server\"\nlogin = \"alice\"";
    let error = |profile, clock| {
        let base = AliceAndServer {
            profile,
            ..AliceAndServer::default()
        };
        let text = base
            .text()
            .replacen(client, &format!("clock = \"{clock}\"\n{client}"), 1);
        parse(&text).unwrap_err().to_string()
    };
    assert!(error("secure", "25s").contains("like `+25s`"));
    assert!(error("classic", "+25s").contains("has no wall clocks"));
}
