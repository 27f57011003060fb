//! Addresses that change or are given late: NAT rebinding outside, settings from the server inside.

use std::time::Duration;

use sandhog_lab::record::{HostId, Record, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_proto::Instant;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, ScenarioError, report, run_setup};

const SERVER: HostId = 0;
const ALICE: HostId = 1;

/// A server, Alice 10 ms away, and what `rest` says.
fn parse(rest: &str) -> Result<Scenario, ScenarioError> {
    let text = format!(
        r#"
title = "a test"
profile = "classic"
duration = "6s"

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
{rest}"#
    );
    Scenario::parse("test.toml", &text, &|_| Err("no files here".into()))
}

fn scenario(rest: &str) -> Scenario {
    parse(rest).unwrap_or_else(|error| panic!("{error}"))
}

/// Runs it in both engines, which must agree on every record.
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
    event
}

fn records<'a>(
    run: &'a Run,
    host: HostId,
    pick: impl Fn(&RecordKind) -> bool + 'a,
) -> impl Iterator<Item = &'a Record> {
    let own = run.records.iter().filter(move |record| record.host == Some(host));
    own.filter(move |record| pick(&record.kind))
}

const fn ms(millis: u64) -> Instant {
    Instant::from_millis(millis)
}

const REBOUND: &str = r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 8, every = "500ms" }
[[event]]
at = "1015ms"
rebind = "alice"
to = "198.51.100.9:1234"
[[event]]
at = "3s"
network-changed = "alice"
"#;

#[test]
fn after_a_rebinding_the_old_address_reaches_nobody_and_the_server_sees_the_new_one() {
    let run = run(&Setup::of(&scenario(REBOUND)));
    assert!(run.passed, "{:?}", run.checks);
    let rebound: Vec<_> = records(&run, ALICE, |what| matches!(what, RecordKind::Rebound { .. })).collect();
    assert_eq!((rebound.len(), rebound[0].at), (1, ms(1015)));
    // The request of 1020 ms comes from an address that has no session at the server; nothing comes back.
    let drops: Vec<_> = records(&run, SERVER, |what| {
        matches!(what, RecordKind::Dropped { reason: "no-session" })
    })
    .collect();
    assert!(
        drops
            .iter()
            .all(|drop| (1015..=3020).contains(&drop.at.as_millis()))
    );
    assert_eq!(
        drops.len(),
        4,
        "one each half second until the client logs in again"
    );
    let logins: Vec<Instant> = records(&run, SERVER, |what| matches!(what, RecordKind::LoggedIn { .. }))
        .map(|record| record.at)
        .collect();
    assert_eq!(logins, [ms(10), ms(3010)]);
    let from = records(&run, SERVER, |what| {
        matches!(
            what,
            RecordKind::LoggedIn {
                from: Some(ALICE),
                ..
            }
        )
    });
    assert_eq!(from.count(), 2, "the new address is Alice's");
}

#[test]
fn what_was_on_its_way_to_the_old_address_is_lost_when_it_arrives() {
    let on_its_way = REBOUND.replace("1015ms", "1035ms");
    let run = run(&Setup::of(&scenario(&on_its_way)));
    assert!(run.passed, "{:?}", run.checks);
    let lost: Vec<_> = records(&run, ALICE, |what| {
        matches!(
            what,
            RecordKind::Lost {
                reason: "no-host",
                ..
            }
        )
    })
    .collect();
    let [lost] = lost[..] else {
        panic!("one answer: {lost:?}")
    };
    let flight = run.record(lost.cause).unwrap();
    assert!(matches!(flight.kind, RecordKind::Flight { to: ALICE, .. }));
    assert!(flight.at <= ms(1035) && lost.at > ms(1035));
    assert_eq!(run.counters["lost.no-host"], 1);
}

#[test]
fn a_capture_shows_each_datagram_with_the_addresses_of_its_time() {
    let scenario = scenario(REBOUND);
    let run = run(&scenario.setup());
    let capture = report::capture(&run);
    let count = |address: [u8; 4], port: u16| {
        let [high, low] = port.to_be_bytes();
        let header = [&address[..], &[192, 0, 2, 1, high, low]].concat();
        capture
            .windows(header.len())
            .filter(|bytes| *bytes == header)
            .count()
    };
    let sent = |before: bool| {
        let sent = records(&run, ALICE, |what| matches!(what, RecordKind::Sent { .. }));
        sent.filter(|record| (record.at < ms(1015)) == before).count()
    };
    assert!(sent(true) > 2 && sent(false) > 4);
    // Once where it leaves, once where it arrives; nothing is lost in this direction.
    assert_eq!(count([198, 51, 100, 2], 50000), 2 * sent(true));
    assert_eq!(count([198, 51, 100, 9], 1234), 2 * sent(false));
}

#[test]
fn an_event_comes_again_and_a_rebinding_takes_the_next_port_each_time() {
    let rest = r#"
[[event]]
at = "1s"
every = "2s"
rebind = "alice"
to = "198.51.100.9:1234"
[[event]]
at = "500ms"
every = "500ms"
times = 3
network-changed = "alice"
"#;
    let run = run(&Setup::of(&scenario(rest)));
    let rebound = records(&run, ALICE, |what| matches!(what, RecordKind::Rebound { .. }));
    let rebound: Vec<(Instant, &RecordKind)> = rebound.map(|record| (record.at, &record.kind)).collect();
    let to = |port| RecordKind::Rebound {
        to: format!("198.51.100.9:{port}"),
    };
    assert_eq!(
        rebound,
        [
            (ms(1000), &to(1234)),
            (ms(3000), &to(1235)),
            (ms(5000), &to(1236))
        ],
        "until the run is over"
    );
    let changed = |what: &What| {
        matches!(
            what,
            RecordKind::Command {
                command: "network-changed"
            }
        )
    };
    let changed: Vec<Instant> = records(&run, ALICE, changed).map(|record| record.at).collect();
    assert_eq!(changed, [ms(500), ms(1000), ms(1500)]);
}

#[test]
fn an_inner_host_that_takes_its_addresses_from_the_settings_is_like_one_that_had_them() {
    let pings = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 3, every = \"200ms\" }\n";
    let setup = Setup::of(&scenario(pings));
    let mut late = setup.clone();
    late.hosts[1].inner.as_mut().unwrap().addresses.clear();
    let (given, late) = (run(&setup), run(&late));
    assert!(given.passed && late.passed, "{:?}", late.checks);
    assert_eq!(given.digest, late.digest);
}

#[test]
fn other_inner_addresses_than_the_scenario_says_fail_a_check() {
    let mut setup = Setup::of(&scenario(""));
    setup.hosts[1].inner.as_mut().unwrap().addresses = vec![([10, 9, 0, 3].into(), 24)];
    setup.liveness = None;
    setup.duration = Duration::from_secs(1);
    let run = run(&setup);
    let failed: Vec<_> = run.checks.iter().filter(|check| !check.passed).collect();
    let [check] = failed[..] else { panic!("{failed:?}") };
    assert_eq!(check.name, "alice: is given its inner addresses");
}

#[test]
fn mistakes_in_repeated_events_and_rebindings_are_told() {
    let event = |keys: &str| {
        let error = parse(&format!("[[event]]\nat = \"1s\"\n{keys}\n")).unwrap_err();
        assert!(
            error.place.is_some_and(|(line, _)| line > 22),
            "in the event: {error}"
        );
        error.message
    };
    for (keys, message) in [
        ("rebind = \"alice\"", "`rebind` needs `to`, the new address"),
        (
            "crash = \"alice\"\nto = \"198.51.100.9:1\"",
            "`to` belongs to `rebind`",
        ),
        (
            "rebind = \"alice\"\nto = \"192.0.2.1:4000\"",
            "192.0.2.1:4000 is an address of `server`",
        ),
        (
            "rebind = \"alice\"\nto = \"[2001:db8::1]:4000\"",
            "`alice` has an address of the other IP version; it could not reach its server from this one",
        ),
        (
            "rebind = \"alice\"\nto = \"198.51.100.9:65535\"\nevery = \"1s\"",
            "the port is one higher each time and goes beyond 65535 at repeat 1",
        ),
        (
            "rebind = \"alcie\"",
            "there is no client `alcie`; did you mean `alice`?",
        ),
        (
            "crash = \"alice\"\ntimes = 2",
            "`times` needs `every`, the time from one to the next",
        ),
        (
            "crash = \"alice\"\nevery = \"1s\"\ntimes = 0",
            "an event happens at least once",
        ),
        (
            "crash = \"alice\"\nevery = \"0s\"",
            "`every` is at least the resolution",
        ),
    ] {
        assert_eq!(event(keys), message);
    }
}

#[test]
fn a_client_whose_addresses_come_from_the_server_is_asked_for_life_by_the_servers_first_address() {
    let mut scenario = scenario("");
    scenario.clients[0].inner.clear();
    let setup = scenario.setup();
    assert!(setup.hosts[1].inner.as_ref().unwrap().addresses.is_empty());
    let target = setup.hosts[1].script.as_ref().unwrap().liveness_target;
    assert_eq!(target, std::net::IpAddr::from([10, 9, 0, 1]));
}
