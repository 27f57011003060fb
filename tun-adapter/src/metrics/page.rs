//! Prometheus text format, version 0.0.4.

use std::fmt::{self, Display, Write};

use crate::status::Status;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only increases while the process runs.
    Counter,
    /// Increases and decreases.
    Gauge,
}

/// A metric with all its label values.
pub(super) struct Family {
    /// The name, after Prometheus' conventions.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// The description: one line of plain text.
    pub(super) help: &'static str,
    /// Writes the samples, possibly none.
    pub(super) write: fn(&Page<'_>, &mut Samples<'_, '_>) -> fmt::Result,
}

/// The metrics of one tunnel at one time.
pub(super) struct Page<'a> {
    pub(super) status: &'a Status,
    /// Start time of the tunnel, in seconds of Unix time.
    pub(super) started: u64,
    /// True if the page may contain user names.
    pub(super) login_names: bool,
}

/// Writer for the samples of one family. Each sample has the label `device`. A family without samples writes
/// nothing.
pub(super) struct Samples<'a, 'f> {
    f: &'a mut fmt::Formatter<'f>,
    family: &'a Family,
    device: &'a str,
    has_header: bool,
}

impl<'a, 'f> Samples<'a, 'f> {
    pub(super) const fn new(f: &'a mut fmt::Formatter<'f>, family: &'a Family, device: &'a str) -> Self {
        Self {
            f,
            family,
            device,
            has_header: false,
        }
    }

    /// Writes one sample.
    pub(super) fn put(&mut self, labels: &[(&str, &str)], value: impl Into<u64>) -> fmt::Result {
        let Family { name, kind, help, .. } = self.family;
        if !self.has_header {
            let kind = kind.name();
            write!(self.f, "# HELP {name} {help}\n# TYPE {name} {kind}\n")?;
            self.has_header = true;
        }
        write!(self.f, "{name}{{device=\"{}\"", Escaped(self.device))?;
        for (label, text) in labels {
            write!(self.f, ",{label}=\"{}\"", Escaped(text))?;
        }
        // Written as an exact integer. Prometheus parses it as a float.
        writeln!(self.f, "}} {}", value.into())
    }
}

impl Kind {
    /// The name in the text format.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// An escaped label value.
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
