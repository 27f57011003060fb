//! Links of the documentation: every relative link names a file of this checkout.

use std::path::{Component, Path, PathBuf};

use super::{holds, root, sources};

#[test]
fn every_relative_link_names_a_file_of_the_checkout() {
    let pages = sources().into_iter().filter(|source| source.has_ending(&["md"]));
    let offences = pages.flat_map(|page| {
        let folder = Path::new(&page.path)
            .parent()
            .expect("the file is in a folder")
            .to_owned();
        let dead = targets(&page.text)
            .into_iter()
            .filter(|target| !exists(&folder, target));
        dead.map(|target| format!("{}: {target}", page.path))
            .collect::<Vec<_>>()
    });
    holds("the target of a link exists", offences);
}

/// Relative targets of all `[text](target)` of a page, without their anchors.
fn targets(page: &str) -> Vec<String> {
    let after = page.split("](").skip(1);
    let targets = after.filter_map(|rest| rest.split([')', ' ', '#']).next());
    targets
        .filter(|target| !target.is_empty() && !target.contains(':'))
        .map(str::to_owned)
        .collect()
}

/// Returns true if `target`, relative to `folder`, exists and is inside the checkout.
fn exists(folder: &Path, target: &str) -> bool {
    let mut resolved = PathBuf::new();
    for component in folder.join(target).components() {
        match component {
            Component::ParentDir if !resolved.pop() => return false,
            Component::ParentDir | Component::CurDir => {}
            Component::Normal(name) => resolved.push(name),
            Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    root().join(resolved).exists()
}

#[test]
fn links_to_the_web_and_to_anchors_are_ignored() {
    let page = "[a](https://example.org) [b](#here) [c](docs/page.md#part) ![d](picture.png \"title\")";
    assert_eq!(targets(page), ["docs/page.md", "picture.png"]);
    assert!(!exists(Path::new(""), "../outside.md"));
}
