//! `cargo xtask model`: the formal models of the secure profile in `docs/model`, run with `ProVerif`.

use anyhow::{Context as _, Result};

use crate::shell;

/// Runs the models with these names, or all of them. Returns true if every result is the expected one.
///
/// # Errors
/// The script that runs them cannot be started.
pub(crate) fn run(models: &[String]) -> Result<bool> {
    let status = shell::command("sh", "docs/model/check.sh")
        .args(models)
        .status()
        .context("cannot start sh")?;
    Ok(status.success())
}
