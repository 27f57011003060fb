//! The test suites: natively, packed, on WebAssembly under node, in the browser, and across network namespaces.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

use crate::{netns, package, page, shell, step::Session, wasm::TESTS_ON_WASI};

/// The variable that makes insta note each snapshot file it looks at.
const REFERENCES: &str = "INSTA_SNAPSHOT_REFERENCES_FILE";

/// Gives `tests` a fresh file for the references; it is left behind only when they pass.
fn noting_references(tests: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let references = shell::scratch("snapshots")?.join("references.txt");
    let outcome = tests(&references);
    if outcome.is_err() && references.exists() {
        fs::remove_file(&references)?;
    }
    outcome
}

/// All tests on this machine but for those in network namespaces, which have a step of their own. The core has `ring`, since
/// the program has it; on WebAssembly it is without. The snapshots they look at are noted for the step after.
pub(super) fn native(session: &Session) -> Result<()> {
    noting_references(|references| {
        let mut command = shell::cargo("test --quiet --workspace -- --skip netns::");
        shell::run(settle(&mut command, session).env(REFERENCES, references))
    })
}

/// The tests of all that must run in WebAssembly; `tests/wasi/runner.mjs` runs them.
pub(super) fn wasi(session: &Session) -> Result<()> {
    shell::run(settle(&mut shell::cargo(TESTS_ON_WASI), session))
}

/// The tests of the page, in a browser without a window. The digest it must show is the committed one.
pub(super) fn browser(_: &Session) -> Result<()> {
    page::build()?;
    shell::run(&mut page::script(&[]))
}

/// The module `netns` of the tests, which makes its own namespaces and removes them.
pub(super) fn namespaces(session: &Session) -> Result<()> {
    netns::run(session.strict, false)
}

/// The Debian package of the program that the tests start.
pub(super) fn package(session: &Session) -> Result<()> {
    shell::build_all()?;
    package::check(session)
}

/// The environment of all tests: snapshots are compared and never written, and in strict mode no test may skip itself.
fn settle<'a>(command: &'a mut Command, session: &Session) -> &'a mut Command {
    if session.strict {
        command.env("SANDHOG_STRICT", "1");
    }
    command.env("INSTA_UPDATE", "no")
}
