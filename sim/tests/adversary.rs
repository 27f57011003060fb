//! Adversaries: their datagrams with source and time, the effect on the victim, and the results of the checks.

use std::collections::BTreeSet;

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario, ScenarioError, report};

use crate::support::{
    ALICE, AliceAndServer, MALLORY, SERVER, failed, mallory_with, ms, records, run_both_any,
};

const STEPS: &str = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 4, every = \"500ms\" }\n";

/// Alice sends four pings to a server at a distance of 10 ms.
fn parse(profile: &str, rest: &str) -> Result<Scenario, ScenarioError> {
    let scenario = AliceAndServer {
        profile,
        duration: "4s",
        steps: STEPS,
        link: "delay = \"10ms 5ms\"",
        rest,
        ..AliceAndServer::default()
    };
    scenario.parse()
}

/// The classic profile, and mallory with these tables `[[adversary.do]]`.
fn mallory(on_path: bool, budget: u64, acts: &str) -> Scenario {
    let path = if on_path {
        "\non-path = [\"alice\", \"server\"]"
    } else {
        ""
    };
    let table = mallory_with(&format!("budget = {budget}{path}"), acts);
    parse("classic", &table).unwrap_or_else(|error| panic!("{error}"))
}

fn run(scenario: &Scenario) -> Run {
    run_both_any(&scenario.setup(), 7)
}

fn act(on_path: bool, act: &str) -> Run {
    run(&mallory(on_path, 1000, &format!("[[adversary.do]]\n{act}")))
}

/// The actions of mallory, each with the record of its datagram.
fn attacks(run: &Run) -> Vec<(&Record, &Record)> {
    let attacks = records(run, MALLORY, |kind| matches!(kind, RecordKind::Attack { .. }));
    attacks
        .map(|attack| {
            let sent = run.record(attack.id + 1).unwrap();
            assert_eq!((sent.cause, sent.host), (attack.id, Some(MALLORY)));
            assert!(matches!(sent.kind, RecordKind::Sent { .. }));
            (attack, sent)
        })
        .collect()
}

/// The reasons why `host` dropped datagrams of mallory.
fn refusals(run: &Run, host: HostId) -> Vec<&'static str> {
    let drops = records(run, host, |kind| matches!(kind, RecordKind::Dropped { .. }));
    let drops = drops.filter(|drop| {
        let cause = run.record(drop.cause).map(|cause| &cause.kind);
        matches!(cause, Some(RecordKind::Received { from: MALLORY, .. }))
    });
    drops
        .map(|drop| match drop.kind {
            RecordKind::Dropped { reason } => reason,
            _ => "",
        })
        .collect()
}

#[test]
fn an_adversary_without_actions_changes_no_record() {
    let [without, with] =
        [parse("classic", "").unwrap(), mallory(true, 1000, "")].map(|scenario| run(&scenario));
    assert!(with.passed);
    assert_eq!(without.digest, with.digest);
    let names: Vec<&str> = with.hosts.iter().map(|host| host.name.as_str()).collect();
    assert_eq!(names, ["server", "alice", "mallory"]);
}

#[test]
fn a_replayed_ping_is_delivered_again_by_classic_and_fails_the_at_most_once_rule() {
    let replay = "replay = { kind = \"data\", nth = 1, by = \"alice\", after = \"100ms\", count = 2, every = \"50ms\" }";
    let scenario = mallory(true, 1000, &format!("[[adversary.do]]\n{replay}"));
    let run = run(&scenario);
    assert!(run.passed, "{:?}", failed(&run));
    let attacks = attacks(&run);
    let [(first, first_sent), (second, _)] = attacks[..] else {
        panic!("{attacks:?}")
    };
    let original = run.record(first.cause).unwrap();
    assert_eq!(original.host, Some(ALICE));
    assert_eq!(
        (
            first.cause,
            first.at.saturating_duration_since(original.at).as_millis()
        ),
        (second.cause, 100)
    );
    assert_eq!(second.at.saturating_duration_since(first.at).as_millis(), 50);
    let as_alice = RecordKind::Attack {
        act: "replay",
        source: "198.51.100.2:50000".into(),
    };
    assert_eq!(first.kind, as_alice);
    assert_eq!(
        run.packet(first_sent.id),
        run.packet(original.id),
        "the same bytes"
    );
    assert_eq!(
        records(&run, SERVER, |kind| matches!(kind, RecordKind::InnerIn { .. })).count(),
        5 + 2
    );
    assert_eq!(run.counters["mallory.sent"], 2);

    let mut strict = scenario.setup();
    strict.rules.at_most_once = true;
    assert_eq!(
        failed(&run_both_any(&strict, 7)),
        ["P3 inner packets unchanged, authenticated, at most once"]
    );
}

#[test]
fn a_replay_from_another_address_has_no_session_and_its_reply_goes_there() {
    let own = act(
        true,
        "replay = { kind = \"data\", by = \"alice\", from = \"own\" }",
    );
    assert!(own.passed, "{:?}", failed(&own));
    let refusals = refusals(&own, SERVER);
    assert_eq!(refusals, vec!["no-session"; refusals.len()]);
    assert!(refusals.len() >= 4, "each ping");

    let login = |from: &str| {
        act(
            true,
            &format!("replay = {{ kind = \"auth-request\", from = \"{from}\" }}"),
        )
    };
    let from_own = login("own");
    let replies = records(&from_own, MALLORY, |kind| {
        matches!(kind, RecordKind::Received { .. })
    });
    assert_eq!(
        replies.count(),
        1,
        "a classic server answers every authentic request"
    );
    let from_random = login("random");
    let to_no_host = records(&from_random, SERVER, |kind| {
        matches!(
            kind,
            RecordKind::Lost {
                to: None,
                reason: "no-host"
            }
        )
    });
    // In both cases the session has moved to the source of the replay, and the tunnel of alice only seems to be up.
    assert!(to_no_host.count() >= 1);
}

#[test]
fn an_altered_datagram_takes_as_long_as_the_original_and_is_rejected() {
    let altered = act(
        true,
        "alter = { kind = \"data\", nth = 2, by = \"alice\", bit = 0 }",
    );
    let attacks = attacks(&altered);
    let [(attack, sent)] = attacks[..] else {
        panic!("{attacks:?}")
    };
    let original = altered.record(attack.cause).unwrap();
    let (before, after) = (
        altered.packet(original.id).unwrap(),
        altered.packet(sent.id).unwrap(),
    );
    assert_eq!((before[0] ^ 0x80, &before[1..]), (after[0], &after[1..]));
    let held: Vec<_> = altered
        .records
        .iter()
        .filter(|record| {
            matches!(
                record.kind,
                RecordKind::Lost {
                    reason: "intercepted",
                    ..
                }
            )
        })
        .collect();
    assert_eq!((held.len(), held[0].cause), (1, original.id));
    assert_eq!(refusals(&altered, SERVER), ["invalid-code"]);
    assert_eq!(failed(&altered), ["alice finishes 1 step"], "one ping is lost");

    let copied = act(
        true,
        "alter = { kind = \"data\", by = \"alice\", drop-original = false }",
    );
    let refused = refusals(&copied, SERVER);
    let sent = records(&copied, ALICE, |kind| {
        matches!(kind, RecordKind::Sent { kind: "data", .. })
    });
    assert!(
        refused.len() >= 4 && refused.len() < sent.count(),
        "none after the faults were switched off"
    );
    assert!(!copied.counters.contains_key("lost.intercepted"));
    assert!(copied.passed, "{:?}", failed(&copied));
}

#[test]
fn classic_accepts_a_reflected_packet_and_a_check_detects_it() {
    let run = act(true, "reflect = { kind = \"data\", nth = 1, by = \"alice\" }");
    let attacks = attacks(&run);
    let [(attack, sent)] = attacks[..] else {
        panic!("{attacks:?}")
    };
    let as_server = RecordKind::Attack {
        act: "reflect",
        source: "192.0.2.1:4000".into(),
    };
    assert_eq!(attack.kind, as_server);
    assert!(matches!(sent.kind, RecordKind::Sent { to: Some(ALICE), .. }));
    // There is one key for both directions. So alice cannot detect that the packet is her own.
    assert_eq!(failed(&run), ["P3 inner packets unchanged, authenticated"]);
}

#[test]
fn injected_datagrams_have_the_given_times_and_sources_and_are_rejected() {
    for (from, sources) in [("own", 1), ("random", 5), ("alice", 1), ("198.51.100.77:9", 1)] {
        let inject = format!(
            "inject = {{ to = \"server\", from = \"{from}\", size = 60, count = 5, every = \"20ms\", at = \"1s\" }}"
        );
        let run = act(false, &inject);
        assert!(run.passed, "{from}: {:?}", failed(&run));
        let attacks = attacks(&run);
        let times: Vec<Instant> = attacks.iter().map(|(attack, _)| attack.at).collect();
        assert_eq!(times, [1000, 1020, 1040, 1060, 1080].map(ms));
        let addresses: BTreeSet<String> = attacks
            .iter()
            .filter_map(|(attack, _)| match &attack.kind {
                RecordKind::Attack { source, .. } => Some(source.clone()),
                _ => None,
            })
            .collect();
        assert_eq!(addresses.len(), sources, "{from}");
        assert!(
            attacks
                .iter()
                .all(|(_, sent)| run.packet(sent.id).unwrap().len() == 60)
        );
        assert_eq!(refusals(&run, SERVER).len(), 5);
    }
    let exact = act(false, "inject = { to = \"alice\", bytes = \"03c0ffee\" }");
    let [(_, sent)] = attacks(&exact)[..] else {
        panic!("expected one attack")
    };
    assert_eq!(exact.packet(sent.id).unwrap(), [3, 0xc0, 0xff, 0xee]);
    assert_eq!(refusals(&exact, ALICE), ["unknown-remote"]);
}

#[test]
fn a_copied_header_is_that_of_the_newest_datagram_to_the_victim() {
    let run = act(
        true,
        "inject = { to = \"server\", from = \"alice\", bytes = \"copied-header\", at = \"700ms\" }",
    );
    let [(attack, sent)] = attacks(&run)[..] else {
        panic!("expected one attack")
    };
    let seen = records(&run, ALICE, |kind| matches!(kind, RecordKind::Sent { .. }));
    let newest = seen.filter(|record| record.id < attack.id).last().unwrap();
    let (theirs, ours) = (run.packet(newest.id).unwrap(), run.packet(sent.id).unwrap());
    assert_eq!((theirs.len(), &theirs[..13]), (ours.len(), &ours[..13]));
    assert_ne!(theirs[13..], ours[13..]);
    assert_eq!(refusals(&run, SERVER), ["authentication-failed"]);
    assert!(run.passed);
}

#[test]
fn a_flood_keeps_its_rate_and_budget_and_ends_when_faults_are_switched_off() {
    let flood = "[[adversary.do]]\nflood = { to = \"server\", rate = 1500, for = \"1s\", at = \"500ms\" }";
    let count = |budget: u64| {
        let run = run(&mallory(false, budget, flood));
        assert!(run.passed, "{:?}", failed(&run));
        assert_eq!(refusals(&run, SERVER).len() as u64, run.counters["mallory.sent"]);
        let attacks = attacks(&run);
        let each: Vec<usize> = [500, 501, 502]
            .map(|at| attacks.iter().filter(|(attack, _)| attack.at == ms(at)).count())
            .into();
        (attacks.len(), each)
    };
    // Datagram k is due at 500 ms + k · 2/3 ms, rounded up to a time step.
    assert_eq!(count(100_000), (1500, vec![1, 1, 2]));
    assert_eq!(count(700).0, 700);

    let endless = "[[adversary.do]]\nflood = { to = \"server\", rate = 1000, for = \"1h\" }";
    let run = run(&mallory(false, 100_000, endless));
    let last = attacks(&run).last().unwrap().0.at;
    assert_eq!(
        last,
        ms(4000),
        "until the work ends, but not while a ping must pass"
    );
    assert!(run.passed && run.end > last);
}

#[test]
fn a_flood_of_recorded_logins_has_many_sources_and_one_reply_each() {
    let flood =
        "flood = { to = \"server\", kind = \"auth-request\", rate = 100, for = \"500ms\", at = \"100ms\" }";
    let run = act(true, flood);
    let attacks = attacks(&run);
    assert_eq!(attacks.len(), 50);
    let login = records(&run, ALICE, |kind| {
        matches!(
            kind,
            RecordKind::Sent {
                kind: "auth-request",
                ..
            }
        )
    });
    let login = login.map(|record| record.id).next().unwrap();
    assert!(attacks.iter().all(|(attack, _)| attack.cause == login));
    let amplification = run
        .checks
        .iter()
        .find(|check| check.name.starts_with("P4"))
        .unwrap();
    assert!(amplification.passed, "{}", amplification.detail);
    assert_eq!(
        run.counters["lost.no-host"] - 50,
        records(&run, SERVER, |kind| matches!(
            kind,
            RecordKind::Sent { kind: "data", .. }
        ))
        .filter(|sent| run
            .record(sent.id + 1)
            .is_some_and(|next| matches!(next.kind, RecordKind::Lost { to: None, .. })))
        .count() as u64,
        "the replies, and the data to the session of the last address"
    );
}

#[test]
fn adversaries_do_not_change_the_delays_of_other_datagrams() {
    let delays = |run: &Run| -> Vec<(Instant, Instant)> {
        let flights = records(run, ALICE, |kind| {
            matches!(kind, RecordKind::Flight { to: SERVER, .. })
        });
        flights
            .filter_map(|record| match record.kind {
                RecordKind::Flight { due, .. } => Some((record.at, due)),
                _ => None,
            })
            .collect()
    };
    let without = run(&parse("classic", "").unwrap());
    let with = act(
        false,
        "inject = { to = \"server\", count = 50, every = \"20ms\" }",
    );
    assert_eq!(delays(&without), delays(&with));
}

#[test]
fn reports_list_few_attacks_and_count_many() {
    let few = mallory(
        true,
        1000,
        "[[adversary.do]]\nreplay = { kind = \"auth-response\" }",
    );
    let one = run(&few);
    let story = report::story(&one);
    assert!(
        story.contains("mallory  replays auth-response 1 to alice with source 192.0.2.1:4000 ("),
        "{story}"
    );
    assert!(report::mermaid(&one).contains("mallory->>alice"));
    let capture = report::capture(&one);
    let forged = [&[192, 0, 2, 1, 198, 51, 100, 2][..], &4000_u16.to_be_bytes()].concat();
    let copies = capture
        .windows(forged.len())
        .filter(|bytes| *bytes == forged)
        .count();
    let replies = records(&one, SERVER, |kind| matches!(kind, RecordKind::Sent { .. })).count();
    assert_eq!(copies, 2 * (replies + 1), "with the address of the server");
    let page: serde_json::Value = serde_json::from_str(&report::page_json(&one)).unwrap();
    assert_eq!(
        (&page["hosts"][2]["name"], &page["hosts"][2]["role"]),
        (&"mallory".into(), &"adversary".into())
    );

    let many = mallory(
        false,
        1000,
        "[[adversary.do]]\ninject = { to = \"server\", count = 200, every = \"2ms\", at = \"600ms\" }",
    );
    let story = report::story(&run(&many));
    assert!(story.contains("200 forged"), "{story}");
    assert!(!story.contains("mallory  injects"), "{story}");
}

/// Mallory is on the path, the action, the error message.
const MISTAKES: &[(bool, &str, &str)] = &[
    (
        true,
        "inject = { to = \"servre\" }",
        "there is no host `servre`; did you mean `server`?",
    ),
    (
        true,
        "replay = { kind = \"dada\" }",
        "there is no kind of datagram `dada`; did you mean `data`?",
    ),
    (
        false,
        "replay = { kind = \"data\" }",
        "`mallory` sees no datagrams; put it on a link with `on-path`",
    ),
    (
        false,
        "inject = { to = \"server\", bytes = \"copied-header\" }",
        "`mallory` sees no headers; put it on a link with `on-path`",
    ),
    (
        true,
        "inject = { to = \"server\", bytes = \"copied-haeder\" }",
        "`copied-haeder`: expected `random`, `copied-header` or pairs of hex digits; did you mean `copied-header`?",
    ),
    (
        true,
        "inject = { to = \"server\", from = \"randon\" }",
        "`randon` is neither an address with a port nor a valid name; did you mean `random`?",
    ),
    (
        true,
        "inject = { to = \"server\", from = \"[2001:db8::1]:4000\" }",
        "a datagram to 192.0.2.1:4000 cannot come from [2001:db8::1]:4000: the IP versions differ",
    ),
    (
        true,
        "alter = { kind = \"data\", nth = 1, chance = \"5%\" }",
        "`nth` and `chance` exclude each other; remove one of the two",
    ),
    (
        true,
        "alter = { kind = \"data\", nth = 0 }",
        "`nth` counts from 1",
    ),
    (
        true,
        "flood = { to = \"server\", rate = 0, for = \"1s\" }",
        "`rate` must be at least 1 datagram per second",
    ),
    (
        true,
        "flood = { to = \"server\", rate = 1, for = \"1s\", at = \"4s\" }",
        "this action never happens, because the run ends after 4s",
    ),
    (true, "flod = 1", "unknown key `flod`; did you mean `flood`?"),
    (
        true,
        "flood = { to = \"server\", rate = 1, for = \"1s\" }\nreflect = { kind = \"data\" }",
        "this table has more than one action; write an [[adversary.do]] for each",
    ),
];

#[test]
fn mistakes_in_adversaries_are_rejected() {
    for (on_path, act, message) in MISTAKES {
        let path = if *on_path {
            "\non-path = [\"alice\", \"server\"]"
        } else {
            ""
        };
        let table = mallory_with(&format!("budget = 9{path}"), &format!("[[adversary.do]]\n{act}"));
        let error = parse("classic", &table).unwrap_err();
        assert!(error.place.is_some_and(|(line, _)| line > 30), "{error}");
        assert_eq!(error.message, *message);
    }
}

#[test]
fn the_adversary_of_the_documentation_acts_as_described() {
    let page = include_str!("../../docs/scenarios.md");
    let section = page.split("### `[[adversary]]`").nth(1).unwrap();
    let example = section
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let run = run(&parse("secure", example).unwrap_or_else(|error| panic!("{error}")));
    let count = |wanted: &str| {
        let of_name = |(attack, _): &&(&Record, &Record)| matches!(attack.kind, RecordKind::Attack { act, .. } if act == wanted);
        attacks(&run).iter().filter(of_name).count()
    };
    assert_eq!((count("replay"), count("flood")), (3, 2000));
}
