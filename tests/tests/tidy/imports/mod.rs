//! Import cycles between the files of a crate, found by its `use` lines and by the paths in its code.
//!
//! A module and the modules below it are one unit, divided into files. They may import each other. For all other modules, an
//! import of one of them is an import of the unit. The tests of a module, `mod tests`, do not count.

mod refused;
mod tree;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(in crate::tidy) use self::tree::Tree;

use self::tree::Path;
use super::{Source, holds, sources};

/// The crate in which only files are compared. Some of its folders group files by subject, and use each other.
const BY_FILE: &str = "tun-adapter/src/";

/// Re-exports are followed so many times, in case two of them name each other.
const MOST_REEXPORTS: usize = 8;

#[test]
fn no_two_files_of_a_crate_import_each_other() {
    holds(
        "imports between the files of a crate go one way",
        cycles(&sources()),
    );
}

/// A file that each target of cargo starts from: `src/lib.rs`, `tests/main.rs`.
fn is_root(path: &str) -> bool {
    let Some((before, name)) = path.rsplit_once('/') else {
        return false;
    };
    let (outer, folder) = before.rsplit_once('/').unwrap_or(("", before));
    let groups = ["tests", "benches", "examples", "bin"];
    match folder {
        "src" => name == "lib.rs" || name == "main.rs",
        _ if groups.contains(&folder) => name.ends_with(".rs"),
        _ => name == "main.rs" && groups.iter().any(|group| outer.ends_with(group)),
    }
}

/// All cycles of all crates. Each is a text with the lines that close it.
fn cycles(sources: &[Source]) -> Vec<String> {
    let texts: BTreeMap<&str, &str> = sources
        .iter()
        .filter(|source| source.has_ending(&["rs"]))
        .map(|source| (&*source.path, &*source.text))
        .collect();
    let text = |path: &str| texts.get(path).copied();
    let roots = texts.keys().filter(|path| is_root(path));
    roots
        .flat_map(|root| {
            let grouping = match root.starts_with(BY_FILE) {
                true => Grouping::Files,
                false => Grouping::Units,
            };
            Imports::of(&Tree::read(root, &text), grouping).cycles()
        })
        .collect()
}

/// Imports between the units of one crate. A unit is named by the path of its uppermost module.
#[derive(Default)]
struct Imports {
    /// The first import, by the unit that imports and the one that is imported.
    edges: BTreeMap<Path, BTreeMap<Path, Import>>,
}

/// The parts of a crate between which imports go one way.
#[derive(Clone, Copy)]
enum Grouping {
    /// A module with all modules below it.
    Units,
    /// A file.
    Files,
}

/// An import: the file and line of the path, and the file that it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Import {
    file: String,
    line: usize,
    target: String,
}

impl Imports {
    fn of(tree: &Tree, grouping: Grouping) -> Self {
        let mut imports = Self::default();
        let paths = file_paths(tree);
        let code = tree
            .modules
            .iter()
            .filter(|(path, _)| !path.iter().any(|name| name == "tests"));
        for (path, module) in code {
            for (used, line) in &module.uses {
                let target = absolute(tree, path, used, MOST_REEXPORTS).map(|path| module_of(tree, &path));
                let Some(target) = target.and_then(|path| tree.modules.get(&path)) else {
                    continue;
                };
                let import = Import {
                    file: tree.files[module.file].clone(),
                    line: *line,
                    target: tree.files[target.file].clone(),
                };
                let (from, to) = (&paths[&module.file], &paths[&target.file]);
                match grouping {
                    Grouping::Units => imports.add_of_units(from, to, import),
                    Grouping::Files => imports.add_of_files(from, to, import),
                }
            }
        }
        imports
    }

    /// Adds an import between two modules, as one between the uppermost units that contain only one of them.
    fn add_of_units(&mut self, from: &[String], to: &[String], import: Import) {
        let shared = from
            .iter()
            .zip(to)
            .take_while(|(one, other)| one == other)
            .count();
        let (Some(from), Some(to)) = (from.get(..=shared), to.get(..=shared)) else {
            return;
        };
        self.insert(from, to, import);
    }

    /// Adds an import between two files. A module may import the modules below it, and they may import it, but such an import
    /// can be a part of a longer cycle.
    fn add_of_files(&mut self, from: &[String], to: &[String], import: Import) {
        if !to.starts_with(from) {
            self.insert(from, to, import);
        }
    }

    fn insert(&mut self, from: &[String], to: &[String], import: Import) {
        let targets = self.edges.entry(from.to_vec()).or_default();
        let first = targets.entry(to.to_vec()).or_insert_with(|| import.clone());
        *first = import.min(first.clone());
    }

    /// One shortest cycle for each group of units that reach each other.
    fn cycles(&self) -> Vec<String> {
        let reached: BTreeMap<_, _> = self
            .edges
            .keys()
            .map(|unit| (unit, self.reached_from(unit)))
            .collect();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for (unit, targets) in &reached {
            let leads_back = |other: &&Path| {
                reached
                    .get(other)
                    .is_some_and(|targets| targets.contains_key(*unit))
            };
            let group: BTreeSet<&Path> = targets.keys().copied().filter(leads_back).collect();
            if group.contains(unit) && seen.insert(group.clone()) {
                let shortest = group.iter().map(|member| self.cycle_through(member));
                let shortest = shortest.min_by_key(Vec::len).unwrap_or_default();
                let steps: Vec<_> = shortest
                    .iter()
                    .map(|(from, to)| {
                        let Import { file, line, target } = &self.edges[*from][*to];
                        format!("{file}:{line} imports {target}")
                    })
                    .collect();
                let rest = match group.len() - steps.len() {
                    0 => String::new(),
                    more => format!(" ({more} more modules are in cycles with these)"),
                };
                found.push(steps.join(", ") + &rest);
            }
        }
        found
    }

    /// The units that `unit` reaches, each with the one before it on a shortest way. `unit` itself is among them only if a
    /// way leads back to it.
    fn reached_from<'a>(&'a self, unit: &'a Path) -> BTreeMap<&'a Path, &'a Path> {
        let mut before = BTreeMap::new();
        let mut open = VecDeque::from([unit]);
        while let Some(from) = open.pop_front() {
            for to in self.edges.get(from).into_iter().flatten().map(|(to, _)| to) {
                if let Entry::Vacant(entry) = before.entry(to) {
                    entry.insert(from);
                    open.push_back(to);
                }
            }
        }
        before
    }

    /// The imports of a shortest cycle through `unit`.
    fn cycle_through<'a>(&'a self, unit: &'a Path) -> Vec<(&'a Path, &'a Path)> {
        let before = self.reached_from(unit);
        let mut steps = vec![(before[unit], unit)];
        while let Some(&(from, _)) = steps.last()
            && from != unit
        {
            steps.push((before[from], from));
        }
        steps.reverse();
        steps
    }
}

/// The path of the module that each file is; inline modules belong to the file around them.
fn file_paths(tree: &Tree) -> BTreeMap<usize, Path> {
    let mut paths: BTreeMap<usize, Path> = BTreeMap::new();
    for (path, module) in &tree.modules {
        // The modules are in order, so the shortest path of a file comes first.
        paths.entry(module.file).or_insert_with(|| path.clone());
    }
    paths
}

/// The path from the root for a path used in `module`, with all re-exports followed; none if it leads out of the crate.
fn absolute(tree: &Tree, module: &[String], used: &[String], reexports: usize) -> Option<Path> {
    let (first, rest) = used.split_first()?;
    let start: Path = match first.as_str() {
        "crate" => Path::new(),
        "self" => module.to_vec(),
        "super" => module.split_last()?.1.to_vec(),
        name => {
            let child: Path = module.iter().cloned().chain([name.to_owned()]).collect();
            if tree.modules.contains_key(&child) {
                child
            } else {
                let whole: Path = module.iter().cloned().chain(used.iter().cloned()).collect();
                return follow(tree, module.len(), &whole, reexports.checked_sub(1)?);
            }
        }
    };
    let supers = rest.iter().take_while(|segment| *segment == "super").count();
    let start = start.get(..start.len().checked_sub(supers)?)?;
    let whole: Path = start.iter().chain(&rest[supers..]).cloned().collect();
    follow(tree, start.len(), &whole, reexports).or(Some(whole))
}

/// Replaces names in `path` that are brought in by `use`, from the segment `at` on. None if the first is not known.
fn follow(tree: &Tree, mut at: usize, path: &[String], reexports: usize) -> Option<Path> {
    let mut is_known = false;
    while at < path.len() && tree.modules.contains_key(&path[..=at]) {
        (at, is_known) = (at + 1, true);
    }
    let Some(name) = path.get(at) else {
        return Some(path.to_vec());
    };
    let parent = &path[..at];
    let module = tree.modules.get(parent)?;
    let rest = &path[at + 1..];
    if let Some(import) = module.imported.get(name) {
        let whole: Path = import.iter().chain(rest).cloned().collect();
        // A name that is imported under itself, as `use clap::clap`, is not ours.
        let target = absolute(tree, parent, &whole, reexports.checked_sub(1)?);
        return target.or_else(|| is_known.then(|| parent.to_vec()));
    }
    if module.items.contains(name) {
        return Some(path.to_vec());
    }
    let from_glob = module.globs.iter().find_map(|glob| {
        let glob = absolute(tree, parent, glob, reexports.checked_sub(1)?)?;
        let whole: Path = glob.iter().chain(&path[at..]).cloned().collect();
        (glob != parent).then(|| follow(tree, glob.len(), &whole, reexports.checked_sub(1)?))?
    });
    from_glob.or_else(|| is_known.then(|| path.to_vec()))
}

/// The longest beginning of `path` that is a module.
fn module_of(tree: &Tree, path: &[String]) -> Path {
    let len = (0..=path.len())
        .rev()
        .find(|&len| tree.modules.contains_key(&path[..len]));
    path[..len.unwrap_or_default()].to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycles_of(files: &[(&str, &str)]) -> Vec<String> {
        let source = |(path, text): &(&str, &str)| Source {
            path: format!("a/src/{path}"),
            text: (*text).to_owned(),
        };
        cycles(&files.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn two_files_that_import_each_other_are_shown_with_their_lines() {
        let found = cycles_of(&[
            ("lib.rs", "mod link;\nmod net;\n"),
            (
                "link.rs",
                "//! Links.\nuse crate::{\n    net::Net,\n};\npub struct Link;\n",
            ),
            (
                "net.rs",
                "pub struct Net;\n\nfn first() -> super::link::Link {}\n",
            ),
        ]);
        assert_eq!(
            found,
            ["a/src/link.rs:3 imports a/src/net.rs, a/src/net.rs:3 imports a/src/link.rs"]
        );
    }

    #[test]
    fn a_re_export_is_followed_to_the_file_that_defines_the_item() {
        let files = |net: &'static str| {
            [
                ("main.rs", "mod link;\nmod net;\n"),
                ("link/mod.rs", "mod core;\npub use core::Link as Path;\n"),
                ("link/core.rs", "use crate::net::Net;\npub struct Link;\n"),
                ("net.rs", net),
            ]
        };
        assert_eq!(
            cycles_of(&files("use crate::link::Path;\npub struct Net;\n")).len(),
            1
        );
        assert!(cycles_of(&files("use std::path::Path;\npub struct Net;\n")).is_empty());
    }

    #[test]
    fn a_module_and_its_children_may_import_each_other() {
        let found = cycles_of(&[
            ("lib.rs", "mod net;\nuse net::Net;\npub struct Root;\n"),
            (
                "net.rs",
                "mod link;\nuse link::Link;\nuse crate::Root;\npub struct Net;\n",
            ),
            (
                "net/link.rs",
                "use super::Net;\npub struct Link;\n\nmod tests {\n    use super::*;\n}\n",
            ),
        ]);
        assert_eq!(found, Vec::<String>::new());
    }

    #[test]
    fn two_glob_imports_are_a_cycle_of_two_files() {
        let found = cycles_of(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::*;\npub struct A;\n"),
            ("b.rs", "\nuse crate::a::*;\npub struct B;\n"),
        ]);
        assert_eq!(
            found,
            ["a/src/a.rs:1 imports a/src/b.rs, a/src/b.rs:2 imports a/src/a.rs"]
        );
    }

    #[test]
    fn an_import_of_a_child_is_an_import_of_its_parent() {
        let found = cycles_of(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::c::C;\npub struct A;\n"),
            ("b.rs", "pub mod c;\nuse crate::a::A;\npub struct B;\n"),
            ("b/c.rs", "use super::B;\npub struct C;\n"),
        ]);
        assert_eq!(
            found,
            ["a/src/a.rs:1 imports a/src/b/c.rs, a/src/b.rs:2 imports a/src/a.rs"]
        );
    }

    #[test]
    fn a_cycle_of_files_through_a_parent_is_shown_in_every_crate() {
        let files = [
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::b::c::C;\npub struct A;\n"),
            ("b.rs", "pub mod c;\nuse crate::a::A;\nuse c::C;\npub struct B;\n"),
            ("b/c.rs", "use super::B;\npub struct C;\n"),
        ];
        let found = cycles(&files.map(|(path, text)| Source {
            path: format!("{BY_FILE}{path}"),
            text: text.to_owned(),
        }));
        let steps = [
            "a.rs:1 imports b/c.rs",
            "b/c.rs:1 imports b.rs",
            "b.rs:2 imports a.rs",
        ];
        let steps = steps.map(|step| {
            format!(
                "{BY_FILE}{}",
                step.replace("imports ", &format!("imports {BY_FILE}"))
            )
        });
        assert_eq!(found, [steps.join(", ")]);
    }

    #[test]
    fn raw_names_and_paths_after_a_range_are_imports() {
        let found = cycles_of(&[
            ("lib.rs", "mod a;\nmod b;\n"),
            ("a.rs", "use crate::r#b::B;\npub const N: usize = 1;\n"),
            ("b.rs", "pub struct B;\nfn f() { for _ in 0..crate::a::N {} }\n"),
        ]);
        assert_eq!(
            found,
            ["a/src/a.rs:1 imports a/src/b.rs, a/src/b.rs:2 imports a/src/a.rs"]
        );
    }
}
