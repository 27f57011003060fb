//! The story of a run: the records that a person wants to hear of, in sentences; the bulk of the data in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use sandhog_peer::Instant;

use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;

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

/// Data datagrams since the last sentence, and those of a busy adversary.
#[derive(Default)]
struct Quiet {
    /// By kind.
    sent: BTreeMap<&'static str, u64>,
    forged: u64,
    fates: BTreeMap<String, u64>,
    last: Option<(RecordId, Instant)>,
}

/// Fewer unremarkable data datagrams than this are not worth a sentence.
const WORTH_TELLING: u64 = 20;

/// More attacks than this are told of in numbers, with all that comes of them on the wire.
const FEW_ATTACKS: usize = 20;

/// The story as lines. Empty unless the run kept its records.
#[must_use]
pub fn story_lines(run: &Run) -> Vec<StoryLine> {
    let mut lines = Vec::new();
    let mut quiet = Quiet::default();
    let unremarkable = of_many_attacks(run);
    for record in &run.records {
        let text = match unremarkable.contains(&record.id) {
            true => None,
            false => sentence(run, record),
        };
        if let Some(text) = text {
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

/// If there are many attacks: they, and what became of their datagrams and of the answers to them.
fn of_many_attacks(run: &Run) -> BTreeSet<RecordId> {
    let mut found = BTreeSet::new();
    let is_attack = |record: &&Record| matches!(record.kind, RecordKind::Attack { .. });
    if run.records.iter().filter(is_attack).count() <= FEW_ATTACKS {
        return found;
    }
    for record in &run.records {
        let on_the_wire = matches!(
            record.kind,
            RecordKind::Sent { .. }
                | RecordKind::Flight { .. }
                | RecordKind::Lost { .. }
                | RecordKind::Received { .. }
                | RecordKind::Dropped { .. }
                | RecordKind::LoginRefused { .. }
        );
        if is_attack(&record) || on_the_wire && found.contains(&record.cause) {
            found.insert(record.id);
        }
    }
    found
}

/// The story as text: time, host, sentence; one line each.
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
        let fate = match &record.kind {
            RecordKind::Attack { .. } => {
                self.forged += 1;
                None
            }
            RecordKind::Sent { .. } if is_forged(run, record) => None,
            RecordKind::Sent { kind, .. } if !run.counts_kind(kind) => {
                Some(format!("answered by {} ({kind})", run.host_name(record.host)))
            }
            RecordKind::Sent { kind, .. } => {
                *self.sent.entry(kind).or_default() += 1;
                None
            }
            RecordKind::LoginRefused { .. } => {
                Some(format!("refused as logins by {}", run.host_name(record.host)))
            }
            RecordKind::Lost { reason, .. } => Some(format!("lost ({reason})")),
            RecordKind::Flight { copy: 1, .. } => Some("duplicated".into()),
            RecordKind::Flight { corrupted: true, .. } => Some("damaged".into()),
            RecordKind::Dropped { reason } => {
                Some(format!("dropped by {} ({reason})", run.host_name(record.host)))
            }
            _ => return,
        };
        if let Some(fate) = fate {
            *self.fates.entry(fate).or_default() += 1;
        }
        self.last = Some((record.id, record.at));
    }

    fn line(self) -> Option<StoryLine> {
        let (record, at) = self.last?;
        if self.fates.is_empty() && self.forged == 0 && self.sent.values().sum::<u64>() < WORTH_TELLING {
            return None;
        }
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let sent = self.sent.iter();
        let sent: Vec<String> = sent
            .map(|(kind, sent)| format!("{sent} {kind} datagram{}", plural(*sent)))
            .collect();
        let mut text = match (sent.is_empty(), self.forged) {
            (true, 0) => "no new data".into(),
            (false, 0) => sent.join(", "),
            (true, forged) => format!("{forged} forged datagram{}", plural(forged)),
            (false, forged) => format!("{} and {forged} forged ones", sent.join(", ")),
        };
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
        RecordKind::Boot { boot } => format!("starts afresh (boot {})", boot + 1),
        RecordKind::Fault { text } | RecordKind::Task { text, .. } => text.clone(),
        RecordKind::Event { event } => format!("event: {event}"),
        RecordKind::Command { command: "start" } => "starts the tunnel".into(),
        RecordKind::Command { command } => format!("is told: {command}"),
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
        | RecordKind::Rebound { .. } => return of_sessions(run, record),
        RecordKind::Dropped { reason } => return dropped(run, record, reason),
        RecordKind::Attack { .. } => return attack(run, record),
        RecordKind::Sent { .. } if is_forged(run, record) => return None,
        RecordKind::Sent { kind, .. } if run.counts_kind(kind) => return None,
        RecordKind::Sent {
            to, kind, nth, len, ..
        } => {
            let to = to.map_or("nobody", |to| run.host_name(Some(to)));
            format!("sends {kind} {nth} to {to} ({len} bytes)")
        }
        RecordKind::Lost { reason, .. } => on_the_way(run, record, &format!("is lost ({reason})"))?,
        RecordKind::Flight { corrupted: true, .. } => on_the_way(run, record, "is damaged on the way")?,
        RecordKind::Flight { .. } => on_the_way(run, record, "is duplicated")?,
    })
}

/// What befell the datagram of this record, unless it is one of the many.
fn on_the_way(run: &Run, record: &Record, what: &str) -> Option<String> {
    let (kind, nth) = datagram_of(run, record)?;
    (!run.counts_kind(kind)).then(|| format!("{kind} {nth} {what}"))
}

fn dropped(run: &Run, record: &Record, reason: &str) -> Option<String> {
    let RecordKind::Received { kind, .. } = &run.record(record.cause)?.kind else {
        return Some(format!("drops an inner packet: {reason}"));
    };
    (!run.counts_kind(kind)).then(|| format!("drops {kind}: {reason}"))
}

/// The same for what becomes of sessions and addresses.
fn of_sessions(run: &Run, record: &Record) -> Option<String> {
    Some(match &record.kind {
        RecordKind::LoggedIn { login, from } => format!("accepts \"{login}\" from {}", somebody(run, *from)),
        RecordKind::LoginRefused { from } => format!("refuses the login from {}", somebody(run, *from)),
        RecordKind::Roamed { from, to } => format!("finds the session of {from} at {to} now"),
        RecordKind::SettingsChanged => "is given other settings".into(),
        RecordKind::Retrying { error } => format!("could not log in again ({error}), and will try once more"),
        RecordKind::Rekeyed { epoch } => format!("seals with the keys of epoch {epoch}"),
        RecordKind::SessionEnded { login, reason } => format!("ends the session of \"{login}\": {reason}"),
        RecordKind::Rebound { to } => format!("has another address and does not know: {to}"),
        _ => return None,
    })
}

/// A host, or whoever has an address that no host has.
fn somebody(run: &Run, host: Option<HostId>) -> &str {
    host.map_or("an address that nobody has", |host| run.host_name(Some(host)))
}

/// Whether a `Sent` record is an adversary's: then the attack before it has told everything.
fn is_forged(run: &Run, sent: &Record) -> bool {
    let cause = run.record(sent.cause);
    cause.is_some_and(|cause| matches!(cause.kind, RecordKind::Attack { .. }))
}

/// What an adversary does, with the datagram that it has seen and the one that it sends.
fn attack(run: &Run, record: &Record) -> Option<String> {
    let RecordKind::Attack { act, source } = &record.kind else {
        return None;
    };
    let RecordKind::Sent { to, kind, len, .. } = &run.record(record.id + 1)?.kind else {
        return None;
    };
    let to = somebody(run, *to);
    let nth = match run.record(record.cause).map(|seen| &seen.kind) {
        Some(RecordKind::Sent { nth, .. }) => format!(" {nth}"),
        _ => String::new(),
    };
    Some(format!("{act}s {kind}{nth} to {to} as {source} ({len} bytes)"))
}

/// Kind and number of the datagram that a fate belongs to.
pub(super) fn datagram_of(run: &Run, fate: &Record) -> Option<(&'static str, u64)> {
    let mut cause = run.record(fate.cause)?;
    if let RecordKind::Flight { .. } = cause.kind {
        cause = run.record(cause.cause)?;
    }
    match cause.kind {
        RecordKind::Sent { kind, nth, .. } => Some((kind, nth)),
        _ => None,
    }
}
