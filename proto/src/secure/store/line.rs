//! One line of a file: a JSON object, and what is wrong with it if it is none.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};

use serde::Deserialize;

/// How every file of ours begins. Later versions may have more keys in that line; the version is read in any case.
#[derive(Deserialize)]
pub(super) struct Header {
    /// What the file is.
    pub(super) sandhog: String,
    pub(super) version: u64,
}

/// Reads a JSON object. The error says what is wrong and where in the line, in words for people.
pub(super) fn read_object<'a, T: Deserialize<'a>>(line: &'a str) -> Result<T, String> {
    // Serde would take an array for a list of the values in their order.
    if !line.trim_start().starts_with('{') {
        return Err("not a JSON object".to_owned());
    }
    serde_json::from_str(line).map_err(|error| {
        let message = error.to_string();
        // It has only seen this line and calls it the first.
        let what = message
            .rsplit_once(" at line ")
            .map_or(message.as_str(), |(what, _)| what);
        format!("{what} (column {})", error.column())
    })
}
