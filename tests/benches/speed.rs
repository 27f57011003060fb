//! Criterion benchmark of the engines: the same runs as `cargo xtask bench`, with statistics for a close look
//! at one change. `cargo bench --package sandhog-tests`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use sandhog_sim::{Detail, Engine, RunOptions, Scenario, run_setup};

/// Runs a built-in scenario with increasing seeds.
fn runs(criterion: &mut Criterion, name: &str, engine: Engine) {
    let scenario =
        Scenario::builtin(name).unwrap_or_else(|| panic!("there is no built-in scenario `{name}`"));
    let setup = scenario.setup();
    let mut seed = 0;
    criterion.bench_function(&format!("{name}/{}", engine.name()), |bencher| {
        bencher.iter(|| {
            seed += 1;
            black_box(run_setup(
                &setup,
                &RunOptions {
                    seed,
                    engine,
                    detail: Detail::Digest,
                    ..RunOptions::default()
                },
            ))
        });
    });
}

fn standard(criterion: &mut Criterion) {
    runs(criterion, "standard", Engine::Event);
    runs(criterion, "standard", Engine::Turmoil);
}

fn bulk(criterion: &mut Criterion) {
    runs(criterion, "bulk", Engine::Event);
}

criterion_group! {
    name = speed;
    config = Criterion::default().sample_size(20);
    targets = standard, bulk
}
criterion_main!(speed);
