//! Sequence diagrams in Mermaid and SVG, with one row per datagram or note and time from top to bottom.

use std::fmt::Write;

use sandhog_peer::Instant;

use super::story::{StoryLine, story_lines};
use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;
use crate::setup::Role;

/// Largest number of datagrams of counted kinds that get one arrow each. If there are more, notes give their numbers.
const MAX_ARROWS: usize = 40;

/// Largest number of rows. The last row gives the number of those that are left out.
const MAX_ROWS: usize = 400;

/// One row of a diagram.
enum Row {
    /// A datagram from host to host.
    Arrow {
        at: Instant,
        from: HostId,
        to: HostId,
        label: String,
        outcome: Outcome,
    },
    /// A sentence about one host, or about the laboratory.
    Note {
        at: Instant,
        host: Option<HostId>,
        text: String,
    },
}

/// Outcome of a datagram.
enum Outcome {
    Arrives,
    Corrupted,
    Lost(&'static str),
}

fn rows(run: &Run) -> Vec<Row> {
    let is_counted =
        |record: &&Record| matches!(record.kind, RecordKind::Sent { kind, .. } if run.counts_kind(kind));
    let every_datagram = run.records.iter().filter(is_counted).count() <= MAX_ARROWS;
    let lines = story_lines(run);
    let mut notes = lines
        .iter()
        .filter(|line| is_note(run, line, every_datagram))
        .peekable();
    let mut rows = Vec::new();
    for record in &run.records {
        while let Some(line) = notes.next_if(|line| line.record <= record.id) {
            rows.push(Row::Note {
                at: line.at,
                host: line.host,
                text: line.text.clone(),
            });
        }
        if let RecordKind::Sent {
            to: Some(to),
            kind,
            nth,
            ..
        } = record.kind
            && (!run.counts_kind(kind) || every_datagram)
            && let Some(from) = record.host
        {
            for outcome in outcomes(run, record.id) {
                rows.push(Row::Arrow {
                    at: record.at,
                    from,
                    to,
                    label: format!("{kind} {nth}"),
                    outcome,
                });
            }
        }
    }
    rows.extend(notes.map(|line| Row::Note {
        at: line.at,
        host: line.host,
        text: line.text.clone(),
    }));
    if rows.len() > MAX_ROWS {
        let (left, at) = (rows.len() - MAX_ROWS + 1, run.end);
        rows.truncate(MAX_ROWS - 1);
        rows.push(Row::Note {
            at,
            host: None,
            text: format!("… and {left} more rows; the trace has all records"),
        });
    }
    rows
}

/// Returns true if a line of the story becomes a note. Lines about one datagram do not, because it has an arrow. Lines about counted
/// datagrams do, if those have no arrows.
fn is_note(run: &Run, line: &StoryLine, every_datagram: bool) -> bool {
    let record = run.record(line.record);
    match record.map(|record| &record.kind) {
        Some(RecordKind::Sent { .. } | RecordKind::Flight { .. } | RecordKind::Lost { .. }) => {
            line.text.starts_with('…') && !every_datagram
        }
        _ => true,
    }
}

/// The outcome of each copy of the datagram with the record `sent`.
fn outcomes(run: &Run, sent: RecordId) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut next = sent + 1;
    while let Some(record) = run.record(next).filter(|record| record.cause == sent) {
        match record.kind {
            RecordKind::Lost { reason, .. } => outcomes.push(Outcome::Lost(reason)),
            RecordKind::Flight { corrupted: true, .. } => outcomes.push(Outcome::Corrupted),
            RecordKind::Flight { .. } => outcomes.push(match loss_on_arrival(run, record) {
                Some(reason) => Outcome::Lost(reason),
                None => Outcome::Arrives,
            }),
            _ => break,
        }
        next += 1;
    }
    outcomes
}

/// The reason if a copy was lost on arrival, for example because the receiver was down.
fn loss_on_arrival(run: &Run, flight: &Record) -> Option<&'static str> {
    let RecordKind::Flight { due, .. } = flight.kind else {
        return None;
    };
    let first = run.records.partition_point(|record| record.at < due);
    let at_due = run
        .records
        .iter()
        .skip(first)
        .take_while(|record| record.at == due);
    at_due
        .filter(|record| record.cause == flight.id)
        .find_map(|record| match record.kind {
            RecordKind::Lost { reason, .. } => Some(reason),
            _ => None,
        })
}

fn time(at: Instant) -> String {
    format!("{}.{:03} s", at.as_millis() / 1000, at.as_millis() % 1000)
}

/// A Mermaid `sequenceDiagram` of a run that kept its records.
#[must_use]
pub fn mermaid(run: &Run) -> String {
    let mut text = format!("---\ntitle: {}\n---\nsequenceDiagram\n", quoted(&run.title));
    let names: Vec<&str> = lanes(run).iter().map(|host| run.host_name(Some(*host))).collect();
    for name in &names {
        let _ = writeln!(text, "    participant {name}");
    }
    let all = match names.as_slice() {
        [first, .., last] => format!("{first},{last}"),
        names => names.join(","),
    };
    for row in rows(run) {
        let _ = match row {
            Row::Note { at, host, text: note } => {
                let over = host.map_or(all.as_str(), |host| run.host_name(Some(host)));
                writeln!(text, "    Note over {over}: {} {}", time(at), mermaid_text(&note))
            }
            Row::Arrow {
                at,
                from,
                to,
                label,
                outcome,
            } => {
                let (from, to) = (run.host_name(Some(from)), run.host_name(Some(to)));
                match outcome {
                    Outcome::Arrives => writeln!(text, "    {from}->>{to}: {} {label}", time(at)),
                    Outcome::Corrupted => {
                        writeln!(text, "    {from}->>{to}: {} {label}, corrupted", time(at))
                    }
                    Outcome::Lost(reason) => {
                        writeln!(text, "    {from}--x{to}: {} {label}, lost ({reason})", time(at))
                    }
                }
            }
        };
    }
    text
}

/// A double-quoted YAML string, for the title.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Text for Mermaid, where `;` and the end of a line end a statement, and `#` starts an entity.
fn mermaid_text(text: &str) -> String {
    text.replace('#', "#35;").replace(';', "#59;").replace('\n', " ")
}

/// The hosts from left to right: clients and adversaries first, then servers.
fn lanes(run: &Run) -> Vec<HostId> {
    let mut lanes: Vec<HostId> = (0..).zip(&run.hosts).map(|(id, _)| id).collect();
    lanes.sort_by_key(|host| run.hosts[usize::from(*host)].role == Role::Server);
    lanes
}

const ROW_HEIGHT: usize = 28;
const LINE_HEIGHT: usize = 17;
const TIME_WIDTH: usize = 90;
const LANE_WIDTH: usize = 440;
const HEAD_HEIGHT: usize = 84;

/// Approximate width of a character. Notes are wrapped to the width of a lane with it.
const CHARACTER_WIDTH: usize = 7;

const STYLE: &str = "
  svg { font: 13px system-ui, sans-serif; background: #fff; color: #1c2330 }
  text { fill: currentColor } .time { fill: #68707f; font-variant-numeric: tabular-nums; text-anchor: end }
  .title { font-size: 17px; font-weight: 600 } .host { font-weight: 600; text-anchor: middle }
  .lane { stroke: #c9ced8; stroke-width: 2 } .note { text-anchor: middle }
  .back { fill: #fff } .band { fill: #f1f3f7 }
  .arrow { stroke: #2a63b8; stroke-width: 1.6 } .label { text-anchor: middle; fill: #2a63b8 } .head { fill: #2a63b8 }
  .lost .arrow { stroke: #b4451f; stroke-dasharray: 5 4 } .lost .label { fill: #b4451f }
  .cross { stroke: #b4451f; stroke-width: 2.2 }
  @media (prefers-color-scheme: dark) {
    svg { background: #14181f; color: #e4e8ef } .time { fill: #98a1b0 } .lane { stroke: #3a4250 }
    .back { fill: #14181f } .band { fill: #1e242e }
    .arrow { stroke: #7fb0f5 } .label, .head { fill: #7fb0f5 }
    .lost .arrow, .cross { stroke: #f09a76 } .lost .label { fill: #f09a76 }
  }";

/// An SVG under construction: its lanes and the present height.
struct Drawing {
    svg: String,
    lanes: Vec<HostId>,
    y: usize,
}

/// The sequence diagram of a run that kept its records, as a self-contained SVG.
#[must_use]
pub fn svg(run: &Run) -> String {
    let mut drawing = Drawing {
        svg: String::new(),
        lanes: lanes(run),
        y: HEAD_HEIGHT,
    };
    for row in rows(run) {
        drawing.row(&row);
    }
    let (width, height) = (drawing.width(), drawing.y + ROW_HEIGHT);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}\n</style>\n\
         <defs><marker id=\"head\" viewBox=\"0 0 10 10\" refX=\"9\" refY=\"5\" markerWidth=\"7\" markerHeight=\"7\" \
         orient=\"auto-start-reverse\"><path class=\"head\" d=\"M0 0 10 5 0 10z\"/></marker></defs>\n\
         <text class=\"title\" x=\"16\" y=\"28\">{title}</text>\n\
         <text x=\"16\" y=\"48\">seed {}, digest {}</text>\n",
        run.seed,
        run.digest,
        title = xml_text(&run.title),
    );
    for host in &drawing.lanes {
        let x = drawing.lane(*host);
        let _ = writeln!(
            svg,
            "<line class=\"lane\" x1=\"{x}\" y1=\"{HEAD_HEIGHT}\" x2=\"{x}\" y2=\"{height}\"/>\
             <text class=\"host\" x=\"{x}\" y=\"{}\">{}</text>",
            HEAD_HEIGHT - 8,
            xml_text(run.host_name(Some(*host)))
        );
    }
    svg + &drawing.svg + "</svg>\n"
}

impl Drawing {
    fn width(&self) -> usize {
        TIME_WIDTH + LANE_WIDTH * self.lanes.len().max(1)
    }

    /// The x coordinate of the middle of a host's lane.
    fn lane(&self, host: HostId) -> usize {
        let position = self.lanes.iter().position(|other| *other == host);
        TIME_WIDTH + LANE_WIDTH * position.unwrap_or_default() + LANE_WIDTH / 2
    }

    fn row(&mut self, row: &Row) {
        self.y += ROW_HEIGHT;
        match row {
            Row::Note { at, host, text } => {
                self.time(*at);
                self.note(*host, text);
            }
            Row::Arrow {
                at,
                from,
                to,
                label,
                outcome,
            } => {
                self.time(*at);
                self.arrow(self.lane(*from), self.lane(*to), label, outcome);
            }
        }
    }

    fn time(&mut self, at: Instant) {
        let (x, y) = (TIME_WIDTH - 10, self.y + 4);
        let _ = writeln!(
            self.svg,
            "<text class=\"time\" x=\"{x}\" y=\"{y}\">{}</text>",
            time(at)
        );
    }

    /// A sentence in the lane of a host, or across all lanes for the laboratory.
    fn note(&mut self, host: Option<HostId>, text: &str) {
        let (available, x) = match host {
            Some(host) => (LANE_WIDTH, self.lane(host)),
            None => (self.width() - TIME_WIDTH, (TIME_WIDTH + self.width()) / 2),
        };
        let lines = wrap(text, available / CHARACTER_WIDTH - 4);
        let longest = lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or_default();
        let (class, wide) = match host {
            Some(_) => ("back", (longest * CHARACTER_WIDTH + 12).min(available)),
            None => ("band", available - 12),
        };
        let (left, top) = (x - wide / 2, self.y - 10);
        let high = LINE_HEIGHT * (lines.len() - 1) + 20;
        let _ = writeln!(
            self.svg,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{top}\" width=\"{wide}\" height=\"{high}\" rx=\"4\"/>"
        );
        for (number, line) in lines.iter().enumerate() {
            let y = self.y + 4 + LINE_HEIGHT * number;
            let _ = writeln!(
                self.svg,
                "<text class=\"note\" x=\"{x}\" y=\"{y}\">{}</text>",
                xml_text(line)
            );
        }
        self.y += LINE_HEIGHT * (lines.len() - 1);
    }

    /// An arrow for a datagram. A lost one ends early, with a cross.
    fn arrow(&mut self, from: usize, to: usize, label: &str, outcome: &Outcome) {
        let head = "marker-end=\"url(#head)\"";
        let (class, to, head, label) = match outcome {
            Outcome::Arrives => ("sent", to, head, label.to_owned()),
            Outcome::Corrupted => ("lost", to, head, format!("{label}, corrupted")),
            Outcome::Lost(reason) => (
                "lost",
                (from + to * 3) / 4,
                "",
                format!("{label}, lost ({reason})"),
            ),
        };
        let (top, bottom) = (self.y + 1, self.y + 9);
        let _ = write!(
            self.svg,
            "<g class=\"{class}\"><line class=\"arrow\" x1=\"{from}\" y1=\"{top}\" x2=\"{to}\" y2=\"{bottom}\" {head}/>\
             <text class=\"label\" x=\"{}\" y=\"{}\">{}</text>",
            (from + to) / 2,
            self.y - 4,
            xml_text(&label)
        );
        if let Outcome::Lost(_) = outcome {
            let (left, right, up, down) = (to - 5, to + 5, bottom - 5, bottom + 5);
            let _ = write!(
                self.svg,
                "<path class=\"cross\" d=\"M{left} {up} {right} {down}M{right} {up} {left} {down}\"/>"
            );
        }
        self.svg.push_str("</g>\n");
    }
}

/// A text in lines of at most `width` characters, wrapped between words. There is at least one line.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines
            .last_mut()
            .filter(|line| line.is_empty() || line.chars().count() + 1 + word.chars().count() <= width);
        match line {
            Some(line) if line.is_empty() => line.push_str(word),
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Text for XML 1.0, which allows no control characters, not even escaped ones.
fn xml_text(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
