//! Floods, old cookies, late replays and datagrams of every length: rows 24, 26 to 28 and 40.

use std::collections::BTreeMap;
use std::fmt::Write;

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_sim::{Detail, Engine, Run, RunOptions, run_setup};

use crate::support::{
    ALICE, SERVER, consequences, ends, logins, mallory, ms, pings, records, run, run_both, run_builtin,
    scenario, sent,
};

const MALLORY: HostId = 2;

/// What became of each datagram of Mallory's that arrived at `host`.
fn reception(run: &Run, host: HostId) -> Vec<Vec<&RecordKind>> {
    let arrived = records(run, host, |what| {
        matches!(what, RecordKind::Received { from: MALLORY, .. })
    });
    arrived
        .map(|record| consequences(run, record.id).collect())
        .collect()
}

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

fn is_moved(run: &Run) -> bool {
    run.records
        .iter()
        .any(|record| matches!(record.kind, RecordKind::Roamed { .. }))
}

#[test]
fn a_datagram_of_any_length_under_a_copied_header_is_dropped_by_both_sides() {
    // Beyond the tunnel's MTU with all that sealing costs.
    const LONGEST: u32 = 1420 + 29 + 1;
    let mut acts = String::new();
    for (victim, source) in [("server", "alice"), ("alice", "server")] {
        for size in 0..=LONGEST {
            let at = 1000 + size * 2;
            let _ = write!(
                acts,
                "[[adversary.do]]\ninject = {{ to = \"{victim}\", from = \"{source}\", bytes = \"copied-header\", \
                 size = {size}, at = \"{at}ms\" }}\n"
            );
        }
    }
    let run = run(
        &Setup::of(&scenario(
            "6s",
            &pings(20, "250ms", 20),
            "delay = \"20ms\"",
            &mallory(&acts),
        )),
        7,
    );
    for host in [SERVER, ALICE] {
        let reception = reception(&run, host);
        assert_eq!(reception.len(), LONGEST as usize + 1);
        for (size, came) in reception.iter().enumerate() {
            assert!(
                matches!(came[..], [RecordKind::Dropped { .. }]),
                "{size} bytes: {came:?}"
            );
        }
    }
    assert!(!is_moved(&run));
    assert_eq!(logins(&run).len(), 1);
}

#[test]
fn fifty_thousand_first_messages_a_second_from_everywhere_cost_an_honest_login_no_millisecond() {
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
    let mut setup = Setup::of(&scenario(
        "2s",
        "",
        "delay = \"20ms\"",
        &format!(
            "{rest}{}",
            mallory(
                "[[adversary.do]]\nflood = { to = \"server\", kind = \"login\", rate = 50000, for = \"1s\", at = \"1s\" }\n",
            )
        ),
    ));
    setup.ends_when_done = true;
    for seed in 0..2 {
        let options = RunOptions {
            seed,
            engine: Engine::Event,
            detail: Detail::Digest,
        };
        let run = run_setup(&setup, &options).unwrap();
        for check in &run.checks {
            assert!(check.passed, "seed {seed}: {}: {}", check.name, check.detail);
        }
        assert_eq!(run.counters["mallory.sent"], 50_000);
    }
}

#[test]
fn a_server_that_hears_nothing_for_a_while_has_never_sent_more_than_it_was_sent() {
    for seed in 0..10 {
        let run = run_builtin("amplification", seed);
        let mut owed = 0;
        for record in run.records.iter().filter(|record| record.host == Some(SERVER)) {
            match record.kind {
                RecordKind::Received { len, .. } => owed += len,
                RecordKind::Sent { len, kind, .. } if kind != "data" => {
                    assert!(len <= owed, "seed {seed}: {kind} at {}", record.at);
                    owed -= len;
                }
                _ => {}
            }
        }
        assert_eq!(run.counters["lost.scripted"], 6);
    }
}

#[test]
fn a_cookie_that_is_old_or_of_another_address_brings_another_cookie_and_nothing_else() {
    let scenario = |after: &str, from: &str| {
        let act = format!(
            "[[adversary.do]]\nreplay = {{ kind = \"login-cookie\", nth = 1, after = \"{after}\"{from} }}\n"
        );
        scenario("60s", &pings(10, "5s", 10), "delay = \"20ms\"", &mallory(&act))
    };
    let elsewhere = ", from = \"203.0.113.77:50000\"";
    let other_port = ", from = \"198.51.100.2:50001\"";
    for (after, from, answers) in [
        ("100ms", "", false), // the same KE1 under the same cookie has had its answer
        ("31s", "", true),
        ("50s", "", true),
        ("100ms", elsewhere, true),
        ("100ms", other_port, true),
        ("31s", elsewhere, true),
    ] {
        let run = run_both(&scenario(after, from), 7);
        let reception = reception(&run, SERVER);
        let [came] = &reception[..] else {
            panic!("{reception:?}")
        };
        let is_cookie = matches!(came[..], [RecordKind::Sent { kind: "cookie", .. }]);
        let is_dropped = matches!(came[..], [RecordKind::Dropped { .. }]);
        assert!(
            if answers { is_cookie } else { is_dropped },
            "{after} {from}: {came:?}"
        );
        assert_eq!((sent(&run, SERVER, "ke2").len(), logins(&run).len()), (1, 1));
    }
}

#[test]
fn what_comes_again_after_a_millisecond_or_five_minutes_is_refused_and_moves_nothing() {
    // Counted from the sending; the original arrives 10 ms after it, the copy 1 ms after the copying.
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
        let mut refused = BTreeMap::new();
        for host in [SERVER, ALICE] {
            for came in reception(&run, host) {
                let reason = match came[..] {
                    [RecordKind::Dropped { reason }] => *reason,
                    // Without a cookie of that address, a login is asked for one.
                    [RecordKind::Sent { kind: "cookie", .. }, ..] => "cookie",
                    _ => panic!("{after}: {came:?}"),
                };
                *refused.entry(reason).or_insert(0) += 1;
            }
        }
        assert!(refused.values().sum::<u32>() > 40, "{after}: {refused:?}");
        assert!(!is_moved(&run), "{after}");
        assert_eq!(
            (logins(&run), ends(&run)),
            (vec![ms(70)], vec![]),
            "{after}: one session, all the time"
        );
    }
}
