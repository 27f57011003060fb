//! The Debian package. cargo-deb makes it from `[package.metadata.deb]` in `tun-adapter/Cargo.toml` and from a program that
//! has been built before.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{content, licences, manual};
use crate::shell;

/// The program to pack, and the options of cargo-deb.
pub(super) struct Build {
    /// Folder of the program below the target folder.
    profile: &'static str,
    options: &'static str,
    /// Folder of the package below the target folder.
    output: &'static str,
}

/// The package for release.
pub(super) const RELEASE: Build = Build {
    profile: "release",
    options: "--strip",
    output: "debian",
};

/// The package for the tests, with the program of the shared build. cargo-deb warns about its profile; nobody installs it.
pub(super) const DEBUG: Build = Build {
    profile: "debug",
    options: "--profile dev --no-strip --fast --compress-type gz --compress-system --quiet",
    output: "xtask/debian",
};

/// Packs the program and checks the content of the package.
///
/// # Errors
/// The program has not been built, cargo-deb fails, or a file is missing in the package.
pub(super) fn build(build: &Build) -> Result<PathBuf> {
    let folder = shell::target_dir().join(build.profile);
    let staged = folder.join("package");
    if staged.exists() {
        std::fs::remove_dir_all(&staged).with_context(|| format!("cannot empty {}", staged.display()))?;
    }
    manual::make(&folder.join("sandhog"), &staged)?;
    licences::write(&staged)?;
    let package = pack(build)?;
    content::check(&package, &manual::pages(&staged)?)?;
    Ok(package)
}

fn pack(build: &Build) -> Result<PathBuf> {
    let output = shell::target_dir().join(build.output);
    std::fs::create_dir_all(&output).with_context(|| format!("cannot create {}", output.display()))?;
    let mut command = shell::cargo("deb --package sandhog --no-build --locked");
    command.args(build.options.split_whitespace());
    command.arg("--output").arg(&output);
    if let Some(time) = time_of_commit() {
        command.env("SOURCE_DATE_EPOCH", time);
    }
    let output_text = shell::read(&mut command)?;
    let last = output_text.lines().last().unwrap_or_default();
    let package = Path::new(last.trim()).to_owned();
    ensure!(
        package.is_file(),
        "cargo-deb does not print the path of a package: {output_text}"
    );
    Ok(package)
}

/// The time of the commit, for all files in the package, so that the same sources give the same package. Outside a checkout
/// there is none, and cargo-deb chooses a time.
fn time_of_commit() -> Option<String> {
    let time = shell::read(&mut shell::git("log -1 --format=%ct")).ok()?;
    Some(time.trim().to_owned()).filter(|time| !time.is_empty())
}
