//! Scenario files for the simulator `sandhog-lab`, and the program `sandhog-sim`.
//!
//! A [`Scenario`] is a TOML or JSON file: hosts, links, events and expected results. This crate reads it, translates it to a
//! [`Setup`](sandhog_lab::setup::Setup) of `sandhog-lab`, and runs it. It contains the two [profiles](profile) of the Sandhog protocol and
//! the built-in scenarios. A program for another protocol passes its own profiles to [`cli::main_with`].
//!
//! ```
//! use sandhog_sim::{RunOptions, Scenario, run};
//!
//! let scenario = Scenario::builtin("clean-login").unwrap();
//! let options = RunOptions { seed: 7, ..RunOptions::default() };
//! let first = run(&scenario, &options).unwrap();
//! assert!(first.passed);
//! assert_eq!(first.digest, run(&scenario, &options).unwrap().digest);
//! ```
//!
//! Module [`report`] describes a run as a story, a packet capture, a diagram or JSON:
//!
//! ```
//! use sandhog_sim::{RunOptions, Scenario, report, run};
//!
//! let scenario = Scenario::builtin("wrong-password").unwrap();
//! let run = run(&scenario, &RunOptions::default()).unwrap();
//! assert_eq!(run.outcome, "authentication-rejected");
//! assert!(report::story(&run).contains("has no tunnel: authentication-rejected"));
//! let trace = report::trace_jsonl(&run);
//! assert_eq!(trace.lines().count() as u64, run.record_count);
//! ```

#![forbid(unsafe_code)]

pub mod builtin;
#[cfg(feature = "cli")]
pub mod cli;
mod defaults;
mod plain_text;
pub mod profile;
#[cfg(all(feature = "cli", unix))]
mod relay;
pub mod scenario;
pub mod shrink;

pub use sandhog_lab::{
    CheckResult, Detail, Digest, Engine, Run, RunError, RunOptions, derive_seed, link, record, report,
    run_setup,
};
pub use scenario::{Scenario, ScenarioError};

/// Runs a scenario.
///
/// ```
/// use sandhog_sim::{RunOptions, Scenario, run};
///
/// let mut scenario = Scenario::builtin("clean-login").unwrap();
/// scenario.links[0].delay = Some("250ms".parse().unwrap());
/// let run = run(&scenario, &RunOptions { seed: 2, ..RunOptions::default() }).unwrap();
/// assert!(run.passed, "{:?}", run.checks);
/// ```
///
/// # Errors
///
/// [`RunError`] if the engine cannot run it.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Run, RunError> {
    run_setup(&scenario.setup(), options)
}
