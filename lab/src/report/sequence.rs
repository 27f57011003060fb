//! Sequence diagrams, as Mermaid and as SVG: one row for each thing that happened, time flowing down.

use std::fmt::Write;

use sandhog_peer::Instant;

use super::story::{StoryLine, story_lines};
use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;
use crate::setup::Role;

/// With at most this many data datagrams each gets its arrow; with more they are told of in numbers.
const FEW_DATAGRAMS: usize = 40;

/// A diagram has at most this many rows; what comes later is told of in its last row.
const MAX_ROWS: usize = 400;

/// One row of a diagram.
enum Row {
    /// A datagram from host to host, and how it ended.
    Arrow {
        at: Instant,
        from: HostId,
        to: HostId,
        label: String,
        end: End,
    },
    /// A sentence beside a host, or across all.
    Note {
        at: Instant,
        host: Option<HostId>,
        text: String,
    },
}

/// How a datagram ended.
enum End {
    Arrives,
    Damaged,
    Lost(&'static str),
}

fn rows(run: &Run) -> Vec<Row> {
    let is_counted =
        |record: &&Record| matches!(record.kind, RecordKind::Sent { kind, .. } if run.counts_kind(kind));
    let every_datagram = run.records.iter().filter(is_counted).count() <= FEW_DATAGRAMS;
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
            for end in ends(run, record.id) {
                rows.push(Row::Arrow {
                    at: record.at,
                    from,
                    to,
                    label: format!("{kind} {nth}"),
                    end,
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
            text: format!("… and {left} more; trace.jsonl has them all"),
        });
    }
    rows
}

/// Sentences about single datagrams are arrows already; those about many are not, if each has its arrow.
fn is_note(run: &Run, line: &StoryLine, every_datagram: bool) -> bool {
    let record = run.record(line.record);
    match record.map(|record| &record.kind) {
        Some(RecordKind::Sent { .. } | RecordKind::Flight { .. } | RecordKind::Lost { .. }) => {
            line.text.starts_with('…') && !every_datagram
        }
        _ => true,
    }
}

/// What became of each copy of the datagram that `sent` is the record of.
fn ends(run: &Run, sent: RecordId) -> Vec<End> {
    let mut ends = Vec::new();
    let mut next = sent + 1;
    while let Some(record) = run.record(next).filter(|record| record.cause == sent) {
        match record.kind {
            RecordKind::Lost { reason, .. } => ends.push(End::Lost(reason)),
            RecordKind::Flight { corrupted: true, .. } => ends.push(End::Damaged),
            RecordKind::Flight { .. } => ends.push(match lost_at_the_end(run, record) {
                Some(reason) => End::Lost(reason),
                None => End::Arrives,
            }),
            _ => break,
        }
        next += 1;
    }
    ends
}

/// A copy whose receiver was down when it arrived.
fn lost_at_the_end(run: &Run, flight: &Record) -> Option<&'static str> {
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
    let everyone = match names.as_slice() {
        [first, .., last] => format!("{first},{last}"),
        names => names.join(","),
    };
    for row in rows(run) {
        let _ = match row {
            Row::Note { at, host, text: note } => {
                let over = host.map_or(everyone.as_str(), |host| run.host_name(Some(host)));
                writeln!(text, "    Note over {over}: {} {}", time(at), mermaid_text(&note))
            }
            Row::Arrow {
                at,
                from,
                to,
                label,
                end,
            } => {
                let (from, to) = (run.host_name(Some(from)), run.host_name(Some(to)));
                match end {
                    End::Arrives => writeln!(text, "    {from}->>{to}: {} {label}", time(at)),
                    End::Damaged => writeln!(text, "    {from}->>{to}: {} {label}, damaged", time(at)),
                    End::Lost(reason) => {
                        writeln!(text, "    {from}--x{to}: {} {label}, lost ({reason})", time(at))
                    }
                }
            }
        };
    }
    text
}

/// YAML's double quotes, for the title.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Mermaid ends a statement at `;` and at the end of a line, and reads `#` as an entity.
fn mermaid_text(text: &str) -> String {
    text.replace('#', "#35;").replace(';', "#59;").replace('\n', " ")
}

/// The hosts from left to right: clients first, for they begin.
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

/// About how wide a character of a note is; notes are broken so that they stay within their lane.
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

/// An SVG under construction: the lanes, and how far down it has come.
struct Drawing {
    svg: String,
    lanes: Vec<HostId>,
    y: usize,
}

/// The same as a self-contained SVG.
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

    /// The middle of a host's lane.
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
                end,
            } => {
                self.time(*at);
                self.arrow(self.lane(*from), self.lane(*to), label, end);
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

    /// A sentence over a host's lane, or in a band across all for the laboratory.
    fn note(&mut self, host: Option<HostId>, text: &str) {
        let (room, x) = match host {
            Some(host) => (LANE_WIDTH, self.lane(host)),
            None => (self.width() - TIME_WIDTH, (TIME_WIDTH + self.width()) / 2),
        };
        let lines = broken(text, room / CHARACTER_WIDTH - 4);
        let longest = lines
            .iter()
            .map(|line| line.chars().count())
            .max()
            .unwrap_or_default();
        let (class, wide) = match host {
            Some(_) => ("back", (longest * CHARACTER_WIDTH + 12).min(room)),
            None => ("band", room - 12),
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

    /// A datagram; one that is lost ends on the way, in a cross.
    fn arrow(&mut self, from: usize, to: usize, label: &str, end: &End) {
        let head = "marker-end=\"url(#head)\"";
        let (class, to, head, label) = match end {
            End::Arrives => ("sent", to, head, label.to_owned()),
            End::Damaged => ("lost", to, head, format!("{label}, damaged")),
            End::Lost(reason) => (
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
        if let End::Lost(_) = end {
            let (left, right, up, down) = (to - 5, to + 5, bottom - 5, bottom + 5);
            let _ = write!(
                self.svg,
                "<path class=\"cross\" d=\"M{left} {up} {right} {down}M{right} {up} {left} {down}\"/>"
            );
        }
        self.svg.push_str("</g>\n");
    }
}

/// A sentence in lines of at most `width` characters, broken between words; at least one line.
fn broken(text: &str, width: usize) -> Vec<String> {
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

/// Text for XML 1.0, which has no place for control characters, not even escaped.
fn xml_text(text: &str) -> String {
    text.replace(|c: char| c.is_control() && c != '\n' && c != '\t', "\u{fffd}")
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}
