//! First difference of two traces.

use std::fmt;

use serde_json::Value;

use super::rows::{Row, Trace};
use super::{causes, sentence};

/// Largest number of causes of each side.
const MAX_CAUSES: usize = 6;

/// Number of records of each side from the difference on.
const FOLLOWING: usize = 3;

/// The first difference of two traces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Number of records before it that are equal on both sides.
    pub equal: usize,
    /// The kind of the difference: `meaning`, `time` or `bytes`.
    pub kind: &'static str,
    /// The records and causes of both sides.
    pub sides: [Vec<String>; 2],
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "The first {} records are equal. The first difference is in {}.",
            self.equal,
            match self.kind {
                "meaning" => "the meaning",
                "time" => "the time",
                _ => "the bytes",
            }
        )?;
        for (name, side) in ["A", "B"].into_iter().zip(&self.sides) {
            writeln!(f, "\n{name}:")?;
            if side.is_empty() {
                writeln!(f, "  the trace ends here")?;
            }
            side.iter().try_for_each(|line| writeln!(f, "  {line}"))?;
        }
        Ok(())
    }
}

/// Comparison of two rows.
type SameRow = fn(&Row, &Row) -> bool;

/// Fields without meaning: they differ between two seeds although the same happens.
const BYTES: [&str; 2] = ["print", "len"];
const TIMES: [&str; 1] = ["due_ns"];

/// The first difference of two traces. A difference in meaning comes before one in time, and that before one in bytes. `None` if
/// the traces are equal.
#[must_use]
pub fn difference(a: &Trace, b: &Trace) -> Option<Difference> {
    let levels: [(&'static str, SameRow); 3] = [
        ("meaning", same_meaning),
        ("time", same_time),
        ("bytes", |a, b| a == b),
    ];
    levels.into_iter().find_map(|(kind, same)| {
        let pairs = a.rows().iter().zip(b.rows());
        let equal = pairs.take_while(|(a, b)| same(a, b)).count();
        let ended = equal == a.rows().len() && equal == b.rows().len();
        (!ended).then(|| Difference {
            equal,
            kind,
            sides: [a, b].map(|trace| side(trace, equal)),
        })
    })
}

fn fields<'a>(row: &'a Row, without: &'a [&str]) -> impl Iterator<Item = (&'a String, &'a Value)> {
    row.fields
        .iter()
        .filter(move |(name, _)| !without.contains(&name.as_str()))
}

fn same_meaning(a: &Row, b: &Row) -> bool {
    let without = [BYTES.as_slice(), TIMES.as_slice()].concat();
    // Texts of tasks contain measured times.
    let is_text = |name: &str| a.what == "task" && name == "text";
    (&a.host, &a.what) == (&b.host, &b.what)
        && fields(a, &without)
            .filter(|(name, _)| !is_text(name))
            .eq(fields(b, &without).filter(|(name, _)| !is_text(name)))
}

fn same_time(a: &Row, b: &Row) -> bool {
    a.at == b.at && fields(a, &BYTES).eq(fields(b, &BYTES))
}

/// The causes of the record at this position, the oldest first, the record, and the records that follow it.
fn side(trace: &Trace, position: usize) -> Vec<String> {
    let Some(row) = trace.rows().get(position) else {
        return Vec::new();
    };
    let mut lines: Vec<String> = causes(trace, row)
        .into_iter()
        .take(MAX_CAUSES)
        .map(sentence::line)
        .collect();
    lines.reverse();
    lines
        .iter_mut()
        .for_each(|line| line.insert_str(0, "because of "));
    let following = trace.rows().iter().skip(position).take(FOLLOWING);
    lines.extend(following.map(sentence::line));
    lines
}
