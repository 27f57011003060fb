//! Import cycles between the files of a crate, found by its `use` lines and by the paths in its code.
//!
//! A module and the modules below it do not count: they are one unit, divided into files.

mod tokens;
mod tree;

use std::collections::{BTreeMap, BTreeSet};

use self::tree::{Path, Tree};
use super::{Source, holds, sources};

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
        .flat_map(|root| Imports::of(&Tree::read(root, &text)).cycles())
        .collect()
}

/// Imports between the files of one crate.
struct Imports {
    files: Vec<String>,
    /// The line of the first import, by the index of the file that imports and of the one that is imported.
    edges: BTreeMap<usize, BTreeMap<usize, usize>>,
}

impl Imports {
    fn of(tree: &Tree) -> Self {
        let mut edges: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
        let paths = file_paths(tree);
        for (path, module) in &tree.modules {
            for (used, line) in &module.uses {
                let target = absolute(tree, path, used, MOST_REEXPORTS).map(|path| module_of(tree, &path));
                let Some(target) = target.and_then(|path| tree.modules.get(&path)) else {
                    continue;
                };
                let (from, to) = (&paths[&module.file], &paths[&target.file]);
                if !from.starts_with(to) && !to.starts_with(from) {
                    let lines = edges.entry(module.file).or_default();
                    let first = lines.entry(target.file).or_insert(*line);
                    *first = (*first).min(*line);
                }
            }
        }
        Self {
            files: tree.files.clone(),
            edges,
        }
    }

    /// One shortest cycle for each group of files that reach each other.
    fn cycles(&self) -> Vec<String> {
        let reached: Vec<_> = (0..self.files.len())
            .map(|file| self.reached_from(file))
            .collect();
        let mut seen = BTreeSet::new();
        let mut found = Vec::new();
        for file in 0..self.files.len() {
            let group: BTreeSet<_> = (0..self.files.len())
                .filter(|&other| reached[file].contains_key(&other) && reached[other].contains_key(&file))
                .collect();
            if group.contains(&file) && seen.insert(group.clone()) {
                let shortest = group.iter().map(|&member| self.cycle_through(member));
                let shortest = shortest.min_by_key(Vec::len).unwrap_or_default();
                let steps: Vec<_> = shortest
                    .iter()
                    .map(|&(from, to)| {
                        let line = self.edges[&from][&to];
                        format!("{}:{line} imports {}", self.files[from], self.files[to])
                    })
                    .collect();
                let rest = match group.len() - steps.len() {
                    0 => String::new(),
                    more => format!(" ({more} more files are in cycles with these)"),
                };
                found.push(steps.join(", ") + &rest);
            }
        }
        found
    }

    /// The files that `file` reaches, each with the one before it on a shortest way. `file` itself is among them only if a
    /// way leads back to it.
    fn reached_from(&self, file: usize) -> BTreeMap<usize, usize> {
        let mut before = BTreeMap::new();
        let mut open = std::collections::VecDeque::from([file]);
        while let Some(from) = open.pop_front() {
            for &to in self.edges.get(&from).into_iter().flatten().map(|(to, _)| to) {
                if let std::collections::btree_map::Entry::Vacant(entry) = before.entry(to) {
                    entry.insert(from);
                    open.push_back(to);
                }
            }
        }
        before
    }

    /// The imports of a shortest cycle through `file`.
    fn cycle_through(&self, file: usize) -> Vec<(usize, usize)> {
        let before = self.reached_from(file);
        let mut steps = vec![(before[&file], file)];
        while let Some(&(from, _)) = steps.last()
            && from != file
        {
            steps.push((before[&from], from));
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
            ["a/src/net.rs:3 imports a/src/link.rs, a/src/link.rs:3 imports a/src/net.rs"]
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
}
