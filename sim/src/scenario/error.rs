//! Error of a scenario file, with its place.

use std::error::Error;
use std::fmt;

/// One part of the path to a value: the key of a table, or the index of a list.
#[derive(Clone, Copy, Debug)]
pub(super) enum PathPart<'a> {
    Key(&'a str),
    Index(usize),
}

/// A mistake in a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    /// The name of the file, as the user gave it.
    pub file: String,
    /// Line and column of the mistake, both from 1. `None` if the mistake is not at one place of the text.
    pub place: Option<(usize, usize)>,
    /// The mistake, and the valid values or the way to correct it.
    pub message: String,
}

impl ScenarioError {
    /// A mistake at byte `offset` of `source`.
    pub(super) fn at(file: &str, source: &str, offset: usize, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            place: Some(line_and_column(source, offset)),
            message: message.into(),
        }
    }

    /// A mistake of the file as a whole.
    pub(super) fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            place: None,
            message: message.into(),
        }
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Some((line, column)) => write!(f, "{}:{line}:{column}: {}", self.file, self.message),
            None => write!(f, "{}: {}", self.file, self.message),
        }
    }
}

impl Error for ScenarioError {}

/// Line and column (in characters) of a byte offset, both from 1.
fn line_and_column(source: &str, offset: usize) -> (usize, usize) {
    let before = source.get(..offset.min(source.len())).unwrap_or(source);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (
        before.matches('\n').count() + 1,
        before[line_start..].chars().count() + 1,
    )
}
