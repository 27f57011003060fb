//! Wall clock of a host in a scenario, relative to the true time.

use sandhog_lab::values::Span;
use schemars::JsonSchema;
use serde::Deserialize;

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
