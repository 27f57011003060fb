//! Benchmark of the engines: a table of measured values and their targets. `cargo xtask bench` builds and
//! runs it in release mode. The exit status is 0 if every target is reached.
//!
//! Each value is the median of several rounds, so that a single disturbance has no effect. Runs per second
//! and core use the processor time of the thread, if the system provides it. So a busy machine has little
//! effect.

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use sandhog_lab::setup::Setup;
use sandhog_sim::{Detail, Engine, RunOptions, Scenario, run_setup};

const ROUNDS: usize = 5;
/// Shortest duration of a round. Runs are repeated with the next seed until then.
const ROUND: Duration = Duration::from_millis(600);

/// An idle tunnel: a login, one day of keepalives and rekeys, and a final ping.
const IDLE: &str = include_str!("../../scenarios/idle.toml");

/// Rates of one round.
#[derive(Clone, Copy)]
struct Rates {
    /// Runs per second of processor time.
    runs: f64,
    /// Simulated seconds per second of processor time.
    simulated: f64,
    /// Simulated seconds per second of wall-clock time.
    simulated_wall: f64,
}

/// A measured value and its target, if there is one.
struct Figure {
    what: &'static str,
    value: f64,
    target: Option<f64>,
}

impl Figure {
    fn reached(&self) -> bool {
        self.target.is_none_or(|target| self.value >= target)
    }
}

/// Processor time of this thread: the first number of its schedstat (nanoseconds) on Linux, wall-clock time
/// elsewhere.
fn processor_time(since: Instant) -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    nanos.map_or_else(|| since.elapsed(), Duration::from_nanos)
}

fn round(setup: &Setup, engine: Engine) -> Rates {
    let (wall, processor) = (Instant::now(), processor_time(Instant::now()));
    let (mut runs, mut simulated) = (0_u64, 0.0);
    while runs == 0 || wall.elapsed() < ROUND {
        let options = RunOptions {
            seed: runs,
            engine,
            detail: Detail::Digest,
            ..RunOptions::default()
        };
        let run = run_setup(setup, &options).unwrap_or_else(|error| panic!("{error}"));
        assert!(run.passed, "seed {runs} fails, so its speed is meaningless");
        simulated += run.end.as_nanos() as f64 / 1e9;
        runs += 1;
    }
    let processor = (processor_time(wall).saturating_sub(processor)).as_secs_f64();
    Rates {
        runs: runs as f64 / processor,
        simulated: simulated / processor,
        simulated_wall: simulated / wall.elapsed().as_secs_f64(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of one rate over all rounds.
fn over(rounds: &[Rates], rate: impl Fn(&Rates) -> f64) -> f64 {
    median(rounds.iter().map(rate).collect())
}

fn figures() -> Vec<Figure> {
    let builtin = |name: &str| {
        let scenario = Scenario::builtin(name);
        scenario
            .unwrap_or_else(|| panic!("there is no scenario `{name}`"))
            .setup()
    };
    let (standard, bulk) = (builtin("standard"), builtin("bulk"));
    let idle = Scenario::parse("idle.toml", IDLE, &|name| {
        Err(format!("there is no file `{name}`"))
    });
    let idle = idle.unwrap_or_else(|error| panic!("{error}")).setup();
    // Event and turmoil alternate, so that a disturbance affects both.
    let (mut event, mut turmoil) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        event.push(round(&standard, Engine::Event));
        turmoil.push(round(&standard, Engine::Turmoil));
    }
    let rounds = |scenario| {
        (0..ROUNDS)
            .map(|_| round(scenario, Engine::Event))
            .collect::<Vec<_>>()
    };
    let (event_runs, turmoil_runs) = (
        over(&event, |rates| rates.runs),
        over(&turmoil, |rates| rates.runs),
    );
    let (bulk, idle) = (rounds(&bulk), rounds(&idle));
    let figure = |what, value, target| Figure { what, value, target };
    vec![
        figure(
            "standard, event engine: runs per second and core",
            event_runs,
            Some(500.0),
        ),
        figure(
            "standard, turmoil engine: runs per second and core",
            turmoil_runs,
            None,
        ),
        figure(
            "standard: event engine over turmoil engine",
            event_runs / turmoil_runs,
            Some(20.0),
        ),
        figure(
            "standard, event engine: simulated seconds per second",
            over(&event, |rates| rates.simulated),
            None,
        ),
        figure(
            "bulk, event engine: simulated seconds per wall second",
            over(&bulk, |rates| rates.simulated_wall),
            Some(5.0),
        ),
        figure(
            "idle tunnel for a day: simulated seconds per wall second",
            over(&idle, |rates| rates.simulated_wall),
            // A day in half a second.
            Some(172_800.0),
        ),
    ]
}

fn main() -> ExitCode {
    let figures = figures();
    println!("{:<58}{:>14}{:>10}", "figure", "measured", "target");
    for figure in &figures {
        let target = figure
            .target
            .map_or_else(|| "-".to_owned(), |target| format!("{target:.0}"));
        let verdict = match (figure.target, figure.reached()) {
            (None, _) => "",
            (Some(_), true) => "  reached",
            (Some(_), false) => "  NOT REACHED",
        };
        println!("{:<58}{:>14.1}{target:>10}{verdict}", figure.what, figure.value);
    }
    match figures.iter().all(Figure::reached) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
