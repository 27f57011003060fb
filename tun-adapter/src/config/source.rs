//! A configuration file as text: where in it an error is, and what the writer probably meant.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::de::DeserializeOwned;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::credentials;
use crate::failure::Failure;

/// The text of a file together with its path. Erased when dropped, for it may hold secrets; for the same reason
/// errors give a place in it and never a line of it.
pub(super) struct Source {
    path: PathBuf,
    text: Zeroizing<String>,
}

impl Source {
    /// Reads the file at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let explain = |error| Failure::input(format!("cannot read {}: {error}", path.display()));
        let text = Zeroizing::new(fs::read_to_string(path).map_err(explain)?);
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// Reads another file, or a credential of the service manager, which this one names under `name`.
    pub(super) fn open(&self, name: &str, path: &Spanned<PathBuf>) -> Result<Self, Failure> {
        let explain = |why: &str| self.error(path.span(), &format!("{name}: {why}"));
        let file = match credentials::name_in(path.get_ref()) {
            Some(credential) => credentials::locate(credential).map_err(|why| explain(&why))?,
            None => self.resolve(path.get_ref()),
        };
        Self::read(&file).map_err(|failure| explain(failure.message()))
    }

    /// The error of a file that this one names under `name` and that cannot be read.
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

    /// Reads the text as TOML of the form of `T`.
    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        toml::from_str(&self.text).map_err(|error| {
            let failure = self.error(error.span().unwrap_or_default(), error.message());
            match closest_name(error.message()) {
                Some(word) => failure.with_help(format!("did you mean `{word}`?")),
                None => failure,
            }
        })
    }

    /// An error at a place in the file: `client.toml:3:8: message`. Lines and columns count from 1, columns in
    /// characters.
    pub(super) fn error(&self, place: Range<usize>, message: &str) -> Failure {
        let before = self.text.get(..place.start).unwrap_or(&self.text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Failure::input(format!("{}:{line}:{column}: {message}", self.path.display()))
    }

    /// A path that stands in the file: relative ones count from the file's folder.
    pub(super) fn resolve(&self, path: &Path) -> PathBuf {
        self.path.parent().unwrap_or_else(|| Path::new("")).join(path)
    }
}

/// The expected word that is most like the unknown one, if one is like it at all.
///
/// `message` has the form that serde gives it: "unknown field `a`, expected one of `b`, `c`", also with "variant".
fn closest_name(message: &str) -> Option<&str> {
    let mut quoted = message
        .starts_with("unknown ")
        .then(|| message.split('`').skip(1).step_by(2))?;
    let unknown = quoted.next()?;
    quoted
        .map(|word| (strsim::damerau_levenshtein(unknown, word), word))
        .filter(|(distance, word)| *distance <= word.len().max(unknown.len()) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}
