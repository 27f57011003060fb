//! `cargo xtask kem`: comparison of the core's ML-KEM-768 with a second implementation in many random cases.
//!
//! `cargo test` compares them in a few cases, the same ones each time.

use anyhow::Result;

use crate::{fuzz, shell};

/// Compares both implementations. Returns true if they agree.
///
/// # Errors
/// The example of the core cannot be built or started.
pub(crate) fn run(cases: u64, seed: Option<u64>) -> Result<bool> {
    let seed = seed.map_or_else(fuzz::another_seed, Ok)?;
    println!("{cases} cases. To repeat them: cargo xtask kem --cases {cases} --seed {seed}");
    let line = format!("run --quiet --release --package sandhog-proto --example kem -- {cases} {seed}");
    Ok(shell::cargo(&line).status()?.success())
}
