//! Rows of a trace: records as they stand in `trace.jsonl`.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use sandhog_peer::Instant;
use serde_json::{Map, Value};

use crate::record::RecordId;
use crate::report::trace_jsonl;
use crate::run::Run;

/// One record of a trace file.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The number, from 1.
    pub id: RecordId,
    /// Simulated time.
    pub at: Instant,
    /// The name of the host. `None` for the laboratory.
    pub host: Option<String>,
    /// The record that caused it.
    pub cause: Option<RecordId>,
    /// The name of the kind of record.
    pub what: String,
    /// The other fields.
    pub fields: Map<String, Value>,
}

/// A trace: rows in the order of their numbers, which are contiguous.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace(Vec<Row>);

/// A mistake in a trace file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowsError {
    /// Number of the line, from 1.
    pub line: usize,
    /// The mistake.
    pub message: String,
}

impl fmt::Display for RowsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.message)
    }
}

impl Error for RowsError {}

impl Trace {
    /// The trace of a run that kept its records.
    ///
    /// # Errors
    ///
    /// None for a run of this version.
    pub fn of(run: &Run) -> Result<Self, RowsError> {
        trace_jsonl(run).parse()
    }

    /// The rows.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.0
    }

    /// The row with this number.
    #[must_use]
    pub fn row(&self, id: RecordId) -> Option<&Row> {
        let first = self.0.first()?.id;
        self.0.get(usize::try_from(id.checked_sub(first)?).ok()?)
    }
}

impl FromStr for Trace {
    type Err = RowsError;

    fn from_str(text: &str) -> Result<Self, RowsError> {
        let mut rows: Vec<Row> = Vec::new();
        for (line, number) in text.lines().zip(1..) {
            let fail = |message: String| RowsError {
                line: number,
                message,
            };
            let row = read(line).map_err(fail)?;
            let expected = rows.last().map_or(Some(1), |last| last.id.checked_add(1));
            if expected != Some(row.id) {
                return Err(fail(format!(
                    "record {} does not follow the record before it; a part of the trace is missing",
                    row.id
                )));
            }
            if row.cause.is_some_and(|cause| cause >= row.id) {
                let message = format!("the cause of record {} is not an earlier record", row.id);
                return Err(fail(message));
            }
            rows.push(row);
        }
        if rows.is_empty() {
            return Err(RowsError {
                line: 1,
                message: "the trace is empty; `run --out` writes one".into(),
            });
        }
        Ok(Self(rows))
    }
}

fn read(line: &str) -> Result<Row, String> {
    let value: Value =
        serde_json::from_str(line).map_err(|error| format!("this is not a record, or it is cut: {error}"))?;
    let Value::Object(mut fields) = value else {
        return Err("this is not a record, because it is not a JSON object".into());
    };
    let missing = |name: &str| format!("the field `{name}` is missing or wrong");
    let mut take = |name: &str| fields.remove(name).ok_or_else(|| missing(name));
    let (id, at, host, cause, what) = (
        take("id")?,
        take("at_ns")?,
        take("host")?,
        take("cause")?,
        take("what")?,
    );
    Ok(Row {
        id: id.as_u64().ok_or_else(|| missing("id"))?,
        at: Instant::from_nanos(at.as_u64().ok_or_else(|| missing("at_ns"))?),
        host: host.as_str().map(str::to_owned),
        cause: cause.as_u64(),
        what: what.as_str().ok_or_else(|| missing("what"))?.to_owned(),
        fields,
    })
}
