//! Packages for crates.io: each library is packed, unpacked and compiled outside of the workspace.
//!
//! `cargo package` can compile the packages itself, but in a profile of its own and from the first dependency on. Here they
//! are compiled together, with the profile and the folder of the other steps.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use crate::{
    shell,
    step::Session,
    workspace::{self, Library},
};

/// The step `publish`.
///
/// # Errors
/// A library cannot be packed, or its package does not compile: a file or a dependency is missing in it.
pub(crate) fn check(_: &Session) -> Result<()> {
    let folder = shell::scratch("publish")?;
    let libraries = workspace::libraries();
    let mut pack = shell::cargo("package --quiet --locked --no-verify --allow-dirty --target-dir");
    pack.arg(&folder);
    for library in &libraries {
        pack.args(["--package", &library.package]);
    }
    shell::run(&mut pack)?;
    let unpacked = folder.join("unpacked");
    fs::create_dir_all(&unpacked)?;
    for library in &libraries {
        let archive = folder
            .join("package")
            .join(format!("{}.crate", directory(library)));
        let mut tar = shell::command("tar", "--extract --gzip --file");
        shell::run(tar.arg(&archive).arg("--directory").arg(&unpacked))?;
    }
    let manifest = workspace_of(&libraries)?;
    fs::write(unpacked.join("Cargo.toml"), manifest)?;
    fs::copy(shell::root().join("Cargo.lock"), unpacked.join("Cargo.lock"))?;
    let mut compile = shell::cargo("check --quiet --workspace --target-dir");
    compile.arg(shell::target_dir()).current_dir(&unpacked);
    shell::run(&mut compile)?;
    let names: Vec<_> = libraries.iter().map(|library| &*library.package).collect();
    println!("packed and compiled: {}", names.join(", "));
    Ok(())
}

/// The folder in a package, which is also the name of its file.
fn directory(library: &Library) -> String {
    format!("{}-{}", library.package, env!("CARGO_PKG_VERSION"))
}

/// A manifest with the unpacked libraries as members, in place of those of the registry, and with our build profiles.
fn workspace_of(libraries: &[Library]) -> Result<String> {
    let members: Vec<_> = libraries
        .iter()
        .map(|library| format!("{:?}", directory(library)))
        .collect();
    let patches = libraries
        .iter()
        .map(|library| format!("{} = {{ path = {:?} }}\n", library.package, directory(library)));
    let manifest = shell::root().join("Cargo.toml");
    let manifest = fs::read_to_string(manifest).context("cannot read Cargo.toml")?;
    let profiles = manifest.find("[profile.dev]").map(|start| &manifest[start..]);
    ensure!(profiles.is_some(), "Cargo.toml has no [profile.dev]");
    Ok(format!(
        "[workspace]\nresolver = \"3\"\nmembers = [{}]\n\n[patch.crates-io]\n{}\n{}",
        members.join(", "),
        patches.collect::<String>(),
        profiles.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unpacked_libraries_replace_those_of_the_registry() {
        let library = Library {
            package: "sandhog-x".to_owned(),
        };
        let manifest = workspace_of(&[library]).unwrap();
        let folder = concat!("\"sandhog-x-", env!("CARGO_PKG_VERSION"), "\"");
        assert!(manifest.contains(&format!("members = [{folder}]")), "{manifest}");
        assert!(
            manifest.contains(&format!("sandhog-x = {{ path = {folder} }}")),
            "{manifest}"
        );
        assert!(manifest.contains("[profile.dev]"), "{manifest}");
    }
}
