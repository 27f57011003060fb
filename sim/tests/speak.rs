//! Adversaries that speak the protocol: a holder of the pre-shared key, a false server, and the user of a refused account.

use std::collections::BTreeSet;

use sandhog_lab::record::RecordKind;
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario, report};

use crate::support::{
    ALICE, AliceAndServer, MALLORY, SERVER, failed, logins, mallory_with, ms, parse, pings, records,
    run_both, run_both_any, sent, started, work_end,
};

const ON_PATH: &str = "on-path = [\"alice\", \"server\"]\n";

/// The scenario of alice and a server, with mallory, whose only action is `speak` with these keys.
fn scenario(profile: &str, keys: &str, speak: &str, rest: &str) -> Result<Scenario, String> {
    let act = format!("[[adversary.do]]\nspeak = {{ to = \"server\", {speak} }}");
    let rest = format!("{rest}{}", mallory_with(keys, &act));
    let steps = pings(4, "500ms", 4);
    let scenario = AliceAndServer {
        profile,
        steps: &steps,
        rest: &rest,
        ..AliceAndServer::default()
    };
    scenario.parse().map_err(|error| error.message)
}

/// Both engines run the scenario and agree on every record. Checks may fail.
#[track_caller]
fn run(keys: &str, speak: &str, rest: &str) -> Run {
    let scenario = scenario("secure", keys, speak, rest).unwrap_or_else(|error| panic!("{error}"));
    run_both_any(&scenario.setup(), 7)
}

/// The times and source addresses of the datagrams of mallory.
fn attacks(run: &Run) -> Vec<(Instant, String)> {
    let attacks = run.records.iter().filter_map(|record| match &record.kind {
        RecordKind::Attack { act: "speak", source } => Some((record.at, source.clone())),
        _ => None,
    });
    attacks.collect()
}

/// The time of the change of an account of the server.
fn account_changed(run: &Run) -> Option<Instant> {
    let is_change = |kind: &RecordKind| {
        matches!(
            kind,
            RecordKind::Event {
                event: "record-changed"
            }
        )
    };
    records(run, SERVER, is_change).map(|record| record.at).next()
}

#[test]
fn a_key_holder_starts_each_login_from_another_address_and_finishes_none() {
    let run = run(
        "budget = 1000",
        "as = \"key-holder\", count = 20, every = \"10ms\", at = \"200ms\"",
        "",
    );
    assert!(run.passed, "{:?}", failed(&run));
    let firsts = sent(&run, MALLORY, "login");
    assert_eq!(firsts.first(), Some(&ms(200)));
    let sources: BTreeSet<String> = attacks(&run).into_iter().map(|(_, source)| source).collect();
    assert_eq!(sources.len(), 20);
    assert_eq!(
        records(&run, SERVER, |kind| matches!(
            kind,
            RecordKind::Sent {
                to: Some(MALLORY),
                kind: "ke2",
                ..
            }
        ))
        .count(),
        20,
        "the server answers each login"
    );
    assert!(sent(&run, MALLORY, "ke3").is_empty());
    assert_eq!(logins(&run).len(), 1, "only alice");
}

#[test]
fn a_key_holder_at_its_own_address_uses_another_port_for_each_attempt() {
    let run = run(
        "budget = 1000",
        "as = \"key-holder\", from = \"own\", count = 3, every = \"100ms\"",
        "",
    );
    let sources: BTreeSet<String> = attacks(&run).into_iter().map(|(_, source)| source).collect();
    let ports = ["203.0.113.66:666", "203.0.113.66:667", "203.0.113.66:668"];
    assert_eq!(sources, ports.map(String::from).into());
}

#[test]
fn every_datagram_of_an_endpoint_costs_one_of_the_budget() {
    for budget in [1, 5] {
        let run = run(
            &format!("budget = {budget}"),
            "as = \"key-holder\", count = 20, every = \"10ms\"",
            "",
        );
        assert!(run.passed, "{:?}", failed(&run));
        assert_eq!(attacks(&run).len() as u64, budget);
        assert_eq!(run.counters["mallory.sent"], budget);
    }
}

#[test]
fn withheld_kinds_are_not_sent_and_cost_nothing() {
    let run = run(
        "budget = 2",
        "as = \"key-holder\", withhold = [\"login-cookie\"], count = 1",
        "",
    );
    let kinds: Vec<usize> = ["login", "login-cookie"]
        .map(|kind| sent(&run, MALLORY, kind).len())
        .into();
    assert_eq!(kinds, [1, 0]);
    assert_eq!(run.counters["mallory.sent"], 1);
}

#[test]
fn endpoints_stop_when_the_faults_are_switched_off() {
    let run = run(
        "budget = 100000",
        "as = \"key-holder\", count = 100000, every = \"5ms\"",
        "",
    );
    let last = attacks(&run).last().unwrap().0;
    let is_end =
        |kind: &RecordKind| matches!(kind, RecordKind::Fault { text } if text.starts_with("all faults"));
    let end = run.records.iter().find(|record| is_end(&record.kind)).unwrap().at;
    assert!(last < end && last > ms(1000), "{last} {end}");
}

/// A key holder fills all half-open logins of the server. Alice starts a second later.
#[test]
fn unfinished_logins_of_a_key_holder_do_not_delay_an_honest_login() {
    let act = "[[adversary.do]]\nspeak = { to = \"server\", as = \"key-holder\", count = 1100 }";
    let base = AliceAndServer {
        duration: "14s",
        rest: &mallory_with("budget = 100000", act),
        ..AliceAndServer::default()
    };
    let text = base.text();
    let text = text.replacen(
        "server = \"server\"\nlogin = \"alice\"",
        "start = \"2s\"\nserver = \"server\"\nlogin = \"alice\"",
        1,
    );
    let run = run_both(&parse(&text).unwrap().setup(), 7);
    let (at, result) = started(&run, ALICE).unwrap();
    assert_eq!(result, "connected");
    assert!(at > ms(2_000) && at < ms(2_500), "{at}");
    let growth = run
        .checks
        .iter()
        .find(|check| check.name.starts_with("P5 "))
        .unwrap();
    assert!(growth.passed && growth.tested, "{}", growth.detail);
}

/// A false server has the pre-shared key, but not the keys of the server that alice knows.
#[test]
fn a_client_sends_a_false_server_neither_its_name_nor_a_proof() {
    for login in [
        "",
        ", login = \"alice\", password = \"a wrong guess\"",
        ", login = \"alice\", password = \"correct horse\"",
    ] {
        let run = run(
            &format!("{ON_PATH}budget = 1000"),
            &format!("as = \"false-server\"{login}"),
            "",
        );
        let end = work_end(&run);
        for kind in ["login-cookie", "ke3"] {
            assert!(sent(&run, ALICE, kind).iter().all(|at| *at > end), "{kind}");
        }
        assert!(!attacks(&run).is_empty(), "it answers");
        assert!(attacks(&run).iter().all(|(_, source)| source == "192.0.2.1:4000"));
        assert!(run.counters["alice.dropped.other-server"] > 5);
        // The true server answers as soon as the false one is gone.
        let (at, result) = started(&run, ALICE).unwrap();
        assert_eq!((result, at > end), ("connected", true));
        assert!(logins(&run).iter().all(|at| *at > end));
    }
}

#[test]
fn a_false_server_cannot_take_over_a_tunnel_that_is_up() {
    let speak = "as = \"false-server\", at = \"1s\"";
    let run = run(&format!("{ON_PATH}budget = 1000"), speak, "");
    assert_eq!(started(&run, ALICE).map(|(_, result)| result), Some("connected"));
    assert!(
        attacks(&run).is_empty(),
        "it cannot open a datagram of the session"
    );
    assert_eq!(failed(&run), ["alice finishes 1 step"]);
}

/// Bob has a valid password. His account changes at 500 ms, and he logs in at 1 s.
fn refused(becomes: &str) -> Run {
    let event = match becomes {
        "" => String::new(),
        state => format!(
            "[[event]]\nat = \"500ms\"\naccount = {{ server = \"server\", login = \"bob\", becomes = \"{state}\" }}\n"
        ),
    };
    run(
        "budget = 100",
        "as = \"refused-account\", login = \"bob\", password = \"battery staple\", at = \"1s\"",
        &event,
    )
}

#[test]
fn a_refused_account_gets_its_refusal_and_nothing_else() {
    for state in ["expired", "disabled"] {
        let run = refused(state);
        assert!(run.passed, "{state}: {:?}", failed(&run));
        for kind in ["login", "login-cookie", "ke3", "ping", "rekey"] {
            assert!(!sent(&run, MALLORY, kind).is_empty(), "{state}: {kind}");
        }
        let answers = ["refused", "prove2", "reg2", "reg-ok"].map(|kind| sent(&run, SERVER, kind).len());
        assert_eq!(answers, [1, 0, 0, 0], "{state}");
        let rekeys_of_alice = sent(&run, ALICE, "rekey").len();
        assert_eq!(sent(&run, SERVER, "rekeyed").len(), rekeys_of_alice, "{state}");
        let pings_of_alice = sent(&run, ALICE, "ping").len();
        assert_eq!(sent(&run, SERVER, "pong").len(), pings_of_alice, "{state}");
        assert_eq!(account_changed(&run), None, "{state}");
        assert_eq!(logins(&run).len(), 1, "only alice");
    }
}

#[test]
fn an_accepted_account_gives_the_adversary_nothing_to_do() {
    for state in ["", "enabled"] {
        let run = refused(state);
        assert!(run.passed, "{:?}", failed(&run));
        assert_eq!(account_changed(&run), None);
        assert!(sent(&run, MALLORY, "ping").is_empty());
    }
}

#[test]
fn an_enabled_account_is_not_expired_any_more() {
    let event = |at: &str, state: &str| {
        format!(
            "[[event]]\nat = \"{at}\"\naccount = {{ server = \"server\", login = \"bob\", becomes = \"{state}\" }}\n"
        )
    };
    let events = format!("{}{}", event("300ms", "expired"), event("600ms", "enabled"));
    let speak = "as = \"refused-account\", login = \"bob\", password = \"battery staple\", at = \"1s\"";
    let run = run("budget = 100", speak, &events);
    assert!(run.passed, "{:?}", failed(&run));
    assert_eq!(sent(&run, SERVER, "settings").len(), 2);
}

#[test]
fn an_expired_account_keeps_its_session_and_cannot_log_in_again() {
    let rest = "[[event]]\nat = \"1s\"\naccount = { server = \"server\", login = \"alice\", becomes = \"expired\" }\n\
                [[event]]\nat = \"3s\"\nrestart = \"alice\"\n[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\n\
                may-be-down = true\n";
    let steps = pings(4, "500ms", 4);
    let scenario = AliceAndServer {
        steps: &steps,
        rest,
        ..AliceAndServer::default()
    };
    let run = run_both(&scenario.setup(), 7);
    assert_eq!(logins(&run).len(), 1);
    assert_eq!(sent(&run, SERVER, "refused").len(), 1);
}

#[test]
fn the_story_tells_the_datagrams_of_an_endpoint_in_both_directions() {
    let run = run(
        "budget = 2",
        "as = \"key-holder\", from = \"own\", at = \"300ms\"",
        "",
    );
    let story = report::story(&run);
    let asks = "mallory  sends login 1 to server with source 203.0.113.66:666 (1200 bytes)";
    assert!(story.contains(asks), "{story}");
    assert!(
        story.contains("server   sends cookie 1 to mallory (1200 bytes)"),
        "{story}"
    );
}

/// Profile, keys of mallory, keys of `speak`, the error message.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    (
        "classic",
        "",
        "as = \"key-holder\"",
        "profile `classic` has no adversary that speaks the protocol as `key-holder`; remove this action",
    ),
    (
        "secure",
        "",
        "as = \"key-hodler\"",
        "unknown value `key-hodler`; did you mean `key-holder`?",
    ),
    (
        "secure",
        "",
        "as = \"false-server\"",
        "`mallory` does not see the datagrams to `server`; put it on a link of `server` with `on-path`",
    ),
    (
        "secure",
        ON_PATH,
        "as = \"false-server\", from = \"own\"",
        "a false server has the address of the server; remove `from`",
    ),
    (
        "secure",
        ON_PATH,
        "as = \"false-server\", count = 2",
        "there is only one false server; remove `count`",
    ),
    (
        "secure",
        ON_PATH,
        "as = \"false-server\", login = \"alice\"",
        "missing key `password`; the user of a false server needs one; add it, or remove `login`",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", password = \"x\"",
        "`password` needs `login`, the name of its user; add it, or remove this key",
    ),
    (
        "secure",
        "",
        "as = \"refused-account\"",
        "missing key `login`; `refused-account` needs the name of a user of `server`",
    ),
    (
        "secure",
        "",
        "as = \"refused-account\", login = \"bob\"",
        "missing key `password`; `refused-account` needs the password of its user",
    ),
    (
        "secure",
        "",
        "as = \"refused-account\", login = \"bbo\", password = \"x\"",
        "there is no user `bbo`; did you mean `bob`?",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", from = \"randon\"",
        "`randon`: expected `own` or `random`, because replies must reach the adversary; did you mean `random`?",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", withhold = [\"ke4\"]",
        "there is no kind of datagram `ke4`; did you mean `ke2`?",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", count = 0",
        "`count` must be at least 1",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", at = \"6s\"",
        "this action never happens, because the run ends after 6s",
    ),
    (
        "secure",
        "",
        "as = \"key-holder\", login = \"Two Words\"",
        "'T' is not allowed in a user name: use a to z, 0 to 9 and . _ @ -",
    ),
];

#[test]
fn mistakes_in_the_action_speak_are_rejected() {
    for (profile, keys, speak, message) in MISTAKES {
        let found = scenario(profile, &format!("{keys}budget = 9"), speak, "");
        assert_eq!(found.map(|_| ()).unwrap_err(), *message);
    }
    let other_version = AliceAndServer {
        rest: "[[adversary]]\nname = \"mallory\"\naddress = \"[2001:db8::66]:666\"\nbudget = 9\n\
               [[adversary.do]]\nspeak = { to = \"server\", as = \"key-holder\" }",
        ..AliceAndServer::default()
    };
    assert_eq!(
        parse(&other_version.text()).unwrap_err().message,
        "`mallory` and `server` have addresses of different IP versions; change the address of `mallory`"
    );
}
