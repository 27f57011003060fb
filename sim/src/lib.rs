//! Scenarios for the laboratory, and the program `sandhog-sim`.
//!
//! A [`Scenario`] is a TOML or JSON file: hosts, links, events and expected results. This crate reads it, translates it to a
//! [`Setup`](setup::Setup) of `sandhog-lab`, and runs it. It contains the two [profiles](profile) of the Sandhog protocol and
//! the built-in scenarios. A program for another protocol passes its own profiles to [`cli::main_with`].
//!
//! ```
//! use sandhog_sim::{Detail, Engine, RunOptions, Scenario, run};
//!
//! let scenario = Scenario::builtin("clean-login").unwrap();
//! let options = RunOptions { seed: 7, engine: Engine::Event, detail: Detail::Full };
//! let first = run(&scenario, &options).unwrap();
//! assert!(first.passed);
//! assert_eq!(first.digest, run(&scenario, &options).unwrap().digest);
//! ```

#![forbid(unsafe_code)]

pub mod builtin;
#[cfg(feature = "cli")]
pub mod cli;
pub mod profile;
#[cfg(all(feature = "cli", unix))]
mod relay;
pub mod scenario;
mod setup;

pub use sandhog_lab::{
    CheckResult, Detail, Digest, Engine, Run, RunError, RunOptions, derive_seed, link, record, report,
    run_setup,
};
pub use scenario::{Scenario, ScenarioError};

/// Runs a scenario.
///
/// # Errors
///
/// [`RunError`] if the engine cannot run it.
pub fn run(scenario: &Scenario, options: &RunOptions) -> Result<Run, RunError> {
    run_setup(&scenario.setup(), options)
}
