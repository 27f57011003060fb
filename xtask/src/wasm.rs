//! The protocol core as a WebAssembly module, and the check that it imports nothing.

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    shell::{self, target_dir},
    step::Session,
    tools::CHROMIUM,
};

/// Targets of the core. A list of all targets would include dependencies of verification tools, which no build has.
const TARGETS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "wasm32-unknown-unknown",
    "wasm32-wasip1",
];

/// Checks that the module of the core has no imports, and that `getrandom` is not among its dependencies.
///
/// # Errors
/// The build fails, or the check does.
pub(crate) fn core_is_pure(_: &Session) -> Result<()> {
    // The step `browser` builds the page's module as well. In one build with it, the core has the same features, so it is
    // compiled once.
    let page = if (CHROMIUM.present)() {
        "--package sandhog-web"
    } else {
        ""
    };
    let line = "build --quiet --lib --package sandhog-proto-module --target wasm32-unknown-unknown";
    shell::run(&mut shell::cargo(&format!("{line} {page}")))?;
    let module = target_dir().join("wasm32-unknown-unknown/debug/sandhog_proto_module.wasm");
    let bytes = fs::read(&module).with_context(|| format!("cannot read {}", module.display()))?;
    let found = imports(&bytes).with_context(|| format!("cannot parse {}", module.display()))?;
    ensure!(
        found.is_empty(),
        "the core must import nothing, but it imports {}",
        found.join(", ")
    );
    for target in TARGETS {
        let line = format!("tree --package sandhog-proto --edges normal --target {target} --prefix none");
        let tree = shell::read(&mut shell::cargo(&line))?;
        let entropy: Vec<_> = tree
            .lines()
            .filter(|line| line.starts_with("getrandom "))
            .collect();
        ensure!(
            entropy.is_empty(),
            "the core must have no source of entropy, but on {target} it depends on {}",
            entropy.join(", ")
        );
    }
    println!(
        "{}: {} bytes, no imports; no getrandom in the tree of sandhog-proto",
        name(&module),
        bytes.len()
    );
    Ok(())
}

/// The number of the section that lists the imports.
const IMPORTS: u8 = 2;

/// The imports of a module, each as `module.name` (WebAssembly core specification, 5.5).
///
/// # Errors
/// The bytes are not a WebAssembly module.
fn imports(module: &[u8]) -> Result<Vec<String>> {
    let mut reader = Reader(module);
    ensure!(
        reader.take(8)? == b"\0asm\x01\0\0\0",
        "there is no header of version 1"
    );
    while !reader.0.is_empty() {
        let section = reader.byte()?;
        let size = reader.number()?;
        let mut content = Reader(reader.take(size)?);
        if section == IMPORTS {
            let count = content.number()?;
            return (0..count).map(|_| content.import()).collect();
        }
    }
    Ok(Vec::new())
}

/// The bytes of a module that are still to be read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len).context("the module ends early")?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// An unsigned number in LEB128.
    fn number(&mut self) -> Result<usize> {
        let mut number = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.byte()?;
            number |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        bail!("a number has more than 32 bits")
    }

    fn text(&mut self) -> Result<&'a str> {
        let len = self.number()?;
        std::str::from_utf8(self.take(len)?).context("a name is not UTF-8")
    }

    fn import(&mut self) -> Result<String> {
        let name = format!("{}.{}", self.text()?, self.text()?);
        match self.byte()? {
            // A function, by its type.
            0 => drop(self.number()?),
            // A table: the type of its elements and its limits.
            1 => {
                self.byte()?;
                self.limits()?;
            }
            // A memory.
            2 => self.limits()?,
            // A global: its type, and whether it changes.
            3 => drop(self.take(2)?),
            kind => bail!("{name} is an import of the unknown kind {kind}"),
        }
        Ok(name)
    }

    fn limits(&mut self) -> Result<()> {
        let flags = self.byte()?;
        self.number()?;
        if flags & 1 != 0 {
            self.number()?;
        }
        Ok(())
    }
}

fn name(path: &Path) -> std::borrow::Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"\0asm\x01\0\0\0";

    /// `(module (import "env" "now" (func)) (import "env" "memory" (memory 1 2)))` in binary.
    const IMPORTING: &[u8] = b"\0asm\x01\0\0\0\x01\x04\x01\x60\0\0\
                               \x02\x1a\x02\x03env\x03now\0\0\x03env\x06memory\x02\x01\x01\x02";

    #[test]
    fn imports_are_found() {
        assert_eq!(imports(IMPORTING).unwrap(), ["env.now", "env.memory"]);
    }

    #[test]
    fn an_empty_module_has_no_imports() {
        assert_eq!(imports(HEADER).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn bytes_that_are_no_whole_module_are_an_error() {
        assert!(imports(b"ELF").is_err());
        assert!(imports(&IMPORTING[..IMPORTING.len() - 1]).is_err());
    }
}
