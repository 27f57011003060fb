//! Datagrams that a link treats in a way of their own, picked by what they mean, by number and by time.

use std::fmt;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::Span;

/// Some datagrams in this direction: those for which all that is said here is true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pick {
    /// What it means: `data`; in the classic profile `auth-request` and `auth-response`; in the secure one `login`,
    /// `cookie`, `login-cookie`, `ke2`, `ke3`, `settings`, `rekey` and so on. Without it, of any kind.
    pub kind: Option<String>,
    /// Which one of its kind, counted from 1; without `kind`, which one of all. Without it, each.
    pub nth: Option<u64>,
    /// Sent at this time or later.
    pub from: Option<Span>,
    /// Sent before this time.
    pub until: Option<Span>,
    /// How much longer it takes; for `late`, and only there.
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
