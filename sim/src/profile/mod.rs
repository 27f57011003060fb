//! The two profiles of the Sandhog protocol.

mod classic;
mod operator;
mod secure;
mod user;

pub use crate::scenario::{Features, Profile};
pub use classic::Classic;
pub use secure::Secure;

/// The profiles of the program `sandhog-sim`. The first is the default of scenarios without the key `profile`.
pub static PROFILES: &[&dyn Profile] = &[&Secure, &Classic];
