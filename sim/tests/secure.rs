//! The secure profile among people who want to break it: adversaries on and off the path, NATs that bind anew.

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, run_setup};

const SERVER: HostId = 0;
const ALICE: HostId = 1;

/// A server, Alice who takes her inner address from it and pings it through `steps`, and what `rest` says.
fn setup(duration: &str, steps: &str, rest: &str) -> Setup {
    let text = format!(
        r#"
title = "a test"
profile = "secure"
duration = "{duration}"

[[server]]
name = "server"
address = "192.0.2.1:4000"
inner = ["10.9.0.1/24"]
serve = {{ bulk = 5001 }}
user = [{{ login = "alice", password = "correct horse", addresses = ["10.9.0.2"] }}]

[[client]]
name = "alice"
address = "198.51.100.2:50000"
server = "server"
login = "alice"
password = "correct horse"

[[client.do]]
{steps}

[[link]]
between = ["alice", "server"]
delay = "10ms 5ms"
{rest}"#
    );
    let scenario = Scenario::parse("test.toml", &text, &|_| Err("no files here".into()));
    Setup::of(&scenario.unwrap_or_else(|error| panic!("{error}")))
}

/// Runs it in both engines, which must agree on every record; every check must hold.
fn run(setup: &Setup) -> Run {
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| {
        let options = RunOptions {
            seed: 7,
            engine,
            detail: Detail::Full,
        };
        run_setup(setup, &options).unwrap()
    });
    assert_eq!(event.records, turmoil.records);
    for check in &event.checks {
        assert!(check.passed, "{}: {}", check.name, check.detail);
    }
    event
}

/// With Mallory on the path, who does this.
fn under_attack(act: &str) -> Run {
    let rest = format!(
        "[[adversary]]\nname = \"mallory\"\naddress = \"203.0.113.66:666\"\nbudget = 100000\n\
         on-path = [\"alice\", \"server\"]\n[[adversary.do]]\n{act}\n"
    );
    run(&setup(
        "6s",
        "ping = { to = \"10.9.0.1\", count = 20, every = \"200ms\", replies = 1 }",
        &rest,
    ))
}

fn count(run: &Run, host: HostId, pick: fn(&RecordKind) -> bool) -> usize {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    own.filter(|record| pick(&record.kind)).count()
}

fn attacks(run: &Run) -> usize {
    count(run, 2, |what| matches!(what, RecordKind::Attack { .. }))
}

#[test]
fn a_transfer_survives_a_nat_that_binds_anew_every_second_and_the_session_follows() {
    let rest =
        "[[event]]\nat = \"1s\"\nevery = \"1s\"\ntimes = 4\nrebind = \"alice\"\nto = \"198.51.100.9:1234\"\n";
    let pings = "ping = { to = \"10.9.0.1\", count = 50, every = \"100ms\", replies = 45 }";
    let run = run(&setup("10s", pings, rest));
    let roamed = |what: &What| matches!(what, RecordKind::Roamed { .. });
    assert_eq!(count(&run, SERVER, roamed), 4);
    let logins = |what: &What| matches!(what, RecordKind::LoggedIn { .. });
    assert_eq!(count(&run, SERVER, logins), 1, "nobody logs in again for that");
}

/// A copy that overtakes its original would be the fresh one; these come later.
#[test]
fn session_datagrams_that_come_again_after_a_millisecond_or_a_second_change_nothing() {
    for (from, after) in [
        ("alice", "1ms"),
        ("alice", "1s"),
        ("own", "100ms"),
        ("random", "500ms"),
    ] {
        let run = under_attack(&format!(
            "replay = {{ kind = \"data\", by = \"alice\", from = \"{from}\", after = \"{after}\" }}"
        ));
        assert!(attacks(&run) > 10, "{from} {after}");
    }
}

#[test]
fn every_kind_of_message_may_come_again_and_come_back() {
    for kind in [
        "login",
        "login-cookie",
        "cookie",
        "ke2",
        "ke3",
        "settings",
        "data",
    ] {
        for act in ["replay", "reflect"] {
            let run = under_attack(&format!("{act} = {{ kind = \"{kind}\" }}"));
            assert!(attacks(&run) > 0, "{act} {kind}");
            assert_eq!(
                count(&run, ALICE, |what| matches!(what, RecordKind::Started { .. })),
                1
            );
        }
    }
}

#[test]
fn a_flipped_bit_in_any_message_is_refused_and_the_login_succeeds_at_its_repeat() {
    for kind in [
        "login",
        "login-cookie",
        "cookie",
        "ke2",
        "ke3",
        "settings",
        "data",
    ] {
        let run = under_attack(&format!("alter = {{ kind = \"{kind}\", nth = 1 }}"));
        assert!(attacks(&run) >= 1, "{kind}");
        assert_eq!(run.outcome, "connected", "{kind}");
    }
}

#[test]
fn headers_copied_from_the_path_move_nothing() {
    let run = under_attack(
        "inject = { to = \"server\", from = \"random\", bytes = \"copied-header\", count = 500, every = \"5ms\", at = \"500ms\" }",
    );
    assert_eq!(attacks(&run), 500);
    assert_eq!(
        count(&run, SERVER, |what| matches!(what, RecordKind::Roamed { .. })),
        0
    );
}

#[test]
fn a_flood_of_recorded_logins_from_everywhere_keeps_nobody_out() {
    let mut setup = setup(
        "8s",
        "ping = { to = \"10.9.0.1\", count = 3, every = \"200ms\" }",
        r#"
[[adversary]]
name = "mallory"
address = "203.0.113.66:666"
budget = 100000
on-path = ["alice", "server"]
[[adversary.do]]
flood = { to = "server", kind = "login", rate = 5000, for = "3s", at = "1s" }
[[event]]
at = "2s"
restart = "alice"
"#,
    );
    setup.ends_when_done = false;
    let run = run(&setup);
    assert_eq!(attacks(&run), 15_000);
    assert_eq!(
        count(&run, SERVER, |what| matches!(what, RecordKind::LoggedIn { .. })),
        2
    );
}
