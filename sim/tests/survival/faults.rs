//! All schedules of a few faults on the first datagrams of a tunnel: rows 4 to 6.

use std::time::Duration;

use sandhog_lab::Pick;
use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::Setup;
use sandhog_lab::values::Span;
use sandhog_sim::{Detail, Run, RunOptions, Scenario, run_setup};

use super::scenario;
use crate::support::{ALICE, ends, logins, ms, pings, run_any, run_both, started};

/// Number of datagrams with faults in each direction: those of the login, the ping and the pong, and some packets.
const DATAGRAMS: u64 = 6;

/// Kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Drop,
    Double,
    /// The datagram arrives after the next one.
    Swap,
    Late,
    Damage,
}

const KINDS: [Kind; 5] = [Kind::Drop, Kind::Double, Kind::Swap, Kind::Late, Kind::Damage];

#[derive(Clone, Copy, Debug)]
struct Fault {
    /// 0: from alice to the server. 1: from the server to alice.
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

/// A tunnel without faults, and a packet in each direction every 200 ms.
fn without_faults() -> Scenario {
    let mut scenario = scenario("10s", &pings(10, "200ms", 6), "delay = \"20ms\"", "");
    scenario.ends_early = true;
    scenario
}

/// Distance between two runs of a test with thousands of runs. On WebAssembly, where a run takes about ten times as long as
/// natively, such a test takes a sample. The equality of the digests shows that both targets run alike.
const STRIDE: usize = if cfg!(target_family = "wasm") { 10 } else { 1 };

/// Runs the setup with these faults. All checks must pass, and there must be one login.
#[track_caller]
fn run_with(setup: &Setup, faults: &[Fault]) -> Run {
    let mut setup = setup.clone();
    for fault in faults {
        fault.apply(&mut setup.links);
    }
    let run = run_any(&setup, 7);
    for check in &run.checks {
        assert!(check.passed, "{faults:?}: {}: {}", check.name, check.detail);
    }
    assert_eq!(logins(&run).len(), 1, "{faults:?}");
    assert_eq!(ends(&run), [], "{faults:?}");
    run
}

/// Checks the time of the login. Each fault may delay it by one retransmission, which is at most 500 ms later.
#[track_caller]
fn is_up_in_time(run: &Run, faults: &[Fault]) {
    let (at, result) = started(run, ALICE).unwrap();
    let max = 121 + 501 * faults.len() as u64;
    assert!(
        result == "connected" && at <= ms(max),
        "{faults:?}: {result} at {at}"
    );
}

#[test]
fn a_single_lost_datagram_delays_the_login_by_at_most_one_retransmission() {
    let setup = without_faults().setup();
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
    assert_eq!(delayed, 6, "datagrams after the settings do not delay the login");
}

#[test]
fn one_or_two_faults_on_the_first_twelve_datagrams_leave_one_working_tunnel() {
    let setup = without_faults().setup();
    let all = faults(&KINDS);
    let mut pairs = Vec::new();
    for (index, first) in all.iter().enumerate() {
        is_up_in_time(&run_with(&setup, &[*first]), &[*first]);
        pairs.extend(all[index + 1..].iter().map(|second| [*first, *second]));
    }
    assert_eq!((all.len(), pairs.len()), (60, 1770));
    for pair in pairs.iter().step_by(STRIDE) {
        is_up_in_time(&run_with(&setup, pair), pair);
    }
}

#[test]
fn three_of_the_first_twelve_datagrams_may_be_lost_duplicated_or_late() {
    let setup = without_faults().setup();
    // A damaged datagram is lost, and a swapped datagram is late.
    let all = faults(&[Kind::Drop, Kind::Double, Kind::Late]);
    let mut triples = Vec::new();
    for (one, first) in all.iter().enumerate() {
        for (two, second) in all.iter().enumerate().skip(one + 1) {
            triples.extend(all[two + 1..].iter().map(|third| [*first, *second, *third]));
        }
    }
    assert_eq!((all.len(), triples.len()), (36, 7140));
    for triple in triples.iter().step_by(STRIDE) {
        is_up_in_time(&run_with(&setup, triple), triple);
    }
}

#[test]
fn both_engines_agree_if_the_first_datagram_of_each_message_is_lost() {
    let scenario = Scenario::builtin("drop-each-datagram").unwrap();
    for seed in 0..10 {
        let run = run_both(&scenario.setup(), seed);
        assert_eq!(
            run.counters["lost.scripted"], 8,
            "seed {seed}: each message is repeated, the first ping too"
        );
        assert_eq!(logins(&run).len(), 1);
    }
}

#[test]
fn at_most_2_of_4000_logins_fail_with_30_percent_loss_in_each_direction() {
    let mut scenario = scenario("10s", "", "delay = \"30ms 10ms\"\nloss = \"30%\"", "");
    scenario.ends_early = true;
    let mut setup = scenario.setup();
    setup.liveness = None;
    let failed = (0..4000).step_by(STRIDE).filter(|seed| {
        let options = RunOptions {
            seed: *seed,
            detail: Detail::Digest,
            ..RunOptions::default()
        };
        run_setup(&setup, &options).unwrap().outcome != "connected"
    });
    let failed: Vec<u64> = failed.collect();
    assert!(failed.len() <= 2, "{failed:?}");
}
