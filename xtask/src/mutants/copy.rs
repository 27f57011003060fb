//! Copy of the simulator and of the crates that it is built from, with all bugs planted, in `target/mutants`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{list::Bug, plant::plant};
use crate::shell;

/// Package whose search commands find the bugs. It depends on all packages with bugs.
pub(super) const SIMULATOR: &str = "sandhog-sim";

/// Environment variable that chooses a bug.
pub(super) const CHOICE: &str = "SANDHOG_MUTANT";

/// Module at the end of each copied library.
const MODULE: &str = r#"
mod planted {
    extern crate std;
    use std::{env, string::String, sync::OnceLock};

    pub(crate) fn planted(name: &str) -> bool {
        static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
        CHOSEN.get_or_init(|| env::var("SANDHOG_MUTANT").ok()).as_deref() == Some(name)
    }
}
"#;

/// The folder of the copy.
pub(super) fn folder() -> PathBuf {
    shell::target_dir().join("mutants")
}

/// Creates the copy, or updates it: a file that stays the same is not written, so cargo does not build it again.
///
/// # Errors
/// A bug does not fit the sources, or a file cannot be read or written.
pub(super) fn update(bugs: &[Bug]) -> Result<()> {
    let crates = crates(SIMULATOR)?;
    let mut files = BTreeMap::new();
    for folder in &crates {
        read_folder(&shell::root().join(folder), Path::new(folder), &mut files)?;
    }
    plant_all(bugs, &mut files)?;
    for folder in &crates {
        let library = files
            .get_mut(&Path::new(folder).join("src/lib.rs"))
            .with_context(|| format!("{folder} has no src/lib.rs"))?;
        let text = String::from_utf8(std::mem::take(library)).context("src/lib.rs is not UTF-8")?;
        // A faulty body has unused variables and the like.
        *library = format!("#![allow(warnings)]\n{text}{MODULE}").into_bytes();
    }
    // Tests read some of the pages in the root.
    read_root(&mut files)?;
    let manifest = files
        .get_mut(Path::new("Cargo.toml"))
        .context("there is no Cargo.toml")?;
    let text = with_members(std::str::from_utf8(manifest)?, &crates)?;
    *manifest = with_own_version(&text)?.into_bytes();
    write(&folder(), &crates, &files)
}

/// Replaces the files that bugs change.
fn plant_all(bugs: &[Bug], files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let changed: BTreeSet<&str> = bugs
        .iter()
        .flat_map(|bug| &bug.places)
        .map(|place| place.file.as_str())
        .collect();
    for file in changed {
        let text = files
            .get_mut(Path::new(file))
            .with_context(|| format!("a bug changes {file}, which is not part of {SIMULATOR}"))?;
        *text = plant(file, std::str::from_utf8(text)?, bugs)?.into_bytes();
    }
    Ok(())
}

/// Returns the folders of a package and of all packages of the workspace that it depends on.
fn crates(package: &str) -> Result<Vec<String>> {
    let metadata = shell::read(&mut shell::cargo("metadata --no-deps --format-version 1"))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    let packages = metadata["packages"]
        .as_array()
        .context("cargo metadata has no packages")?;
    let mut folders = BTreeSet::new();
    let mut waiting = vec![package.to_owned()];
    while let Some(name) = waiting.pop() {
        let package = packages
            .iter()
            .find(|package| package["name"] == *name)
            .with_context(|| format!("the workspace has no package {name}"))?;
        let manifest = package["manifest_path"].as_str().unwrap_or_default();
        let folder = Path::new(manifest)
            .parent()
            .and_then(|folder| folder.strip_prefix(shell::root()).ok());
        let folder = folder.with_context(|| format!("{name} is outside of the workspace"))?;
        if folders.insert(folder.display().to_string()) {
            let dependencies = package["dependencies"].as_array().into_iter().flatten();
            let local = dependencies.filter(|dependency| dependency["path"].is_string());
            waiting.extend(local.filter_map(|dependency| dependency["name"].as_str().map(str::to_owned)));
        }
    }
    Ok(folders.into_iter().collect())
}

/// Returns the manifest of the workspace with `crates` as its only members.
fn with_members(manifest: &str, crates: &[String]) -> Result<String> {
    let (before, rest) = manifest
        .split_once("\nmembers = [")
        .context("Cargo.toml has no members")?;
    let (_, after) = rest
        .split_once(']')
        .context("the members in Cargo.toml have no end")?;
    Ok(format!("{before}\nmembers = {crates:?}{after}"))
}

/// Returns the manifest of the workspace with another version of its packages.
///
/// The tests of the copy and of the sources are built in one folder, so that both use the same dependencies. Cargo tells packages
/// apart by name, version and place in the workspace. With the same version, it would take the tests of the copy for those of the
/// sources.
fn with_own_version(manifest: &str) -> Result<String> {
    let (before, rest) = manifest
        .split_once("\n[workspace.package]\nversion = \"")
        .context("[workspace.package] in Cargo.toml does not begin with the version")?;
    let (version, after) = rest
        .split_once('"')
        .context("the version in Cargo.toml has no end")?;
    Ok(format!(
        "{before}\n[workspace.package]\nversion = \"{version}+mutants\"{after}"
    ))
}

/// Reads the files of the root, without its folders.
fn read_root(files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    for entry in fs::read_dir(shell::root()).context("cannot read the root of the workspace")? {
        let path = entry?.path();
        if path.is_file() {
            files.insert(path.file_name().unwrap_or_default().into(), read_file(&path)?);
        }
    }
    Ok(())
}

/// Reads all files below `folder` into `files`, under paths that start with `name`.
fn read_folder(folder: &Path, name: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        let name = name.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            read_folder(&path, &name, files)?;
        } else {
            files.insert(name, read_file(&path)?);
        }
    }
    Ok(())
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Writes `files` into `folder`, and removes other files from the crates in it.
fn write(folder: &Path, crates: &[String], files: &BTreeMap<PathBuf, Vec<u8>>) -> Result<()> {
    let mut present = BTreeMap::new();
    for name in crates.iter().filter(|name| folder.join(name).is_dir()) {
        read_folder(&folder.join(name), Path::new(name), &mut present)?;
    }
    for name in present.keys().filter(|name| !files.contains_key(*name)) {
        fs::remove_file(folder.join(name))?;
    }
    for (name, content) in files {
        let path = folder.join(name);
        if fs::read(&path).is_ok_and(|present| present == *content) {
            continue;
        }
        fs::create_dir_all(path.parent().context("every file is in a folder")?)?;
        fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_has_only_the_crates_that_it_needs() {
        let manifest =
            "[workspace]\nresolver = \"3\"\nmembers = [\n    \"a\",\n    \"b\",\n]\n\n[profile.dev]\n";
        assert_eq!(
            with_members(manifest, &["b".to_owned()]).unwrap(),
            "[workspace]\nresolver = \"3\"\nmembers = [\"b\"]\n\n[profile.dev]\n"
        );
    }

    #[test]
    fn the_packages_of_the_copy_have_a_version_of_their_own() {
        let manifest = fs::read_to_string(shell::root().join("Cargo.toml")).unwrap();
        let (before, after) = (manifest.lines(), with_own_version(&manifest).unwrap());
        let changed: Vec<_> = before.zip(after.lines()).filter(|(a, b)| a != b).collect();
        let [(before, after)] = changed[..] else {
            panic!("{changed:?}")
        };
        assert!(before.starts_with("version = "));
        assert_eq!(after, before.trim_end_matches('"').to_owned() + "+mutants\"");
    }

    #[test]
    fn the_choice_is_the_variable_that_the_copy_reads() {
        assert!(MODULE.contains(&format!("\"{CHOICE}\"")));
    }
}
