//! Search for failures: every schedule of a few faults, random faults of many seeds, and the smallest tape of a failure.

mod bounds;
mod certificate;
mod endings;
mod exhaust;
mod failure;
mod faults;
mod schedule;
mod shrink;
pub(crate) mod state;
mod swarm;
mod sweep;
mod tree;

pub use bounds::{Bounds, Start};
pub use certificate::{Certificate, CertificateError};
pub use exhaust::{Exhausted, Progress, SearchError, Verified, exhaust, verify};
pub use failure::Failure;
pub use faults::{FaultKind, Values};
pub use schedule::{FailingSchedule, Schedule};
pub use shrink::{Shrunk, shrink, shrink_until};
pub use swarm::{Family, Swarm};
pub use sweep::{FailingSeed, MAX_JOBS, Sweep, SweepOptions, SweepRun, sweep};
