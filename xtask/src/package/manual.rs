//! Manual pages and shell completions, printed by the program that is packed, and compressed as Debian requires.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};

use super::answer;
use crate::shell;

/// Shells for whose completions Debian has a folder.
const SHELLS: [&str; 3] = ["bash", "zsh", "fish"];

/// Writes `man1/*.1.gz` and `completions/sandhog.SHELL` below `folder`.
///
/// # Errors
/// The program fails, or a file cannot be written.
pub(super) fn make(program: &Path, folder: &Path) -> Result<()> {
    let man = folder.join("man1");
    let path = man.to_str().context("the path of the checkout is UTF-8")?;
    answer(program, &["man", "--folder", path], "")?;
    for page in files(&man)? {
        compress(&page)?;
    }
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in SHELLS {
        let script = answer(program, &["completions", shell], "")?;
        fs::write(completions.join(format!("sandhog.{shell}")), script)?;
    }
    Ok(())
}

/// Replaces a file by `FILE.gz`, without its name and time, so that the result is always the same.
pub(super) fn compress(file: &Path) -> Result<()> {
    shell::read(shell::command("gzip", "--best --no-name --force").arg(file)).map(drop)
}

/// Names of the pages below `folder`, such as `sandhog.1.gz`.
pub(super) fn pages(folder: &Path) -> Result<Vec<String>> {
    let name = |path: PathBuf| Some(path.file_name()?.to_str()?.to_owned());
    Ok(files(&folder.join("man1"))?
        .into_iter()
        .filter_map(name)
        .collect())
}

/// Paths in a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}
