//! What a person may write as the link of a relay: netem's words, or a scenario.

use std::str::FromStr;

use crate::link::LinkConfig;
use crate::scenario::{Scenario, suggest};

const WORDS: [&str; 7] = ["delay", "loss", "duplicate", "corrupt", "rate", "limit", "mtu"];

/// Reads `delay 20ms 5ms loss 2% rate 50mbit`, the same for both directions. Commas may stand between.
///
/// # Errors
///
/// The first thing that is wrong, in one sentence.
pub(crate) fn both_ways(text: &str) -> Result<[LinkConfig; 2], String> {
    let text = text.replace(',', " ");
    let mut words = text.split_whitespace().peekable();
    let mut link = LinkConfig::default();
    let mut seen = Vec::new();
    while let Some(word) = words.next() {
        if !WORDS.contains(&word) {
            return Err(format!(
                "`{word}` is no property of a link{}",
                suggest(word, &WORDS)
            ));
        }
        if seen.contains(&word) {
            return Err(format!("`{word}` stands here twice; take one of the two away"));
        }
        seen.push(word);
        let mut value = Vec::new();
        while let Some(part) = words.next_if(|next| !WORDS.contains(next)) {
            value.push(part);
        }
        set(&mut link, word, &value.join(" ")).map_err(|error| format!("{word}: {error}"))?;
    }
    if link.limit.is_some() && link.rate.is_none() {
        return Err("`limit` counts those that wait for `rate`; add a `rate`".into());
    }
    Ok([link.clone(), link])
}

fn set(link: &mut LinkConfig, word: &str, value: &str) -> Result<(), String> {
    match word {
        "delay" => link.delay = value.parse()?,
        "loss" => link.loss = value.parse()?,
        "duplicate" => link.duplicate = value.parse()?,
        "corrupt" => link.corrupt = value.parse()?,
        "rate" => link.rate = Some(value.parse()?),
        "limit" => link.limit = Some(number(value)?),
        _ => link.mtu = Some(number(value)?),
    }
    Ok(())
}

fn number<T: FromStr>(value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("`{value}`: expected a whole number"))
}

/// The first link of a scenario: from its client to its server, and back.
///
/// # Errors
///
/// When there is none, or when it picks datagrams by what they mean, which a relay cannot know.
pub(crate) fn of_scenario(scenario: &Scenario) -> Result<[LinkConfig; 2], String> {
    let link = scenario
        .links
        .first()
        .ok_or_else(|| format!("the scenario `{}` has no [[link]]", scenario.name))?;
    let [mut there, mut back] = LinkConfig::of(link);
    let is_server = |name: &str| scenario.servers.iter().any(|server| server.name == name);
    if is_server(&link.between[0]) {
        std::mem::swap(&mut there, &mut back);
    }
    let by_kind = [&there, &back].into_iter().find_map(|direction| {
        let LinkConfig {
            drop,
            late,
            double,
            damage,
            ..
        } = direction;
        let mut picks = [drop, late, double, damage].into_iter().flatten();
        picks.find_map(|pick| pick.kind.clone())
    });
    match by_kind {
        Some(kind) => Err(format!(
            "the link of `{}` picks datagrams by their kind (`{kind}`), which only the laboratory knows; a relay sees \
             sealed ones and can pick by `nth`, `from` and `until`",
            scenario.name
        )),
        None => Ok([there, back]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_written_in_the_words_of_netem() {
        let [there, back] =
            both_ways("delay 20ms 5ms, loss 2% rate 50mbit limit 9 mtu 1400").expect("a link");
        assert_eq!(there, back);
        assert_eq!(
            there.describe(),
            "delay 20ms 5ms, loss 2%, rate 50mbit limit 9, mtu 1400"
        );
        assert_eq!(both_ways("").expect("a link").map(|way| way.describe()), ["", ""]);
    }

    #[test]
    fn a_mistake_is_told_with_what_was_meant() {
        let told = |text| both_ways(text).expect_err("a mistake");
        assert_eq!(
            told("dealy 20ms"),
            "`dealy` is no property of a link; did you mean `delay`?"
        );
        assert_eq!(
            told("loss 2"),
            "loss: `2`: a probability lies between 0 and 1, or 0% and 100%; did you mean `2%`?"
        );
        assert_eq!(
            told("loss 2% loss 3%"),
            "`loss` stands here twice; take one of the two away"
        );
        assert_eq!(told("mtu big"), "mtu: `big`: expected a whole number");
        assert!(told("limit 5").starts_with("`limit` counts"));
        assert!(told("delay").starts_with("delay: expected"));
    }

    #[test]
    fn a_scenario_lends_its_link_unless_it_reads_the_datagrams() {
        let scenario = Scenario::builtin("standard").expect("a scenario");
        let [there, _] = of_scenario(&scenario).expect("a link");
        assert_ne!(there, LinkConfig::default());
        let scenario = Scenario::builtin("drop-each-datagram").expect("a scenario");
        let told = of_scenario(&scenario).expect_err("picks by kind");
        assert!(told.contains("by their kind"), "{told}");
    }
}
