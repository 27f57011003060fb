//! Floods, expired cookies, late replays and forged datagrams of every length: rows 24, 26 to 28 and 40.

use std::collections::BTreeMap;
use std::fmt::Write;

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_sim::{Detail, Run, RunOptions, run_setup};

use super::scenario;
use crate::support::{
    ALICE, MALLORY, SERVER, consequences, ends, logins, mallory, ms, pings, records, run, run_both,
    run_builtin, sent,
};

/// For each datagram of mallory that arrived at `host`, the records that it caused.
fn effects(run: &Run, host: HostId) -> Vec<Vec<&RecordKind>> {
    let arrived = records(run, host, |kind| {
        matches!(kind, RecordKind::Received { from: MALLORY, .. })
    });
    arrived
        .map(|record| consequences(run, record.id).collect())
        .collect()
}

/// The kinds of datagrams of a login and a session.
const KINDS: [&str; 11] = [
    "login",
    "cookie",
    "login-cookie",
    "ke2",
    "ke3",
    "settings",
    "data",
    "ping",
    "pong",
    "rekey",
    "rekeyed",
];

/// Returns true if a session has moved to another address.
fn has_moved(run: &Run) -> bool {
    run.records
        .iter()
        .any(|record| matches!(record.kind, RecordKind::Roamed { .. }))
}

#[test]
fn forged_datagrams_of_any_length_with_a_copied_header_are_dropped() {
    // The tunnel's MTU, the overhead of sealing, and one byte more.
    const MAX_LEN: u32 = 1420 + 29 + 1;
    let mut acts = String::new();
    for (victim, source) in [("server", "alice"), ("alice", "server")] {
        for size in 0..=MAX_LEN {
            let at = 1000 + size * 2;
            let _ = write!(
                acts,
                "[[adversary.do]]\ninject = {{ to = \"{victim}\", from = \"{source}\", bytes = \"copied-header\", \
                 size = {size}, at = \"{at}ms\" }}\n"
            );
        }
    }
    let run = run(
        &scenario("6s", &pings(20, "250ms", 20), "delay = \"20ms\"", &mallory(&acts)).setup(),
        7,
    );
    for host in [SERVER, ALICE] {
        let effects = effects(&run, host);
        assert_eq!(effects.len(), MAX_LEN as usize + 1);
        for (size, caused) in effects.iter().enumerate() {
            assert!(
                matches!(caused[..], [RecordKind::Dropped { .. }]),
                "{size} bytes: {caused:?}"
            );
        }
    }
    assert!(!has_moved(&run));
    assert_eq!(logins(&run).len(), 1);
}

#[test]
fn a_flood_of_50000_spoofed_logins_a_second_does_not_delay_an_honest_login() {
    let rest = r#"
[[client]]
name = "bob"
address = "198.51.100.3:50000"
inner = ["10.9.0.3/24"]
server = "server"
login = "bob"
password = "battery staple"
start = "1500ms"
[[link]]
between = ["bob", "server"]
delay = "20ms"
[[expect]]
client = "bob"
outcome = "connected"
at = "1620ms"
"#;
    let mut setup = scenario(
        "2s",
        "",
        "delay = \"20ms\"",
        &format!(
            "{rest}{}",
            mallory(
                "[[adversary.do]]\nflood = { to = \"server\", kind = \"login\", rate = 50000, for = \"1s\", at = \"1s\" }\n",
            )
        ),
    ).setup();
    setup.ends_when_done = true;
    for seed in 0..2 {
        let options = RunOptions {
            seed,
            detail: Detail::Digest,
            ..RunOptions::default()
        };
        let run = run_setup(&setup, &options).unwrap();
        for check in &run.checks {
            assert!(check.passed, "seed {seed}: {}: {}", check.name, check.detail);
        }
        assert_eq!(run.counters["mallory.sent"], 50_000);
    }
}

#[test]
fn a_server_never_sends_more_bytes_than_it_received_while_a_client_is_silent() {
    for seed in 0..10 {
        let run = run_builtin("amplification", seed);
        let mut allowed = 0;
        for record in run.records.iter().filter(|record| record.host == Some(SERVER)) {
            match record.kind {
                RecordKind::Received { len, .. } => allowed += len,
                RecordKind::Sent { len, kind, .. } if kind != "data" => {
                    assert!(len <= allowed, "seed {seed}: {kind} at {}", record.at);
                    allowed -= len;
                }
                _ => {}
            }
        }
        assert_eq!(run.counters["lost.scripted"], 6);
    }
}

#[test]
fn a_recorded_login_with_a_cookie_gets_no_reply_from_anywhere() {
    let scenario = |after: &str, from: &str| {
        let act = format!(
            "[[adversary.do]]\nreplay = {{ kind = \"login-cookie\", nth = 1, after = \"{after}\"{from} }}\n"
        );
        scenario("60s", &pings(10, "5s", 10), "delay = \"20ms\"", &mallory(&act))
    };
    let elsewhere = ", from = \"203.0.113.77:50000\"";
    let other_port = ", from = \"198.51.100.2:50001\"";
    for after in ["100ms", "14s", "31s", "50s"] {
        for from in ["", elsewhere, other_port] {
            let run = run_both(&scenario(after, from).setup(), 7);
            let effects = effects(&run, SERVER);
            let [caused] = &effects[..] else {
                panic!("{effects:?}")
            };
            let is_dropped = matches!(caused[..], [RecordKind::Dropped { .. }]);
            assert!(is_dropped, "{after} {from}: {caused:?}");
            assert_eq!((sent(&run, SERVER, "ke2").len(), logins(&run).len()), (1, 1));
        }
    }
}

#[test]
fn replays_after_1_ms_to_5_minutes_are_rejected_and_move_nothing() {
    // `after` counts from the sending of the original, which arrives 10 ms later. The copy takes 1 ms.
    for after in ["10ms", "30ms", "1s", "9s", "60s", "179s", "181s", "300s"] {
        let acts: String = KINDS
            .iter()
            .map(|kind| {
                format!("[[adversary.do]]\nreplay = {{ kind = \"{kind}\", after = \"{after}\", from = \"random\" }}\n")
            })
            .collect();
        let scenario = scenario("400s", &pings(80, "5s", 80), "delay = \"10ms\"", &mallory(&acts));
        let setup = scenario.setup();
        let run = run(&setup, 7);
        let mut rejected = BTreeMap::new();
        for host in [SERVER, ALICE] {
            for caused in effects(&run, host) {
                let reason = match caused[..] {
                    [RecordKind::Dropped { reason }] => *reason,
                    _ => panic!("{after}: {caused:?}"),
                };
                *rejected.entry(reason).or_insert(0) += 1;
            }
        }
        assert!(rejected.values().sum::<u32>() > 40, "{after}: {rejected:?}");
        assert!(!has_moved(&run), "{after}");
        assert_eq!(
            (logins(&run), ends(&run)),
            (vec![ms(70)], vec![]),
            "{after}: there is only one session"
        );
    }
}
