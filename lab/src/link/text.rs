//! Text form of a link configuration, with the terms of `tc netem`.

use std::str::FromStr;

use super::{DEFAULT_LIMIT, LinkConfig};
use crate::suggest::suggestion;
use crate::values::Delay;

const PROPERTIES: [&str; 7] = ["delay", "loss", "duplicate", "corrupt", "rate", "limit", "mtu"];

/// Reads `delay 20ms 5ms loss 2% rate 50mbit`. Commas between the properties are allowed.
impl FromStr for LinkConfig {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.replace(',', " ");
        let mut words = text.split_whitespace().peekable();
        let mut link = Self::default();
        let mut seen = Vec::new();
        while let Some(word) = words.next() {
            if !PROPERTIES.contains(&word) {
                return Err(format!(
                    "`{word}` is not a property of a link{}",
                    suggestion(word, &PROPERTIES)
                ));
            }
            if seen.contains(&word) {
                return Err(format!("`{word}` occurs twice; remove one of them"));
            }
            seen.push(word);
            let mut value = Vec::new();
            while let Some(part) = words.next_if(|next| !PROPERTIES.contains(next)) {
                value.push(part);
            }
            set(&mut link, word, &value.join(" ")).map_err(|error| format!("{word}: {error}"))?;
        }
        if link.limit.is_some() && link.rate.is_none() {
            return Err("`limit` is the length of the queue for `rate`; add a `rate`".into());
        }
        Ok(link)
    }
}

fn set(link: &mut LinkConfig, property: &str, value: &str) -> Result<(), String> {
    match property {
        "delay" => link.delay = value.parse()?,
        "loss" => link.loss = value.parse()?,
        "duplicate" => link.duplicate = value.parse()?,
        "corrupt" => link.corrupt = value.parse()?,
        "rate" => link.rate = Some(value.parse()?),
        "limit" => link.limit = Some(number(value)?),
        _ => link.mtu = Some(mtu(value)?),
    }
    Ok(())
}

/// Reads the MTU, at least for the headers of IPv4 and UDP and one byte.
fn mtu(value: &str) -> Result<u16, String> {
    match number(value)? {
        mtu @ 29.. => Ok(mtu),
        mtu => Err(format!("`{mtu}`: no datagram fits; expected at least 29 bytes")),
    }
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("`{value}`: expected a whole number"))
}

impl LinkConfig {
    /// The configuration with the terms of `tc netem`. Empty for a perfect link.
    #[must_use]
    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        if self.delay != Delay::default() {
            words.push(format!("delay {}", self.delay));
        }
        for (name, chance) in [
            ("loss", self.loss),
            ("duplicate", self.duplicate),
            ("corrupt", self.corrupt),
        ] {
            if chance.probability.0 > 0 {
                words.push(format!("{name} {chance}"));
            }
        }
        if let Some(rate) = self.rate {
            words.push(format!(
                "rate {rate} limit {}",
                self.limit.unwrap_or(DEFAULT_LIMIT)
            ));
        }
        if let Some(mtu) = self.mtu {
            words.push(format!("mtu {mtu}"));
        }
        for (name, picks) in [
            ("drop", &self.drop),
            ("late", &self.late),
            ("double", &self.double),
            ("damage", &self.damage),
        ] {
            words.extend(picks.iter().map(|pick| format!("{name} {pick}")));
        }
        words.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_described_with_the_terms_of_netem() {
        let text = "delay 20ms 5ms, loss 2% rate 50mbit limit 9 mtu 1400";
        let link: LinkConfig = text.parse().expect("a link");
        assert_eq!(
            link.describe(),
            "delay 20ms 5ms, loss 2%, rate 50mbit limit 9, mtu 1400"
        );
        assert_eq!("".parse::<LinkConfig>().expect("a link"), LinkConfig::default());
    }

    #[test]
    fn a_mistake_in_a_link_is_reported_with_a_suggestion() {
        let error = |text: &str| text.parse::<LinkConfig>().expect_err("a mistake");
        assert_eq!(
            error("dealy 20ms"),
            "`dealy` is not a property of a link; did you mean `delay`?"
        );
        assert_eq!(
            error("loss 2"),
            "loss: `2`: a probability is between 0 and 1, or 0% and 100%; did you mean `2%`?"
        );
        assert_eq!(
            error("loss 2% loss 3%"),
            "`loss` occurs twice; remove one of them"
        );
        assert_eq!(error("mtu big"), "mtu: `big`: expected a whole number");
        assert_eq!(
            error("mtu 28"),
            "mtu: `28`: no datagram fits; expected at least 29 bytes"
        );
        assert!(error("limit 5").starts_with("`limit` is the length"));
        assert!(error("delay").starts_with("delay: expected"));
    }
}
