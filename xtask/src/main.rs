//! `cargo xtask`: the one place that knows how to check everything. This file holds the command line and nothing else.

mod bench;
mod bench_tun;
mod bless;
mod commands;
mod equality;
mod fuzz;
mod golden;
mod mutants;
mod netns;
mod package;
mod page;
mod readme;
mod shell;
mod step;
mod steps;
mod table;
mod tools;
mod wasm;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::golden::Seeds;

/// Checks, measures and blesses Sandhog. Every command works from any folder of the checkout.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check, one named step each, and end with a table of the results.
    Test {
        /// Nothing may be skipped: what is missing is installed, or the step fails. CI runs this.
        #[arg(long)]
        strict: bool,
        /// Run only this step; may be given several times. See `--list` for the names.
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Print the steps with what each of them checks, and run none.
        #[arg(long)]
        list: bool,
    },
    /// Measure the speed of the engines in release and compare it with the figures promised.
    ///
    /// Exit status 0: all are reached. 1: one is not.
    Bench,
    /// Measure the program between two network namespaces beside WireGuard in user space, and compare with what is promised.
    ///
    /// Needs root, iperf3 and the other peers; says what is missing. Exit status 0: all promises are kept. 1: one is not.
    BenchTun(bench_tun::Options),
    /// Run the tests in network namespaces, and end with a table of what each of them took. Needs root.
    ///
    /// They are those of the step `netns` of `cargo xtask test`.
    Netns {
        /// Download 1 GiB instead of 64 MiB over the network that loses: some minutes more.
        #[arg(long)]
        long: bool,
    },
    /// Throw generated packets and superpackets at segmentation offload, many more than the tests do, and other ones each time.
    ///
    /// Exit status 0: nothing was found. 1: the failing case is printed, with the seed that brings it back.
    Fuzz {
        /// How many cases each property is held against.
        #[arg(long, value_name = "N", default_value_t = 50_000)]
        cases: u32,
        /// Where the cases come from; another one each time if left out.
        #[arg(long, value_name = "N")]
        seed: Option<u64>,
    },
    /// Run scenarios on every engine and target, and compare the digests line by line.
    ///
    /// Compared are the event engine and the turmoil engine, natively and on wasm32-wasip1 under node, the event engine in
    /// Chromium, a second native run, and the committed digests in `tests/golden/digests.txt`.
    Equality {
        /// Seeds to run, the end excluded.
        #[arg(long, value_name = "A..B", default_value = "0..50")]
        seeds: Seeds,
        /// Only this built-in scenario; may be given several times.
        #[arg(long, value_name = "NAME")]
        scenario: Vec<String>,
        /// Leave out this column, for instance `browser`; may be given several times.
        #[arg(long, value_name = "COLUMN")]
        without: Vec<String>,
    },
    /// Plant each known bug of the protocol in turn, and name the tests that find it.
    ///
    /// Exit status 0: all are found. 1: one survives.
    Mutants {
        /// Only this bug; may be given several times.
        #[arg(long, value_name = "BUG")]
        only: Vec<String>,
    },
    /// Build what is handed to people, look at it, and say where it lies: the Debian package and a static program.
    Package(package::Options),
    /// Rewrite `tests/golden/digests.txt` from the native event engine. Read the diff before committing it.
    Bless,
}

fn main() -> ExitCode {
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
        Command::Fuzz { cases, seed } => fuzz::run(cases, seed),
        Command::Equality {
            seeds,
            scenario,
            without,
        } => equality::run(seeds, &scenario, &without),
        Command::Mutants { only } => mutants::run(&only),
        Command::Package(options) => package::run(&options),
        Command::Bless => bless::run().map(|()| true),
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

/// Whether `words` (what follows `cargo xtask`) is a command line this program would accept; the error says why not.
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
