//! Tapes: recording, replay in both engines, text and compact form, and faults of hosts.

use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_lab::replay::{record, replay};
use sandhog_lab::setup::Setup;
use sandhog_lab::tape::{Address, Entry, Fault, Tape};
use sandhog_lab::{Engine, Run, RunOptions};
use sandhog_peer::Instant;

use crate::support::{CLIENT, SERVER, arq};

/// The setup of the example protocol over links with every random fault.
fn noisy() -> Setup {
    let mut setup = arq();
    let link = "delay 20ms 15ms, loss 20%, duplicate 20%, corrupt 20%";
    setup.links = vec![
        (SERVER, CLIENT, link.parse().unwrap()),
        (CLIENT, SERVER, link.parse().unwrap()),
    ];
    setup.expectations.clear();
    setup
}

fn options(seed: u64, engine: Engine) -> RunOptions {
    RunOptions {
        seed,
        engine,
        ..RunOptions::default()
    }
}

fn entry(line: &str) -> Entry {
    line.parse().unwrap()
}

/// A tape of the setup `test` with seed 1 and these faults.
fn tape(lines: &[&str]) -> Tape {
    Tape {
        setup: "test".into(),
        seed: 1,
        entries: lines.iter().map(|line| entry(line)).collect(),
    }
}

/// A replay of these faults in both engines, which must agree.
#[track_caller]
fn replayed(setup: &Setup, lines: &[&str]) -> Run {
    let tape = tape(lines);
    let event = replay(setup, &tape, &options(1, Engine::Event)).unwrap();
    let turmoil = replay(setup, &tape, &options(1, Engine::Turmoil)).unwrap();
    assert_eq!(event.run.digest, turmoil.run.digest, "both engines");
    assert_eq!(event.divergence, None);
    event.run
}

/// The times at which the client received datagrams of this kind.
fn arrivals(run: &Run, kind: &str) -> Vec<u128> {
    let arrivals = run.records.iter().filter(|record| {
        record.host == Some(CLIENT)
            && matches!(&record.kind, RecordKind::Received { kind: found, .. } if *found == kind)
    });
    arrivals
        .map(|record| u128::from(record.at.as_nanos()) / 1_000_000)
        .collect()
}

#[test]
fn a_replay_of_a_recorded_seed_has_the_same_digest_in_both_engines() {
    let setup = noisy();
    for seed in 1..=20 {
        let (run, tape) = record(&setup, &options(seed, Engine::Event)).unwrap();
        assert!(!tape.entries.is_empty());
        for engine in [Engine::Event, Engine::Turmoil] {
            let replay = replay(&setup, &tape, &options(0, engine)).unwrap();
            assert_eq!(replay.run.digest, run.digest, "seed {seed}");
            assert_eq!((replay.divergence, &replay.tape), (None, &tape));
        }
    }
}

#[test]
fn both_forms_of_a_tape_can_be_read_again() {
    let (_, tape) = record(&noisy(), &options(3, Engine::Event)).unwrap();
    assert_eq!(tape.to_string().parse::<Tape>().unwrap(), tape);
    assert_eq!(Tape::from_compact(&tape.to_compact()).unwrap(), tape);
}

#[test]
fn fifty_faults_fit_into_two_thousand_characters() {
    let (_, mut tape) = record(&noisy(), &options(3, Engine::Event)).unwrap();
    let entry = tape.entries[0].clone();
    tape.entries.resize(50, entry);
    let compact = tape.to_compact();
    assert!(compact.len() <= 2000, "{}", compact.len());
}

#[test]
fn every_cut_of_a_compact_tape_is_an_error() {
    let (_, tape) = record(&noisy(), &options(3, Engine::Event)).unwrap();
    let compact = tape.to_compact();
    for len in 0..compact.len() {
        assert!(Tape::from_compact(&compact[..len]).is_err(), "{len}");
    }
}

#[test]
fn every_cut_line_of_a_tape_is_an_error_with_its_line() {
    let (_, tape) = record(&noisy(), &options(3, Engine::Event)).unwrap();
    let text = tape.to_string();
    let lines: Vec<&str> = text.lines().collect();
    for len in 1..lines.len() {
        let error = lines[..len].join("\n").parse::<Tape>().unwrap_err();
        assert_eq!(error.line, Some(len + 1));
        assert_eq!(
            error.message,
            "the tape ends without the line `end`; it may be cut"
        );
    }
}

#[test]
fn mistakes_in_a_tape_are_named_with_their_line() {
    let with = |line: &str| format!("sandhog tape 1\nscenario test\nseed 1\n{line}\nend\n");
    let cases = [
        (
            "sandhog tape 2\n".to_owned(),
            "line 1: the tape has version 2, but this program reads version 1; use the program that recorded it",
        ),
        (
            "scenario test\n".to_owned(),
            "line 1: this is not a tape; the first line of a tape is `sandhog tape 1`",
        ),
        (
            "sandhog tape 1\nscenario test\nseed x\nend\n".to_owned(),
            "line 3: `x` is not a seed; expected a number below 2^64",
        ),
        (
            with("a→b data #1: swop"),
            "line 4: `swop` is not a fault; did you mean `swap`?",
        ),
        (
            with("a→b data #0: drop"),
            "line 4: `a→b data #0`: datagrams are numbered from 1",
        ),
        (
            with("a b data #1: drop"),
            "line 4: `a b data #1`: expected `SENDER→RECEIVER KIND #N` or `SENDER→RECEIVER KIND from #N`",
        ),
        (
            with("a→b data #1: late 5"),
            "line 4: `5`: expected a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)",
        ),
        (
            with("a→b data #1: rebind a to x"),
            "line 4: `x` is not an address with a port, like `192.0.2.1:4000`",
        ),
        (with("end"), "line 5: nothing may follow `end`"),
    ];
    for (text, expected) in cases {
        assert_eq!(text.parse::<Tape>().unwrap_err().to_string(), expected);
    }
}

#[test]
fn a_tape_of_another_setup_is_an_error() {
    let tape = Tape {
        setup: "other".into(),
        ..tape(&[])
    };
    let error = replay(&arq(), &tape, &RunOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the tape is of the scenario `other`, and this scenario is `test`"
    );
}

#[test]
fn a_tape_with_an_unknown_host_is_an_error() {
    let tape = tape(&["clint→server data #1: drop"]);
    let error = replay(&arq(), &tape, &RunOptions::default()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "fault 1: there is no host `clint`; did you mean `client`?"
    );
}

#[test]
fn a_dropped_datagram_is_lost() {
    let run = replayed(&arq(), &["client→server data #1: drop"]);
    assert_eq!(run.counters["lost.random"], 1);
    assert!(run.passed, "{:?}", run.checks);
}

#[test]
fn a_doubled_datagram_arrives_twice() {
    let run = replayed(&arq(), &["server→client data #1: double"]);
    let times = arrivals(&run, "data");
    assert_eq!(times[0], times[1]);
}

#[test]
fn a_late_datagram_arrives_later() {
    let first = arrivals(&replayed(&arq(), &[]), "data")[0];
    let late = arrivals(&replayed(&arq(), &["server→client data #1: late 70ms"]), "data")[0];
    assert_eq!(late, first + 70);
}

#[test]
fn a_held_datagram_arrives_at_the_given_time() {
    let times = arrivals(
        &replayed(&arq(), &["server→client data from #1: hold until 3s"]),
        "data",
    );
    assert!(
        times.len() >= 3 && times.iter().take(2).all(|time| *time == 3000),
        "{times:?}"
    );
}

#[test]
fn a_swapped_datagram_arrives_after_the_next_one_of_its_direction() {
    let tape = tape(&["client→server hello #1: swap"]);
    let replay = replay(&arq(), &tape, &options(1, Engine::Event)).unwrap();
    let order = |run: &Run| -> Vec<u64> {
        let flights = run.records.iter().filter(|record| {
            record.host == Some(SERVER) && matches!(record.kind, RecordKind::Received { .. })
        });
        let sent = |cause: u64| run.records[cause as usize - 1].cause;
        flights.map(|record| sent(record.cause)).collect()
    };
    let sent = order(&replay.run);
    assert!(sent[0] > sent[1], "{sent:?}");
}

#[test]
fn a_flipped_bit_changes_the_datagram() {
    let run = replayed(&arq(), &["server→client data #1: flip bit 3"]);
    let corrupted = |kind: &RecordKind| matches!(kind, RecordKind::Flight { corrupted: true, .. });
    assert_eq!(
        run.records
            .iter()
            .filter(|record| corrupted(&record.kind))
            .count(),
        1
    );
}

#[test]
fn a_rebinding_changes_the_source_of_its_datagram() {
    let run = replayed(
        &arq(),
        &["client→server data #2: rebind client to 192.0.2.2:5000"],
    );
    let rebound = run
        .records
        .iter()
        .position(|record| matches!(record.kind, RecordKind::Rebound { .. }))
        .unwrap();
    let RecordKind::Sent { nth, .. } = run.records[rebound - 1].kind else {
        panic!("{:?}", run.records[rebound - 1])
    };
    assert_eq!(nth, 2);
}

#[test]
fn a_crashed_host_restarts_after_the_given_time() {
    let run = replayed(&arq(), &["client→server data #2: crash server for 500ms"]);
    let boots = run
        .records
        .iter()
        .filter(|record| record.host == Some(SERVER) && matches!(record.kind, RecordKind::Boot { .. }));
    let boots: Vec<Instant> = boots.map(|record| record.at).collect();
    let crash = run
        .records
        .iter()
        .find(|record| matches!(&record.kind, RecordKind::Fault { text } if text.contains("crashes")));
    assert_eq!(boots[1], crash.unwrap().at + Duration::from_millis(500));
}

#[test]
fn a_replay_names_the_first_entry_that_no_longer_fits() {
    let setup = arq();
    let tape = tape(&["client→server data #1: late 1ms", "client→server data #900: drop"]);
    let divergence = replay(&setup, &tape, &RunOptions::default())
        .unwrap()
        .divergence
        .unwrap();
    assert_eq!(
        divergence.to_string(),
        "fault 2: client→server data #900 was never sent"
    );
    let address = Address {
        nth: 900,
        ..entry("client→server data #1: drop").datagrams
    };
    assert_eq!((divergence.entry, divergence.datagrams), (2, address));
}

#[test]
fn a_replay_names_an_entry_whose_datagram_was_sent_at_another_time() {
    let (run, mut tape) = record(&noisy(), &options(5, Engine::Event)).unwrap();
    tape.entries.insert(
        0,
        Entry {
            fault: Fault::Late(Duration::from_millis(40)),
            ..tape.entries[0].clone()
        },
    );
    let replay = replay(&noisy(), &tape, &RunOptions::default()).unwrap();
    assert_ne!(replay.run.digest, run.digest);
    assert!(
        replay
            .divergence
            .unwrap()
            .to_string()
            .contains(" on the tape, but ")
    );
}
