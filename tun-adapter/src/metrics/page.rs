//! How metrics are written: the text format of Prometheus, version 0.0.4.

use std::fmt::{self, Display, Write};

use super::families::FAMILIES;
use crate::status::Status;

/// What a number is to who adds it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only ever grows while the process lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A metric with all its label values.
pub(super) struct Family {
    /// Its name, after Prometheus' conventions.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What it is, in one line of plain text.
    pub(super) help: &'static str,
    /// Writes down its samples, of which there may be none.
    pub(super) write: fn(&Page<'_>, &mut Samples<'_, '_>) -> fmt::Result,
}

/// The metrics of one tunnel at one time.
pub(super) struct Page<'a> {
    pub(super) status: &'a Status,
    /// Since when it runs, in seconds of Unix time.
    pub(super) started: u64,
    /// Whether users are named.
    pub(super) login_names: bool,
}

impl Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FAMILIES.iter().try_for_each(|family| {
            let mut samples = Samples {
                f,
                family,
                device: &self.status.device,
                is_headed: false,
            };
            (family.write)(self, &mut samples)
        })
    }
}

/// Where the samples of one family go. Every one has the label `device`, and a family without samples leaves no trace.
pub(super) struct Samples<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    family: &'a Family,
    device: &'a str,
    is_headed: bool,
}

impl Samples<'_, '_> {
    /// Writes one down.
    pub(super) fn put(&mut self, labels: &[(&str, &str)], value: impl Into<u64>) -> fmt::Result {
        let Family { name, kind, help, .. } = self.family;
        if !self.is_headed {
            let kind = kind.name();
            write!(self.f, "# HELP {name} {help}\n# TYPE {name} {kind}\n")?;
            self.is_headed = true;
        }
        write!(self.f, "{name}{{device=\"{}\"", Escaped(self.device))?;
        for (label, text) in labels {
            write!(self.f, ",{label}=\"{}\"", Escaped(text))?;
        }
        // Whole numbers stay exact; readers take them as floating point.
        writeln!(self.f, "}} {}", value.into())
    }
}

impl Kind {
    /// As the format writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// The value of a label between its quotes.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|letter| match letter {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            other => f.write_char(other),
        })
    }
}
