//! Link of a relay, given in netem terms or as a scenario.

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
/// The scenario has no link, or the link selects datagrams by their kind, which a relay does not know.
pub(crate) fn of_scenario(scenario: &Scenario) -> Result<[LinkConfig; 2], String> {
    let link = scenario
        .links
        .first()
        .ok_or_else(|| format!("the scenario `{}` has no [[link]]", scenario.name))?;
    let [mut to_server, mut to_client] = link.configs();
    let is_server = |name: &str| scenario.servers.iter().any(|server| server.name == name);
    if is_server(&link.between[0]) {
        std::mem::swap(&mut to_server, &mut to_client);
    }
    let by_kind = [&to_server, &to_client].into_iter().find_map(|direction| {
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
            "the link of `{}` selects datagrams by their kind (`{kind}`), but a relay sees only encrypted datagrams; \
             use `nth`, `from` and `until` without `kind`",
            scenario.name
        )),
        None => Ok([to_server, to_client]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_of_a_scenario_is_rejected_if_it_selects_datagrams_by_kind() {
        let scenario = Scenario::builtin("standard").expect("a scenario");
        let [to_server, _] = of_scenario(&scenario).expect("a link");
        assert_ne!(to_server, LinkConfig::default());
        let scenario = Scenario::builtin("drop-each-datagram").expect("a scenario");
        let error = of_scenario(&scenario).expect_err("a selection by kind");
        assert!(error.contains("by their kind"), "{error}");
    }
}
