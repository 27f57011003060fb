//! Validation of the links of a scenario.

use std::collections::BTreeSet;

use super::{Checked, PathPart, host_names, mistake, picks, validate_pair};
use crate::scenario::{Direction, Link, Scenario};

/// The shortest outer packet with one byte of payload, in bytes: headers of IPv4 (RFC 791) and UDP (RFC 768).
const MIN_MTU_V4: u16 = 20 + 8 + 1;
/// The same for IPv6 (RFC 8200).
const MIN_MTU_V6: u16 = 40 + 8 + 1;

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    let mut pairs = BTreeSet::new();
    for (index, link) in scenario.links.iter().enumerate() {
        validate_link(scenario, index, link, &mut pairs)?;
    }
    Ok(())
}

fn validate_link<'a>(
    scenario: &'a Scenario,
    index: usize,
    link: &'a Link,
    pairs: &mut BTreeSet<[&'a str; 2]>,
) -> Checked<'a> {
    let table = [PathPart::Key("link"), PathPart::Index(index)];
    let between = [table[0], table[1], PathPart::Key("between")];
    let adversaries = scenario.adversaries.iter().map(|host| host.name.as_str());
    let hosts: Vec<&str> = host_names(scenario).into_iter().chain(adversaries).collect();
    validate_pair(&hosts, &link.between, &between)?;
    let mut pair = [link.between[0].as_str(), link.between[1].as_str()];
    pair.sort_unstable();
    if !pairs.insert(pair) {
        return Err(mistake(&between, "these two hosts already have a link"));
    }
    let directions = [("forward", &link.forward), ("backward", &link.backward)];
    let has_rate = |direction: Option<&Direction>| direction.is_some_and(|keys| keys.rate.is_some());
    let is_used = link.rate.is_some() || directions.iter().any(|(_, keys)| has_rate(keys.as_ref()));
    let min_mtu = smallest_mtu(scenario, link);
    validate_queue(&table, link.limit, is_used)?;
    validate_mtu(&table, link.mtu, min_mtu)?;
    for (key, direction) in directions {
        let Some(direction) = direction else { continue };
        let table = [table[0], table[1], PathPart::Key(key)];
        let is_used = link.rate.is_some() || direction.rate.is_some();
        validate_queue(&table, direction.limit, is_used)?;
        validate_mtu(&table, direction.mtu, min_mtu)?;
        picks::validate(scenario, index, key, direction)?;
    }
    Ok(())
}

/// Checks `limit`. `is_used` is true if there is a `rate`.
fn validate_queue<'a>(table: &[PathPart<'a>], limit: Option<u32>, is_used: bool) -> Checked<'a> {
    let at = [table, &[PathPart::Key("limit")]].concat();
    match limit {
        Some(0) => Err(mistake(
            &at,
            "a queue of 0 datagrams drops everything; `limit` must be at least 1",
        )),
        Some(_) if !is_used => Err(mistake(
            &at,
            "`limit` is the length of the queue for `rate`; add a `rate`",
        )),
        _ => Ok(()),
    }
}

fn validate_mtu<'a>(table: &[PathPart<'a>], mtu: Option<u16>, min: u16) -> Checked<'a> {
    match mtu {
        Some(mtu) if mtu < min => Err(mistake(
            &[table, &[PathPart::Key("mtu")]].concat(),
            format!(
                "no datagram fits into packets of {mtu} bytes; `mtu` must be at least {min}, for the headers of IP and UDP \
                 and one byte"
            ),
        )),
        _ => Ok(()),
    }
}

/// The smallest useful MTU of a link, for the IP versions of the addresses of its hosts.
fn smallest_mtu(scenario: &Scenario, link: &Link) -> u16 {
    let adversaries = scenario.adversaries.iter();
    let mut addresses = link.between.iter().filter_map(|name| {
        let adversary = adversaries.clone().find(|host| host.name == *name);
        scenario
            .address_of(name)
            .or_else(|| adversary.map(|host| host.address))
    });
    match addresses.all(|address| address.is_ipv6()) {
        true => MIN_MTU_V6,
        false => MIN_MTU_V4,
    }
}
