//! Wall clocks of hosts: a server answers only clients that are within 30 s of its own, and both sides survive that a clock is set.

use sandhog_lab::record::RecordKind;
use sandhog_sim::Run;

use crate::support::{ALICE, AliceAndServer, SERVER, logins, ms, parse, run_both, sent, started};

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
        .replacen(client, &format!("clock = \"{clock}\"\nonce = true\n{client}"), 1);
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

/// A run of two minutes with further keys of alice and the server, and events.
fn run_with(alice: &str, server: &str, events: &str) -> Run {
    let base = AliceAndServer {
        duration: "120s",
        ends_early: false,
        steps: "[[client.do]]\nping = { to = \"10.9.0.1\", count = 3 }\n",
        rest: events,
        ..AliceAndServer::default()
    };
    let (client, host) = ("server = \"server\"\nlogin = \"alice\"", "serve = {");
    let text = base.text();
    let text = text.replacen(client, &format!("{alice}\n{client}"), 1);
    let text = text.replacen(host, &format!("{server}\n{host}"), 1);
    run_both(&parse(&text).unwrap().setup(), 7)
}

fn set(at: u32, host: &str, becomes: &str) -> String {
    format!("[[event]]\nat = \"{at}s\"\nclock = {{ of = \"{host}\", becomes = \"{becomes}\" }}\n")
}

#[test]
fn a_client_whose_clock_is_set_right_connects_with_its_next_login() {
    let run = run_with("clock = \"+1h\"", "", &set(35, "alice", "right"));
    let (at, result) = started(&run, ALICE).unwrap();
    assert_eq!(
        (result, at > ms(35_000), at < ms(110_000)),
        ("connected", true, true),
        "{at}"
    );
}

const RESTART: &str = "[[event]]\nat = \"20s\"\nrestart = \"server\"\n";

/// The client knows the server's clock from its login.
#[test]
fn a_clients_clock_that_is_set_wrong_does_not_stop_its_next_logins() {
    for becomes in ["+1h", "-8760h"] {
        let run = run_with("", "", &[&set(5, "alice", becomes), RESTART].concat());
        let logins = logins(&run);
        assert!(
            logins.len() == 2 && logins[1] < ms(60_000),
            "{becomes}: {logins:?}"
        );
    }
}

#[test]
fn a_servers_clock_that_is_set_wrong_ends_no_session() {
    for becomes in ["+1h", "-1h"] {
        let run = run_with("", "", &set(5, "server", becomes));
        assert_eq!(logins(&run).len(), 1, "{becomes}");
    }
}

#[test]
fn a_restarted_server_with_a_wrong_clock_accepts_logins_once_it_is_right() {
    for becomes in ["+1h", "-1h"] {
        let wrong_for_40_s = [&set(5, "server", becomes), RESTART, &set(60, "server", "right")].concat();
        let run = run_with("", "", &wrong_for_40_s);
        let logins = logins(&run);
        assert!(
            logins.len() == 2 && logins[1] > ms(60_000),
            "{becomes}: {logins:?}"
        );
    }
}

#[test]
fn a_client_without_a_clock_connects_to_a_server_that_checks_no_clocks() {
    for server in ["checks-clock = false", "clock = \"none\""] {
        let run = run_with("clock = \"none\"", server, "");
        let (at, result) = started(&run, ALICE).unwrap();
        assert_eq!((result, at < ms(1_000)), ("connected", true), "{server}");
    }
}

#[test]
fn a_changed_clock_is_kept_over_a_restart_of_its_host() {
    let restart =
        "[[event]]\nat = \"10s\"\nrestart = \"alice\"\n[[event]]\nat = \"10s\"\nrestart = \"server\"\n";
    let run = run_with(
        "",
        "",
        &[&set(5, "alice", "-1h"), restart, &set(60, "alice", "right")].concat(),
    );
    let after_the_restart: Vec<_> = logins(&run).into_iter().filter(|at| *at > ms(10_000)).collect();
    assert!(!after_the_restart.is_empty());
    assert!(
        after_the_restart.iter().all(|at| *at > ms(60_000)),
        "{after_the_restart:?}"
    );
}

#[test]
fn the_story_says_that_a_clock_was_set() {
    let run = run_with("", "", &set(5, "alice", "+1h"));
    let said = run.records.iter().filter_map(|record| match &record.kind {
        RecordKind::Fault { text } if text.contains("wall clock") => Some(text.as_str()),
        _ => None,
    });
    let texts: Vec<&str> = said.collect();
    assert_eq!(texts, ["alice's wall clock is set 3600s ahead"]);
}

#[test]
fn a_clock_event_names_a_host_a_time_and_a_profile_with_clocks() {
    let error = |profile, of, becomes| {
        let rest = format!("[[event]]\nat = \"1s\"\nclock = {{ of = \"{of}\", becomes = \"{becomes}\" }}\n");
        let base = AliceAndServer {
            profile,
            rest: &rest,
            ..AliceAndServer::default()
        };
        base.parse().unwrap_err().to_string()
    };
    assert!(error("secure", "alcie", "+1h").contains("there is no host `alcie`; did you mean `alice`?"));
    assert!(error("secure", "alice", "none").contains("a clock cannot disappear"));
    assert!(error("classic", "alice", "+1h").contains("has no wall clocks; remove this event"));
}
