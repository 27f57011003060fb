//! Licence texts of all libraries in the program. Most licences require that the text is distributed with the program.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::manual::compress;
use crate::shell;

/// Beginnings of the names of licence files, in capitals.
const BEGINNINGS: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Identifier of the Apache License, version 2.0 (SPDX).
const APACHE: &str = "Apache-2.0";

/// Its text.
const APACHE_TEXT: &str = include_str!("../../../LICENSE-APACHE");

/// Writes `licences.txt.gz` into `folder`.
///
/// # Errors
/// cargo cannot list the dependencies, one of them has no licence text, or a file cannot be read or written.
pub(super) fn write(folder: &Path) -> Result<()> {
    let metadata = shell::read(&mut shell::cargo(
        "metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu",
    ))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata prints JSON")?;
    let linked = linked(&metadata).context("the output of cargo metadata has an unknown form")?;
    let mut crates = Vec::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked.iter().filter(|package| !package["source"].is_null()) {
        let word = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", word("name"), word("version"));
        let mut found = read_texts(Path::new(word("manifest_path")))?;
        if found.is_empty() && word("license") == APACHE {
            // The text of this licence is the same for all packages. Some do not include it.
            found.push(APACHE_TEXT.trim().to_owned());
        }
        ensure!(!found.is_empty(), "{name} has no file with its licence");
        for text in found {
            texts.entry(text).or_default().push(name.clone());
        }
        crates.push(format!("{name}: {}", word("license")));
    }
    ensure!(!crates.is_empty(), "cargo metadata lists no dependency");
    let file = folder.join("licences.txt");
    fs::write(&file, page(&mut crates, &texts))
        .with_context(|| format!("cannot write {}", file.display()))?;
    compress(&file)
}

/// Packages in the program: its direct and indirect dependencies, without build dependencies and procedural macros.
fn linked(metadata: &Value) -> Option<Vec<&Value>> {
    let packages: BTreeMap<_, _> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<_, _> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let root = packages.values().find(|package| package["name"] == "sandhog")?;
    let mut seen = BTreeSet::new();
    let mut open = vec![root["id"].as_str()?];
    while let Some(id) = open.pop() {
        if is_macro(packages.get(id)?) || !seen.insert(id) {
            continue;
        }
        for dependency in nodes.get(id)?["deps"].as_array()? {
            let kinds = dependency["dep_kinds"].as_array()?;
            if kinds.iter().any(|kind| kind["kind"].is_null()) {
                open.push(dependency["pkg"].as_str()?);
            }
        }
    }
    seen.into_iter().map(|id| packages.get(id).copied()).collect()
}

/// True for a procedural macro, which runs in the compiler only.
fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .filter_map(|target| target["kind"].as_array())
        .any(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
}

/// Licence texts in the folder of a manifest, in the order of their file names.
fn read_texts(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().context("the manifest is in a folder")?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .to_uppercase();
        if path.is_file() && BEGINNINGS.iter().any(|beginning| name.starts_with(beginning)) {
            paths.push(path);
        }
    }
    paths.sort();
    let read = |path| Ok(String::from_utf8_lossy(&fs::read(path)?).trim().to_owned());
    paths.iter().map(read).collect()
}

/// Content of the file: the list of packages, then each text once with the names of its packages.
fn page(crates: &mut [String], texts: &BTreeMap<String, Vec<String>>) -> String {
    crates.sort();
    let mut page = format!(
        "sandhog contains these libraries, each under the licence beside its name. It also contains the Rust standard \
         library,\nunder MIT OR Apache-2.0. The static program also contains musl, under MIT. The licence texts follow.\n\n{}\n",
        crates.join("\n")
    );
    for (text, owners) in texts {
        page += &format!("\n{}\n{}:\n\n{text}\n", "=".repeat(80), owners.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn build_dependencies_and_macros_are_not_in_the_program() {
        let package = |id: &str, kind: &str| json!({ "id": id, "name": id, "targets": [{ "kind": [kind] }] });
        let to = |id: &str, kind: Value| json!({ "pkg": id, "dep_kinds": [{ "kind": kind }] });
        let metadata = json!({
            "packages": [package("sandhog", "bin"), package("a", "lib"), package("b", "lib"), package("cc", "lib"),
                         package("derive", "proc-macro"), package("syn", "lib")],
            "resolve": { "nodes": [
                { "id": "sandhog", "deps": [to("a", Value::Null), to("cc", "build".into()), to("derive", Value::Null)] },
                { "id": "a", "deps": [to("b", Value::Null), to("syn", "dev".into())] },
                { "id": "b", "deps": [] },
                { "id": "derive", "deps": [to("syn", Value::Null)] },
            ] },
        });
        let names: Vec<_> = linked(&metadata)
            .unwrap()
            .iter()
            .map(|package| package["name"].clone())
            .collect();
        assert_eq!(names, ["a", "b", "sandhog"]);
    }

    #[test]
    fn a_text_that_several_packages_share_is_written_once() {
        let texts = BTreeMap::from([(
            "Do good.".to_owned(),
            vec!["a 1.0.0".to_owned(), "b 2.0.0".to_owned()],
        )]);
        let page = page(
            &mut ["b 2.0.0: MIT".to_owned(), "a 1.0.0: MIT".to_owned()],
            &texts,
        );
        assert_eq!(page.matches("Do good.").count(), 1);
        assert!(page.contains("a 1.0.0: MIT\nb 2.0.0: MIT\n") && page.contains("a 1.0.0, b 2.0.0:\n"));
    }
}
