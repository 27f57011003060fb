//! The picture of the page in the documentation, and the check that it shows the present page.
//!
//! `docs/page.png.inputs` has the SHA-256 of the picture and of the files that it depends on: the page, its interface to the
//! simulator, the script that takes the picture, and the story and the digest of the run that is shown. The check compares
//! these sums and needs no browser.

use std::{fmt::Write as _, fs};

use anyhow::{Context as _, Result, ensure};
use sha2::{Digest as _, Sha256};

use crate::{golden, page, shell, step, step::Session, tools};

const PICTURE: &str = "docs/page.png";
const SUMS: &str = "docs/page.png.inputs";

/// Files and folders of the page, as git names them.
const INPUTS: &str = "web-demo/page web-demo/src/lib.rs web-demo/src/module.rs web-demo/tests/page.mjs web-demo/tests/browser.mjs";

/// The run that is shown, as `web-demo/tests/page.mjs` opens it. Its seed is that of the stories.
const SCENARIO: &str = "first-light";
const SEED: u64 = 7;

/// Takes the picture in headless Chromium, and writes the sums.
///
/// # Errors
/// A tool is missing, the page cannot be built, or a file cannot be written.
pub(crate) fn take() -> Result<()> {
    let needs = [tools::NODE, tools::NPM, tools::CHROMIUM, tools::WASM_UNKNOWN];
    let missing = step::missing(&needs);
    ensure!(missing.is_none(), "{}", missing.unwrap_or_default());
    page::build()?;
    let file = shell::root().join(PICTURE);
    shell::run(page::script(&["--screenshot"]).arg(&file))?;
    fs::write(shell::root().join(SUMS), sums()?).with_context(|| format!("cannot write {SUMS}"))?;
    println!("wrote {PICTURE} and {SUMS}");
    Ok(())
}

/// The step `picture`.
///
/// # Errors
/// The picture is older than the page, or a file cannot be read.
pub(crate) fn check(_: &Session) -> Result<()> {
    let committed =
        fs::read_to_string(shell::root().join(SUMS)).with_context(|| format!("cannot read {SUMS}"))?;
    let present = sums()?;
    let changed: Vec<_> = present
        .lines()
        .filter(|line| !committed.lines().any(|other| other == *line))
        .filter_map(|line| line.split_whitespace().last())
        .collect();
    ensure!(
        committed == present,
        "{PICTURE} may not show the present page. Changed or new since it was taken: {}. To take it again: cargo xtask picture",
        changed.join(", ")
    );
    println!(
        "{PICTURE} shows the present page: {} sums are equal",
        present.lines().count()
    );
    Ok(())
}

/// A line `SHA-256  NAME` for the picture and each input.
fn sums() -> Result<String> {
    let listed = shell::read(&mut shell::git(&format!(
        "ls-files --cached --others --exclude-standard -- {INPUTS}"
    )))?;
    let story = format!("tests/tests/snapshots/story@{SCENARIO}.snap");
    let mut sums = String::new();
    for file in std::iter::once(PICTURE).chain(listed.lines()).chain([&*story]) {
        let path = shell::root().join(file);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        writeln!(sums, "{}  {file}", sum(&content))?;
    }
    let digest = golden::read()?.remove(&(SCENARIO.to_owned(), SEED));
    let digest = digest.with_context(|| format!("there is no digest of {SCENARIO} with seed {SEED}"))?;
    writeln!(sums, "{digest}  digest:{SCENARIO}:{SEED}")?;
    Ok(sums)
}

fn sum(content: &[u8]) -> String {
    let bytes = Sha256::digest(content);
    bytes
        .iter()
        .fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_are_those_of_sha_256() {
        assert!(sum(b"abc").starts_with("ba7816bf8f01cfea"));
    }

    #[test]
    fn the_sums_name_the_picture_the_page_and_the_run() {
        let sums = sums().unwrap();
        for name in [PICTURE, "web-demo/page/index.html", "digest:first-light:7"] {
            assert!(
                sums.lines().any(|line| line.ends_with(&format!("  {name}"))),
                "{name}"
            );
        }
    }
}
