//! Checks of the sources and their dependencies: formatting, lints, documentation, licences.

use anyhow::Result;

use crate::{shell, step::Session, workspace};

pub(super) fn fmt(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo("fmt --all --check"))
}

/// Lints of all targets. Together, the packages of the workspace switch on all features of the libraries.
pub(super) fn clippy(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo(
        "clippy --quiet --workspace --all-targets -- -D warnings",
    ))
}

pub(super) fn doc(_: &Session) -> Result<()> {
    workspace::document()
}

/// Licences, bans and sources. Advisories are left out: their database changes from day to day, so the same commit could
/// pass today and fail tomorrow.
pub(super) fn deny(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo(
        "deny check --hide-inclusion-graph licenses bans sources",
    ))
}
