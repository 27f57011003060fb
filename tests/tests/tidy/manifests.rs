//! Rules for manifests: shared lints, versions in one place, no default features in the core, public registries only.

use toml::{Table, Value};

use super::{Source, holds, sources};

/// Crates that compile without `std` and without a source of entropy.
const PURE: &[&str] = &["peer/Cargo.toml", "proto/Cargo.toml", "netstack/Cargo.toml"];

fn manifests() -> Vec<(String, Table)> {
    let manifests = sources()
        .into_iter()
        .filter(|source| source.path.ends_with("Cargo.toml"));
    manifests
        .map(|source| (source.path.clone(), parse(&source)))
        .collect()
}

fn parse(source: &Source) -> Table {
    source
        .text
        .parse()
        .unwrap_or_else(|error| panic!("{} is not TOML: {error}", source.path))
}

fn members() -> Vec<(String, Table)> {
    manifests()
        .into_iter()
        .filter(|(path, _)| path != "Cargo.toml")
        .collect()
}

/// The table at `path` below another one; none if it is absent.
fn table<'a>(of: &'a Table, path: &[&str]) -> Option<&'a Table> {
    path.iter()
        .try_fold(of, |table, key| table.get(*key).and_then(Value::as_table))
}

#[test]
fn every_crate_has_the_lints_of_the_workspace() {
    let inherits = |manifest: &Table| {
        table(manifest, &["lints"]).and_then(|lints| lints.get("workspace")) == Some(&Value::Boolean(true))
    };
    let without = members()
        .into_iter()
        .filter(|(_, manifest)| !inherits(manifest))
        .map(|(path, _)| path);
    holds("a manifest has `[lints] workspace = true`", without);
}

#[test]
fn versions_are_in_the_root_manifest_only() {
    let offences = members().into_iter().flat_map(|(path, manifest)| {
        let own: Vec<_> = dependencies(&manifest)
            .filter(|(_, dependency)| dependency.get("workspace") != Some(&Value::Boolean(true)))
            .map(|(name, _)| format!("{path}: {name}"))
            .collect();
        own
    });
    holds("a dependency has `workspace = true`", offences);
}

#[test]
fn the_core_and_the_hosts_use_no_default_features() {
    let manifests = manifests();
    let (_, root) = manifests
        .iter()
        .find(|(path, _)| path == "Cargo.toml")
        .expect("the root manifest exists");
    let shared =
        table(root, &["workspace", "dependencies"]).expect("the root manifest lists the dependencies");
    let bare = |name: &str| {
        let entry = shared.get(name).and_then(Value::as_table);
        entry.is_some_and(|entry| {
            entry.contains_key("path") || entry.get("default-features") == Some(&Value::Boolean(false))
        })
    };
    let pure = manifests.iter().filter(|(path, _)| PURE.contains(&path.as_str()));
    let offences = pure.flat_map(|(path, manifest)| {
        let normal = table(manifest, &["dependencies"]).into_iter().flatten();
        normal
            .filter(|(name, _)| !bare(name))
            .map(move |(name, _)| format!("{path}: {name}"))
    });
    holds(
        "a dependency of a pure crate has `default-features = false` in the root manifest",
        offences.collect::<Vec<_>>(),
    );
}

/// All dependencies of a manifest, including those for development and for single targets.
fn dependencies(manifest: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let targets = table(manifest, &["target"])
        .into_iter()
        .flatten()
        .filter_map(|(_, target)| target.as_table());
    let kinds = ["dependencies", "dev-dependencies", "build-dependencies"];
    let tables = std::iter::once(manifest).chain(targets);
    tables
        .flat_map(move |of| kinds.into_iter().filter_map(|kind| table(of, &[kind])))
        .flatten()
}

#[test]
fn locked_packages_come_from_the_public_registries() {
    let crates_io = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    let npm = "\"resolved\": \"https://registry.npmjs.org/";
    let offences = sources().into_iter().flat_map(|source| {
        let (mark, public) = match source.path.rsplit('/').next() {
            Some("Cargo.lock") => ("source = ", crates_io),
            Some("package-lock.json") => ("\"resolved\": ", npm),
            _ => return Vec::new(),
        };
        let lines = source
            .text
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with(mark));
        let foreign = lines.filter(|line| !line.starts_with(public));
        foreign.map(|line| format!("{}: {line}", source.path)).collect()
    });
    holds("locked packages come from public registries", offences);
}
