//! P9 at the end of a run: the clients that are asked, their pings, and the limit of time.

use sandhog_lab::CheckResult;
use sandhog_lab::record::RecordKind;
use sandhog_peer::Instant;
use sandhog_sim::Run;

use crate::support::{
    ALICE, AliceAndServer, failed, ms, pings, records, run_both, run_both_any, started, statuses, work_end,
};

const P9: &str = "P9 ping passes with faults off";

/// Alice is cut off from the server from this second on.
fn cut(second: u32) -> String {
    format!("[[event]]\nat = \"{second}s\"\npartition = [\"alice\", \"server\"]\n")
}

/// Runs alice and a server of this profile for so long, with further tables.
fn run(profile: &str, duration: &str, rest: &str) -> Run {
    let scenario = AliceAndServer {
        profile,
        duration,
        ends_early: false,
        rest,
        ..AliceAndServer::default()
    };
    run_both_any(&scenario.setup(), 1)
}

fn p9(run: &Run) -> &CheckResult {
    run.checks
        .iter()
        .find(|check| check.name == P9)
        .expect("the check")
}

/// Checks that P9 asked no client.
#[track_caller]
fn asked_nobody(run: &Run) {
    let check = p9(run);
    assert_eq!(
        (check.passed, check.tested, check.detail.as_str()),
        (true, false, "nothing to examine, no client had to be connected")
    );
}

/// Checks that alice is not asked, although her tunnel is down after this event at 2 s.
#[track_caller]
fn asks_nobody_after(event: &str) {
    let run = run("secure", "6s", &format!("[[event]]\nat = \"2s\"\n{event}\n"));
    assert!(run.passed, "{:?}", failed(&run));
    asked_nobody(&run);
}

#[test]
fn the_first_reply_of_each_client_is_reported_while_another_client_has_none() {
    let run = run(
        "secure",
        "5s",
        r#"
[[client]]
name = "bob"
address = "198.51.100.3:50000"
inner = ["10.9.0.3/24"]
server = "server"
login = "bob"
password = "battery staple"
[[link]]
between = ["bob", "server"]
delay = "200ms"
[[event]]
at = "4900ms"
account = { server = "server", login = "bob", becomes = "disabled" }
"#,
    );
    assert_eq!(failed(&run), [P9]);
    let detail = &p9(&run).detail;
    assert!(
        detail.starts_with("alice: a ping passed after 20 ms; bob: reasserting, no ping passed within "),
        "{detail}"
    );
}

#[test]
fn a_client_of_a_restarted_server_is_back_within_the_default_of_the_profile() {
    let scenario = AliceAndServer {
        duration: "60s",
        steps: &pings(12, "500ms", 1),
        rest: "[[event]]\nat = \"5s\"\nrestart = \"server\"\n",
        ..AliceAndServer::default()
    };
    let run = run_both(&scenario.setup(), 1);
    let passed = run.end.saturating_duration_since(work_end(&run));
    assert!(12 < passed.as_secs() && passed.as_secs() < 16, "{passed:?}");
}

#[test]
fn a_tunnel_that_gave_up_by_itself_fails_the_liveness_check() {
    let wake = |second| format!("[[event]]\nat = \"{second}s\"\nwake = \"alice\"\n");
    let sleep = "[[event]]\nat = \"3s\"\nsleep = \"alice\"\n";
    let run = run("classic", "30s", &[&cut(4), sleep, &wake(5)].concat());
    assert_eq!(
        statuses(&run, ALICE).last().map(|(_, status)| *status),
        Some("disconnected")
    );
    assert_eq!(failed(&run), [P9]);
    assert_eq!(
        p9(&run).detail,
        "alice: disconnected (connection-timed-out), no ping passed within 10.000 s"
    );
}

#[test]
fn a_reasserting_client_is_pinged_as_soon_as_it_is_connected_again() {
    let run = run("secure", "120s", &cut(5));
    assert!(run.passed, "{:?}", failed(&run));
    let healed = work_end(&run);
    let all = statuses(&run, ALICE);
    let status = |before: bool| all.iter().filter(move |(at, _)| (*at < healed) == before);
    assert_eq!(
        status(true).next_back().map(|(_, status)| *status),
        Some("reasserting")
    );
    let back = status(false).next().copied().expect("another login");
    assert_eq!(back.1, "connected");
    let is_ping = |kind: &RecordKind| matches!(kind, RecordKind::Task { step: 0, .. });
    let ping = records(&run, ALICE, is_ping).next().expect("the ping of P9");
    assert_eq!(ping.at, back.0, "not before and not later");
    assert!(
        run.end <= back.0 + std::time::Duration::from_millis(20),
        "the run ends early"
    );
}

#[test]
fn a_connecting_client_is_asked_and_its_late_outcome_does_not_count() {
    let run = run("secure", "3s", &[&cut(0), &*pings(1, "1s", 1)].concat());
    let step = records(&run, ALICE, |kind| {
        matches!(kind, RecordKind::Task { step: 1, .. })
    })
    .count();
    assert_eq!(step, 0, "no step starts after the work");
    assert!(started(&run, ALICE).is_some_and(|(at, result)| at > ms(3000) && result == "connected"));
    assert_eq!(failed(&run), ["alice is connected"]);
    let detail = &p9(&run).detail;
    assert!(detail.starts_with("alice: a ping passed after "), "{detail}");
}

#[test]
fn a_client_that_its_user_stopped_is_not_asked() {
    asks_nobody_after("stop = \"alice\"");
}

#[test]
fn a_client_on_a_sleeping_machine_is_not_asked() {
    asks_nobody_after("sleep = \"alice\"");
}

#[test]
fn a_client_whose_host_crashed_is_not_asked() {
    asks_nobody_after("crash = \"alice\"");
}

#[test]
fn a_client_whose_server_crashed_is_not_asked() {
    asks_nobody_after("crash = \"server\"");
}

#[test]
fn a_client_that_fails_with_an_expected_outcome_is_not_asked() {
    let rejected = |expect: &str| {
        let text = AliceAndServer::default().text();
        let text = text.replacen(
            "password = \"correct horse\", a",
            "password = \"another horse\", a",
            1,
        );
        run_both_any(
            &crate::support::parse(&[&text, expect].concat()).unwrap().setup(),
            1,
        )
    };
    let expected = rejected("[[expect]]\nclient = \"alice\"\noutcome = \"authentication-rejected\"\n");
    assert!(expected.passed, "{:?}", failed(&expected));
    asked_nobody(&expected);
    assert_eq!(failed(&rejected("")), ["alice is connected", P9]);
}

#[test]
fn a_client_with_a_good_reason_to_be_down_is_not_asked() {
    let disabled = "[[event]]\nat = \"3s\"\naccount = { server = \"server\", login = \"alice\", becomes = \"disabled\" }\n";
    let run = |keys: &str| {
        let expect = format!("[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\n{keys}\n");
        run("secure", "6s", &[disabled, &expect].concat())
    };
    assert_eq!(failed(&run("")), [P9], "a disabled account without a reason");
    let expected = run("may-be-down = true");
    assert!(expected.passed, "{:?}", failed(&expected));
    asked_nobody(&expected);
}

#[test]
fn the_time_limit_of_the_scenario_replaces_that_of_the_profile() {
    let run = |liveness: &str| {
        let mut scenario = AliceAndServer {
            rest: "[[event]]\nat = \"5s\"\nrestart = \"server\"\n",
            ..AliceAndServer::default()
        }
        .text();
        scenario.insert_str(0, liveness);
        run_both_any(&crate::support::parse(&scenario).unwrap().setup(), 1)
    };
    let short = run("liveness = \"9s\"\n");
    assert_eq!(p9(&short).detail, "alice: no ping passed within 9.000 s");
    assert_eq!(short.end, work_end(&short) + std::time::Duration::from_secs(9));
    assert!(p9(&run("")).passed);
}

#[test]
fn a_move_that_the_server_reports_before_the_login_passes_p6() {
    let steps = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 10, replies = 9, timeout = \"9s\" }\n";
    let scenario = AliceAndServer {
        duration: "30s",
        ends_early: false,
        steps,
        link: "delay = \"20ms\"\nforward = { drop = [{ kind = \"ping\", nth = 1 }, { kind = \"data\", nth = 1 }, { kind = \"rekey\", nth = 1 }] }",
        rest: "[[event]]\nat = \"125ms\"\nrebind = \"alice\"\nto = \"203.0.113.80:61000\"\n",
        ..AliceAndServer::default()
    };
    let run = run_both(&scenario.setup(), 1);
    let at = |wanted: fn(&RecordKind) -> bool| -> Vec<Instant> {
        let records = run.records.iter().filter(|record| wanted(&record.kind));
        records.map(|record| record.at).collect()
    };
    let moves = at(|kind| matches!(kind, RecordKind::Roamed { .. }));
    assert_eq!(moves.len(), 1);
    assert_eq!(moves, at(|kind| matches!(kind, RecordKind::LoggedIn { .. })));
    let check = run
        .checks
        .iter()
        .find(|check| check.name.starts_with("P6"))
        .unwrap();
    assert_eq!(check.detail, "1 session moves checked");
}
