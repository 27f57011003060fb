//! Input of all commands: text files, and numbers with their valid range.

use std::fs;
use std::io::Read as _;
use std::ops::RangeInclusive;
use std::path::Path;

use super::BadInput;
use crate::scenario::unreadable;

/// Largest text file in bytes. A longer one is no tape, no certificate and no trace that fits into memory.
const MAX_LEN: u64 = 1 << 30;

/// Reads a text file. `what` is its kind, such as `tape`.
pub(super) fn read_text(path: &Path, what: &str) -> Result<String, BadInput> {
    let fail = |why: String| BadInput(format!("{}: cannot read the {what}: {why}", path.display()));
    let mut bytes = Vec::new();
    // A device or a pipe has no length, so the length is counted while it is read.
    let read = fs::File::open(path).and_then(|file| file.take(MAX_LEN + 1).read_to_end(&mut bytes));
    read.map_err(|error| fail(unreadable(path, &error)))?;
    if bytes.len() as u64 > MAX_LEN {
        return Err(fail(format!(
            "the file is larger than 1 GiB; this is not a {what}"
        )));
    }
    String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        fail(format!("byte {at} is not UTF-8; this is not a {what}"))
    })
}

/// A number of the command line, in this range.
fn number(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().ok().filter(|number| range.contains(number));
    number.ok_or_else(|| {
        format!(
            "expected a whole number from {} to {}",
            range.start(),
            range.end()
        )
    })
}

/// A number of datagrams, faults or records: not 0.
pub(super) fn read_count(text: &str) -> Result<u32, String> {
    let count = number(text, 1..=u32::MAX.into())?;
    Ok(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The number of a record.
pub(super) fn read_record(text: &str) -> Result<u64, String> {
    number(text, 1..=u64::MAX)
}

/// A number of threads.
pub(super) fn read_jobs(text: &str) -> Result<usize, String> {
    let jobs = number(text, 1..=sandhog_lab::search::MAX_JOBS as u64)?;
    Ok(usize::try_from(jobs).unwrap_or(1))
}
