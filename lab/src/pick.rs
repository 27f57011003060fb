//! Selection of datagrams for scripted faults: by kind, number and time.

use std::fmt;

use crate::values::Span;

/// A selection of datagrams in one direction of a link. A datagram is selected if every given condition is true.
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::{Pick, values::Span};
///
/// let second_hello = Pick { kind: Some("hello".into()), nth: Some(2), ..Pick::default() };
/// assert_eq!(second_hello.to_string(), "hello 2");
/// let until = Some(Span(Duration::from_secs(3)));
/// assert_eq!(Pick { until, ..Pick::default() }.to_string(), "datagram (each) until 3s");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, schemars::JsonSchema))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields, rename_all = "kebab-case"))]
pub struct Pick {
    /// Kind of the datagram, such as `data` or `login`. The protocol profile lists its kinds. If absent, any kind.
    pub kind: Option<String>,
    /// Number of the datagram among those of its kind, from 1. Without `kind`, its number among all. If absent, each one.
    pub nth: Option<u64>,
    /// Sent at this time or later.
    pub from: Option<Span>,
    /// Sent before this time.
    pub until: Option<Span>,
    /// Extra delay, for `late` only.
    pub by: Option<Span>,
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.as_deref().unwrap_or("datagram"))?;
        match self.nth {
            Some(nth) => write!(f, " {nth}")?,
            None => f.write_str(" (each)")?,
        }
        for (word, span) in [("from", self.from), ("until", self.until), ("by", self.by)] {
            if let Some(span) = span {
                write!(f, " {word} {span}")?;
            }
        }
        Ok(())
    }
}
