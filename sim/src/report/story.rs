//! The story of a run: the records that a person wants to hear of, in sentences; the bulk of the data in numbers.

use std::collections::BTreeMap;
use std::fmt::Write;

use sandhog_proto::Instant;

use crate::record::{HostId, Record, RecordId, What};
use crate::run::Run;

/// The kind of datagram that is told of in numbers.
const BULK_KIND: &str = "data";

/// One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryLine {
    /// The record that it tells of.
    pub record: RecordId,
    /// When.
    pub at: Instant,
    /// Where; `None` is the laboratory.
    pub host: Option<HostId>,
    /// What.
    pub text: String,
}

/// Data datagrams since the last sentence.
#[derive(Default)]
struct Quiet {
    sent: u64,
    fates: BTreeMap<String, u64>,
    last: Option<(RecordId, Instant)>,
}

/// Fewer unremarkable data datagrams than this are not worth a sentence.
const WORTH_TELLING: u64 = 20;

/// The story as lines. Empty unless the run kept its records.
#[must_use]
pub fn story_lines(run: &Run) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    let mut quiet = Quiet::default();
    for record in &run.records {
        if let Some(text) = sentence(run, record) {
            lines.extend(std::mem::take(&mut quiet).line());
            lines.push(StoryLine {
                record: record.id,
                at: record.at,
                host: record.host,
                text,
            });
        } else {
            quiet.see(run, record);
        }
    }
    lines.extend(quiet.line());
    lines
}

/// The story as text: time, host, sentence; one line each.
#[must_use]
pub fn story(run: &Run) -> String {
    let width = run.host_names.iter().map(String::len).max().unwrap_or_default();
    let mut text = String::new();
    for line in story_lines(run) {
        let host = line.host.map_or("", |host| run.host_name(Some(host)));
        let time = line.at.as_millis();
        let _ = writeln!(
            text,
            "{:>4}.{:03} s  {host:width$}  {}",
            time / 1000,
            time % 1000,
            line.text
        );
    }
    text
}

impl Quiet {
    fn see(&mut self, run: &Run, record: &Record) {
        let fate = match &record.what {
            What::Sent { .. } => {
                self.sent += 1;
                None
            }
            What::Lost { reason, .. } => Some(format!("lost ({reason})")),
            What::Flight { copy: 1, .. } => Some("duplicated".into()),
            What::Flight { corrupted: true, .. } => Some("damaged".into()),
            What::Dropped { reason } => Some(format!("dropped by {} ({reason})", run.host_name(record.host))),
            _ => return,
        };
        if let Some(fate) = fate {
            *self.fates.entry(fate).or_default() += 1;
        }
        self.last = Some((record.id, record.at));
    }

    fn line(self) -> Option<StoryLine> {
        let (record, at) = self.last?;
        if self.fates.is_empty() && self.sent < WORTH_TELLING {
            return None;
        }
        let plural = if self.sent == 1 { "" } else { "s" };
        let mut text = format!("{} data datagram{plural}", self.sent);
        for (fate, count) in &self.fates {
            let _ = write!(text, ", {count} {fate}");
        }
        Some(StoryLine {
            record,
            at,
            host: None,
            text: format!("… {text}"),
        })
    }
}

/// The sentence for a record that deserves one.
fn sentence(run: &Run, record: &Record) -> Option<String> {
    Some(match &record.what {
        What::Boot { boot: 0 }
        | What::Timer { .. }
        | What::Received { .. }
        | What::Flight {
            corrupted: false,
            copy: 0,
            ..
        } => {
            return None;
        }
        What::InnerOut { .. } | What::InnerIn { .. } => return None,
        What::Boot { boot } => format!("starts afresh (boot {})", boot + 1),
        What::Fault { text } | What::Task { text, .. } => text.clone(),
        What::Command { command: "start" } => "starts the tunnel".into(),
        What::Command { command } => format!("is told: {command}"),
        What::Status {
            status: "connecting" | "connected",
        } => return None,
        What::Status { status } => format!("status: {status}"),
        What::Started { result: "connected" } => "is connected".into(),
        What::Started { result } => format!("has no tunnel: {result}"),
        What::LoggedIn { login, from } => format!("accepts \"{login}\" from {}", somebody(run, *from)),
        What::LoginRefused { from } => format!("refuses the login from {}", somebody(run, *from)),
        What::Roamed { from, to } => format!("finds the session of {from} at {to} now"),
        What::Rekeyed { epoch } => format!("seals with the keys of epoch {epoch}"),
        What::SessionEnded { login, reason } => format!("ends the session of \"{login}\": {reason}"),
        What::Rebound { to } => format!("has another address and does not know: {to}"),
        What::Dropped { reason } => {
            let What::Received { kind, .. } = &run.record(record.cause)?.what else {
                return Some(format!("drops an inner packet: {reason}"));
            };
            if *kind == BULK_KIND {
                return None;
            }
            format!("drops {kind}: {reason}")
        }
        What::Sent { kind, .. } if *kind == BULK_KIND => return None,
        What::Sent {
            to, kind, nth, len, ..
        } => {
            let to = to.map_or("nobody", |to| run.host_name(Some(to)));
            format!("sends {kind} {nth} to {to} ({len} bytes)")
        }
        What::Lost { reason, .. } => {
            let (kind, nth) = datagram_of(run, record)?;
            if kind == BULK_KIND {
                return None;
            }
            format!("{kind} {nth} is lost ({reason})")
        }
        What::Flight { corrupted, .. } => {
            let (kind, nth) = datagram_of(run, record)?;
            if kind == BULK_KIND {
                return None;
            }
            format!(
                "{kind} {nth} {}",
                if *corrupted {
                    "is damaged on the way"
                } else {
                    "is duplicated"
                }
            )
        }
    })
}

/// A host, or whoever has an address that no host has.
fn somebody(run: &Run, host: Option<HostId>) -> &str {
    host.map_or("an address that nobody has", |host| run.host_name(Some(host)))
}

/// Kind and number of the datagram that a fate belongs to.
pub(super) fn datagram_of(run: &Run, fate: &Record) -> Option<(&'static str, u64)> {
    let mut cause = run.record(fate.cause)?;
    if let What::Flight { .. } = cause.what {
        cause = run.record(cause.cause)?;
    }
    match cause.what {
        What::Sent { kind, nth, .. } => Some((kind, nth)),
        _ => None,
    }
}
