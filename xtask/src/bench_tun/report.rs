//! Result tables: the measured figures, and the promises about them.

use super::Name;
use super::figures::{Figures, median};
use crate::table;

const MIB: f64 = 1024.0 * 1024.0;

/// A row of the first table: its name and a function that formats its value.
type Row = (&'static str, fn(&Figures) -> Option<String>);

const ROWS: &[Row] = &[
    ("TCP up, Mbit/s", |figures| megabits(&figures.up)),
    ("TCP down, Mbit/s", |figures| megabits(&figures.down)),
    ("TCP up, 4 flows, Mbit/s", |figures| megabits(&figures.four)),
    ("CPU of all, ns for a byte up", |figures| {
        median(&figures.cost).map(|cost| format!("{cost:.2}"))
    }),
    ("UDP of 64 bytes, 1000/s", |figures| {
        median(&figures.datagrams).map(|rate| format!("{:.1}", rate / 1e3))
    }),
    ("ping, µs", |figures| {
        median(&figures.ping).map(|time| format!("{time:.0}"))
    }),
    ("idle, % of a core: server", |figures| {
        figures.idle.first().map(|share| format!("{share:.3}"))
    }),
    ("idle, % of a core: client", |figures| {
        figures.idle.get(1).map(|share| format!("{share:.3}"))
    }),
    ("memory, MiB: server", |figures| {
        mebibytes(figures.resident.first())
    }),
    ("memory, MiB: client", |figures| {
        mebibytes(figures.resident.get(1))
    }),
];

fn megabits(rates: &[f64]) -> Option<String> {
    median(rates).map(|rate| format!("{:.0}", rate / 1e6))
}

fn mebibytes(bytes: Option<&u64>) -> Option<String> {
    bytes.map(|&bytes| format!("{:.1}", bytes as f64 / MIB))
}

/// Table of all medians, with a column for each peer.
pub(super) fn figures(names: &[Name], figures: &[Figures]) -> String {
    let mut rows = vec![
        std::iter::once("median")
            .chain(names.iter().map(|name| name.word()))
            .map(str::to_owned)
            .collect(),
    ];
    for (name, write) in ROWS {
        let cells: Vec<_> = figures
            .iter()
            .map(|figures| write(figures).unwrap_or_default())
            .collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            rows.push(std::iter::once((*name).to_owned()).chain(cells).collect());
        }
    }
    table::render(&rows)
}

/// A promised bound of a figure.
struct Promise {
    name: &'static str,
    value: f64,
    bound: Bound,
    /// A better value, which is not promised.
    aim: Option<f64>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Promise {
    const fn is_kept(&self) -> bool {
        match self.bound {
            Bound::AtLeast(least) => self.value >= least,
            Bound::AtMost(most) => self.value <= most,
            Bound::Below(bound) => self.value < bound,
        }
    }

    fn cells(&self) -> Vec<String> {
        let bound = match self.bound {
            Bound::AtLeast(least) => format!("≥ {least}"),
            Bound::AtMost(most) => format!("≤ {most}"),
            Bound::Below(bound) => format!("< {bound}"),
        };
        vec![
            self.name.to_owned(),
            format!("{:.2}", self.value),
            bound,
            self.aim.map(|aim| format!("aim {aim}")).unwrap_or_default(),
            if self.is_kept() { "kept" } else { "MISSED" }.to_owned(),
        ]
    }
}

/// Table of the promises with the measured values, and true if all are kept. Figures that were not measured are left out.
pub(super) fn promises(names: &[Name], figures: &[Figures], sessions: Option<u64>) -> (String, bool) {
    let of = |name| {
        let place = names.iter().position(|&other| other == name)?;
        figures.get(place)
    };
    let mut promises = Vec::new();
    if let (Some(ours), Some(theirs)) = (of(Name::Sandhog), of(Name::Boringtun)) {
        promises.extend(against(ours, theirs));
    }
    if let Some(ours) = of(Name::Sandhog) {
        promises.extend(alone(ours, sessions));
    }
    if promises.is_empty() {
        return ("there are no promises about these figures".to_owned(), true);
    }
    let mut rows = vec![
        ["promise", "measured", "must", "", ""]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(promises.iter().map(Promise::cells));
    (table::render(&rows), promises.iter().all(Promise::is_kept))
}

/// Promises about our figures in proportion to those of boringtun.
fn against(ours: &Figures, theirs: &Figures) -> Vec<Promise> {
    let ratio = |name, of: fn(&Figures) -> &Vec<f64>, bound, aim| {
        let value = median(of(ours))? / median(of(theirs))?;
        Some(Promise {
            name,
            value,
            bound,
            aim,
        })
    };
    let least = || Bound::AtLeast(10.0);
    let promises = [
        ratio(
            "TCP up, times boringtun",
            |figures| &figures.up,
            least(),
            Some(12.0),
        ),
        ratio(
            "TCP down, times boringtun",
            |figures| &figures.down,
            least(),
            Some(12.0),
        ),
        ratio(
            "TCP 4 flows, times boringtun",
            |figures| &figures.four,
            least(),
            Some(12.0),
        ),
        ratio(
            "UDP of 64 bytes, times boringtun",
            |figures| &figures.datagrams,
            Bound::AtLeast(2.0),
            None,
        ),
        ratio(
            "ping, times boringtun",
            |figures| &figures.ping,
            Bound::AtMost(1.0),
            None,
        ),
    ];
    promises.into_iter().flatten().collect()
}

fn alone(ours: &Figures, sessions: Option<u64>) -> Vec<Promise> {
    let below = |name, value: Option<f64>, bound| {
        Some(Promise {
            name,
            value: value?,
            bound: Bound::Below(bound),
            aim: None,
        })
    };
    let mebibytes = |bytes: Option<&u64>| bytes.map(|&bytes| bytes as f64 / MIB);
    let promises = [
        below("idle server, % of a core", ours.idle.first().copied(), 0.2),
        below("idle client, % of a core", ours.idle.get(1).copied(), 0.2),
        below(
            "memory of the server, MiB",
            mebibytes(ours.resident.first()),
            20.0,
        ),
        below("memory of the client, MiB", mebibytes(ours.resident.get(1)), 20.0),
        below(
            "memory with 1000 sessions, MiB",
            mebibytes(sessions.as_ref()),
            64.0,
        ),
    ];
    promises.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(up: f64, ping: f64) -> Figures {
        Figures {
            up: vec![1.0, up, 1e12],
            ping: vec![ping],
            ..Figures::default()
        }
    }

    #[test]
    fn ratios_are_those_of_medians_and_a_missed_promise_is_reported() {
        let names = [Name::Sandhog, Name::Boringtun];
        let (text, is_kept) = promises(&names, &[some(1e10, 50.0), some(1e9, 50.0)], None);
        assert!(
            is_kept && text.contains("10.00") && text.contains("kept"),
            "{text}"
        );
        let (text, is_kept) = promises(&names, &[some(9e9, 50.0), some(1e9, 51.0)], Some(1 << 20));
        assert!(!is_kept && text.contains("MISSED"), "{text}");
        assert!(text.contains("memory with 1000 sessions, MiB"), "{text}");
    }

    #[test]
    fn there_are_no_promises_about_other_programs() {
        let (_, is_kept) = promises(&[Name::Boringtun], &[some(1.0, 1.0)], None);
        assert!(is_kept);
    }
}
