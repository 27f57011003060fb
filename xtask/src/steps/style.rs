//! What the sources and their dependencies look like: formatting, lints, documentation, licences.

use anyhow::Result;

use crate::{shell, step::Session};

pub(super) fn fmt(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo("fmt --all --check"))
}

pub(super) fn clippy(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo(
        "clippy --quiet --workspace --all-targets -- -D warnings",
    ))?;
    // The other cipher, and the bugs that can be planted.
    shell::run(&mut shell::cargo(
        "clippy --quiet --package sandhog-proto --all-features --all-targets -- -D warnings",
    ))
}

pub(super) fn doc(_: &Session) -> Result<()> {
    let mut command = shell::cargo("doc --quiet --workspace --no-deps");
    shell::run(command.env("RUSTDOCFLAGS", "-Dwarnings"))
}

/// Advisories are left out: they need a database that changes from day to day, and a check must not depend on the day.
pub(super) fn deny(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo(
        "deny check --hide-inclusion-graph licenses bans sources",
    ))
}
