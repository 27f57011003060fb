//! Test suites: natively, around the Debian package, on WebAssembly, in the browser, and in network namespaces.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{equality, netns, package, page, shell, step::Session, workspace};

/// The variable that makes insta write down each snapshot file that it reads.
const REFERENCES: &str = "INSTA_SNAPSHOT_REFERENCES_FILE";

/// Passes `tests` a new file for the references. The file is kept only if they pass.
fn noting_references(tests: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let references = shell::scratch("snapshots")?.join("references.txt");
    let outcome = tests(&references);
    if outcome.is_err() && references.exists() {
        fs::remove_file(&references)?;
    }
    outcome
}

/// All programs, tests and examples. The later steps only run them.
pub(super) fn build(_: &Session) -> Result<()> {
    workspace::build_all()
}

/// All tests on this machine, except those in network namespaces, which have a step of their own. The core has the feature
/// `ring` here, as in the program; on WebAssembly it does not. The next step uses the list of snapshots that were read.
pub(super) fn native(session: &Session) -> Result<()> {
    noting_references(|references| {
        let mut command = shell::cargo("test --quiet --workspace -- --skip netns::");
        shell::run(prepare(&mut command, session).env(REFERENCES, references))
    })
}

/// The models of the threads, with the types of loom. They have a folder of their own, because `--cfg loom` compiles everything again.
pub(super) fn threads(_: &Session) -> Result<()> {
    let mut command = shell::cargo("test --quiet --package sandhog-threads");
    command
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", shell::target_dir().join("loom"));
    shell::run(&mut command)
}

/// The tests of all packages that must run in WebAssembly, started by `tests/wasi/runner.mjs`.
pub(super) fn wasi(session: &Session) -> Result<()> {
    shell::run(prepare(&mut shell::cargo(&workspace::tests_on_wasi()), session))
}

/// The tests of the page in a headless browser, and there the tests of ML-KEM and the digests of all scenarios.
pub(super) fn browser(_: &Session) -> Result<()> {
    page::build()?;
    shell::run(&mut page::script(&[]))?;
    shell::run(&mut page::kem_tests())?;
    equality::check_browser()
}

/// The module `netns` of the tests, which creates its own namespaces and removes them.
pub(super) fn namespaces(session: &Session) -> Result<()> {
    netns::run(session.strict, false)
}

/// The Debian package of the program that the tests start.
pub(super) fn package(session: &Session) -> Result<()> {
    workspace::build_program("sandhog")?;
    package::check(session)
}

/// Sets the environment of all tests. Snapshots are compared and never written, and in strict mode no test may skip itself.
fn prepare<'a>(command: &'a mut Command, session: &Session) -> &'a mut Command {
    if session.strict {
        command.env("SANDHOG_STRICT", "1");
    }
    command.env("INSTA_UPDATE", "no")
}
