//! Scheduled faults on the first datagrams of a tunnel, all of them: rows 4 to 6.

use std::time::Duration;

use sandhog_lab::Pick;
use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::Setup;
use sandhog_lab::values::Span;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, run_setup};

use crate::support::{ALICE, ends, logins, ms, pings, run_both, scenario, started};

/// How many datagrams of each direction faults are tried on: the login, the ping and its answer, and packets.
const DATAGRAMS: u64 = 6;

/// What happens to a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Drop,
    Double,
    /// It arrives after the one behind it.
    Swap,
    Late,
    Damage,
}

const KINDS: [Kind; 5] = [Kind::Drop, Kind::Double, Kind::Swap, Kind::Late, Kind::Damage];

#[derive(Clone, Copy, Debug)]
struct Fault {
    /// 0: from Alice to the server; 1: back.
    direction: usize,
    nth: u64,
    kind: Kind,
}

impl Fault {
    fn apply(self, links: &mut [(u16, u16, LinkConfig)]) {
        let config = &mut links[self.direction].2;
        let late = |millis| Some(Span(Duration::from_millis(millis)));
        let (list, by) = match self.kind {
            Kind::Drop => (&mut config.drop, None),
            Kind::Double => (&mut config.double, None),
            Kind::Swap => (&mut config.late, late(250)),
            Kind::Late => (&mut config.late, late(1000)),
            Kind::Damage => (&mut config.damage, None),
        };
        list.push(Pick {
            nth: Some(self.nth),
            by,
            ..Pick::default()
        });
    }
}

fn faults(kinds: &[Kind]) -> Vec<Fault> {
    let places = (0..2).flat_map(|direction| (1..=DATAGRAMS).map(move |nth| (direction, nth)));
    places
        .flat_map(|(direction, nth)| {
            kinds.iter().map(move |kind| Fault {
                direction,
                nth,
                kind: *kind,
            })
        })
        .collect()
}

/// A tunnel with a packet each way every 200 ms.
fn undisturbed() -> Scenario {
    let mut scenario = scenario("10s", &pings(10, "200ms", 6), "delay = \"20ms\"", "");
    scenario.ends_early = true;
    scenario
}

/// Runs it with these faults; there must be one tunnel in the end, and all checks must hold.
#[track_caller]
fn run_with(setup: &Setup, faults: &[Fault]) -> Run {
    let mut setup = setup.clone();
    for fault in faults {
        fault.apply(&mut setup.links);
    }
    let options = RunOptions {
        seed: 7,
        engine: Engine::Event,
        detail: Detail::Full,
    };
    let run = run_setup(&setup, &options).unwrap();
    for check in &run.checks {
        assert!(check.passed, "{faults:?}: {}: {}", check.name, check.detail);
    }
    assert_eq!(logins(&run).len(), 1, "{faults:?}");
    assert_eq!(ends(&run), [], "{faults:?}");
    run
}

/// Each lost or damaged datagram costs a repeat, which comes 500 ms later at most; nothing else costs more.
#[track_caller]
fn is_up_in_time(run: &Run, faults: &[Fault]) {
    let (at, result) = started(run, ALICE).unwrap();
    let most = 121 + 501 * faults.len() as u64;
    assert!(
        result == "connected" && at <= ms(most),
        "{faults:?}: {result} at {at}"
    );
}

#[test]
fn whichever_single_datagram_is_lost_the_login_takes_one_repeat_longer_at_most() {
    let setup = undisturbed().setup();
    assert_eq!(
        started(&run_with(&setup, &[]), ALICE),
        Some((ms(120), "connected"))
    );
    let mut delayed = 0;
    for fault in faults(&[Kind::Drop]) {
        let run = run_with(&setup, &[fault]);
        is_up_in_time(&run, &[fault]);
        delayed += usize::from(started(&run, ALICE).unwrap().0 > ms(120));
    }
    assert_eq!(
        delayed, 6,
        "what comes after the settings is no matter of the login"
    );
}

#[test]
fn any_one_or_two_of_five_faults_on_the_first_twelve_datagrams_leave_one_tunnel_that_works() {
    let setup = undisturbed().setup();
    let all = faults(&KINDS);
    let mut runs = 0;
    for (index, first) in all.iter().enumerate() {
        is_up_in_time(&run_with(&setup, &[*first]), &[*first]);
        for second in &all[index + 1..] {
            let both = [*first, *second];
            is_up_in_time(&run_with(&setup, &both), &both);
            runs += 1;
        }
    }
    assert_eq!((all.len(), runs), (60, 1770));
}

#[test]
fn any_three_of_the_first_twelve_datagrams_may_be_lost_doubled_or_late() {
    let setup = undisturbed().setup();
    // What is damaged is lost, and what is swapped is late.
    let all = faults(&[Kind::Drop, Kind::Double, Kind::Late]);
    let mut runs = 0;
    for (one, first) in all.iter().enumerate() {
        for (two, second) in all.iter().enumerate().skip(one + 1) {
            for third in &all[two + 1..] {
                let three = [*first, *second, *third];
                is_up_in_time(&run_with(&setup, &three), &three);
                runs += 1;
            }
        }
    }
    assert_eq!((all.len(), runs), (36, 7140));
}

#[test]
fn both_engines_agree_on_the_first_of_every_message_lost() {
    let scenario = Scenario::builtin("drop-each-datagram").unwrap();
    for seed in 0..10 {
        let run = run_both(&scenario, seed);
        assert_eq!(
            run.counters["lost.scripted"], 7,
            "seed {seed}: the pong is never asked for twice"
        );
        assert_eq!(logins(&run).len(), 1);
    }
}

#[test]
fn of_four_thousand_logins_with_30_percent_lost_each_way_at_most_two_are_not_through_in_ten_seconds() {
    let mut scenario = scenario("10s", "", "delay = \"30ms 10ms\"\nloss = \"30%\"", "");
    scenario.ends_early = true;
    let mut setup = scenario.setup();
    setup.liveness = None;
    let failed = (0..4000).filter(|seed| {
        let options = RunOptions {
            seed: *seed,
            engine: Engine::Event,
            detail: Detail::Digest,
        };
        run_setup(&setup, &options).unwrap().outcome != "connected"
    });
    let failed: Vec<u64> = failed.collect();
    assert!(failed.len() <= 2, "{failed:?}");
}
