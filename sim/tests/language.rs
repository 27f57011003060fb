//! What a scenario can say of single datagrams, of accounts and of the end: what it does, and which mistakes are refused.

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_proto::Instant;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, ScenarioError};

const SERVER: HostId = 0;
const ALICE: HostId = 1;

/// A server, Alice 10 ms away, the link's further lines, and what else there is.
fn parse(profile: &str, link: &str, rest: &str) -> Result<Scenario, ScenarioError> {
    let text = format!(
        r#"title = "a test"
profile = "{profile}"
duration = "6s"
ends-early = false

[[server]]
name = "server"
address = "192.0.2.1:4000"
inner = ["10.9.0.1/24"]
user = [{{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }}]

[[client]]
name = "alice"
address = "198.51.100.2:50000"
inner = ["10.9.0.2/24"]
server = "server"
login = "alice"
password = "correct horse"

[[link]]
between = ["alice", "server"]
delay = "10ms"
{link}
{rest}"#
    );
    Scenario::parse("test.toml", &text, &|_| Err("no files here".into()))
}

/// Runs it in both engines, which must agree on every record.
fn run(link: &str, rest: &str) -> Run {
    let scenario = parse("secure", link, rest).unwrap_or_else(|error| panic!("{error}"));
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| {
        let options = RunOptions {
            seed: 7,
            engine,
            detail: Detail::Full,
        };
        sandhog_sim::run(&scenario, &options).unwrap()
    });
    assert_eq!(event.records, turmoil.records);
    event
}

#[track_caller]
fn refused(profile: &str, link: &str, rest: &str, message: &str) {
    let error = parse(profile, link, rest).expect_err("a mistake").to_string();
    assert!(error.ends_with(message), "{error}");
}

fn times(run: &Run, host: HostId, wanted: &str) -> Vec<u64> {
    let is_wanted = |record: &&Record| {
        record.host == Some(host) && matches!(record.kind, RecordKind::Sent { kind, .. } if kind == wanted)
    };
    let records = run.records.iter().filter(is_wanted);
    records.map(|record| record.at.as_millis()).collect()
}

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
fn a_late_datagram_takes_that_much_longer_and_no_other_does() {
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
fn a_damaged_datagram_arrives_with_one_other_bit() {
    let run = run("forward = { damage = [{ kind = \"login\", nth = 1 }] }", "");
    assert!(run.passed);
    let packets = |pick: fn(&RecordKind) -> bool| {
        let record = run.records.iter().find(|record| pick(&record.kind)).unwrap();
        run.packet(record.id).unwrap()
    };
    let sent = packets(|what| matches!(what, RecordKind::Sent { kind: "login", .. }));
    let received = packets(|what| matches!(what, RecordKind::Received { kind: "login", .. }));
    let flipped: u32 = sent
        .iter()
        .zip(received)
        .map(|(one, other)| (one ^ other).count_ones())
        .sum();
    assert_eq!((sent.len(), flipped), (received.len(), 1));
    assert_eq!(times(&run, ALICE, "login").len(), 2);
}

#[test]
fn a_pick_without_a_kind_counts_all_and_one_without_a_number_takes_each_within_its_time() {
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
fn what_is_said_of_single_datagrams_shifts_nothing_that_is_left_to_chance() {
    let chance = "duplicate = \"20%\"\ncorrupt = \"5%\"\n";
    let pings = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 20, every = \"100ms\" }";
    let picks = "forward = { late = [{ nth = 400, by = \"1s\" }], double = [{ nth = 400 }], damage = [{ nth = 400 }] }";
    let [plain, scripted] = ["", picks].map(|picks| run(&format!("{chance}{picks}"), pings));
    assert_eq!(plain.digest, scripted.digest);
    let hit = picks.replace("400", "9");
    let hit = run(&format!("{chance}{hit}"), pings);
    let fates = |run: &Run| {
        let copies = run.records.iter().filter(|record| record.host == Some(SERVER));
        let copies = copies.filter_map(|record| match record.kind {
            RecordKind::Sent {
                kind: "login" | "cookie" | "ke2",
                nth,
                ..
            } => Some((record.at, nth)),
            _ => None,
        });
        copies.collect::<Vec<_>>()
    };
    assert_eq!(fates(&plain), fates(&hit), "the login before it is the same");
}

#[test]
fn mistakes_in_picks_are_refused_with_their_reason() {
    let forward = |pick: &str| format!("forward = {{ {pick} }}");
    for (pick, message) in [
        (
            "drop = [{ kind = \"logon\" }]",
            "there is no kind of datagram `logon`; did you mean `login`?",
        ),
        ("drop = [{ nth = 0 }]", "datagrams are counted from 1"),
        (
            "late = [{ nth = 1 }]",
            "`late` needs `by`: how much longer the datagram takes",
        ),
        (
            "late = [{ nth = 1, by = \"0s\" }]",
            "a datagram that is late by 0 is not late",
        ),
        ("double = [{ nth = 1, by = \"1s\" }]", "`by` belongs to `late`"),
        (
            "damage = [{ from = \"2s\", until = \"1s\" }]",
            "nothing is sent before 1s and not before 2s",
        ),
        (
            "drop = [{ knid = \"login\" }]",
            "unknown key `knid`; did you mean `kind`?",
        ),
    ] {
        refused("secure", &forward(pick), "", message);
    }
}

/// The account of Alice, changed after 2 s.
fn account(change: &str) -> String {
    format!("[[event]]\nat = \"2s\"\naccount = {{ server = \"server\", login = \"alice\", {change} }}\n")
}

#[test]
fn a_disabled_account_ends_the_session_and_the_story_tells_who_did_it() {
    let run = run("", &account("becomes = \"disabled\""));
    let told = "the operator of server disables the account of \"alice\"";
    let at = |pick: &dyn Fn(&RecordKind) -> bool| {
        let record = run.records.iter().find(|record| pick(&record.kind));
        record.map(|record| record.at)
    };
    let two_seconds = Some(Instant::from_millis(2000));
    assert_eq!(
        at(&|what| matches!(what, RecordKind::Fault { text } if text == told)),
        two_seconds
    );
    assert_eq!(
        at(&|what| matches!(
            what,
            RecordKind::SessionEnded {
                reason: "removed",
                ..
            }
        )),
        two_seconds
    );
    assert_eq!(
        at(&|what| matches!(
            what,
            RecordKind::Retrying {
                error: "account-disabled"
            }
        )),
        Some(Instant::from_millis(2070))
    );
}

#[test]
fn an_account_change_outlives_a_crash_of_the_server() {
    let crash = "[[event]]\nat = \"1s\"\ncrash = \"server\"\n[[event]]\nat = \"3s\"\nrestart = \"server\"\n\
                 [[event]]\nat = \"4s\"\nrestart = \"alice\"\n";
    let run = run("", &format!("{}{crash}", account("becomes = \"disabled\"")));
    assert_eq!(times(&run, SERVER, "refused").len(), 1);
    let logins = |what: &RecordKind| matches!(what, RecordKind::LoggedIn { .. });
    assert_eq!(
        run.records.iter().filter(|record| logins(&record.kind)).count(),
        1
    );
}

#[test]
fn mistakes_in_account_changes_are_refused_with_their_reason() {
    let both = "becomes = \"enabled\", password = \"x\"";
    let one = "`account` needs exactly one of becomes and password";
    refused("secure", "", &account(both), one);
    refused("secure", "", &account(""), one);
    refused(
        "secure",
        "",
        &account("becomes = \"enabeld\""),
        "unknown word `enabeld`; did you mean `enabled`?",
    );
    refused("secure", "", &account("becomes = 1"), "expected a word in quotes");
    let removed = account("becomes = \"removed\"");
    refused(
        "secure",
        "",
        &format!("{removed}{}", account("becomes = \"enabled\"")),
        "`alice` is removed at 2s already",
    );
    refused(
        "secure",
        "",
        &removed.replace("\"alice\"", "\"alise\""),
        "there is no user `alise`; did you mean `alice`?",
    );
    refused(
        "secure",
        "",
        &format!("{removed}every = \"1s\"\n"),
        "an account is changed once for each [[event]]; `every` is not for it",
    );
    refused(
        "classic",
        "",
        &removed,
        "a classic server has its users for as long as it runs",
    );
}

#[test]
fn the_status_at_the_end_of_the_work_is_held_against_what_was_expected() {
    let expect = |finally: &str| {
        format!("[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nfinally = \"{finally}\"\n")
    };
    let stop = "[[event]]\nat = \"3s\"\nstop = \"alice\"\n";
    let [up, down] = ["", stop].map(|event| run("", &format!("{event}{}", expect("connected"))));
    assert_eq!(check(&up, "alice: finally connected"), (true, "connected"));
    assert_eq!(check(&down, "alice: finally connected"), (false, "disconnected"));
    let crash = run(
        "",
        &format!(
            "[[event]]\nat = \"3s\"\ncrash = \"alice\"\n{}",
            expect("disconnected")
        ),
    );
    assert_eq!(
        check(&crash, "alice: finally disconnected"),
        (true, "disconnected")
    );
}

#[test]
fn a_run_that_does_not_end_early_lasts_as_long_as_it_says() {
    let run = run("", "");
    let healed =
        |what: &RecordKind| matches!(what, RecordKind::Fault { text } if text.starts_with("all faults heal"));
    let healed = run.records.iter().find(|record| healed(&record.kind)).unwrap();
    assert_eq!(healed.at.as_millis(), 6001);
}
