//! Committed snapshots that no test reads. They are rejected, because their content may be wrong.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use super::suites;
use crate::{shell, step::Session};

/// Compares the snapshot files of the checkout with those that the tests have read. Runs the tests first if that has not
/// happened.
pub(super) fn none_is_unreferenced(session: &Session) -> Result<()> {
    let references = shell::target_dir().join("xtask/snapshots/references.txt");
    if !references.exists() {
        suites::native(session)?;
    }
    let listed = shell::read(&mut shell::git(
        "ls-files --cached --others --exclude-standard -- *.snap",
    ))?;
    let noted = fs::read_to_string(&references).unwrap_or_default();
    let noted = noted
        .lines()
        .map(Path::new)
        .map(canonical)
        .collect::<Result<BTreeSet<_>>>()?;
    let unreferenced: Vec<_> = listed
        .lines()
        .filter(|file| shell::root().join(file).exists())
        .map(|file| Ok((file, canonical(&shell::root().join(file))?)))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .filter_map(|(file, path)| (!noted.contains(&path)).then_some(file))
        .collect();
    // The tests may change before the next run.
    if references.exists() {
        fs::remove_file(&references)?;
    }
    ensure!(
        unreferenced.is_empty(),
        "no test reads {}. Remove these files",
        unreferenced.join(", ")
    );
    println!("{} snapshots, each read by a test", listed.lines().count());
    Ok(())
}

fn canonical(path: &Path) -> Result<PathBuf> {
    path.canonicalize()
        .with_context(|| format!("cannot find {}", path.display()))
}
