//! `cargo xtask miri`: tests of the portable core in the interpreter Miri, which finds undefined behaviour.
//!
//! Miri is some hundred times slower than the processor. So the tests of `peer` run, and those of the parts of `proto` that handle
//! bytes of the network.

use anyhow::{Result, bail};

use crate::{
    shell, step,
    tools::{MIRI, NIGHTLY},
};

/// Parts of `proto` whose unit tests run, and tests that would take too long there.
const PARTS: &str = "ip:: message::control pool:: window::tests --skip arbitrary_input --skip changed_messages --skip sweeps \
                     --skip agrees --skip no_two_sessions --skip large_networks --skip at_most_4096";

/// Runs the tests. Returns true if they pass.
///
/// # Errors
/// The toolchain or Miri is missing, or cargo cannot be started.
pub(crate) fn run() -> Result<bool> {
    if let Some(missing) = step::missing(&[NIGHTLY, MIRI]) {
        bail!("{missing}");
    }
    let folder = shell::root().join("target/miri");
    let passes = |tests: &str| -> Result<bool> {
        let mut miri = shell::command("rustup", "run nightly cargo miri test --target-dir");
        // The crates below use integers as pointers in a few places.
        miri.arg(&folder).env("MIRIFLAGS", "-Zmiri-permissive-provenance");
        Ok(miri.args(tests.split_whitespace()).status()?.success())
    };
    Ok(passes("--package sandhog-peer --lib")?
        && passes(&format!("--package sandhog-proto --lib -- {PARTS}"))?)
}
