//! Search for failures: exhaustive, over seeds, and the smallest tape.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use sandhog_lab::replay::record;
use sandhog_lab::search::{
    Bounds, Certificate, Exhausted, FaultKind, Schedule, SearchError, Start, exhaust, shrink, verify,
};
use sandhog_lab::tape::Entry;
use sandhog_sim::{Detail, RunOptions, Scenario};

use crate::support::AliceAndServer;

fn setup(name: &str) -> sandhog_lab::setup::Setup {
    Scenario::builtin(name).unwrap().setup()
}

fn bounds(datagrams: u32, faults: u32) -> Bounds {
    Bounds {
        datagrams,
        faults,
        ..Bounds::default()
    }
}

fn search(name: &str, bounds: &Bounds) -> Exhausted {
    exhaust(&setup(name), bounds, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn schedules(found: &Exhausted) -> BTreeSet<Schedule> {
    found
        .failing
        .iter()
        .map(|failing| failing.schedule.clone())
        .collect()
}

/// A scenario that fails for every seed: no datagram arrives, but alice must be connected.
fn canary() -> sandhog_lab::setup::Setup {
    let hosts = AliceAndServer {
        duration: "12s",
        link: "loss = \"100%\"",
        ..AliceAndServer::default()
    };
    hosts.scenario().setup()
}

#[test]
fn the_search_finds_the_session_that_is_lost_by_a_rebinding() {
    let found = search("classic-clean-login", &bounds(12, 1));
    let rebind = |ordinal| Schedule(vec![(ordinal, FaultKind::Rebind)]);
    let failing = schedules(&found);
    assert!(
        failing.contains(&rebind(2)),
        "before the first packet: {failing:?}"
    );
    let answer = found.failing.iter().find(|failing| failing.schedule == rebind(3));
    assert_eq!(
        answer.unwrap().failure.primary,
        "P9 ping passes with faults off",
        "before the first answer"
    );
}

#[test]
fn no_fault_on_one_datagram_of_a_secure_login_ends_the_tunnel() {
    let found = search("clean-login", &bounds(12, 1));
    assert_eq!(schedules(&found), BTreeSet::new());
    let Certificate { runs, stopped, .. } = found.certificate;
    assert!(runs + stopped > 70);
}

#[test]
fn pruning_does_not_change_the_set_of_failing_schedules() {
    // On WebAssembly, a run takes about ten times as long.
    let (short, long) = if cfg!(target_family = "wasm") {
        (4, 8)
    } else {
        (8, 12)
    };
    for (datagrams, faults, kinds) in [
        (short, 2, FaultKind::ALL.to_vec()),
        (long, 3, vec![FaultKind::Drop, FaultKind::Rebind]),
    ] {
        let pruned = Bounds {
            kinds,
            ..bounds(datagrams, faults)
        };
        let full = Bounds {
            prune: false,
            ..pruned.clone()
        };
        let [pruned, full] = [pruned, full].map(|bounds| search("classic-clean-login", &bounds));
        assert_eq!(schedules(&pruned), schedules(&full));
        assert!(!pruned.failing.is_empty());
        let Certificate { runs, stopped, .. } = pruned.certificate;
        assert!(stopped > 0 && runs + stopped < full.certificate.runs);
        assert_eq!(full.certificate.stopped, 0);
    }
}

#[test]
fn a_certificate_survives_json_and_can_be_verified() {
    let found = search("clean-login", &bounds(4, 2));
    let text = found.certificate.to_json().to_string();
    let certificate = Certificate::from_json(&text).unwrap();
    assert_eq!(certificate, found.certificate);
    let verified = verify(&setup("clean-login"), &certificate, &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap();
    let started = certificate.runs + certificate.stopped;
    assert_eq!((verified.runs, verified.wrong), (started, Vec::new()));
}

#[test]
fn a_certificate_with_another_result_or_scenario_is_refused() {
    let certificate = search("clean-login", &bounds(4, 1)).certificate;
    let check = |certificate: &Certificate, name: &str| {
        verify(&setup(name), certificate, &mut |_| ControlFlow::Continue(()))
            .unwrap_err()
            .to_string()
    };
    let wrong = Certificate {
        failing: certificate.failing + 1,
        ..certificate.clone()
    };
    assert!(check(&wrong, "clean-login").contains("failing schedules, and the repeated search has"));
    assert_eq!(
        check(&certificate, "reconnect"),
        "the certificate is of the scenario `clean-login`, not of `reconnect`"
    );
}

#[test]
fn a_search_can_start_at_an_event_in_the_middle_of_a_run() {
    let from = |event: &str| Bounds {
        start: Start::Event(event.into()),
        kinds: vec![FaultKind::Rebind],
        ..bounds(1, 1)
    };
    let found = search("classic-clean-login", &from("started"));
    let (tape, _) = found
        .tapes
        .first()
        .expect("a rebinding before the first packet breaks the session");
    assert_eq!(tape.entries[0].datagrams.to_string(), "alice→server data #1");
    let setup = setup("clean-login");
    let error = exhaust(&setup, &from("nap"), &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run without faults has no record `nap`; the field `what` of trace.jsonl, which `run --out` writes, has their \
         names"
    );
}

#[test]
fn a_search_without_faults_or_with_a_failing_scenario_is_refused() {
    let refused = |setup, bounds| exhaust(&setup, &bounds, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(refused(setup("clean-login"), bounds(12, 0)), SearchError::Empty);
    let mut broken = setup("clean-login");
    broken.expectations[0].outcomes = vec!["connection-timed-out".into()];
    let error = refused(broken, bounds(2, 1));
    assert!(matches!(error, SearchError::Baseline(_)), "{error:?}");
}

#[test]
fn an_interrupted_search_is_not_complete() {
    let mut runs = 0;
    let found = exhaust(&setup("clean-login"), &bounds(12, 1), &mut |_| {
        runs += 1;
        if runs == 5 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let found = found.unwrap();
    assert!(!found.complete);
    assert_eq!(found.certificate.runs + found.certificate.stopped, 6);
}

#[test]
fn a_noisy_failure_shrinks_to_one_fault() {
    let setup = setup("classic-clean-login");
    let (_, mut tape) = record(&setup, &RunOptions::default()).unwrap();
    let rebind = "alice→server data #1: rebind alice to 198.51.100.2:50001";
    let harmless = (1..40).map(|number| format!("server→alice data #{number}: late 3ms"));
    let first = [
        "alice→server auth-request #1: double",
        "server→alice auth-response #1: late 4ms",
        rebind,
    ];
    let lines = first.into_iter().map(str::to_owned).chain(harmless);
    tape.entries
        .extend(lines.map(|line| line.parse::<Entry>().unwrap()));
    let shrunk = shrink(&setup, &tape).unwrap().expect("a failing tape");
    let entries = shrunk.tape.entries.iter();
    let entries: Vec<String> = entries
        .map(|entry| format!("{}: {}", entry.datagrams, entry.fault))
        .collect();
    assert_eq!(entries, [rebind]);
}

#[test]
fn the_canary_fails_without_any_fault() {
    let setup = canary();
    let (run, tape) = record(
        &setup,
        &RunOptions {
            detail: Detail::Digest,
            ..RunOptions::default()
        },
    )
    .unwrap();
    assert!(!run.passed);
    // Without the random loss of the link, only the drops of the tape remain, and the shrunk tape needs some of them.
    let shrunk = shrink(&setup, &tape).unwrap().expect("a failing tape");
    assert!(
        !shrunk.tape.entries.is_empty() && shrunk.tape.entries.len() <= 3,
        "{}",
        shrunk.tape
    );
}

#[cfg(not(target_family = "wasm"))]
mod seeds {
    use std::num::NonZeroUsize;

    use sandhog_lab::compare::Second;
    use sandhog_lab::search::{Family, Swarm, Sweep, SweepOptions, SweepRun, sweep};
    use sandhog_sim::Engine;

    use super::*;

    fn options(jobs: usize) -> SweepOptions {
        SweepOptions {
            seeds: 1..40,
            jobs: NonZeroUsize::new(jobs).unwrap(),
            engine: Engine::Event,
            swarm: None,
            second: None,
        }
    }

    fn swept(options: &SweepOptions, on_run: impl FnMut(&SweepRun) -> ControlFlow<()>) -> Sweep {
        sweep(&[setup("lossy-login"), setup("clean-login")], options, on_run).unwrap()
    }

    #[test]
    fn the_result_of_a_sweep_does_not_depend_on_the_number_of_threads() {
        let one = swept(&options(1), |_| ControlFlow::Continue(()));
        let four = swept(&options(4), |_| ControlFlow::Continue(()));
        assert_eq!(
            (one.runs, one.digest, one.end),
            (four.runs, four.digest, four.end)
        );
        assert_eq!(one.runs, 78);
    }

    #[test]
    fn a_sweep_that_ends_early_ends_after_a_whole_seed() {
        let mut runs = 0;
        let early = swept(&options(3), |_| {
            runs += 1;
            if runs >= 11 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((early.runs, early.end), (12, 7));
        let whole = SweepOptions {
            seeds: 1..7,
            ..options(1)
        };
        assert_eq!(early.digest, swept(&whole, |_| ControlFlow::Continue(())).digest);
    }

    #[test]
    fn every_failing_seed_of_the_canary_has_a_tape() {
        let result = sweep(&[canary()], &options(2), |_| ControlFlow::Continue(())).unwrap();
        assert_eq!(result.failing.len() as u64, result.runs);
        assert!(result.failing.iter().all(|seed| !seed.tape.entries.is_empty()));
    }

    #[test]
    fn each_family_of_a_swarm_is_used_in_about_half_of_the_seeds() {
        let swarm = Swarm {
            excluded: [Family::Loss].into(),
            mandatory: [Family::Outage].into(),
            ..Swarm::default()
        };
        let count = |family| {
            (0..1000)
                .filter(|seed| swarm.families(*seed).contains(&family))
                .count()
        };
        assert_eq!((count(Family::Loss), count(Family::Outage)), (0, 1000));
        for kind in FaultKind::ALL {
            assert!((430..570).contains(&count(Family::Single(kind))), "{kind}");
        }
    }

    #[test]
    fn an_unknown_user_looks_like_a_wrong_password_under_random_faults() {
        let options = SweepOptions {
            swarm: Some(Swarm::default()),
            second: Some(Second::Twin(Box::new(setup("unknown-user")))),
            ..options(1)
        };
        let result = sweep(
            &[setup("wrong-password")],
            &options,
            |_| ControlFlow::Continue(()),
        )
        .unwrap();
        let failed = |name: &str| {
            let mut failing = result.failing.iter();
            failing.find(|seed| seed.failure.checks.keys().any(|check| check.starts_with(name)))
        };
        assert!(failed("P10 ").is_none(), "{:?}", failed("P10 "));
    }

    #[test]
    fn a_swarm_finds_the_session_that_is_lost_by_a_rebinding() {
        let rebind = Family::Single(FaultKind::Rebind);
        let swarm = Swarm {
            mandatory: [rebind].into(),
            excluded: Family::all()
                .into_iter()
                .filter(|family| *family != rebind)
                .collect(),
            ..Swarm::default()
        };
        let options = SweepOptions {
            seeds: 1..20,
            swarm: Some(swarm),
            ..options(1)
        };
        let setup = setup("classic-clean-login");
        let result = sweep(std::slice::from_ref(&setup), &options, |_| {
            ControlFlow::Continue(())
        })
        .unwrap();
        let failing = result.failing.first().expect("a failing seed");
        let shrunk = shrink(&setup, &failing.tape).unwrap().unwrap();
        let [entry] = &shrunk.tape.entries[..] else {
            panic!("{}", shrunk.tape)
        };
        assert!(
            entry.fault.to_string().starts_with("rebind alice"),
            "{}",
            shrunk.tape
        );
    }
}
