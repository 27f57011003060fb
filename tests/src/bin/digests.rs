//! Digests of the built-in scenarios, a line `name seed digest` for each scenario and seed. `cargo xtask equality` runs this
//! program natively and on wasm32-wasip1, with each engine, and compares the lines.
//!
//! With `--replays`, each run is recorded, and the digest is that of the replay.
//!
//! With `--story`, it prints the text of the snapshot of one scenario; `cargo xtask bless` stores it.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use sandhog_sim::Engine;
use sandhog_tests::{Line, names, story};

const USAGE: &str = "usage: digests --engine event|turmoil --seeds A..B [--replays] [SCENARIO]...\n       digests --story SCENARIO";

struct Options {
    engine: Engine,
    seeds: std::ops::Range<u64>,
    replays: bool,
    scenarios: Vec<String>,
}

fn options(mut words: impl Iterator<Item = String>) -> Option<Options> {
    let (mut engine, mut seeds, mut replays, mut scenarios) = (None, None, false, Vec::new());
    while let Some(word) = words.next() {
        match word.as_str() {
            "--engine" => engine = Some(engine_named(&words.next()?)?),
            "--seeds" => {
                let range = words.next()?;
                let (start, end) = range.split_once("..")?;
                seeds = Some(start.parse().ok()?..end.parse().ok()?);
            }
            "--replays" => replays = true,
            name => scenarios.push(names().any(|known| known == name).then(|| name.to_owned())?),
        }
    }
    Some(Options {
        engine: engine?,
        seeds: seeds?,
        replays,
        scenarios,
    })
}

fn engine_named(name: &str) -> Option<Engine> {
    [Engine::Event, Engine::Turmoil]
        .into_iter()
        .find(|engine| engine.name() == name)
}

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args().skip(1).collect();
    if let [option, name] = &words[..]
        && option == "--story"
        && names().any(|known| known == name)
    {
        print!("{}", story(name));
        return ExitCode::SUCCESS;
    }
    let Some(Options {
        engine,
        seeds,
        replays,
        scenarios,
    }) = options(words.into_iter())
    else {
        eprintln!("{USAGE}\nscenarios: {}", names().collect::<Vec<_>>().join(", "));
        return ExitCode::from(2);
    };
    let wanted = |name: &&str| scenarios.is_empty() || scenarios.iter().any(|scenario| scenario == name);
    let mut output = io::stdout().lock();
    for name in names().filter(wanted) {
        for seed in seeds.clone() {
            let line = if replays {
                Line::of_replay(name, seed, engine)
            } else {
                Line::of_run(name, seed, engine)
            };
            if writeln!(output, "{line}").is_err() {
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}
