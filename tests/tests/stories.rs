//! The story of every built-in scenario as a snapshot: a change of behaviour shows in a diff that reads like prose. And
//! whatever the seed, every check of it holds.

use sandhog_sim::{Detail, Engine, report};

fn check(name: &str) {
    let run = sandhog_tests::run(name, 7, Engine::Event, Detail::Full);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(format!("story@{name}"), report::story(&run)));
}
crate::for_every_scenario!(check);

mod passes_with_every_committed_seed {
    use super::{Detail, Engine};

    #[track_caller]
    fn check(name: &str) {
        for seed in 0..50 {
            let run = sandhog_tests::run(name, seed, Engine::Event, Detail::Digest);
            for check in &run.checks {
                assert!(
                    check.passed,
                    "{name}, seed {seed}, {}: {}",
                    check.name, check.detail
                );
            }
        }
    }
    crate::for_every_scenario!(check);
}
