//! `cargo xtask bench`: the speed of the engines in release, compared with the promised figures.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

/// Prints the table of speeds. Returns true if every promise is kept.
///
/// # Errors
/// The measurement cannot be built or started.
pub(crate) fn run() -> Result<bool> {
    shell::run(&mut shell::cargo(
        "build --quiet --release --package sandhog-tests --bin speed",
    ))?;
    let program = shell::target_dir().join("release/speed");
    let status = Command::new(&program)
        .status()
        .with_context(|| format!("cannot start {}", program.display()))?;
    Ok(status.success())
}
