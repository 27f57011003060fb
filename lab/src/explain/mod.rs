//! Explanations of a trace: the causes and effects of a record, and the first difference of two traces.

mod difference;
mod rows;
mod sentence;

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::record::RecordId;

pub use difference::{Difference, difference};
pub use rows::{Row, RowsError, Trace};

/// Largest number of causes of an explanation.
const MAX_CAUSES: usize = 40;

/// Largest number of effects of an explanation.
const MAX_EFFECTS: usize = 20;

/// The causes and effects of a record as text. `None` if the trace has no such record.
///
/// ```
/// use sandhog_lab::explain::{Trace, explain};
///
/// let lines = r#"{"id":1,"at_ns":0,"host":"alice","cause":null,"what":"timer","reason":"repeat"}
/// {"id":2,"at_ns":0,"host":"alice","cause":1,"what":"sent","to":"bob","kind":"hello","nth":1,"len":9,"print":"00"}
/// {"id":3,"at_ns":0,"host":"alice","cause":2,"what":"lost","to":"bob","reason":"random"}"#;
/// let trace: Trace = lines.parse().unwrap();
/// let text = explain(&trace, 3).unwrap();
/// assert!(text.contains("The link lost it at random."), "{text}");
/// assert!(text.contains("record 1  0.000000 s  alice  timer repeat"), "{text}");
/// ```
#[must_use]
pub fn explain(trace: &Trace, id: RecordId) -> Option<String> {
    let row = trace.row(id)?;
    let mut text = format!("{}\n", sentence::line(row));
    if let Some(reason) = sentence::reason(row) {
        let _ = writeln!(text, "{reason}");
    }
    let causes = causes(trace, row);
    let _ = writeln!(text, "\nCauses, the newest first:");
    for cause in &causes {
        let _ = writeln!(text, "  {}", sentence::line(cause));
    }
    let first = causes.last().copied().unwrap_or(row);
    let _ = writeln!(text, "  {}", origin(trace, first));
    let _ = writeln!(text, "\nEffects:");
    let effects = effects(trace, row);
    for effect in effects.iter().take(MAX_EFFECTS) {
        let _ = writeln!(text, "  {}", sentence::line(effect));
    }
    let more = effects.len().saturating_sub(MAX_EFFECTS);
    let _ = match (effects.is_empty(), more) {
        (true, _) => writeln!(text, "  none"),
        (false, 0) => Ok(()),
        (false, more) => writeln!(text, "  and {more} more"),
    };
    Some(text)
}

/// The chain of causes of a record, the newest first.
fn causes<'a>(trace: &'a Trace, row: &'a Row) -> Vec<&'a Row> {
    let mut causes = Vec::new();
    let mut next = row.cause;
    while let Some(cause) = next
        .and_then(|id| trace.row(id))
        .filter(|_| causes.len() < MAX_CAUSES)
    {
        causes.push(cause);
        next = cause.cause;
    }
    causes
}

/// All records that a record caused, directly or not.
fn effects<'a>(trace: &'a Trace, row: &Row) -> Vec<&'a Row> {
    let mut known = BTreeSet::from([row.id]);
    let later = trace.rows().iter().filter(|other| other.id > row.id);
    let mut effects = Vec::new();
    for other in later {
        if other.cause.is_some_and(|cause| known.contains(&cause)) {
            known.insert(other.id);
            effects.push(other);
        }
    }
    effects
}

/// A sentence about the origin of the first record of a chain.
fn origin(trace: &Trace, first: &Row) -> String {
    match first.what.as_str() {
        "timer" => {
            let earlier = trace.rows().iter().rev();
            let mut earlier = earlier.filter(|row| row.id < first.id && row.host == first.host);
            let before = earlier.find(|row| row.at < first.at).map(sentence::line);
            let before = before.map_or_else(String::new, |line| {
                format!(" The host's last record before it: {line}")
            });
            format!("No record caused it: a timer of the host was due.{before}")
        }
        "fault" | "boot" | "rebound" => "No record caused it: the scenario or the tape did.".into(),
        _ => "No earlier record caused it.".into(),
    }
}
