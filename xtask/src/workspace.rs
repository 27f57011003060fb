//! Packages of the workspace, and the builds that all steps share.
//!
//! Cargo compiles a dependency once for each set of features, and the features depend on the packages and targets that are
//! chosen. So all steps build with the choices of this file.

use std::path::PathBuf;

use anyhow::{Context as _, Result};

use crate::shell;

/// Folders of the libraries for other projects, each after those that it depends on.
const LIBRARIES: &[&str] = &["peer", "proto", "netstack", "lab", "sim"];

/// Folders of the packages whose tests run on `wasm32-wasip1` as well.
const PORTABLE: &[&str] = &["peer", "proto", "netstack", "lab", "sim", "tests"];

/// A small example. It stands beside a single program in the same command, because cargo takes the features of the tests
/// into account only if a test or an example is chosen. Without it, cargo would compile the dependencies again.
const EXAMPLE: &str = "sessions";

/// A library for other projects.
pub(crate) struct Library {
    /// Name of its package.
    pub(crate) package: String,
}

/// The libraries for other projects, each after those that it depends on.
pub(crate) fn libraries() -> Vec<Library> {
    packages(LIBRARIES).map(|package| Library { package }).collect()
}

/// The names of the packages in these folders.
fn packages(folders: &[&str]) -> impl Iterator<Item = String> {
    let is_there = |folder: &&&str| shell::root().join(folder).join("Cargo.toml").is_file();
    folders
        .iter()
        .filter(is_there)
        .map(|folder| format!("sandhog-{folder}"))
}

/// Builds all libraries, programs, tests and examples for this machine.
///
/// # Errors
/// They do not compile.
pub(crate) fn build_all() -> Result<()> {
    shell::run(&mut shell::cargo(
        "build --quiet --workspace --lib --bins --tests --examples",
    ))
}

/// Builds one program as [`build_all`] does, and returns its path.
///
/// # Errors
/// It does not compile.
pub(crate) fn build_program(name: &str) -> Result<PathBuf> {
    let line = format!("build --quiet --workspace --bin {name} --example {EXAMPLE}");
    shell::run(&mut shell::cargo(&line))?;
    program(name)
}

/// Writes the documentation of all libraries, and of the programs whose names differ from those of the libraries.
///
/// # Errors
/// The documentation does not build, or has warnings.
pub(crate) fn document() -> Result<()> {
    let line = format!(
        "doc --quiet --workspace --no-deps --lib --bin xtask --bin digests --bin speed --example {EXAMPLE}"
    );
    shell::run(shell::cargo(&line).env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// The path of a program of the shared build.
///
/// # Errors
/// The program has not been built.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let path = shell::target_dir().join("debug").join(name);
    path.is_file()
        .then(|| path.clone())
        .with_context(|| format!("there is no program {}", path.display()))
}

/// Arguments of cargo for the tests that run on WASI, and for the programs beside them.
pub(crate) fn tests_on_wasi() -> String {
    on_wasi("--lib --tests")
}

/// Arguments of cargo for one test binary of the same build.
pub(crate) fn test_on_wasi(name: &str) -> String {
    on_wasi(&format!("--test {name}"))
}

fn on_wasi(chosen: &str) -> String {
    let packages: String = packages(PORTABLE)
        .map(|package| format!(" -p {package}"))
        .collect();
    format!("test --target wasm32-wasip1{packages} {chosen}")
}
