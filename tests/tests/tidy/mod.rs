//! Style rules for all files of the checkout, as tests.
//!
//! Each rule returns the places that break it, and [`holds`] prints them all at once.

mod determinism;
mod imports;
mod links;
mod manifests;
mod names;
mod shape;
mod survival;
mod tokens;
mod unfinished;

use std::{fs, path::Path, process::Command};

/// A file of the checkout.
struct Source {
    /// Its path from the root, with `/` between the folders.
    path: String,
    /// Its text.
    text: String,
}

impl Source {
    fn has_ending(&self, endings: &[&str]) -> bool {
        self.path
            .rsplit_once('.')
            .is_some_and(|(_, ending)| endings.contains(&ending))
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the folder of this crate is in the root")
}

/// All text files that are committed, or that `git add --all` would add.
fn sources() -> Vec<Source> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git can be started");
    assert!(
        listed.status.success(),
        "git cannot list the files: {}",
        String::from_utf8_lossy(&listed.stderr)
    );
    let paths = String::from_utf8(listed.stdout).expect("paths are UTF-8");
    let read = |path: &str| {
        fs::read_to_string(root().join(path)).ok().map(|text| Source {
            path: path.to_owned(),
            text,
        })
    };
    let sources: Vec<_> = paths.lines().filter_map(read).collect();
    assert!(
        sources.iter().any(|source| source.path == "Cargo.toml"),
        "the list of files has no Cargo.toml"
    );
    sources
}

/// Fails with all places that break a rule, one on each line.
#[track_caller]
fn holds(rule: &str, offences: impl IntoIterator<Item = String>) {
    let offences: Vec<_> = offences.into_iter().collect();
    assert!(offences.is_empty(), "{rule}:\n  {}\n", offences.join("\n  "));
}
