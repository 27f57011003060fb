//! Story of a run: one sentence for each record of interest, and numbers for the other datagrams.

mod tally;

use std::collections::BTreeSet;
use std::fmt::Write;

use sandhog_peer::Instant;

use crate::inner_packet::echo_request_number;
use crate::record::{HostId, Record, RecordId, RecordKind, format_duration};
use crate::run::Run;
use crate::task_text::{plain_text, unanswered_ping};

use tally::Tally;

/// One sentence of the story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoryLine {
    /// The record that the sentence describes.
    pub record: RecordId,
    /// Simulated time.
    pub at: Instant,
    /// The host. `None` for the laboratory.
    pub host: Option<HostId>,
    /// The sentence, without the host.
    pub text: String,
}

/// Largest number of attacks with one sentence each. If there are more, the story counts them and their effects.
const MAX_ATTACKS: usize = 20;

/// The story as lines. Empty unless the run kept its records.
#[must_use]
pub fn story_lines(run: &Run) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    let mut tally = Tally::default();
    let counted = bulk_attacks(run);
    for record in &run.records {
        let text = match counted.contains(&record.id) {
            true => None,
            false => sentence(run, record),
        };
        if let Some(text) = text {
            lines.extend(std::mem::take(&mut tally).line());
            lines.push(StoryLine {
                record: record.id,
                at: record.at,
                host: record.host,
                text,
            });
        } else {
            tally.add(run, record);
        }
    }
    lines.extend(tally.line());
    lines
}

/// Records of attacks, of their datagrams and of the replies to these. Empty if there are at most [`MAX_ATTACKS`] attacks.
fn bulk_attacks(run: &Run) -> BTreeSet<RecordId> {
    let mut found = BTreeSet::new();
    let is_attack = |record: &&Record| matches!(record.kind, RecordKind::Attack { .. });
    if run.records.iter().filter(is_attack).count() <= MAX_ATTACKS {
        return found;
    }
    for record in &run.records {
        let is_effect = matches!(
            record.kind,
            RecordKind::Sent { .. }
                | RecordKind::Flight { .. }
                | RecordKind::Lost { .. }
                | RecordKind::Received { .. }
                | RecordKind::Dropped { .. }
                | RecordKind::LoginRefused { .. }
        );
        if is_attack(&record) || is_effect && found.contains(&record.cause) {
            found.insert(record.id);
        }
    }
    found
}

/// The story as text, one line per sentence: time, host, sentence.
#[must_use]
pub fn story(run: &Run) -> String {
    let width = run
        .hosts
        .iter()
        .map(|host| host.name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for line in story_lines(run) {
        let host = line.host.map_or("", |host| run.host_name(Some(host)));
        let _ = writeln!(text, "{:>10}  {host:width$}  {}", seconds(line.at), line.text);
    }
    text
}

/// Simulated time in seconds, like `3.124 s`.
fn seconds(at: Instant) -> String {
    format!("{}.{:03} s", at.as_millis() / 1000, at.as_millis() % 1000)
}

/// The sentence for a record, or `None` for a record without a sentence.
fn sentence(run: &Run, record: &Record) -> Option<String> {
    Some(match &record.kind {
        RecordKind::Boot { boot: 0 }
        | RecordKind::Timer { .. }
        | RecordKind::Received { .. }
        | RecordKind::Flight {
            corrupted: false,
            copy: 0,
            ..
        } => {
            return None;
        }
        RecordKind::InnerOut { .. } | RecordKind::InnerIn { .. } => return None,
        RecordKind::Boot { boot } => format!("starts again (boot {})", boot + 1),
        RecordKind::Fault { text } => plain_text(text),
        RecordKind::Task { text, .. } => {
            ping_without_reply(run, record, text).unwrap_or_else(|| plain_text(text))
        }
        RecordKind::Event { event } => format!("event: {event}"),
        RecordKind::Command { command: "start" } => "starts the tunnel".into(),
        RecordKind::Command { command } => format!("receives the command {command}"),
        RecordKind::Status {
            status: "connecting" | "connected",
        } => return None,
        RecordKind::Status { status } => format!("status: {status}"),
        RecordKind::Started { result: "connected" } => "is connected".into(),
        RecordKind::Started { result } => format!("has no tunnel: {result}"),
        RecordKind::LoggedIn { .. }
        | RecordKind::LoginRefused { .. }
        | RecordKind::Roamed { .. }
        | RecordKind::SettingsChanged
        | RecordKind::Retrying { .. }
        | RecordKind::Rekeyed { .. }
        | RecordKind::SessionEnded { .. }
        | RecordKind::Rebound { .. } => return session_sentence(run, record),
        RecordKind::Dropped { reason } => return dropped(run, record, reason),
        RecordKind::Attack { .. } => return attack(run, record),
        RecordKind::Sent { .. } if run.is_forged(record) => return None,
        RecordKind::Sent { kind, .. } if run.counts_kind(kind) => return None,
        RecordKind::Sent {
            to, kind, nth, len, ..
        } => format!(
            "sends {kind} {nth} to {} ({len} bytes)",
            host_or_unknown(run, *to)
        ),
        RecordKind::Lost { reason, .. } => in_transit(run, record, &format!("is lost ({reason})"))?,
        RecordKind::Flight { corrupted: true, .. } => in_transit(run, record, "is corrupted in transit")?,
        RecordKind::Flight { .. } => in_transit(run, record, "is duplicated")?,
    })
}

/// The sentence for a loss or another fault of a datagram, unless datagrams of its kind are counted.
fn in_transit(run: &Run, record: &Record, fault: &str) -> Option<String> {
    let RecordKind::Sent { kind, nth, .. } = run.datagram(record)?.kind else {
        return None;
    };
    (!run.counts_kind(kind)).then(|| format!("{kind} {nth} {fault}"))
}

fn dropped(run: &Run, record: &Record, reason: &str) -> Option<String> {
    let RecordKind::Received { kind, .. } = &run.record(record.cause)?.kind else {
        return Some(format!("drops an inner packet: {reason}"));
    };
    (!run.counts_kind(kind)).then(|| format!("drops {kind}: {reason}"))
}

/// The sentence for a record about a session or an address.
fn session_sentence(run: &Run, record: &Record) -> Option<String> {
    let host = |host: &Option<HostId>| host_or_unknown(run, *host);
    Some(match &record.kind {
        RecordKind::LoggedIn { login, from } => {
            format!("accepts the login of \"{login}\" from {}", host(from))
        }
        RecordKind::LoginRefused { from } => format!("refuses a login from {}", host(from)),
        RecordKind::Roamed { from, to } => format!("moves the session from {from} to {to}"),
        RecordKind::SettingsChanged => "receives new settings".into(),
        RecordKind::Retrying { error } => format!("cannot log in again ({error}); will retry"),
        RecordKind::Rekeyed { epoch } => format!("uses the keys of epoch {epoch}"),
        RecordKind::SessionEnded { login, reason } => format!("ends the session of \"{login}\": {reason}"),
        RecordKind::Rebound { to } => format!("has a new address (NAT rebinding): {to}"),
        _ => return None,
    })
}

/// The name of a host, or a text for an address that no host has.
fn host_or_unknown(run: &Run, host: Option<HostId>) -> &str {
    host.map_or("an address without a host", |host| run.host_name(Some(host)))
}

/// The sentence for an attack, with the captured datagram and the sent one.
fn attack(run: &Run, record: &Record) -> Option<String> {
    let RecordKind::Attack { act, source } = &record.kind else {
        return None;
    };
    let RecordKind::Sent {
        to, kind, len, nth, ..
    } = &run.record(record.id + 1)?.kind
    else {
        return None;
    };
    let to = host_or_unknown(run, *to);
    if *act == "speak" {
        return Some(format!(
            "sends {kind} {nth} to {to} with source {source} ({len} bytes)"
        ));
    }
    let nth = match run.record(record.cause).map(|seen| &seen.kind) {
        Some(RecordKind::Sent { nth, .. }) => format!(" {nth}"),
        _ => String::new(),
    };
    Some(format!(
        "{act}s {kind}{nth} to {to} with source {source} ({len} bytes)"
    ))
}

/// The sentence for a ping without a reply, with the time of its request.
fn ping_without_reply(run: &Run, record: &Record, text: &str) -> Option<String> {
    let number = unanswered_ping(text)?;
    let before = run.records.get(..usize::try_from(record.id - 1).ok()?)?;
    let is_request = |earlier: &&Record| {
        let is_sent = earlier.host == record.host && matches!(earlier.kind, RecordKind::InnerOut { .. });
        is_sent && run.packet(earlier.id).and_then(echo_request_number) == number.checked_sub(1)
    };
    let sent = before.iter().rev().find(is_request)?.at;
    let timeout = format_duration(record.at.saturating_duration_since(sent));
    Some(format!(
        "ping {number}, sent at {}: no answer within {timeout}",
        seconds(sent)
    ))
}
