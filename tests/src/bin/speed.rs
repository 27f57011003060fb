//! The speed of the engines, as a table, each figure beside what is promised of it. `cargo xtask bench` builds this in
//! release and runs it; the exit status is 0 when every promise is kept.
//!
//! A figure is the median of several rounds, so that one disturbance does not decide it. Runs per second and core are counted
//! against the processor time of the one thread that runs them, where the system tells it; a busy machine then changes
//! them little.

use std::{
    fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use sandhog_sim::{Detail, Engine, RunOptions, Scenario, run_setup, setup::Setup};

const ROUNDS: usize = 5;
/// How long a round lasts at least; runs are repeated with the next seed until then.
const ROUND: Duration = Duration::from_millis(600);

/// A tunnel with nothing to do: a login, a day of keepalives and changes of keys, and a ping that shows it is still there.
const IDLE: &str = include_str!("../../scenarios/idle.toml");

/// What one round did, per second.
#[derive(Clone, Copy)]
struct Rates {
    /// Runs per second of processor time.
    runs: f64,
    /// Simulated seconds per second of processor time.
    simulated: f64,
    /// Simulated seconds per second on the clock of the wall.
    simulated_wall: f64,
}

/// A figure, and the least that is promised of it; `None` where nothing is.
struct Figure {
    what: &'static str,
    value: f64,
    promised: Option<f64>,
}

impl Figure {
    fn reached(&self) -> bool {
        self.promised.is_none_or(|promised| self.value >= promised)
    }
}

/// Processor time of this thread: the first number of its schedstat (nanoseconds), on Linux; elsewhere the wall's time.
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
        };
        let run = run_setup(setup, &options).unwrap_or_else(|error| panic!("{error}"));
        assert!(run.passed, "seed {runs} fails; its speed means nothing");
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

/// The median over rounds of one of the rates.
fn over(rounds: &[Rates], rate: impl Fn(&Rates) -> f64) -> f64 {
    median(rounds.iter().map(rate).collect())
}

fn figures() -> Vec<Figure> {
    let builtin = |name: &str| {
        Setup::of(&Scenario::builtin(name).unwrap_or_else(|| panic!("there is no scenario `{name}`")))
    };
    let (standard, bulk) = (builtin("standard"), builtin("bulk"));
    let idle = Scenario::parse("idle.toml", IDLE, &|name| {
        Err(format!("there is no file `{name}`"))
    });
    let idle = Setup::of(&idle.unwrap_or_else(|error| panic!("{error}")));
    // Event and turmoil take turns, so that whatever disturbs the machine disturbs both.
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
    let figure = |what, value, promised| Figure {
        what,
        value,
        promised,
    };
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
    println!("{:<58}{:>14}{:>10}", "figure", "measured", "promised");
    for figure in &figures {
        let promised = figure
            .promised
            .map_or_else(|| "-".to_owned(), |promised| format!("{promised:.0}"));
        let verdict = match (figure.promised, figure.reached()) {
            (None, _) => "",
            (Some(_), true) => "  reached",
            (Some(_), false) => "  NOT REACHED",
        };
        println!("{:<58}{:>14.1}{promised:>10}{verdict}", figure.what, figure.value);
    }
    match figures.iter().all(Figure::reached) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
