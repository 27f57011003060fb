//! Numbers of the datagrams between two sentences of the story.

use std::collections::BTreeMap;

use sandhog_peer::Instant;

use super::StoryLine;
use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;
use crate::setup::Role;

/// Smallest number of datagrams without faults that gets a line.
const MIN_COUNTED: u64 = 20;

/// Datagrams of counted kinds, and the attacks of a busy adversary, since the last sentence.
#[derive(Default)]
pub(super) struct Tally {
    /// Counts by link. All datagrams have the same empty name in a run with one client.
    links: BTreeMap<String, Counts>,
    last: Option<(RecordId, Instant)>,
}

/// Counts of one link.
#[derive(Default)]
struct Counts {
    /// Number of sent datagrams, by kind.
    sent: BTreeMap<&'static str, u64>,
    forged: u64,
    /// Numbers of losses, drops and replies, by text.
    effects: BTreeMap<String, u64>,
}

impl Tally {
    /// Counts a record that has no sentence.
    pub(super) fn add(&mut self, run: &Run, record: &Record) {
        let effect = match &record.kind {
            RecordKind::Attack { .. } => None,
            RecordKind::Sent { .. } if run.is_forged(record) => None,
            RecordKind::Sent { kind, .. } if !run.counts_kind(kind) => {
                Some(format!("answered by {} ({kind})", run.host_name(record.host)))
            }
            RecordKind::Sent { .. } => None,
            RecordKind::LoginRefused { .. } => Some(format!("refused by {}", run.host_name(record.host))),
            RecordKind::Lost { reason, .. } => Some(format!("lost ({reason})")),
            RecordKind::Flight { copy: 1, .. } => Some("duplicated".into()),
            RecordKind::Flight { corrupted: true, .. } => Some("corrupted".into()),
            RecordKind::Dropped { reason } => {
                Some(format!("dropped by {} ({reason})", run.host_name(record.host)))
            }
            _ => return,
        };
        let counts = self.links.entry(link_name(run, record)).or_default();
        match (effect, &record.kind) {
            (Some(effect), _) => *counts.effects.entry(effect).or_default() += 1,
            (None, RecordKind::Attack { .. }) => counts.forged += 1,
            (None, RecordKind::Sent { kind, .. }) if run.counts_kind(kind) && !run.is_forged(record) => {
                *counts.sent.entry(kind).or_default() += 1;
            }
            _ => {}
        }
        self.last = Some((record.id, record.at));
    }

    /// The line with the numbers. `None` if there are only a few datagrams without faults.
    pub(super) fn line(self) -> Option<StoryLine> {
        let (record, at) = self.last?;
        let links = self.links.values();
        let sent: u64 = links.flat_map(|counts| counts.sent.values()).sum();
        let is_plain = |counts: &Counts| counts.effects.is_empty() && counts.forged == 0;
        if sent < MIN_COUNTED && self.links.values().all(is_plain) {
            return None;
        }
        let links = self.links.iter().filter(|(_, counts)| !counts.is_empty());
        let links = links.map(|(name, counts)| match name.is_empty() {
            true => counts.text(),
            false => format!("{name}: {}", counts.text()),
        });
        Some(StoryLine {
            record,
            at,
            host: None,
            text: format!("… {}", links.collect::<Vec<_>>().join("; ")),
        })
    }
}

impl Counts {
    fn is_empty(&self) -> bool {
        self.sent.is_empty() && self.effects.is_empty() && self.forged == 0
    }

    fn text(&self) -> String {
        let plural = |count: u64| if count == 1 { "" } else { "s" };
        let sent = self.sent.iter();
        let sent: Vec<String> = sent
            .map(|(kind, sent)| format!("{sent} {kind} datagram{}", plural(*sent)))
            .collect();
        let sent = sent.join(", ");
        let effects = self.effects.iter();
        let effects: Vec<String> = effects
            .map(|(effect, count)| format!("{count} {effect}"))
            .collect();
        let effects = effects.join(", ");
        let datagrams = match (sent.is_empty(), self.forged) {
            (true, 0) => return format!("earlier datagrams: {effects}"),
            (false, 0) => sent,
            (true, forged) => format!("{forged} forged datagram{}", plural(forged)),
            (false, forged) => format!("{sent} and {forged} forged datagram{}", plural(forged)),
        };
        match effects.is_empty() {
            true => datagrams,
            false => format!("{datagrams}, {effects}"),
        }
    }
}

/// The name of the link that a record is about. Empty in a run with one client, and for attacks.
fn link_name(run: &Run, record: &Record) -> String {
    let clients = run.hosts.iter().filter(|host| host.role == Role::Client);
    let sent = run.datagram(record).filter(|sent| !run.is_forged(sent));
    let (Some(sent), 2..) = (sent, clients.count()) else {
        return String::new();
    };
    let RecordKind::Sent { to, .. } = sent.kind else {
        return String::new();
    };
    let name = |host: HostId| run.host_name(Some(host));
    let role = |host: HostId| run.hosts.get(usize::from(host)).map(|host| host.role);
    match (sent.host, to) {
        (Some(from), Some(to)) if role(from) == Some(Role::Server) => {
            format!("{} ↔ {}", name(to), name(from))
        }
        (Some(from), Some(to)) => format!("{} ↔ {}", name(from), name(to)),
        (Some(from), None) => format!("{} → unknown address", name(from)),
        (None, _) => String::new(),
    }
}
