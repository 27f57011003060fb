//! Routes of this machine, read from /proc/net.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sandhog_proto::IpPrefix;

/// A route of the main table.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) network: IpPrefix,
    pub(crate) device: String,
}

/// All routes to other networks. A table that cannot be read is treated as empty.
pub(crate) fn all() -> Vec<Route> {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let (v4, v6) = (read("/proc/net/route"), read("/proc/net/ipv6_route"));
    let v4 = v4.lines().filter_map(parse_v4);
    v4.chain(v6.lines().filter_map(parse_v6)).collect()
}

/// Parses a line of `/proc/net/route`: device, then destination and mask as numbers in native byte order.
fn parse_v4(line: &str) -> Option<Route> {
    let mut words = line.split_whitespace();
    let device = words.next()?.to_owned();
    let address = |word: &str| u32::from_str_radix(word, 16).ok().map(u32::from_be);
    let network = address(words.next()?)?;
    let mask = address(words.nth(5)?)?;
    Some(Route {
        network: prefix(Ipv4Addr::from_bits(network), mask.leading_ones()),
        device,
    })
}

/// Parses a line of `/proc/net/ipv6_route`: destination, prefix length, six fields, flags, device. Routes to
/// single addresses, multicast, link-local and loopback routes are skipped.
fn parse_v6(line: &str) -> Option<Route> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [network, length, _, _, _, _, _, _, _, device] = words.as_slice() else {
        return None;
    };
    let network = Ipv6Addr::from_bits(u128::from_str_radix(network, 16).ok()?);
    let length = u32::from_str_radix(length, 16).ok()?;
    let is_internal =
        *device == "lo" || length == 128 || network.is_multicast() || network.is_unicast_link_local();
    (!is_internal).then(|| Route {
        network: prefix(network, length),
        device: (*device).to_owned(),
    })
}

/// Returns true if the kernel delivers packets for this IPv6 address locally. Also returns true if the table
/// cannot be read.
pub(crate) fn is_delivered(address: Ipv6Addr) -> bool {
    fs::read_to_string("/proc/net/ipv6_route")
        .map_or(true, |table| table.lines().any(|line| delivers(line, address)))
}

/// Returns true if a line of `/proc/net/ipv6_route` is the local route of the address (flag `RTF_LOCAL` of
/// `linux/ipv6_route.h`).
fn delivers(line: &str, address: Ipv6Addr) -> bool {
    const LOCAL: u32 = 0x8000_0000;
    let mut words = line.split_whitespace();
    let number = |word: Option<&str>| u128::from_str_radix(word?, 16).ok();
    let (network, length) = (number(words.next()), number(words.next()));
    let flags = words.nth(6).and_then(|word| u32::from_str_radix(word, 16).ok());
    network == Some(address.to_bits()) && length == Some(128) && flags.is_some_and(|flags| flags & LOCAL != 0)
}

fn prefix(address: impl Into<IpAddr>, length: u32) -> IpPrefix {
    IpPrefix {
        address: address.into(),
        // At most 128.
        length: u8::try_from(length).unwrap_or(u8::MAX),
    }
}

/// Returns true if one network contains the other. A default route only overlaps itself.
pub(crate) fn overlap(one: IpPrefix, other: IpPrefix) -> bool {
    if one.length == 0 || other.length == 0 {
        return one == other;
    }
    let (wide, narrow) = if one.length <= other.length {
        (one, other)
    } else {
        (other, one)
    };
    wide.contains(narrow.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> IpPrefix {
        text.parse().expect("a prefix")
    }

    #[test]
    fn lines_of_both_tables_are_parsed() {
        let v4 = "eth0\t0002000A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0";
        let v4 = v4.replace("0002000A", &format!("{:08X}", 0x0A00_0200_u32.to_be()));
        let v4 = v4.replace("00FFFFFF", &format!("{:08X}", 0xFFFF_FF00_u32.to_be()));
        let route = parse_v4(&v4).expect("a route");
        assert_eq!(
            (route.network, route.device.as_str()),
            (network("10.0.2.0/24"), "eth0")
        );
        let v6 = "fd000009000000000000000000000000 40 00000000000000000000000000000000 00 \
                  00000000000000000000000000000000 00000100 00000001 00000000 00000001 sandhog0";
        let route = parse_v6(v6).expect("a route");
        assert_eq!(
            (route.network, route.device.as_str()),
            (network("fd00:9::/64"), "sandhog0")
        );
        let nonsense = ["", "Iface\tDestination\tGateway", "a b c"];
        assert!(
            nonsense
                .iter()
                .all(|line| parse_v4(line).is_none() && parse_v6(line).is_none())
        );
    }

    #[test]
    fn an_address_is_delivered_if_it_has_a_local_route() {
        let line = |length: &str, flags: &str| {
            format!(
                "fd000009000000000000000000000002 {length} 00000000000000000000000000000000 00 \
                 00000000000000000000000000000000 00000000 00000002 00000000 {flags} sandhog0"
            )
        };
        let own = "fd00:9::2".parse().expect("an address");
        assert!(delivers(&line("80", "80200001"), own));
        assert!(!delivers(&line("80", "00000001"), own) && !delivers(&line("40", "80200001"), own));
        assert!(!delivers(
            &line("80", "80200001"),
            "fd00:9::3".parse().expect("an address")
        ));
        assert!(!delivers("", own));
    }

    #[test]
    fn networks_overlap_if_one_contains_the_other() {
        let overlaps = |one, other| overlap(network(one), network(other));
        assert!(overlaps("10.9.0.0/24", "10.9.0.0/16") && overlaps("10.0.0.0/8", "10.9.0.1/24"));
        assert!(!overlaps("10.9.0.0/24", "10.9.1.0/24") && !overlaps("10.9.0.0/24", "0.0.0.0/0"));
        assert!(!overlaps("fd00::/8", "10.0.0.0/8") && overlaps("0.0.0.0/0", "0.0.0.0/0"));
    }
}
