//! Adversaries on the wire: what each act sends, as from where and when, what becomes of it, and what the checks say.

use std::collections::BTreeSet;

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_proto::Instant;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, ScenarioError, report, run_setup};

const SERVER: HostId = 0;
const ALICE: HostId = 1;
const MALLORY: HostId = 2;

/// A server, Alice 10 ms away who pings it four times, and what `rest` says.
fn parse(rest: &str) -> Result<Scenario, ScenarioError> {
    parse_with("classic", rest)
}

fn parse_with(profile: &str, rest: &str) -> Result<Scenario, ScenarioError> {
    let text = format!(
        r#"
title = "a test"
profile = "{profile}"
duration = "4s"

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

[[client.do]]
ping = {{ to = "10.9.0.1", count = 4, every = "500ms" }}

[[link]]
between = ["alice", "server"]
delay = "10ms 5ms"
{rest}"#
    );
    Scenario::parse("test.toml", &text, &|_| Err("no files here".into()))
}

/// Mallory, who does `act`; on the path between the two or not.
fn mallory(on_path: bool, budget: u64, act: &str) -> Scenario {
    let on_path = if on_path {
        "on-path = [\"alice\", \"server\"]\n"
    } else {
        ""
    };
    let rest = format!(
        "[[adversary]]\nname = \"mallory\"\naddress = \"203.0.113.66:666\"\nbudget = {budget}\n{on_path}\n{act}\n"
    );
    parse(&rest).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs it in both engines, which must agree on every record.
fn run_both(setup: &Setup) -> Run {
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| {
        let options = RunOptions {
            seed: 7,
            engine,
            detail: Detail::Full,
        };
        run_setup(setup, &options).unwrap()
    });
    assert_eq!(event.records, turmoil.records);
    assert_eq!(event.checks, turmoil.checks);
    event
}

fn run(scenario: &Scenario) -> Run {
    run_both(&scenario.setup())
}

fn act(on_path: bool, act: &str) -> Run {
    run(&mallory(on_path, 1000, &format!("[[adversary.do]]\n{act}")))
}

fn records<'a>(
    run: &'a Run,
    host: HostId,
    pick: impl Fn(&RecordKind) -> bool + 'a,
) -> impl Iterator<Item = &'a Record> {
    let own = run.records.iter().filter(move |record| record.host == Some(host));
    own.filter(move |record| pick(&record.kind))
}

/// What Mallory did, and the record of the datagram that came of it.
fn attacks(run: &Run) -> Vec<(&Record, &Record)> {
    let attacks = records(run, MALLORY, |what| matches!(what, RecordKind::Attack { .. }));
    attacks
        .map(|attack| {
            let sent = run.record(attack.id + 1).unwrap();
            assert_eq!((sent.cause, sent.host), (attack.id, Some(MALLORY)));
            assert!(matches!(sent.kind, RecordKind::Sent { .. }));
            (attack, sent)
        })
        .collect()
}

/// The reasons for which `host` did not take what Mallory had sent.
fn refusals(run: &Run, host: HostId) -> Vec<&'static str> {
    let drops = records(run, host, |what| matches!(what, RecordKind::Dropped { .. }));
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

#[track_caller]
fn failed(run: &Run) -> Vec<&str> {
    let failed = run.checks.iter().filter(|check| !check.passed);
    failed.map(|check| check.name.as_str()).collect()
}

const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

#[test]
fn somebody_who_does_nothing_changes_no_record() {
    let [without, with] = [parse("").unwrap(), mallory(true, 1000, "")].map(|scenario| run(&scenario));
    assert!(with.passed);
    assert_eq!(without.digest, with.digest);
    assert_eq!(with.host_names, ["server", "alice", "mallory"]);
}

#[test]
fn a_replayed_ping_is_delivered_again_by_classic_and_fails_a_promise_of_at_most_once() {
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
        records(&run, SERVER, |what| matches!(what, RecordKind::InnerIn { .. })).count(),
        5 + 2
    );
    assert_eq!(run.counters["mallory.sent"], 2);

    let mut strict = scenario.setup();
    strict.rules.at_most_once = true;
    assert_eq!(
        failed(&run_both(&strict)),
        ["P3 inner packets at most once, unchanged and authenticated"]
    );
}

#[test]
fn a_replay_from_elsewhere_has_no_session_and_an_answer_goes_to_the_forged_address() {
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
    let answered = login("own");
    let answers = records(&answered, MALLORY, |what| {
        matches!(what, RecordKind::Received { .. })
    });
    assert_eq!(
        answers.count(),
        1,
        "a server of classic answers every true request"
    );
    let unanswered = login("random");
    let to_nobody = records(&unanswered, SERVER, |what| {
        matches!(
            what,
            RecordKind::Lost {
                to: None,
                reason: "no-host"
            }
        )
    });
    // In both cases the session is the replayer's now, and Alice's tunnel only seems to be up.
    assert!(to_nobody.count() >= 1);
}

#[test]
fn a_flipped_bit_takes_the_way_of_the_original_and_is_refused() {
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
    assert!(failed(&altered).is_empty(), "the step is content with one reply");

    let copied = act(
        true,
        "alter = { kind = \"data\", by = \"alice\", drop-original = false }",
    );
    let refused = refusals(&copied, SERVER);
    let sent = records(&copied, ALICE, |what| {
        matches!(what, RecordKind::Sent { kind: "data", .. })
    });
    assert!(
        refused.len() >= 4 && refused.len() < sent.count(),
        "not after the faults have healed"
    );
    assert!(!copied.counters.contains_key("lost.intercepted"));
    assert!(copied.passed, "{:?}", failed(&copied));
}

#[test]
fn a_reflected_packet_is_taken_by_classic_for_the_servers_and_the_check_finds_it() {
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
    // One key for both directions: nothing tells Alice that the packet is her own.
    assert_eq!(failed(&run), ["P3 inner packets unchanged and authenticated"]);
}

#[test]
fn junk_is_sent_at_its_times_under_its_addresses_and_refused() {
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
        panic!("one")
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
        panic!("one")
    };
    let seen = records(&run, ALICE, |what| matches!(what, RecordKind::Sent { .. }));
    let newest = seen.filter(|record| record.id < attack.id).last().unwrap();
    let (theirs, ours) = (run.packet(newest.id).unwrap(), run.packet(sent.id).unwrap());
    assert_eq!((theirs.len(), &theirs[..13]), (ours.len(), &ours[..13]));
    assert_ne!(theirs[13..], ours[13..]);
    assert_eq!(refusals(&run, SERVER), ["authentication-failed"]);
    assert!(run.passed);
}

#[test]
fn a_flood_keeps_to_its_rate_and_its_budget_and_ends_when_the_faults_heal() {
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
    // Number k is due at 500 ms + k · 2/3 ms, rounded up to the grid.
    assert_eq!(count(100_000), (1500, vec![1, 1, 2]));
    assert_eq!(count(700).0, 700);

    let endless = "[[adversary.do]]\nflood = { to = \"server\", rate = 1000, for = \"1h\" }";
    let run = run(&mallory(false, 100_000, endless));
    let last = attacks(&run).last().unwrap().0.at;
    assert_eq!(
        last,
        ms(4000),
        "until the work is over, and not while a ping must pass"
    );
    assert!(run.passed && run.end > last);
}

#[test]
fn a_flood_of_recorded_logins_comes_from_many_addresses_and_each_is_answered_once() {
    let flood =
        "flood = { to = \"server\", kind = \"auth-request\", rate = 100, for = \"500ms\", at = \"100ms\" }";
    let run = act(true, flood);
    let attacks = attacks(&run);
    assert_eq!(attacks.len(), 50);
    let login = records(&run, ALICE, |what| {
        matches!(
            what,
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
        records(&run, SERVER, |what| matches!(
            what,
            RecordKind::Sent { kind: "data", .. }
        ))
        .filter(|sent| run
            .record(sent.id + 1)
            .is_some_and(|next| matches!(next.kind, RecordKind::Lost { to: None, .. })))
        .count() as u64,
        "the answers, and what goes to the session of the last address"
    );
}

#[test]
fn what_adversaries_send_shifts_no_delay_of_anybody_else() {
    let delays = |run: &Run| -> Vec<(Instant, Instant)> {
        let flights = records(run, ALICE, |what| {
            matches!(what, RecordKind::Flight { to: SERVER, .. })
        });
        flights
            .filter_map(|record| match record.kind {
                RecordKind::Flight { due, .. } => Some((record.at, due)),
                _ => None,
            })
            .collect()
    };
    let without = run(&parse("").unwrap());
    let with = act(
        false,
        "inject = { to = \"server\", count = 50, every = \"20ms\" }",
    );
    assert_eq!(delays(&without), delays(&with));
}

#[test]
fn reports_show_the_adversary_and_tell_of_many_attacks_in_numbers() {
    let few = mallory(
        true,
        1000,
        "[[adversary.do]]\nreplay = { kind = \"auth-response\" }",
    );
    let one = run(&few);
    let story = report::story(&one);
    assert!(
        story.contains("mallory  replays auth-response 1 to alice as 192.0.2.1:4000 ("),
        "{story}"
    );
    assert!(report::mermaid(&few, &one).contains("mallory->>alice"));
    let capture = report::capture(&few, &one);
    let forged = [&[192, 0, 2, 1, 198, 51, 100, 2][..], &4000_u16.to_be_bytes()].concat();
    let copies = capture
        .windows(forged.len())
        .filter(|bytes| *bytes == forged)
        .count();
    let answers = records(&one, SERVER, |what| matches!(what, RecordKind::Sent { .. })).count();
    assert_eq!(copies, 2 * (answers + 1), "as if the server had sent it");
    let page: serde_json::Value = serde_json::from_str(&report::page_json(&few, &one)).unwrap();
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

/// Whether Mallory is on the path, what she does, and what is said of it.
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
        "`randon` is neither an address with a port nor one of the words; did you mean `random`?",
    ),
    (
        true,
        "inject = { to = \"server\", from = \"[2001:db8::1]:4000\" }",
        "a datagram to 192.0.2.1:4000 cannot come from [2001:db8::1]:4000, the other IP version",
    ),
    (
        true,
        "alter = { kind = \"data\", nth = 1, chance = \"5%\" }",
        "either the n-th or by `chance`, not both; take one of the two away",
    ),
    (
        true,
        "alter = { kind = \"data\", nth = 0 }",
        "datagrams are counted from 1",
    ),
    (
        true,
        "flood = { to = \"server\", rate = 0, for = \"1s\" }",
        "a flood has at least 1 datagram each second",
    ),
    (
        true,
        "flood = { to = \"server\", rate = 1, for = \"1s\", at = \"4s\" }",
        "this never happens: the run is over after 4s",
    ),
    (true, "flod = 1", "unknown key `flod`; did you mean `flood`?"),
    (
        true,
        "flood = { to = \"server\", rate = 1, for = \"1s\" }\nreflect = { kind = \"data\" }",
        "an adversary does one thing at a time; make an [[adversary.do]] of each",
    ),
];

#[test]
fn mistakes_of_adversaries_are_told() {
    let message = |on_path: bool, act: &str| {
        let on_path = if on_path {
            "on-path = [\"alice\", \"server\"]"
        } else {
            ""
        };
        let rest = format!(
            "[[adversary]]\nname = \"mallory\"\naddress = \"203.0.113.66:666\"\nbudget = 9\n{on_path}\n[[adversary.do]]\n{act}\n"
        );
        let error = parse(&rest).unwrap_err();
        assert!(error.place.is_some_and(|(line, _)| line > 25), "{error}");
        error.message
    };
    for (on_path, act, wanted) in MISTAKES {
        assert_eq!(message(*on_path, act), *wanted);
    }
}

#[test]
fn the_adversary_of_the_documentation_does_what_the_page_says() {
    let page = include_str!("../../docs/scenarios.md");
    let section = page.split("### `[[adversary]]`").nth(1).unwrap();
    let example = section
        .split("```toml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let run = run(&parse_with("secure", example).unwrap_or_else(|error| panic!("{error}")));
    let count = |wanted: &str| {
        let of_name = |(attack, _): &&(&Record, &Record)| matches!(attack.kind, RecordKind::Attack { act, .. } if act == wanted);
        attacks(&run).iter().filter(of_name).count()
    };
    assert_eq!((count("replay"), count("flood")), (3, 2000));
}
