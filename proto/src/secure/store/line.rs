//! Parsing of one line of a file: a JSON object, or an error for people.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use serde::Deserialize;

/// The first line of all our files. Later versions may have more keys in it; the version can still be read.
#[derive(Deserialize)]
pub(super) struct Header {
    /// The type of the file.
    pub(super) sandhog: String,
    pub(super) version: u64,
}

/// Parses a JSON object. The error names the mistake and its column.
pub(super) fn read_object<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    // Serde would accept an array as the list of the values.
    if !line.trim_start().starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        // The parser got only this line and calls it line 1.
        let what = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(what, _)| what);
        format!("{what} (column {})", error.column())
    })
}
