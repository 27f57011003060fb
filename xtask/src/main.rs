//! Command line of `cargo xtask`, the one place that runs every check, measurement and build.

mod api;
mod bench;
mod bench_tun;
mod bless;
mod commands;
mod coverage;
mod equality;
mod explore;
mod fuzz;
mod golden;
mod kem;
mod miri;
mod model;
mod mutants;
mod netns;
mod package;
mod page;
mod picture;
mod publish;
mod readme;
mod shell;
mod shown;
mod step;
mod steps;
mod table;
mod tools;
mod typed;
mod wasm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::golden::Seeds;

/// Checks, measures and packs Sandhog. Every command works in any folder of the checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all checks and print a table of the results.
    ///
    /// Missing tools are installed if cargo, rustup or npm has them. A check is skipped if its tool comes from the package
    /// manager of the system; the output says how to install it. Exit status 0: no check failed. 1: one failed.
    Test {
        /// Skip nothing: a check whose tool is missing fails. CI uses this.
        #[arg(long)]
        strict: bool,
        /// Run only this step; may be given several times. See `--list` for the names.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Print the steps and the rule that each of them checks, and run none.
        #[arg(long)]
        list: bool,
    },
    /// Measure the speed of the engines in release and compare it with the promised figures.
    ///
    /// Exit status 0: all promises are kept. 1: one is missed.
    Bench,
    /// Measure the program between two network namespaces, beside WireGuard in user space.
    ///
    /// Needs root, iperf3 and the other programs; a missing one is named. Exit status 0: all promises are kept. 1: one is
    /// missed.
    BenchTun(bench_tun::Options),
    /// Run the tests in network namespaces and print a table of their times. Needs root.
    ///
    /// The step `netns` of `cargo xtask test` runs the same tests.
    Netns {
        /// Download 1 GiB instead of 64 MiB over the network with losses, replay a login 100,000 times, also 60 s after it, and
        /// hold a `bye` for 12 s. Takes some minutes more.
        #[arg(long)]
        long: bool,
    },
    /// Test segmentation offload with many generated packets, and each parser with inputs of a fuzzer.
    ///
    /// Needs a nightly compiler, cargo-fuzz and a C++ compiler; a missing one is named. Prints the number of runs of each fuzz
    /// target. Exit status 0: no fault was found. 1: the failing case is printed, with the command that repeats it.
    Fuzz(fuzz::Options),
    /// Compare ML-KEM-768 of the core with a second implementation in many random cases, different ones each time.
    ///
    /// Each case has a key pair, an encapsulation, a decapsulation, a damaged ciphertext and a damaged encapsulation key. Takes
    /// about a minute. Exit status 0: the results are equal. 1: the first difference is printed, with the seed that repeats it.
    Kem {
        /// Number of cases.
        #[arg(long, value_name = "N", default_value_t = 100_000)]
        cases: u64,
        /// Seed of the cases; by default another one each time.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Measure the share of the core's regions that the tests execute, and print it for each file.
    ///
    /// Needs the component `llvm-tools` of rustup. Takes some minutes. Exit status 0: the share is not below the limit. 1: it is.
    Coverage {
        /// Also run the tests of the laboratory and of the simulator.
        #[arg(long)]
        simulator: bool,
        /// Print the place of each region that is not executed.
        #[arg(long)]
        regions: bool,
    },
    /// Run scenarios on every engine and target, and compare the digests line by line.
    ///
    /// Compared are the event engine and the turmoil engine, natively and on wasm32-wasip1 under node, the event engine in
    /// Chromium, a second native run, and the committed digests in `tests/golden/digests.txt`.
    Equality {
        /// Seeds to run; the end is excluded.
        #[arg(long, value_name = "A..B", default_value = "0..50")]
        seeds: Seeds,
        /// Only this built-in scenario; may be given several times.
        #[arg(long, value_name = "NAME")]
        scenario: Vec<String>,
        /// Leave out this column, for instance `browser`; may be given several times.
        #[arg(long, value_name = "COLUMN")]
        without: Vec<String>,
        /// Record each run, replay its tape, and compare the digest of the replay.
        #[arg(long)]
        replays: bool,
    },
    /// Run tests of the portable core in the interpreter Miri.
    ///
    /// It finds undefined behaviour. It needs the nightly toolchain and takes some minutes. Exit status 0: all tests pass. 1: one fails.
    Miri,
    /// Run the formal models of the secure profile in `docs/model` and compare the results with the expected ones.
    ///
    /// Needs `ProVerif`: the program that `PROVERIF` names, or `proverif` on PATH. Exit status 0: all results are as expected.
    /// 1: one differs, or `ProVerif` is missing.
    Model {
        /// Only these models, for instance `base`.
        #[arg(value_name = "MODEL")]
        models: Vec<String>,
    },
    /// Plant each known bug of the protocol and of the laboratory in turn, and name the tests that find it.
    ///
    /// Exit status 0: all are found. 1: one is not.
    Mutants {
        /// Only this bug; may be given several times.
        #[arg(long, value_name = "BUG", conflicts_with_all = ["seed", "search", "pruning", "properties"])]
        only: Vec<String>,
        /// Let the simulator search for three bugs that this seed chooses, in place of the tests.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
        /// Let the simulator search for all bugs. Those that the list calls reachable must be found.
        #[arg(long, conflicts_with = "seed")]
        search: bool,
        /// Compare the failing schedules of an exhaustive search with and without pruning, for ten bugs.
        #[arg(long, conflicts_with = "search")]
        pruning: bool,
        /// Let the simulator search for one bug of each property P1, P2, … with the command that the list names. All must be
        /// found.
        #[arg(long, conflicts_with_all = ["seed", "search", "pruning"])]
        properties: bool,
    },
    /// Search for failures of the protocol for some minutes, with other random seeds each time.
    ///
    /// A canary scenario must fail first. Then every built-in scenario is swept with faults of all kinds, and two are searched
    /// exhaustively. The report and the shrunk tapes are written to `target/xtask/explore`. Exit status 0: only known faults
    /// were found. 1: a new failure was found.
    Explore {
        /// Time for the sweeps in minutes.
        #[arg(long, value_name = "M", default_value_t = 10)]
        minutes: u32,
        /// First seed; by default another one each time.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Build, test and list the release files: the Debian package and a static program.
    Package(package::Options),
    /// Compare the public API of the libraries with the listings in `docs/api`.
    ///
    /// Exit status 0: they are equal. 1: they differ, and the changed lines are printed.
    Api {
        /// Write the listings. Read the diff before you commit it.
        #[arg(long)]
        bless: bool,
    },
    /// Take the picture of the page for the documentation, `docs/page.png`, in headless Chromium.
    Picture,
    /// Store the present digests and stories of the built-in scenarios as the expected ones.
    ///
    /// Rewrites `tests/golden/digests.txt` and `tests/tests/snapshots/story@NAME.snap`. Read the diff before you commit it.
    Bless {
        /// Only this built-in scenario; may be given several times.
        #[arg(long, value_name = "NAME")]
        scenario: Vec<String>,
    },
}

fn main() -> ExitCode {
    if let Some(code) = coverage::as_wrapper() {
        return code;
    }
    let outcome = match Cli::parse().command {
        Command::Test { list: true, .. } => {
            steps::list();
            Ok(true)
        }
        Command::Test {
            strict,
            only,
            list: false,
        } => steps::run(strict, &only),
        Command::Bench => bench::run(),
        Command::BenchTun(options) => bench_tun::run(&options),
        Command::Netns { long } => netns::run(true, long).map(|()| true),
        Command::Fuzz(options) => fuzz::run(&options),
        Command::Kem { cases, seed } => kem::run(cases, seed),
        Command::Coverage { simulator, regions } => coverage::run(simulator, regions),
        Command::Equality {
            seeds,
            scenario,
            without,
            replays,
        } => equality::run(seeds, &scenario, &without, replays),
        Command::Miri => miri::run(),
        Command::Model { models } => model::run(&models),
        Command::Mutants { properties: true, .. } => mutants::properties(),
        Command::Mutants {
            seed, pruning: true, ..
        } => mutants::compare_pruning(seed.unwrap_or_default()),
        Command::Mutants { seed: Some(seed), .. } => mutants::search(Some(seed)),
        Command::Mutants { search: true, .. } => mutants::search(None),
        Command::Mutants { only, .. } => mutants::run(&only),
        Command::Package(options) => package::run(&options),
        Command::Api { bless } => api::run(bless),
        Command::Explore { minutes, seed } => explore::run(minutes, seed),
        Command::Picture => picture::take().map(|()| true),
        Command::Bless { scenario } => bless::run(&scenario).map(|()| true),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Parses the words after `cargo xtask`.
///
/// # Errors
/// This program does not accept them; the error says why.
fn accepts(words: &[&str]) -> Result<(), clap::Error> {
    Cli::try_parse_from(std::iter::once("cargo xtask").chain(words.iter().copied())).map(|_| ())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn an_unknown_command_is_not_accepted() {
        assert!(accepts(&["test", "--strict"]).is_ok());
        assert!(accepts(&["tset"]).is_err());
    }
}
