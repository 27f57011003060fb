//! `cargo xtask bench`: builds the measurement in release and lets it judge itself.

use std::process::Command;

use anyhow::{Context as _, Result};

use crate::shell;

/// Prints the table of speeds; whether every promised figure is reached.
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
