//! Equal traces of the same run: event engine and turmoil engine, first and second run, this machine and the
//! committed digests. On WebAssembly the same tests compare the same digests.
//!
//! Only a few seeds each, so that the suite stays fast. `cargo xtask equality` uses 50.

use sandhog_lab::explain::{Trace, difference};
use sandhog_sim::{Detail, Engine, Run};
use sandhog_tests::{Line, run};

/// Fails with the first difference of two runs and its causes.
#[track_caller]
fn same(left: (&str, &Run), right: (&str, &Run)) {
    let ((left_name, left), (right_name, right)) = (left, right);
    if left.digest == right.digest {
        return;
    }
    let trace = |run: &Run| Trace::of(run).expect("a run with all records has a trace");
    let difference = difference(&trace(left), &trace(right));
    let text = difference.map_or_else(|| "no record differs".to_owned(), |found| found.to_string());
    panic!("the digests of A ({left_name}) and B ({right_name}) differ\n{text}");
}

mod event_equals_turmoil {
    use super::*;

    fn check(name: &str) {
        for seed in 0..2 {
            let [event, turmoil] =
                [Engine::Event, Engine::Turmoil].map(|engine| run(name, seed, engine, Detail::Full));
            same(("event", &event), ("turmoil", &turmoil));
        }
    }
    crate::for_every_scenario!(check);
}

mod run_equals_rerun {
    use super::*;

    fn check(name: &str) {
        let [first, second] = [1, 2].map(|_| run(name, 7, Engine::Event, Detail::Full));
        same(("first", &first), ("second", &second));
    }
    crate::for_every_scenario!(check);
}

mod digest_equals_the_committed_one {
    use super::*;

    fn check(name: &str) {
        for seed in 0..3 {
            let committed = Line::committed(name, seed);
            let committed = committed
                .unwrap_or_else(|| panic!("no committed digest for {name} {seed}: run `cargo xtask bless`"));
            assert_eq!(Line::of_run(name, seed, Engine::Event), committed);
        }
    }
    crate::for_every_scenario!(check);
}

#[test]
fn the_digest_does_not_depend_on_the_detail_of_the_trace() {
    let [full, digest] =
        [Detail::Full, Detail::Digest].map(|detail| run("first-light", 3, Engine::Event, detail).digest);
    assert_eq!(full, digest);
}

#[test]
fn different_seeds_give_different_digests() {
    assert_ne!(
        Line::of_run("first-light", 1, Engine::Event).digest,
        Line::of_run("first-light", 2, Engine::Event).digest
    );
}
