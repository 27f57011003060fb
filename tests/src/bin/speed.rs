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

/// The promise about a value.
#[derive(Clone, Copy)]
enum Target {
    None,
    AtLeast(f64),
    AtMost(f64),
}

/// A measured value and its target.
struct Figure {
    what: &'static str,
    value: f64,
    target: Target,
}

impl Figure {
    fn reached(&self) -> bool {
        match self.target {
            Target::None => true,
            Target::AtLeast(target) => self.value >= target,
            Target::AtMost(target) => self.value <= target,
        }
    }

    /// The target as text, such as `>= 500`.
    fn target(&self) -> String {
        match self.target {
            Target::None => "-".to_owned(),
            Target::AtLeast(target) => format!(">= {target:.0}"),
            Target::AtMost(target) => format!("<= {target:.1}"),
        }
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

/// Number of clients of the large setup.
const MANY: u64 = 1000;

/// A setup in which this number of clients log in and send 50 pings each.
fn setup_with_clients(clients: u64) -> Setup {
    let address = |client: u64| format!("10.9.{}.{}", client / 200 + 1, client % 200 + 1);
    let mut text = String::from(
        "title = \"many clients\"\nduration = \"60s\"\n\
         [[server]]\nname = \"server\"\naddress = \"192.0.2.1:4000\"\ninner = [\"10.9.0.1/16\"]\n",
    );
    for client in 0..clients {
        let address = address(client);
        text += &format!(
            "[[server.user]]\nlogin = \"user{client}\"\npassword = \"password {client}\"\naddresses = [\"{address}\"]\n"
        );
    }
    for client in 0..clients {
        let (inner, outer) = (
            address(client),
            format!("198.51.{}.{}", client / 200, client % 200 + 1),
        );
        text += &format!(
            "[[client]]\nname = \"client{client}\"\naddress = \"{outer}:5000\"\ninner = [\"{inner}/16\"]\n\
             server = \"server\"\nlogin = \"user{client}\"\npassword = \"password {client}\"\nstart = \"{}ms\"\n\
             [[client.do]]\nping = {{ to = \"10.9.0.1\", count = 50, every = \"500ms\" }}\n\
             [[link]]\nbetween = [\"client{client}\", \"server\"]\ndelay = \"20ms\"\n",
            client * 7
        );
    }
    let scenario = Scenario::parse("many.toml", &text, &|name| {
        Err(format!("there is no file `{name}`"))
    });
    scenario.unwrap_or_else(|error| panic!("{error}")).setup()
}

/// Processor time for each record of runs of the seeds 0 to `seeds`.
fn cost_of_a_record(setup: &Setup, seeds: u64) -> f64 {
    let (start, before) = (Instant::now(), processor_time(Instant::now()));
    let mut records = 0;
    for seed in 0..seeds {
        let options = RunOptions {
            seed,
            detail: Detail::Digest,
            ..RunOptions::default()
        };
        let run = run_setup(setup, &options).unwrap_or_else(|error| panic!("{error}"));
        assert!(run.passed, "seed {seed} fails, so its speed is meaningless");
        records += run.record_count;
    }
    processor_time(start).saturating_sub(before).as_secs_f64() / records as f64
}

/// The cost of a record with many clients, in costs of a record with one client. Both runs have equally many logins and pings.
fn cost_with_many_clients() -> f64 {
    let (one, many) = (setup_with_clients(1), setup_with_clients(MANY));
    let ratios = (0..ROUNDS).map(|_| cost_of_a_record(&many, 1) / cost_of_a_record(&one, MANY));
    median(ratios.collect())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The median of one rate over all rounds.
fn over(rounds: &[Rates], rate: impl Fn(&Rates) -> f64) -> f64 {
    median(rounds.iter().map(rate).collect())
}

/// Rounds of the event engine and of the turmoil engine. They alternate, so that a disturbance affects both.
fn both_engines(setup: &Setup) -> [Vec<Rates>; 2] {
    let (mut event, mut turmoil) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        event.push(round(setup, Engine::Event));
        turmoil.push(round(setup, Engine::Turmoil));
    }
    [event, turmoil]
}

fn figures() -> Vec<Figure> {
    let builtin = |name: &str| {
        let scenario = Scenario::builtin(name);
        scenario
            .unwrap_or_else(|| panic!("there is no scenario `{name}`"))
            .setup()
    };
    let (standard, bulk, first_light) = (builtin("standard"), builtin("bulk"), builtin("first-light"));
    let idle = Scenario::parse("idle.toml", IDLE, &|name| {
        Err(format!("there is no file `{name}`"))
    });
    let idle = idle.unwrap_or_else(|error| panic!("{error}")).setup();
    let [event, turmoil] = both_engines(&standard);
    let rounds = |scenario| {
        (0..ROUNDS)
            .map(|_| round(scenario, Engine::Event))
            .collect::<Vec<_>>()
    };
    let (event_runs, turmoil_runs) = (
        over(&event, |rates| rates.runs),
        over(&turmoil, |rates| rates.runs),
    );
    let (bulk, idle, first_light) = (rounds(&bulk), rounds(&idle), rounds(&first_light));
    let figure = |what, value, target| Figure { what, value, target };
    vec![
        figure(
            "standard, event engine: runs per second and core",
            event_runs,
            Target::AtLeast(1400.0),
        ),
        figure(
            "standard, turmoil engine: runs per second and core",
            turmoil_runs,
            Target::None,
        ),
        figure(
            "standard: event engine over turmoil engine",
            event_runs / turmoil_runs,
            Target::AtLeast(20.0),
        ),
        figure(
            "standard, event engine: simulated seconds per second",
            over(&event, |rates| rates.simulated),
            Target::None,
        ),
        figure(
            "first-light, event engine: runs per second and core",
            over(&first_light, |rates| rates.runs),
            Target::AtLeast(400.0),
        ),
        figure(
            "a record with 1,000 clients over a record with 1 client",
            cost_with_many_clients(),
            Target::AtMost(1.2),
        ),
        figure(
            "bulk, event engine: simulated seconds per wall second",
            over(&bulk, |rates| rates.simulated_wall),
            Target::AtLeast(5.0),
        ),
        figure(
            "idle tunnel for a day: simulated seconds per wall second",
            over(&idle, |rates| rates.simulated_wall),
            // A day in half a second.
            Target::AtLeast(172_800.0),
        ),
    ]
}

fn main() -> ExitCode {
    let figures = figures();
    println!("{:<58}{:>14}{:>10}", "figure", "measured", "target");
    for figure in &figures {
        let target = figure.target();
        let verdict = match (figure.target, figure.reached()) {
            (Target::None, _) => "",
            (_, true) => "  reached",
            (_, false) => "  NOT REACHED",
        };
        println!("{:<58}{:>14.1}{target:>10}{verdict}", figure.what, figure.value);
    }
    match figures.iter().all(Figure::reached) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
