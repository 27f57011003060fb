//! Validation of the links of a setup.

use super::{Checked, ensure, validate_time};
use crate::link::LinkConfig;
use crate::pick::Pick;
use crate::setup::Setup;

pub(super) fn validate(setup: &Setup) -> Checked {
    for (index, (from, to, config)) in setup.links.iter().enumerate() {
        let field = format!("links[{index}]");
        setup.known_or_adversary(&field, *from)?;
        setup.known_or_adversary(&field, *to)?;
        ensure(from != to, field.as_str(), "a link needs two different hosts")?;
        let mut earlier = setup.links[..index].iter();
        let repeated = earlier.any(|(a, b, _)| (a, b) == (from, to));
        let problem = format!("there is already a link from host {from} to host {to}");
        ensure(!repeated, field.as_str(), problem)?;
        let mut addresses = setup.hosts.iter().map(|host| host.address);
        let is_ipv6 = addresses
            .nth(usize::from(*to))
            .is_some_and(|address| address.is_ipv6());
        validate_config(&field, config, is_ipv6)?;
    }
    Ok(())
}

fn validate_config(field: &str, config: &LinkConfig, is_ipv6: bool) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    validate_time(&at("delay.time"), config.delay.time)?;
    validate_time(&at("delay.jitter"), config.delay.jitter)?;
    let passes = config.rate.is_none_or(|rate| rate.bits_per_second > 0);
    let problem = "no datagram passes at a rate of 0; for an outage use `Control::Partition`";
    ensure(passes, at("rate"), problem)?;
    let problem = "a queue of 0 datagrams drops everything; the limit must be at least 1";
    ensure(config.limit != Some(0), at("limit"), problem)?;
    let queue = config.limit.is_none() || config.rate.is_some();
    let problem = "the limit is the length of the queue for `rate`, and `rate` is `None`";
    ensure(queue, at("limit"), problem)?;
    // IP header 20 (RFC 791) or 40 (RFC 8200), UDP header 8 (RFC 768), and one byte.
    let smallest = if is_ipv6 { 49 } else { 29 };
    let problem = format!("no datagram with a payload is that short; the smallest useful MTU is {smallest}");
    ensure(config.mtu.is_none_or(|mtu| mtu >= smallest), at("mtu"), problem)?;
    for (list, picks) in [
        ("drop", &config.drop),
        ("late", &config.late),
        ("double", &config.double),
        ("damage", &config.damage),
    ] {
        for (number, pick) in picks.iter().enumerate() {
            validate_pick(&at(&format!("{list}[{number}]")), pick, list == "late")?;
        }
    }
    Ok(())
}

fn validate_pick(field: &str, pick: &Pick, is_late: bool) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    let problem = "the kind is empty; use `None` for any kind";
    ensure(pick.kind.as_deref() != Some(""), at("kind"), problem)?;
    ensure(pick.nth != Some(0), at("nth"), "the number counts from 1")?;
    if let (Some(from), Some(until)) = (pick.from, pick.until) {
        let problem = format!("the end must be later than the start, which is {from}");
        ensure(from < until, at("until"), problem)?;
    }
    let by = pick.by.unwrap_or_default().0;
    validate_time(&at("by"), by)?;
    let delays = !is_late || !by.is_zero();
    ensure(
        delays,
        at("by"),
        "`late` needs an extra delay that is longer than 0",
    )?;
    let problem = "only `late` has an extra delay; use `None`";
    ensure(is_late || pick.by.is_none(), at("by"), problem)
}
