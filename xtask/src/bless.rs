//! `cargo xtask bless`: the committed digests, rewritten from the native event engine.

use std::fs;

use anyhow::{Context as _, Result};

use crate::{equality, golden};

/// Rewrites the file from the native event engine.
///
/// # Errors
/// The runs or the writing fail.
pub(crate) fn run() -> Result<()> {
    let before = golden::read().unwrap_or_default();
    let text = equality::native_digests(golden::SEEDS)?;
    let after = golden::parse(&text)?;
    fs::write(golden::path(), text).with_context(|| format!("cannot write {}", golden::path().display()))?;
    let changed = after
        .iter()
        .filter(|(run, digest)| before.get(run) != Some(digest))
        .count();
    let gone = before.keys().filter(|run| !after.contains_key(run)).count();
    println!(
        "{} digests, {changed} of them new or changed, {gone} gone",
        after.len()
    );
    Ok(())
}
