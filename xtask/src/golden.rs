//! Committed digests, `tests/golden/digests.txt`: a line `name seed digest` for each built-in scenario and seed.

use std::{collections::BTreeMap, fmt, fs, path::PathBuf, str::FromStr};

use anyhow::{Context as _, Result, bail};

use crate::shell;

/// The digest of each run, by scenario and seed.
pub(crate) type Digests = BTreeMap<(String, u64), String>;

/// A range of seeds. The end is excluded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seeds {
    /// The first seed.
    pub(crate) start: u64,
    /// The last seed plus one.
    pub(crate) end: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once("..").and_then(|(start, end)| {
            Some(Self {
                start: start.parse().ok()?,
                end: end.parse().ok()?,
            })
        });
        parsed
            .filter(|seeds| seeds.start < seeds.end)
            .ok_or_else(|| format!("`{text}` is not of the form A..B with A < B"))
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}..{}", self.start, self.end)
    }
}

/// The seeds whose digests are committed.
pub(crate) const SEEDS: Seeds = Seeds { start: 0, end: 50 };

/// The file.
pub(crate) fn path() -> PathBuf {
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

/// Parses lines of `name seed digest`. A line that begins with `#` is a comment.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_seeds_has_two_ends() {
        assert_eq!("3..9".parse(), Ok(Seeds { start: 3, end: 9 }));
        assert!("9..3".parse::<Seeds>().is_err() && "3".parse::<Seeds>().is_err());
    }

    #[test]
    fn comments_are_skipped() {
        let digests = parse("# about\nclean-login 0 ab\nclean-login 1 cd\n").unwrap();
        assert_eq!(digests[&("clean-login".to_owned(), 1)], "cd");
        assert_eq!(digests.len(), 2);
    }

    #[test]
    fn an_invalid_line_is_shown_in_the_error() {
        assert!(
            parse("clean-login 0\n")
                .unwrap_err()
                .to_string()
                .contains("`clean-login 0`")
        );
        assert!(parse("clean-login x ab\n").is_err());
    }
}
