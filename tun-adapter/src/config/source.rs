//! Text of a configuration file, with error positions and spelling suggestions.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::credentials;
use crate::failure::Failure;

/// The text of a file and its path. The text may contain secrets, so it is zeroized on drop, and errors show
/// a position but never a line of it.
pub(super) struct Source {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl Source {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(path).map_err(|error| Failure::read(path, &error))?;
        let text = Zeroizing::new(text);
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// Reads another file, or a credential of the service manager, that this file names with the key `name`.
    pub(super) fn open(&self, name: &str, path: &Spanned<PathBuf>) -> Result<Self, Failure> {
        let explain = |why: &str| self.error(path.span(), &format!("{name}: {why}"));
        let file = match credentials::name_in(path.get_ref()) {
            Some(credential) => credentials::locate(credential).map_err(|why| explain(&why))?,
            None => self.resolve(path.get_ref()),
        };
        Self::read(&file).map_err(|failure| explain(failure.message()))
    }

    /// The error for an unreadable file that this file names with the key `name`.
    pub(super) fn unreadable(&self, name: &str, path: &Spanned<PathBuf>, error: &io::Error) -> Failure {
        let file = self.resolve(path.get_ref());
        let message = format!("{name}: cannot read {}: {error}", file.display());
        self.error(path.span(), &message)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Parses the text as TOML into a `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        toml::from_str(&self.text).map_err(|error| {
            let (message, help) = reword(error.message());
            let failure = self.error(error.span().unwrap_or_default(), &message);
            match help {
                Some(help) => failure.with_help(help),
                None => failure,
            }
        })
    }

    /// An error at a position in the file: `client.toml:3:8: message`. Lines and columns count from 1,
    /// columns in characters.
    pub(super) fn error(&self, place: Range<usize>, message: &str) -> Failure {
        let before = self.text.get(..place.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::input(format!("{}:{line}:{column}: {message}", self.path.display()))
    }

    /// Resolves a path in the file. Relative paths start at the file's folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new("")).join(path)
    }
}

/// Rewords an error of serde with the terms of a configuration file (key, value), and returns advice.
///
/// `message` has the form of serde: "unknown field `a`, expected one of `b`, `c`", "unknown variant `a`,
/// expected `b` or `c`", "missing field `a`". Other messages are unchanged.
fn reword(message: &str) -> (String, Option<String>) {
    let mut quoted = message.split('`').skip(1).step_by(2);
    let name = quoted.next().unwrap_or_default();
    let valid: Vec<_> = quoted.collect();
    let suggestion = closest(name, &valid).map(|name| format!("did you mean `{name}`?"));
    if message.starts_with("missing field ") {
        return (format!("missing key `{name}`"), None);
    }
    if message.starts_with("unknown variant ") {
        let expected = message.split_once(", ").map_or("", |(_, expected)| expected);
        return (format!("`{name}`: {expected}"), suggestion);
    }
    if message.starts_with("unknown field ") {
        let help = suggestion.unwrap_or_else(|| format!("the valid keys are `{}`", valid.join("`, `")));
        return (format!("unknown key `{name}`"), Some(help));
    }
    (message.to_owned(), None)
}

/// The name in `valid` that is most similar to `name`, if any is similar.
fn closest<'a>(name: &str, valid: &[&'a str]) -> Option<&'a str> {
    valid
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), *other))
        .filter(|(distance, other)| *distance <= other.len().max(name.len()) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, other)| other)
}
