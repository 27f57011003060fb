//! `cargo xtask fuzz`: the properties of segmentation offload against as many generated packets as there is time for.
//!
//! The tests hold the same properties against the same few cases each time.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::shell;

/// Runs the properties; whether all hold.
///
/// # Errors
/// The tests cannot be built or started.
pub(crate) fn run(cases: u32, seed: Option<u64>) -> Result<bool> {
    let seed = seed.map_or_else(another_seed, Ok)?;
    println!("{cases} cases of each property; again: cargo xtask fuzz --cases {cases} --seed {seed}");
    let mut tests = shell::cargo("test --quiet --release --package sandhog --test main offload::");
    tests.env("SANDHOG_FUZZ_CASES", cases.to_string());
    tests.env("SANDHOG_FUZZ_SEED", seed.to_string());
    Ok(tests.status()?.success())
}

fn another_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.as_secs())
}
