//! The laboratory: it runs the Sandhog protocol, or any other behind [`Peer`](sandhog_proto::Peer), over a simulated
//! network, from one seed, with the same trace in two engines and in WebAssembly.
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

pub mod adversary;
pub mod builtin;
mod checks;
#[cfg(feature = "cli")]
pub mod cli;
mod draw;
mod engine;
pub mod link;
mod net;
mod node;
mod profile;
mod progress;
pub mod record;
#[cfg(all(feature = "cli", unix))]
mod relay;
pub mod report;
mod run;
pub mod scenario;
pub mod setup;
mod story;
mod trace;
mod world;

pub use checks::CheckResult;
pub use draw::derive_seed;
pub use run::{Engine, Run, RunError, RunOptions, run, run_setup};
pub use scenario::{Scenario, ScenarioError};
pub use trace::{Detail, Digest};
