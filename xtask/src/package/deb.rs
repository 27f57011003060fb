//! The Debian package, by cargo-deb from `[package.metadata.deb]` in `tun-adapter/Cargo.toml`, around a program that has been
//! built before.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::{content, licences, manual};
use crate::shell;

/// Which program is packed, and how.
pub(super) struct Build {
    /// The folder below that of the build.
    profile: &'static str,
    options: &'static str,
    /// The folder that the package is put into, below that of the build.
    output: &'static str,
}

/// The package that is handed to people.
pub(super) const RELEASE: Build = Build {
    profile: "release",
    options: "--strip",
    output: "debian",
};

/// The same around the program as the tests have it, quickly. cargo-deb warns of that profile, rightly: nobody gets it.
pub(super) const DEBUG: Build = Build {
    profile: "debug",
    options: "--profile dev --no-strip --fast --compress-type gz --compress-system --quiet",
    output: "xtask/debian",
};

/// Packs the program and looks at the package.
///
/// # Errors
/// The program has not been built, cargo-deb fails, or the package has not what it must have.
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
    let said = shell::read(&mut command)?;
    let last = said.lines().last().unwrap_or_default();
    let package = Path::new(last.trim()).to_owned();
    ensure!(package.is_file(), "cargo-deb says nothing of a package: {said}");
    Ok(package)
}

/// The time of all files in the package: that of the commit, so that the same sources give the same package. Outside of a
/// checkout there is none, and cargo-deb finds one by itself.
fn time_of_commit() -> Option<String> {
    let time = shell::read(&mut shell::git("log -1 --format=%ct")).ok()?;
    Some(time.trim().to_owned()).filter(|time| !time.is_empty())
}
