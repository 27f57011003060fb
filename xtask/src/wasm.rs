//! WebAssembly modules: building them and looking at what they import.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use wasmparser::{Parser, Payload};

use crate::{
    shell::{self, target_dir},
    step::Session,
};

/// What cargo is told for all that runs on WASI, the programs beside the tests as well. Another choice would mean other features,
/// and all compiled once more.
pub(crate) const TESTS_ON_WASI: &str = "test --target wasm32-wasip1 -p sandhog-peer -p sandhog-proto -p sandhog-netstack -p sandhog-sim \
                                        -p sandhog-tests --lib --tests";

/// The core reaches neither the world (its module has no imports) nor a source of entropy (`getrandom` is not in its tree).
pub(crate) fn core_is_pure(_: &Session) -> Result<()> {
    shell::run(&mut shell::cargo(
        "build --quiet --package sandhog-proto-module --target wasm32-unknown-unknown",
    ))?;
    let module = target_dir().join("wasm32-unknown-unknown/debug/sandhog_proto_module.wasm");
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let found = imports(&bytes).with_context(|| format!("cannot parse {}", module.display()))?;
    ensure!(found.is_empty(), "the core imports {}", found.join(", "));
    let tree = shell::read(&mut shell::cargo(
        "tree --package sandhog-proto --edges normal --target all --prefix none",
    ))?;
    let entropy: Vec<_> = tree
        .lines()
        .filter(|line| line.starts_with("getrandom "))
        .collect();
    ensure!(entropy.is_empty(), "the core depends on {}", entropy.join(", "));
    println!(
        "{}: {} bytes, no imports; no getrandom in the tree of sandhog-proto",
        name(&module),
        bytes.len()
    );
    Ok(())
}

/// The imports of a module, each as `module.name`.
///
/// # Errors
/// The bytes are not a WebAssembly module.
fn imports(module: &[u8]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(section) = payload? {
            for import in section.into_imports() {
                let import = import?;
                found.push(format!("{}.{}", import.module, import.name));
            }
        }
    }
    Ok(found)
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `(module (import "env" "now" (func)))`, assembled by hand.
    const IMPORTING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\x02\x0b\x01\x03env\x03now\0\0";

    #[test]
    fn an_import_is_found() {
        assert_eq!(imports(IMPORTING).unwrap(), ["env.now"]);
    }

    #[test]
    fn an_empty_module_has_none() {
        assert_eq!(imports(b"\0asm\x01\0\0\0").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn what_is_no_module_is_an_error() {
        assert!(imports(b"ELF").is_err());
    }
}
