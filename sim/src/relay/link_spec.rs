//! Link of a relay, given as netem terms or as a scenario.

use sandhog_lab::link::LinkConfig;

use crate::scenario::Scenario;

/// Reads `delay 20ms 5ms loss 2% rate 50mbit` as the configuration of both directions.
///
/// # Errors
///
/// The first mistake, in one sentence.
pub(crate) fn both_ways(text: &str) -> Result<[LinkConfig; 2], String> {
    let link: LinkConfig = text.parse()?;
    Ok([link.clone(), link])
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
    let [mut there, mut back] = link.configs();
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
    fn a_scenario_lends_its_link_unless_it_reads_the_datagrams() {
        let scenario = Scenario::builtin("standard").expect("a scenario");
        let [there, _] = of_scenario(&scenario).expect("a link");
        assert_ne!(there, LinkConfig::default());
        let scenario = Scenario::builtin("drop-each-datagram").expect("a scenario");
        let told = of_scenario(&scenario).expect_err("picks by kind");
        assert!(told.contains("by their kind"), "{told}");
    }
}
