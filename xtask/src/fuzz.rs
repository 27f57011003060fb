//! `cargo xtask fuzz`: property tests of segmentation offload with many generated packets.
//!
//! `cargo test` tests the same properties with a few cases, the same ones each time.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::shell;

/// Tests the properties. Returns true if all hold.
///
/// # Errors
/// The tests cannot be built or started.
pub(crate) fn run(cases: u32, seed: Option<u64>) -> Result<bool> {
    let seed = seed.map_or_else(another_seed, Ok)?;
    println!(
        "{cases} cases of each property. To repeat them: cargo xtask fuzz --cases {cases} --seed {seed}"
    );
    let mut tests = shell::cargo("test --quiet --release --package sandhog --test main offload::");
    tests.env("SANDHOG_FUZZ_CASES", cases.to_string());
    tests.env("SANDHOG_FUZZ_SEED", seed.to_string());
    Ok(tests.status()?.success())
}

/// A seed that differs from that of the previous run.
///
/// # Errors
/// The clock is before 1970.
pub(crate) fn another_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.as_secs())
}
