//! Wall clock of a host in a scenario, relative to the true time.

use std::fmt;
use std::time::Duration;

use sandhog_lab::values::Span;
use sandhog_peer::Instant;
use schemars::JsonSchema;
use serde::Deserialize;

/// The true time at the begin of each run, in milliseconds since 1970: the end of 2026.
const BEGIN: u64 = 1_798_761_600_000;

/// The wall clock of a client or server: `right`, `none`, or its difference to the true time, like `+25s` or `-1h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(with = "String")]
pub enum Clock {
    /// The true time.
    #[default]
    Right,
    /// The host has no clock.
    None,
    /// It is ahead of the true time.
    Ahead(Span),
    /// It is behind the true time.
    Behind(Span),
}

impl Clock {
    /// The time that the clock shows at `now`, in milliseconds since 1970. `None` without a clock. Times before 1970 are 1970.
    #[must_use]
    pub fn shows(self, now: Instant) -> Option<u64> {
        let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let right = BEGIN.saturating_add(now.as_nanos() / 1_000_000);
        match self {
            Self::None => None,
            Self::Right => Some(right),
            Self::Ahead(span) => Some(right.saturating_add(millis(span.0))),
            Self::Behind(span) => Some(right.saturating_sub(millis(span.0))),
        }
    }
}

/// The words of the story.
impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Right => write!(f, "to the true time"),
            Self::None => write!(f, "to nothing"),
            Self::Ahead(span) => write!(f, "{span} ahead"),
            Self::Behind(span) => write!(f, "{span} behind"),
        }
    }
}

/// A wall clock that is set during a run. It survives crashes of its host.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ClockChange {
    /// The host whose clock is set.
    pub of: String,
    /// The new clock: `right`, or its difference to the true time, like `+25s` or `-1h`.
    pub becomes: Clock,
}

impl TryFrom<String> for Clock {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = |text: &str| text.parse::<Span>();
        match text.split_at_checked(1) {
            Some(("+", rest)) => span(rest).map(Self::Ahead),
            Some(("-", rest)) => span(rest).map(Self::Behind),
            _ if text == "right" => Ok(Self::Right),
            _ if text == "none" => Ok(Self::None),
            _ => Err(format!(
                "`{text}`: expected `right`, `none`, or a difference to the true time with its sign, like `+25s` or `-1h`"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_clock_is_right_absent_or_differs_by_a_time_with_a_sign() {
        let clock = |text: &str| Clock::try_from(text.to_owned());
        let span = |seconds| Span(Duration::from_secs(seconds));
        assert_eq!(clock("right"), Ok(Clock::Right));
        assert_eq!(clock("none"), Ok(Clock::None));
        assert_eq!(clock("+25s"), Ok(Clock::Ahead(span(25))));
        assert_eq!(clock("-1h"), Ok(Clock::Behind(span(3600))));
        for wrong in ["", "25s", "+", "-x", "wrong", "+-3s"] {
            assert!(clock(wrong).is_err(), "{wrong}");
        }
    }
}
