//! The licences of everything that is linked into the program: most of them want their text to go with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::manual::compress;
use crate::shell;

/// How the names of such files begin, in capitals.
const BEGINNINGS: [&str; 6] = [
    "LICENSE",
    "LICENCE",
    "COPYING",
    "COPYRIGHT",
    "NOTICE",
    "UNLICENSE",
];

/// Writes `licences.txt.gz` into `folder`.
///
/// # Errors
/// cargo cannot tell the dependencies, one has no text, or a file cannot be read or written.
pub(super) fn write(folder: &Path) -> Result<()> {
    let metadata = shell::read(&mut shell::cargo(
        "metadata --format-version 1 --locked --filter-platform x86_64-unknown-linux-gnu",
    ))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata gives JSON")?;
    let linked = linked(&metadata).context("cargo metadata has another form than it had")?;
    let mut crates = Vec::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in linked.iter().filter(|package| !package["source"].is_null()) {
        let word = |key: &str| package[key].as_str().unwrap_or_default();
        let name = format!("{} {}", word("name"), word("version"));
        let found = read_texts(Path::new(word("manifest_path")))?;
        ensure!(!found.is_empty(), "{name} comes without the text of its licence");
        for text in found {
            texts.entry(text).or_default().push(name.clone());
        }
        crates.push(format!("{name}: {}", word("license")));
    }
    ensure!(!crates.is_empty(), "cargo metadata names no dependency");
    let file = folder.join("licences.txt");
    fs::write(&file, page(&mut crates, &texts))
        .with_context(|| format!("cannot write {}", file.display()))?;
    compress(&file)
}

/// The packages that are linked into the program: its dependencies and theirs, but not those that only help to build it.
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

/// Whether a package runs within the compiler only.
fn is_macro(package: &Value) -> bool {
    let targets = package["targets"].as_array().into_iter().flatten();
    targets
        .filter_map(|target| target["kind"].as_array())
        .any(|kinds| kinds.iter().any(|kind| kind == "proc-macro"))
}

/// The texts beside a manifest, in the order of their names.
fn read_texts(manifest: &Path) -> Result<Vec<String>> {
    let folder = manifest.parent().context("a manifest lies in a folder")?;
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

/// The file: who is in, then each text once, with whose it is.
fn page(crates: &mut [String], texts: &BTreeMap<String, Vec<String>>) -> String {
    crates.sort();
    let mut page = format!(
        "sandhog is linked with these libraries, each under the licence beside it; with Rust's own library, which is \
         under\nMIT OR Apache-2.0; and, where it is static, with musl, which is under MIT. The texts of the licences follow.\n\n{}\n",
        crates.join("\n")
    );
    for (text, whose) in texts {
        page += &format!("\n{}\n{}:\n\n{text}\n", "=".repeat(80), whose.join(", "));
    }
    page
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_helps_to_build_is_not_linked() {
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
    fn a_text_that_several_share_stands_there_once() {
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
