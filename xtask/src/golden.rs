//! The committed digests, `tests/golden/digests.txt`: one line `name seed digest` for each built-in scenario and seed.

use std::{collections::BTreeMap, fs, path::PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::{equality, shell};

/// The digest of each run, by scenario and seed.
pub(crate) type Digests = BTreeMap<(String, u64), String>;

/// The seeds whose digests are committed.
pub(crate) const SEEDS: equality::Seeds = equality::Seeds { start: 0, end: 50 };

fn path() -> PathBuf {
    shell::root().join("tests/golden/digests.txt")
}

/// Reads the committed digests.
///
/// # Errors
/// The file cannot be read, or a line is not `name seed digest`.
pub(crate) fn read() -> Result<Digests> {
    let path = path();
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).with_context(|| format!("in {}", path.display()))
}

/// Parses lines of `name seed digest`; a line that begins with `#` is a comment.
///
/// # Errors
/// A line has another form.
pub(crate) fn parse(text: &str) -> Result<Digests> {
    let lines = text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            let [name, seed, digest] = words[..] else {
                bail!("`{line}` is not of the form `name seed digest`");
            };
            let seed = seed
                .parse()
                .with_context(|| format!("the seed in `{line}` is not a number"))?;
            Ok(((name.to_owned(), seed), digest.to_owned()))
        })
        .collect()
}

/// Rewrites the file from the native event engine.
///
/// # Errors
/// The runs or the writing fail.
pub(crate) fn bless() -> Result<()> {
    let before = read().unwrap_or_default();
    let text = equality::native_digests(SEEDS)?;
    let after = parse(&text)?;
    fs::write(path(), text).with_context(|| format!("cannot write {}", path().display()))?;
    let changed = after
        .iter()
        .filter(|(run, digest)| before.get(run) != Some(digest))
        .count();
    let gone = before.keys().filter(|run| !after.contains_key(run)).count();
    println!(
        "{} digests, {changed} of them new or changed, {gone} gone",
        after.len()
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_comments_are_told_apart() {
        let digests = parse("# about\nclean-login 0 ab\nclean-login 1 cd\n").unwrap();
        assert_eq!(digests[&("clean-login".to_owned(), 1)], "cd");
        assert_eq!(digests.len(), 2);
    }

    #[test]
    fn a_broken_line_is_named() {
        assert!(
            parse("clean-login 0\n")
                .unwrap_err()
                .to_string()
                .contains("`clean-login 0`")
        );
        assert!(parse("clean-login x ab\n").is_err());
    }
}
