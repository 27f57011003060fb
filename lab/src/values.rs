//! Values in text form, with the syntax of `tc netem`: times, probabilities, sizes and rates.
//!
//! The parsers produce integers. No decision uses floating-point numbers.

#[cfg(feature = "serde")]
mod text;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// Reads a decimal number as billionths, so that `0.3` is exact. `"1.5"` gives 1,500,000,000.
fn billionths(text: &str) -> Option<u128> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 18 || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    let fraction: u128 = format!("{fraction:0<9}").parse().ok()?;
    Some(whole * 1_000_000_000 + fraction)
}

/// Splits `"20ms"` into `"20"` and `"ms"`.
fn number_and_unit(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim())
}

/// A duration: `30ms`, `1.5s`, `250us`, `2min`, `1h`. Never negative.
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::values::Span;
///
/// let span: Span = "1.5s".parse().unwrap();
/// assert_eq!(span.0, Duration::from_millis(1500));
/// assert_eq!(span.to_string(), "1.5s");
/// assert_eq!("30".parse::<Span>().unwrap_err(), "`30`: expected a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.starts_with('-') {
            return Err(format!("`{text}`: a time cannot be negative"));
        }
        let (number, unit) = number_and_unit(text);
        let nanos: u128 = match unit {
            "ns" => 1,
            "us" | "µs" => 1_000,
            "ms" => 1_000_000,
            "s" => 1_000_000_000,
            "min" => 60_000_000_000,
            "h" => 3_600_000_000_000,
            "" if number == "0" => 1,
            _ => {
                return Err(format!(
                    "`{text}`: expected a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)"
                ));
            }
        };
        let billionths =
            billionths(number).ok_or_else(|| format!("`{text}`: expected a time like `30ms` or `1.5s`"))?;
        let total = billionths * nanos / 1_000_000_000;
        u64::try_from(total)
            .map(|nanos| Self(Duration::from_nanos(nanos)))
            .map_err(|_| format!("`{text}`: longer than the maximum of 584 years"))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.0.as_nanos();
        for (unit, size) in [("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)] {
            if nanos >= size {
                let (whole, rest) = (nanos / size, nanos % size * 1000 / size);
                if rest == 0 {
                    return write!(f, "{whole}{unit}");
                }
                let fraction = format!("{rest:03}");
                return write!(f, "{whole}.{}{unit}", fraction.trim_end_matches('0'));
            }
        }
        write!(f, "{nanos}ns")
    }
}

/// A probability as in netem: a fraction of 2³². `u32::MAX` is certainty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probability(pub u32);

impl Probability {
    /// The probability in billionths, rounded to the nearest, for reports.
    #[must_use]
    pub fn as_billionths(self) -> u64 {
        (u64::from(self.0) * 1_000_000_000 + u64::from(u32::MAX) / 2) / u64::from(u32::MAX)
    }
}

impl FromStr for Probability {
    type Err = String;

    /// Reads `2%` or `0.02`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, one) = match text.strip_suffix('%') {
            Some(number) => (number.trim(), 100_000_000_000),
            None => (text, 1_000_000_000),
        };
        if number.starts_with('-') {
            return Err(format!("`{text}`: a probability cannot be negative"));
        }
        let value = billionths(number)
            .ok_or_else(|| format!("`{text}`: expected a probability like `2%` or `0.02`"))?;
        if value > one {
            let hint = if one == 1_000_000_000 {
                format!("; did you mean `{text}%`?")
            } else {
                String::new()
            };
            return Err(format!(
                "`{text}`: a probability is between 0 and 1, or 0% and 100%{hint}"
            ));
        }
        let fraction = value * u128::from(u32::MAX) / one;
        Ok(Self(u32::try_from(fraction).unwrap_or(u32::MAX)))
    }
}

impl fmt::Display for Probability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.as_billionths() / 1_000; // millionths
        let (whole, rest) = (parts / 10_000, parts % 10_000);
        if rest == 0 {
            return write!(f, "{whole}%");
        }
        let fraction = format!("{rest:04}");
        write!(f, "{whole}.{}%", fraction.trim_end_matches('0'))
    }
}

/// A number of bytes: `512`, `256 KiB`, `10 MiB`, `1500 B`, `10 kB`.
///
/// ```
/// use sandhog_lab::values::Size;
///
/// assert_eq!("10 MiB".parse(), Ok(Size(10 << 20)));
/// assert_eq!("10 kB".parse(), Ok(Size(10_000)));
/// assert_eq!(Size(262_144).to_string(), "256 KiB");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text.trim());
        let unit: u128 = match unit {
            "" | "B" => 1,
            "kB" => 1_000,
            "KiB" => 1 << 10,
            "MB" => 1_000_000,
            "MiB" => 1 << 20,
            "GB" => 1_000_000_000,
            "GiB" => 1 << 30,
            _ => {
                return Err(format!(
                    "`{text}`: expected a size like `512`, `256 KiB` or `10 MiB` (B, kB, KiB, MB, MiB, GB, GiB)"
                ));
            }
        };
        let billionths =
            billionths(number).ok_or_else(|| format!("`{text}`: expected a size like `512` or `256 KiB`"))?;
        u64::try_from(billionths * unit / 1_000_000_000)
            .map(Self)
            .map_err(|_| format!("`{text}`: too large"))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n % (1 << 20) == 0 => write!(f, "{} MiB", n >> 20),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => write!(f, "{} KiB", n >> 10),
            n => write!(f, "{n} B"),
        }
    }
}

/// A bit rate with the units of `tc`: `100mbit`, `1.5gbit`, `64kbit`. The units are powers of 1000. A text with a rate of 0 is an
/// error, and so is a setup with it.
///
/// ```
/// use sandhog_lab::values::Rate;
///
/// let rate: Rate = "1.5gbit".parse().unwrap();
/// assert_eq!(rate.bits_per_second, 1_500_000_000);
/// assert!("0mbit".parse::<Rate>().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rate {
    /// Bits per second.
    pub bits_per_second: u64,
}

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = number_and_unit(text.trim());
        let unit: u128 = match unit {
            "bit" => 1,
            "kbit" => 1_000,
            "mbit" => 1_000_000,
            "gbit" => 1_000_000_000,
            _ => {
                return Err(format!(
                    "`{text}`: expected a rate like `100mbit` (bit, kbit, mbit, gbit)"
                ));
            }
        };
        let billionths =
            billionths(number).ok_or_else(|| format!("`{text}`: expected a rate like `100mbit`"))?;
        match u64::try_from(billionths * unit / 1_000_000_000) {
            Ok(0) => Err(format!(
                "`{text}`: no datagram passes at a rate of 0; for an outage use an event `partition`"
            )),
            Ok(bits_per_second) => Ok(Self { bits_per_second }),
            Err(_) => Err(format!("`{text}`: too large")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits_per_second {
            n if n >= 1_000_000_000 && n % 1_000_000_000 == 0 => write!(f, "{}gbit", n / 1_000_000_000),
            n if n >= 1_000_000 && n % 1_000_000 == 0 => write!(f, "{}mbit", n / 1_000_000),
            n if n >= 1_000 && n % 1_000 == 0 => write!(f, "{}kbit", n / 1_000),
            n => write!(f, "{n}bit"),
        }
    }
}

/// Delay of a link, `TIME [JITTER [CORRELATION]]`: uniformly distributed between `time` - `jitter` and `time` + `jitter`. A value
/// below 0 becomes 0.
///
/// ```
/// use std::time::Duration;
/// use sandhog_lab::values::Delay;
///
/// let delay: Delay = "30ms 10ms 25%".parse().unwrap();
/// assert_eq!((delay.time, delay.jitter), (Duration::from_millis(30), Duration::from_millis(10)));
/// assert_eq!(delay.correlation.as_billionths(), 250_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delay {
    /// Mean delay.
    pub time: Duration,
    /// Largest deviation from the mean. It may be larger than the mean.
    pub jitter: Duration,
    /// Correlation of each value with the one before it.
    pub correlation: Probability,
}

impl FromStr for Delay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let time: Span = words
            .next()
            .ok_or("expected `TIME [JITTER [CORRELATION]]`, like `30ms 10ms 25%`")?
            .parse()?;
        let jitter: Span = words.next().map(str::parse).transpose()?.unwrap_or_default();
        let correlation: Probability = words.next().map(str::parse).transpose()?.unwrap_or_default();
        if let Some(word) = words.next() {
            return Err(format!(
                "`{word}`: expected nothing after `TIME JITTER CORRELATION`"
            ));
        }
        Ok(Self {
            time: time.0,
            jitter: jitter.0,
            correlation,
        })
    }
}

impl fmt::Display for Delay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Span(self.time))?;
        if self.jitter > Duration::ZERO {
            write!(f, " {}", Span(self.jitter))?;
        }
        if self.correlation > Probability::default() {
            write!(f, " {}", self.correlation)?;
        }
        Ok(())
    }
}

/// Probability of a fault, `[random] P [CORRELATION]`.
///
/// ```
/// use sandhog_lab::values::Chance;
///
/// let chance: Chance = "random 2% 25%".parse().unwrap();
/// assert_eq!(chance.to_string(), "2% 25%");
/// assert_eq!("0.02".parse::<Chance>(), "2%".parse());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance {
    /// The probability for each datagram.
    pub probability: Probability,
    /// Correlation of each value with the one before it.
    pub correlation: Probability,
}

impl FromStr for Chance {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace().peekable();
        words.next_if_eq(&"random");
        let probability: Probability = words
            .next()
            .ok_or("expected `P [CORRELATION]`, like `2%` or `random 2% 25%`")?
            .parse()?;
        let correlation: Probability = words.next().map(str::parse).transpose()?.unwrap_or_default();
        if let Some(word) = words.next() {
            return Err(format!("`{word}`: expected nothing after `P CORRELATION`"));
        }
        Ok(Self {
            probability,
            correlation,
        })
    }
}

impl fmt::Display for Chance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.probability)?;
        if self.correlation > Probability::default() {
            write!(f, " {}", self.correlation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_exact_to_the_nanosecond() {
        assert_eq!("1.5s".parse::<Span>().unwrap().0, Duration::from_millis(1500));
        assert_eq!("0.000000001s".parse::<Span>().unwrap().0, Duration::from_nanos(1));
        assert_eq!("1.5s".parse::<Span>().unwrap().to_string(), "1.5s");
    }

    #[test]
    fn a_negative_time_is_an_error() {
        assert_eq!(
            "-5ms".parse::<Span>().unwrap_err(),
            "`-5ms`: a time cannot be negative"
        );
    }

    #[test]
    fn a_probability_above_one_is_an_error_with_a_suggestion() {
        let error = "1.2".parse::<Probability>().unwrap_err();
        assert_eq!(
            error,
            "`1.2`: a probability is between 0 and 1, or 0% and 100%; did you mean `1.2%`?"
        );
        assert!("101%".parse::<Probability>().is_err());
    }

    #[test]
    fn certainty_is_the_largest_number() {
        assert_eq!("100%".parse::<Probability>().unwrap(), Probability(u32::MAX));
        assert_eq!("1".parse::<Probability>().unwrap(), Probability(u32::MAX));
        assert_eq!("50%".parse::<Probability>().unwrap(), "0.5".parse().unwrap());
        assert_eq!("2.5%".parse::<Probability>().unwrap().to_string(), "2.5%");
    }

    #[test]
    fn values_have_the_syntax_of_netem() {
        let chance: Chance = "random 2% 25%".parse().unwrap();
        assert_eq!(
            (chance.probability.to_string(), chance.correlation.to_string()),
            ("2%".into(), "25%".into())
        );
        let delay: Delay = "30ms 10ms 25%".parse().unwrap();
        assert_eq!(delay.to_string(), "30ms 10ms 25%");
        assert_eq!("100mbit".parse::<Rate>().unwrap().bits_per_second, 100_000_000);
        assert_eq!("256 KiB".parse::<Size>().unwrap(), Size(262_144));
    }
}
