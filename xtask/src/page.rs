//! The page of the simulator: its build, and the script that controls it in Chromium.

use std::{fs, path::PathBuf, process::Command};

use anyhow::Result;

use crate::{shell, workspace};

fn folder() -> PathBuf {
    shell::target_dir().join("xtask/page")
}

/// Builds the page, and installs the npm packages that its script needs. Quick if nothing has changed.
///
/// # Errors
/// The build or the installation fails.
pub(crate) fn build() -> Result<()> {
    let program = workspace::build_program("sandhog-web")?;
    let mut build = shell::command(&program.to_string_lossy(), "--dev --build-only");
    shell::run(build.arg(folder()))?;
    install_packages()
}

/// Installs the packages of `package-lock.json`, unless npm has done so since the file was changed.
fn install_packages() -> Result<()> {
    let tests = shell::root().join("web-demo/tests");
    let changed = |file: &str| fs::metadata(tests.join(file)).and_then(|file| file.modified());
    let installed = changed("node_modules/.package-lock.json");
    if installed.is_ok_and(|time| changed("package-lock.json").is_ok_and(|lock| lock <= time)) {
        return Ok(());
    }
    println!("installing the npm packages of web-demo/tests");
    shell::run(shell::command("npm", "ci --no-audit --no-fund").current_dir(tests))
}

/// The tests of ML-KEM in Chromium: the test binary for WASI, in an empty page. A processor without the instructions that the
/// native code uses must compute the same.
pub(crate) fn kem_tests() -> Command {
    let mut command = shell::cargo(&workspace::test_on_wasi("kem"));
    command.arg("--quiet");
    command.env("CARGO_TARGET_WASM32_WASIP1_RUNNER", "web-demo/tests/wasi.mjs");
    command
}

/// The script over the built page, with further arguments.
pub(crate) fn script(arguments: &[&str]) -> Command {
    let mut command = shell::command("node", "web-demo/tests/page.mjs --dir");
    command.arg(folder()).args(arguments);
    command
}
