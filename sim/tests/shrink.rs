//! Shrinking of ten different failures: few faults, a short scenario, and always the same failure.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sandhog_lab::replay::{record, replay, replay_with};
use sandhog_lab::search::{Bounds, Failure, FaultKind, exhaust};
use sandhog_lab::tape::Tape;
use sandhog_sim::builtin::ALL;
use sandhog_sim::profile::PROFILES;
use sandhog_sim::shrink::{Document, ShrunkScenario, sentence, shrink_scenario, test};
use sandhog_sim::{Detail, RunOptions, Scenario};

use crate::support::{AliceAndServer, mallory, pings};

/// A scenario of the compact form, and the faults of the tape.
const MAX_LINES: usize = 12;
const MAX_FAULTS: usize = 3;

fn builtin(name: &str) -> Document<'static> {
    let builtin = ALL.iter().find(|builtin| builtin.name == name).unwrap();
    Document::of_builtin(PROFILES, builtin).unwrap()
}

fn document(text: &str) -> Document<'static> {
    let no_files = |_: &str| Err("there are no files".into());
    Document::parse_with(PROFILES, "test.toml", text, &no_files).unwrap_or_else(|error| panic!("{error}"))
}

/// The recorded faults of a run of a failing scenario.
fn recorded(document: &Document<'_>, seed: u64) -> Tape {
    let options = RunOptions {
        seed,
        detail: Detail::Digest,
        ..RunOptions::default()
    };
    let (run, tape) = record(&document.scenario().setup(), &options).unwrap();
    assert!(!run.passed);
    tape
}

/// A tape with these faults.
fn tape(faults: &str) -> Tape {
    format!("sandhog tape 1\nscenario scenario\nseed 1\n{faults}end\n")
        .parse()
        .unwrap()
}

fn failure(scenario: &Scenario, tape: &Tape) -> Failure {
    let replay = replay_with(&scenario.setup(), tape, &RunOptions::default()).unwrap();
    Failure::of(&replay.run).expect("a failing tape")
}

/// Shrinks a failure, and checks the promises about every result.
#[track_caller]
fn shrunk<'a>(document: &Document<'a>, tape: &Tape) -> ShrunkScenario<'a> {
    let before = failure(document.scenario(), tape);
    let shrunk = shrink_scenario(document, tape).unwrap().expect("a failing tape");
    let text = shrunk.document.to_string();
    assert!(text.lines().count() <= MAX_LINES, "{text}");
    assert!(shrunk.tape.entries.len() <= MAX_FAULTS, "{}", shrunk.tape);
    // The texts alone repeat the failure.
    let read = |name: &str| {
        let file = shrunk.document.files().find(|(file, _)| *file == name);
        file.map(|(_, content)| content.to_vec().into())
            .ok_or_else(String::new)
    };
    let scenario = Scenario::parse("scenario.toml", &text, &read).unwrap_or_else(|error| panic!("{error}"));
    let written: Tape = shrunk.tape.to_string().parse().unwrap();
    let replayed = replay(&scenario.setup(), &written, &RunOptions::default()).unwrap();
    assert_eq!(replayed.divergence, None);
    let after = Failure::of(&replayed.run).expect("the failure is still there");
    assert_eq!(after, shrunk.failure);
    assert!(before.is_same(&after), "{before} became {after}");
    shrunk
}

fn known(text: &str) -> ShrunkScenario<'static> {
    let tape: Tape = text.parse().unwrap();
    shrunk(&builtin(&tape.setup), &tape)
}

fn clients(shrunk: &ShrunkScenario<'_>) -> Vec<String> {
    let clients = shrunk.document.scenario().clients.iter();
    clients.map(|client| client.name.clone()).collect()
}

/// The standard scenario of two clients, bob and alice, with noise that no failure needs.
fn two_clients(rest: &str) -> String {
    let bob = "[[client]]\nname = \"bob\"\naddress = \"198.51.100.3:50000\"\ninner = [\"10.9.0.3/24\"]\nserver = \"server\"
login = \"bob\"\npassword = \"battery staple\"\n";
    let noise = "[[link]]\nbetween = [\"bob\", \"server\"]\ndelay = \"30ms 5ms\"\n
[[event]]\nat = \"2s\"\nsleep = \"bob\"\n\n[[event]]\nat = \"3s\"\nwake = \"bob\"\n\n[[expect]]\nclient = \"bob\"\noutcome = \"connected\"\n";
    let steps = format!("{}{}", pings(3, "200ms", 3), pings(2, "100ms", 0));
    let rest = format!("{bob}{}\n{noise}{rest}", pings(2, "100ms", 2));
    AliceAndServer {
        steps: &steps,
        rest: &rest,
        ..AliceAndServer::default()
    }
    .text()
}

#[test]
fn a_failure_after_a_sleep_keeps_the_sleep() {
    let rest = "[[event]]\nat = \"2s\"\nsleep = \"alice\"\n\n[[event]]\nat = \"200s\"\nwake = \"alice\"\n";
    let hosts = AliceAndServer {
        duration: "300s",
        steps: &pings(240, "1s", 15),
        rest,
        ..AliceAndServer::default()
    };
    let faults = "alice→server data #1: double\nserver→alice cookie from #2: drop\n";
    let shrunk = shrunk(&document(&hosts.text()), &tape(faults));
    let text = shrunk.document.to_string();
    assert!(
        text.contains("sleep = \"alice\"") && text.contains("wake = \"alice\""),
        "{text}"
    );
}

#[test]
fn a_rebinding_before_the_answer_needs_no_link() {
    let shrunk = known(include_str!("../tapes/known/classic-rebind-before-answer.tape"));
    assert!(shrunk.document.scenario().links.is_empty());
}

#[test]
fn a_rebinding_before_data_stays_the_only_fault() {
    let shrunk = known(include_str!("../tapes/known/classic-rebind-before-data.tape"));
    let [entry] = &shrunk.tape.entries[..] else {
        panic!("{}", shrunk.tape)
    };
    assert_eq!(entry.datagrams.to_string(), "alice→server data #1");
}

#[test]
fn a_restart_of_the_server_is_as_short_as_possible() {
    let shrunk = known(include_str!("../tapes/known/classic-server-restarts.tape"));
    assert_eq!(shrunk.tape.entries[0].fault.to_string(), "crash server for 1ms");
}

#[test]
fn hosts_that_a_failure_does_not_need_vanish_with_their_faults() {
    let document = document(&two_clients(&mallory("")));
    let faults = "bob→server login #1: late 3ms\nserver→alice data #1: drop
server→bob data #1: double\nserver→bob pong #1: drop\n";
    let shrunk = shrunk(&document, &tape(faults));
    assert_eq!(clients(&shrunk), ["alice"]);
    let scenario = shrunk.document.scenario();
    assert!(scenario.adversaries.is_empty() && scenario.events.is_empty() && scenario.expect.is_empty());
}

#[test]
fn a_wrong_expectation_stays_and_everything_else_goes() {
    let rest = "[[expect]]\nclient = \"alice\"\noutcome = \"authentication-rejected\"\n";
    let document = document(&two_clients(rest));
    let shrunk = shrunk(&document, &tape("bob→server login #1: drop\n"));
    assert_eq!(shrunk.tape.entries, []);
    assert_eq!(shrunk.document.scenario().expect.len(), 1);
    assert_eq!(clients(&shrunk), ["alice"]);
}

#[test]
fn a_wrong_password_stays_a_rejected_login() {
    let text = two_clients("").replacen("battery staple\", addresses", "wrong\", addresses", 1);
    let shrunk = shrunk(&document(&text), &tape(""));
    assert!(
        shrunk.failure.detail.contains("authentication-rejected"),
        "{}",
        shrunk.failure
    );
    assert_eq!(shrunk.document.scenario().servers[0].users[0].password, "wrong");
    assert_eq!(clients(&shrunk), ["bob"]);
}

#[test]
fn strict_pings_over_a_lossy_link_need_one_lost_datagram() {
    let hosts = AliceAndServer {
        duration: "60s",
        steps: &pings(20, "500ms", 20),
        link: "delay = \"10ms 5ms\"\nloss = \"30%\"\nduplicate = \"10%\"\ncorrupt = \"5%\"",
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let shrunk = shrunk(&document, &recorded(&document, 3));
    assert_eq!(shrunk.tape.entries.len(), 1, "{}", shrunk.tape);
    let text = shrunk.document.to_string();
    assert!(!text.contains("count") && !text.contains("loss"), "{text}");
}

#[test]
fn many_faults_that_are_needed_together_become_one_rule_after_few_runs() {
    let hosts = AliceAndServer {
        duration: "60s",
        steps: &pings(200, "100ms", 150),
        link: "delay = \"10ms 5ms\"\nloss = \"30%\"",
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let tape = recorded(&document, 1);
    assert!(tape.entries.len() > 300, "{}", tape.entries.len());
    let shrunk = shrunk(&document, &tape);
    assert_eq!(shrunk.tape.entries.len(), 1, "{}", shrunk.tape);
    assert!(shrunk.runs < 400, "{}", shrunk.runs);
}

#[test]
fn a_login_without_any_answer_needs_one_rule_of_the_tape() {
    let hosts = AliceAndServer {
        duration: "12s",
        inner: "inner = [\"10.9.0.2/24\"]\nonce = true",
        link: "loss = \"100%\"",
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let shrunk = shrunk(&document, &recorded(&document, 1));
    let detail = &shrunk.failure.detail;
    assert!(detail.contains("connection-timed-out"), "{detail}");
}

#[test]
fn a_download_that_is_too_slow_becomes_a_short_one() {
    let hosts = AliceAndServer {
        duration: "5s",
        steps: "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"4 MiB\", half-close = true }\n",
        link: "delay = \"40ms\"\nrate = \"1mbit\"\nlimit = 50",
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let shrunk = shrunk(&document, &recorded(&document, 1));
    assert!(
        shrunk.failure.detail.contains("did not finish in time"),
        "{}",
        shrunk.failure
    );
}

#[test]
fn a_service_stays_because_the_step_must_pass_without_the_faults() {
    let hosts = AliceAndServer {
        duration: "30s",
        steps: "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"64 KiB\" }\n",
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let shrunk = shrunk(&document, &tape("server→alice data from #3: drop\n"));
    let scenario = shrunk.document.scenario();
    assert_eq!(
        (scenario.servers[0].serve.bulk, scenario.servers[0].serve.udp_echo),
        (Some(5001), None)
    );
    // A shorter run would fail without the faults too.
    assert_eq!(scenario.duration.to_string(), "30s");
}

#[test]
fn the_number_of_wanted_replies_is_never_raised() {
    let hosts = AliceAndServer {
        duration: "30s",
        steps: &pings(10, "500ms", 3),
        ..AliceAndServer::default()
    };
    let document = document(&hosts.text());
    let shrunk = shrunk(&document, &tape("alice→server data from #3: drop\n"));
    let ping = shrunk.document.scenario().clients[0].steps[0]
        .ping
        .as_ref()
        .unwrap();
    assert!(
        ping.replies.is_some_and(|replies| replies <= 3),
        "{}",
        shrunk.document
    );
}

#[test]
fn a_served_file_stays_for_the_step_that_reads_it() {
    let text = two_clients("").replace(
        "udp-echo = 7,",
        "udp-echo = 7, http = 80, files = [\"a.txt\", \"b.txt\"],",
    );
    let step = "[[client.do]]\nget = { from = \"10.9.0.1:80\", path = \"/b.txt\" }\n";
    let text = text.replacen("[[client.do]]", &format!("{step}[[client.do]]"), 1);
    let read = |name: &str| Ok(name.as_bytes().to_vec().into());
    let document = Document::parse_with(PROFILES, "test.toml", &text, &read).unwrap();
    let shrunk = shrunk(&document, &tape("server→alice data from #1: drop\n"));
    let files: Vec<_> = shrunk.document.files().collect();
    assert_eq!(files, [("b.txt", "b.txt".as_bytes())], "{}", shrunk.document);
    assert!(test(&shrunk).contains("\"b.txt\" => Ok(include_bytes!(\"b.txt\").as_slice().into()),"));
}

#[test]
fn every_kind_of_failure_of_an_exhaustive_search_shrinks() {
    let document = builtin("classic-clean-login");
    let bounds = Bounds {
        datagrams: 10,
        faults: 2,
        kinds: vec![FaultKind::Drop, FaultKind::Rebind, FaultKind::Hold],
        ..Bounds::default()
    };
    let found = exhaust(&document.scenario().setup(), &bounds, &mut |_| {
        ControlFlow::Continue(())
    });
    let found = found.unwrap();
    let mut seen = BTreeSet::new();
    for (tape, failure) in &found.tapes {
        if seen.insert(&failure.primary) {
            shrunk(&document, tape);
        }
    }
    assert!(!seen.is_empty());
}

#[test]
fn a_json_scenario_shrinks_to_toml() {
    let json = r#"{ "title": "a test", "duration": "6s", "liveness": null,
        "server": [{ "name": "server", "address": "192.0.2.1:4000", "inner": ["10.9.0.1/24"],
            "user": [{ "login": "alice", "password": "correct \"horse\"", "addresses": ["10.9.0.2"] }] }],
        "client": [{ "name": "alice", "address": "198.51.100.2:50000", "inner": ["10.9.0.2/24"], "server": "server",
            "login": "alice", "password": "correct \"horse\"", "do": [{ "ping": { "to": "10.9.0.1", "count": 2 } }] }],
        "link": [{ "between": ["alice", "server"], "loss": 0.05 }] }"#;
    let no_files = |_: &str| Err("there are no files".into());
    let document = Document::parse_with(PROFILES, "test.json", json, &no_files).unwrap();
    shrunk(&document, &tape("server→alice data #1: drop\n"));
}

#[test]
fn a_passing_tape_is_not_shrunk() {
    assert!(
        shrink_scenario(&builtin("clean-login"), &tape(""))
            .unwrap()
            .is_none()
    );
}

#[test]
fn the_sentence_names_faults_check_and_reason() {
    let shrunk = known(include_str!("../tapes/known/classic-rebind-before-data.tape"));
    assert_eq!(
        sentence(&shrunk.tape, &shrunk.failure),
        "alice→server data #1: rebind alice to 198.51.100.2:50001 makes P9 fail: alice: no ping passed within 10.000 s"
    );
}

#[test]
fn the_committed_test_is_that_of_the_generator() {
    let committed = include_str!("shrunk_test.rs");
    let (_, committed) = committed.split_once("\n\n").unwrap();
    let shrunk = known(include_str!("../tapes/known/classic-rebind-before-data.tape"));
    assert_eq!(committed, test(&shrunk));
}
