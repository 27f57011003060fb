//! The page of the laboratory: building it, and the script that drives it in Chromium.

use std::{path::PathBuf, process::Command};

use anyhow::Result;

use crate::shell;

fn folder() -> PathBuf {
    shell::target_dir().join("xtask/page")
}

/// Builds the page, and installs what its script needs. Quick when nothing has changed.
///
/// # Errors
/// The build or the installation fails.
pub(crate) fn build() -> Result<()> {
    shell::run(shell::cargo("run --quiet --package sandhog-web -- --build-only").arg(folder()))?;
    let tests = shell::root().join("web-demo/tests");
    shell::run(shell::command("npm", "ci --no-audit --no-fund").current_dir(tests))
}

/// The script over the built page, with further arguments.
pub(crate) fn script(arguments: &[&str]) -> Command {
    let mut command = shell::command("node", "web-demo/tests/page.mjs --dir");
    command.arg(folder()).args(arguments);
    command
}
