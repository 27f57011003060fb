//! Scenario keys for selected datagrams, accounts and the end of the work: effects and rejected mistakes.

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario, ScenarioError};

use crate::support::{ALICE, AliceAndServer, SERVER, logins, run_both_any, sent, work_end};

/// Alice at a distance of 10 ms, with further keys of the link and further tables.
fn parse(profile: &str, link: &str, rest: &str) -> Result<Scenario, ScenarioError> {
    let scenario = AliceAndServer {
        profile,
        ends_early: false,
        link: &format!("delay = \"10ms\"\n{link}"),
        rest,
        ..AliceAndServer::default()
    };
    scenario.parse()
}

fn run(link: &str, rest: &str) -> Run {
    let scenario = parse("secure", link, rest).unwrap_or_else(|error| panic!("{error}"));
    run_both_any(&scenario.setup(), 7)
}

#[track_caller]
fn is_rejected(profile: &str, link: &str, rest: &str, message: &str) {
    let error = parse(profile, link, rest).expect_err("a mistake");
    assert_eq!(error.message, message);
}

/// The times in milliseconds at which `host` sent datagrams of this kind.
fn times(run: &Run, host: HostId, kind: &str) -> Vec<u64> {
    sent(run, host, kind).iter().map(|at| at.as_millis()).collect()
}

/// The times in milliseconds at which `host` received datagrams of this kind.
fn arrivals(run: &Run, host: HostId, wanted: &str) -> Vec<u64> {
    let is_wanted = |record: &&Record| {
        record.host == Some(host)
            && matches!(record.kind, RecordKind::Received { kind, .. } if kind == wanted)
    };
    let records = run.records.iter().filter(is_wanted);
    records.map(|record| record.at.as_millis()).collect()
}

fn check<'a>(run: &'a Run, name: &str) -> (bool, &'a str) {
    let check = run.checks.iter().find(|check| check.name == name);
    let check = check.unwrap_or_else(|| panic!("there is no check {name}"));
    (check.passed, &check.detail)
}

#[test]
fn only_the_selected_datagram_is_late() {
    let run = run(
        "forward = { late = [{ kind = \"ke3\", nth = 1, by = \"150ms\" }] }",
        "",
    );
    assert!(run.passed);
    assert_eq!(times(&run, ALICE, "ke3"), [40]);
    assert_eq!(arrivals(&run, SERVER, "ke3"), [200]);
    assert_eq!(arrivals(&run, ALICE, "settings"), [210]);
}

#[test]
fn a_doubled_datagram_arrives_twice_at_the_same_time() {
    let run = run("backward = { double = [{ kind = \"cookie\" }] }", "");
    assert!(run.passed);
    assert_eq!(arrivals(&run, ALICE, "cookie"), [20, 20]);
    assert_eq!(run.counters["alice.dropped.unexpected"], 1);
}

#[test]
fn a_damaged_datagram_arrives_with_one_bit_flipped() {
    let run = run("forward = { damage = [{ kind = \"login\", nth = 1 }] }", "");
    assert!(run.passed);
    let packets = |pick: fn(&RecordKind) -> bool| {
        let record = run.records.iter().find(|record| pick(&record.kind)).unwrap();
        run.packet(record.id).unwrap()
    };
    let sent = packets(|kind| matches!(kind, RecordKind::Sent { kind: "login", .. }));
    let received = packets(|kind| matches!(kind, RecordKind::Received { kind: "login", .. }));
    let flipped: u32 = sent
        .iter()
        .zip(received)
        .map(|(one, other)| (one ^ other).count_ones())
        .sum();
    assert_eq!((sent.len(), flipped), (received.len(), 1));
    assert_eq!(times(&run, ALICE, "login").len(), 2);
}

#[test]
fn selections_without_kind_or_number_match_as_documented() {
    let all = run("forward = { drop = [{ nth = 2 }] }", "");
    assert_eq!(all.counters["lost.scripted"], 1);
    assert_eq!(times(&all, ALICE, "login").len(), 1);
    assert_eq!(times(&all, ALICE, "login-cookie").len(), 2);

    let timed = run(
        "forward = { drop = [{ kind = \"login\", from = \"100ms\", until = \"2s\" }, { nth = 1 }] }",
        "",
    );
    let logins = times(&timed, ALICE, "login");
    let lost = logins
        .iter()
        .filter(|at| **at == 0 || (100..2000).contains(*at))
        .count();
    assert_eq!(timed.counters["lost.scripted"], lost as u64);
    assert_eq!(
        logins.len(),
        lost + 1,
        "the first one after 2 s arrives: {logins:?}"
    );
}

#[test]
fn scripted_faults_do_not_change_random_faults() {
    let chance = "duplicate = \"20%\"\ncorrupt = \"5%\"\n";
    let pings = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 20, every = \"100ms\" }";
    let picks = "forward = { late = [{ nth = 400, by = \"1s\" }], double = [{ nth = 400 }], damage = [{ nth = 400 }] }";
    let [plain, scripted] = ["", picks].map(|picks| run(&format!("{chance}{picks}"), pings));
    assert_eq!(plain.digest, scripted.digest);
    let ninth = picks.replace("400", "9");
    let ninth = run(&format!("{chance}{ninth}"), pings);
    let sent_by_server = |run: &Run| {
        let own = run.records.iter().filter(|record| record.host == Some(SERVER));
        let login = own.filter_map(|record| match record.kind {
            RecordKind::Sent {
                kind: "login" | "cookie" | "ke2",
                nth,
                ..
            } => Some((record.at, nth)),
            _ => None,
        });
        login.collect::<Vec<_>>()
    };
    assert_eq!(
        sent_by_server(&plain),
        sent_by_server(&ninth),
        "the login before the ninth datagram is the same"
    );
}

#[test]
fn mistakes_in_selections_are_rejected() {
    let forward = |pick: &str| format!("forward = {{ {pick} }}");
    for (pick, message) in [
        (
            "drop = [{ kind = \"logon\" }]",
            "there is no kind of datagram `logon`; did you mean `login`?",
        ),
        ("drop = [{ nth = 0 }]", "`nth` counts from 1"),
        ("late = [{ nth = 1 }]", "`late` needs `by`, the additional delay"),
        ("late = [{ nth = 1, by = \"0s\" }]", "`by` must be longer than 0"),
        (
            "double = [{ nth = 1, by = \"1s\" }]",
            "`by` is only for `late`; remove this key",
        ),
        (
            "damage = [{ from = \"2s\", until = \"1s\" }]",
            "`until` must be later than `from`, which is 2s",
        ),
        (
            "drop = [{ knid = \"login\" }]",
            "unknown key `knid`; did you mean `kind`?",
        ),
    ] {
        is_rejected("secure", &forward(pick), "", message);
    }
}

/// The table of a change of the account of alice after 2 s.
fn account(change: &str) -> String {
    format!("[[event]]\nat = \"2s\"\naccount = {{ server = \"server\", login = \"alice\", {change} }}\n")
}

#[test]
fn a_disabled_account_ends_the_session_and_the_trace_names_the_operator() {
    let run = run("", &account("becomes = \"disabled\""));
    let message = "the operator of server disables the account of \"alice\"";
    let at = |pick: &dyn Fn(&RecordKind) -> bool| {
        let record = run.records.iter().find(|record| pick(&record.kind));
        record.map(|record| record.at)
    };
    let two_seconds = Some(Instant::from_millis(2000));
    assert_eq!(
        at(&|kind| matches!(kind, RecordKind::Fault { text } if text == message)),
        two_seconds
    );
    assert_eq!(
        at(&|kind| matches!(
            kind,
            RecordKind::SessionEnded {
                reason: "removed",
                ..
            }
        )),
        two_seconds
    );
    assert_eq!(
        at(&|kind| matches!(
            kind,
            RecordKind::Retrying {
                error: "account-disabled"
            }
        )),
        Some(Instant::from_millis(2070))
    );
}

#[test]
fn an_account_change_survives_a_crash_of_the_server() {
    let crash = "[[event]]\nat = \"1s\"\ncrash = \"server\"\n[[event]]\nat = \"3s\"\nrestart = \"server\"\n\
                 [[event]]\nat = \"4s\"\nrestart = \"alice\"\n";
    let run = run("", &format!("{}{crash}", account("becomes = \"disabled\"")));
    assert_eq!(times(&run, SERVER, "refused").len(), 1);
    assert_eq!(logins(&run).len(), 1);
}

#[test]
fn mistakes_in_account_changes_are_rejected() {
    let both = "becomes = \"enabled\", password = \"x\"";
    let message = "`account` needs exactly one of becomes and password";
    is_rejected("secure", "", &account(both), message);
    is_rejected("secure", "", &account(""), message);
    is_rejected(
        "secure",
        "",
        &account("becomes = \"enabeld\""),
        "unknown value `enabeld`; did you mean `enabled`?",
    );
    is_rejected("secure", "", &account("becomes = 1"), "expected a text in quotes");
    let removed = account("becomes = \"removed\"");
    is_rejected(
        "secure",
        "",
        &format!("{removed}{}", account("becomes = \"enabled\"")),
        "an earlier event removes `alice` at 2s",
    );
    is_rejected(
        "secure",
        "",
        &removed.replace("\"alice\"", "\"alise\""),
        "there is no user `alise`; did you mean `alice`?",
    );
    is_rejected(
        "secure",
        "",
        &format!("{removed}every = \"1s\"\n"),
        "an `account` event cannot be repeated; remove `every`, or write one [[event]] for each change",
    );
    is_rejected(
        "classic",
        "",
        &removed,
        "profile `classic` has no account changes; remove this event",
    );
}

#[test]
fn the_status_at_the_end_of_the_work_is_compared_with_finally() {
    let expect = |finally: &str| {
        format!("[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nfinally = \"{finally}\"\n")
    };
    let [up, down] = ["connected", "disconnected"].map(|finally| run("", &expect(finally)));
    assert_eq!(check(&up, "alice is connected at the end"), (true, "connected"));
    assert_eq!(
        check(&down, "alice is disconnected at the end"),
        (false, "connected")
    );
    let crash = run(
        "",
        &format!(
            "[[event]]\nat = \"3s\"\ncrash = \"alice\"\n{}",
            expect("disconnected")
        ),
    );
    assert_eq!(
        check(&crash, "alice is disconnected at the end"),
        (true, "disconnected")
    );
}

#[test]
fn a_run_that_does_not_end_early_lasts_for_its_duration() {
    let run = run("", "");
    assert_eq!(work_end(&run).as_millis(), 6001);
}
