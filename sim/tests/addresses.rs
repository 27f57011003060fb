//! Addresses that change or are assigned late: NAT rebinding outside, settings from the server inside.

use std::net::IpAddr;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario, ScenarioError, report};

use crate::support::{ALICE, AliceAndServer, SERVER, failed, ms, records, run_both_any};

fn parse(rest: &str) -> Result<Scenario, ScenarioError> {
    let scenario = AliceAndServer {
        profile: "classic",
        rest,
        ..AliceAndServer::default()
    };
    scenario.parse()
}

fn scenario(rest: &str) -> Scenario {
    parse(rest).unwrap_or_else(|error| panic!("{error}"))
}

fn run(rest: &str) -> Run {
    run_both_any(&scenario(rest).setup(), 7)
}

const REBOUND: &str = r#"
[[client.do]]
ping = { to = "10.9.0.1", count = 8, every = "500ms", replies = 4 }
[[event]]
at = "1015ms"
rebind = "alice"
to = "198.51.100.9:1234"
[[event]]
at = "3s"
network-changed = "alice"
"#;

#[test]
fn after_a_rebinding_the_server_sees_only_the_new_address() {
    let run = run(REBOUND);
    assert!(run.passed, "{:?}", run.checks);
    let rebound: Vec<_> = records(&run, ALICE, |kind| matches!(kind, RecordKind::Rebound { .. })).collect();
    assert_eq!((rebound.len(), rebound[0].at), (1, ms(1015)));
    // The request of 1020 ms comes from an address that has no session at the server. There is no reply.
    let drops: Vec<_> = records(&run, SERVER, |kind| {
        matches!(kind, RecordKind::Dropped { reason: "no-session" })
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
        "one every half second until the client logs in again"
    );
    let logins: Vec<Instant> = records(&run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. }))
        .map(|record| record.at)
        .collect();
    assert_eq!(logins, [ms(10), ms(3010)]);
    let from = records(&run, SERVER, |kind| {
        matches!(
            kind,
            RecordKind::LoggedIn {
                from: Some(ALICE),
                ..
            }
        )
    });
    assert_eq!(from.count(), 2, "the new address is Alice's");
}

#[test]
fn datagrams_in_flight_to_the_old_address_are_lost_on_arrival() {
    let in_flight = REBOUND.replace("1015ms", "1035ms");
    let run = run(&in_flight);
    assert!(run.passed, "{:?}", run.checks);
    let lost: Vec<_> = records(&run, ALICE, |kind| {
        matches!(
            kind,
            RecordKind::Lost {
                reason: "no-host",
                ..
            }
        )
    })
    .collect();
    let [lost] = lost[..] else {
        panic!("one reply: {lost:?}")
    };
    let flight = run.record(lost.cause).unwrap();
    assert!(matches!(flight.kind, RecordKind::Flight { to: ALICE, .. }));
    assert!(flight.at <= ms(1035) && lost.at > ms(1035));
    assert_eq!(run.counters["lost.no-host"], 1);
}

#[test]
fn a_capture_shows_each_datagram_with_the_addresses_of_its_time() {
    let run = run(REBOUND);
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
        let sent = records(&run, ALICE, |kind| matches!(kind, RecordKind::Sent { .. }));
        sent.filter(|record| (record.at < ms(1015)) == before).count()
    };
    assert!(sent(true) > 2 && sent(false) > 4);
    // Once at the sender and once at the receiver. No datagram is lost in this direction.
    assert_eq!(count([198, 51, 100, 2], 50000), 2 * sent(true));
    assert_eq!(count([198, 51, 100, 9], 1234), 2 * sent(false));
}

#[test]
fn a_repeated_rebinding_takes_the_next_port_each_time() {
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
    let run = run(rest);
    let rebound = records(&run, ALICE, |kind| matches!(kind, RecordKind::Rebound { .. }));
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
    let changed = |kind: &RecordKind| {
        matches!(
            kind,
            RecordKind::Command {
                command: "network-changed"
            }
        )
    };
    let changed: Vec<Instant> = records(&run, ALICE, changed).map(|record| record.at).collect();
    assert_eq!(changed, [ms(500), ms(1000), ms(1500)]);
}

#[test]
fn assigned_inner_addresses_give_the_same_run_as_configured_ones() {
    let pings = "[[client.do]]\nping = { to = \"10.9.0.1\", count = 3, every = \"200ms\" }\n";
    let configured = scenario(pings).setup();
    let mut assigned = configured.clone();
    assigned.hosts[1].inner.as_mut().unwrap().addresses.clear();
    let [configured, assigned] = [configured, assigned].map(|setup| run_both_any(&setup, 7));
    assert!(configured.passed && assigned.passed, "{:?}", assigned.checks);
    assert_eq!(configured.digest, assigned.digest);
}

#[test]
fn inner_addresses_that_differ_from_the_scenario_fail_a_check() {
    let mut setup = scenario("").setup();
    setup.hosts[1].inner.as_mut().unwrap().addresses = vec![([10, 9, 0, 3].into(), 24)];
    setup.liveness = None;
    setup.duration = Duration::from_secs(1);
    let run = run_both_any(&setup, 7);
    assert_eq!(failed(&run), ["alice receives its inner addresses"]);
}

#[test]
fn mistakes_in_repeated_events_and_rebindings_are_rejected() {
    let event = |keys: &str| {
        let error = parse(&format!("[[event]]\nat = \"1s\"\n{keys}\n")).unwrap_err();
        assert!(
            error.place.is_some_and(|(line, _)| line > 26),
            "not in the event: {error}"
        );
        error.message
    };
    for (keys, message) in [
        ("rebind = \"alice\"", "`rebind` needs `to`, the new address"),
        (
            "crash = \"alice\"\nto = \"198.51.100.9:1\"",
            "`to` is only for `rebind`; remove this key",
        ),
        (
            "rebind = \"alice\"\nto = \"192.0.2.1:4000\"",
            "192.0.2.1:4000 is an address of `server`",
        ),
        (
            "rebind = \"alice\"\nto = \"[2001:db8::1]:4000\"",
            "`alice` has an address of the other IP version; `to` must have the same version",
        ),
        (
            "rebind = \"alice\"\nto = \"198.51.100.9:65535\"\nevery = \"1s\"",
            "the port increases by one each time and exceeds 65535 at repetition 1",
        ),
        (
            "rebind = \"alcie\"",
            "there is no client `alcie`; did you mean `alice`?",
        ),
        (
            "crash = \"alice\"\ntimes = 2",
            "`times` needs `every`, the interval of repetitions",
        ),
        (
            "crash = \"alice\"\nevery = \"1s\"\ntimes = 0",
            "`times` must be at least 1",
        ),
        (
            "crash = \"alice\"\nevery = \"0s\"",
            "`every` must be at least the resolution",
        ),
    ] {
        assert_eq!(event(keys), message);
    }
}

#[test]
fn the_liveness_target_of_a_client_without_addresses_is_the_servers_first_one() {
    let mut scenario = scenario("");
    scenario.clients[0].inner.clear();
    let setup = scenario.setup();
    assert!(setup.hosts[1].inner.as_ref().unwrap().addresses.is_empty());
    let target = setup.hosts[1].script.as_ref().unwrap().liveness_target;
    assert_eq!(target, IpAddr::from([10, 9, 0, 1]));
}
