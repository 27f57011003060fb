//! Routing plan of a tunnel: the routes in the main table, and the routes in the tunnel's own table.
//!
//! A route that contains the server's address would send the tunnel's own datagrams into the tunnel. A route
//! that contains an excluded network would also capture that network. Such routes go into the tunnel's own
//! table. Datagrams with the tunnel's mark skip this table, and `throw` routes in it return excluded networks
//! to the main table. All other routes go into the main table, where the longest prefix wins.

use std::net::{IpAddr, Ipv6Addr};

use sandhog_proto::{IpPrefix, NetworkSettings};

/// The client's settings for routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePolicy {
    /// Networks outside the tunnel.
    pub excluded: Vec<IpPrefix>,
    /// True if IPv6 outside the tunnel is blocked while the tunnel carries all IPv4 traffic.
    pub block_ipv6: bool,
    /// True if the tunnel's own datagrams have a firewall mark (fwmark).
    pub has_mark: bool,
}

/// The action of a route in the tunnel's own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAction {
    /// Send into the tunnel.
    Tunnel,
    /// Continue with the next rule, which is outside the tunnel (route type `throw`).
    Throw,
    /// Reject (route type `unreachable`).
    Unreachable,
}

/// The routes of one address family in the tunnel's own table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// The routes. Each network occurs once.
    pub routes: Vec<(IpPrefix, RouteAction)>,
    /// `suppress_prefixlength`: routes of the main table with a longer prefix take precedence over this
    /// table.
    pub suppress: u8,
}

/// The routes of a tunnel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Networks that the main table routes into the tunnel.
    pub main: Vec<IpPrefix>,
    /// The tunnel's own table, for IPv4 and IPv6. If a table is empty, it and its rules are not needed.
    pub tables: [Table; 2],
}

impl Plan {
    /// Plans the routes of `settings` for a server at the address `server`.
    ///
    /// # Errors
    ///
    /// The route that would send the tunnel's own datagrams into the tunnel, if that cannot be avoided.
    pub fn new(settings: &NetworkSettings, server: IpAddr, policy: &RoutePolicy) -> Result<Self, IpPrefix> {
        // The kernel puts the network of each device address into the main table.
        if let Some(network) = settings.addresses.iter().find(|prefix| prefix.contains(server)) {
            return Err(*network);
        }
        let excluded: Vec<_> = settings.excluded_routes.iter().chain(&policy.excluded).collect();
        let mut plan = Self::default();
        for route in &settings.included_routes {
            if excluded.contains(&route) || is_network_of_device(*route, settings) {
                continue;
            }
            let contains_server = route.contains(server);
            if contains_server && !policy.has_mark {
                return Err(*route);
            }
            let contains_excluded = excluded.iter().any(|network| contains(*route, **network));
            if policy.has_mark && (route.length == 0 || contains_server || contains_excluded) {
                plan.table(*route).routes.push((*route, RouteAction::Tunnel));
            } else {
                plan.main.push(*route);
            }
        }
        if policy.has_mark && policy.block_ipv6 && leaves_ipv6_outside(settings) {
            let all = IpPrefix {
                address: Ipv6Addr::UNSPECIFIED.into(),
                length: 0,
            };
            plan.table(all).routes.push((all, RouteAction::Unreachable));
        }
        plan.exclude(&excluded);
        Ok(plan)
    }

    fn table(&mut self, route: IpPrefix) -> &mut Table {
        let [v4, v6] = &mut self.tables;
        if route.address.is_ipv4() { v4 } else { v6 }
    }

    fn exclude(&mut self, excluded: &[&IpPrefix]) {
        for table in &mut self.tables {
            let Some(shortest) = table.routes.iter().map(|(route, _)| route.length).min() else {
                continue;
            };
            table.suppress = shortest;
            let is_v4 = table.routes.iter().any(|(route, _)| route.address.is_ipv4());
            for network in excluded
                .iter()
                .filter(|network| network.address.is_ipv4() == is_v4)
            {
                // A network that is excluded twice needs one route.
                if !table.routes.contains(&(**network, RouteAction::Throw)) {
                    table.routes.push((**network, RouteAction::Throw));
                }
            }
        }
    }

    /// Returns true if a table and rules are needed.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.tables.iter().any(|table| !table.routes.is_empty())
    }
}

/// Returns true if the tunnel carries all IPv4 or all IPv6 traffic.
#[must_use]
pub fn is_full(settings: &NetworkSettings) -> bool {
    [true, false].into_iter().any(|is_v4| covers_all(settings, is_v4))
}

/// Returns true if the tunnel carries all IPv4 traffic but not all IPv6 traffic.
#[must_use]
pub fn leaves_ipv6_outside(settings: &NetworkSettings) -> bool {
    covers_all(settings, true) && !covers_all(settings, false)
}

/// Returns true if the routes contain all addresses of a family: by one default route, or by two routes of
/// length 1.
fn covers_all(settings: &NetworkSettings, is_v4: bool) -> bool {
    let lengths = settings
        .included_routes
        .iter()
        .filter(|route| route.address.is_ipv4() == is_v4)
        .map(|route| route.length);
    // Two different routes of length 1 cover the whole family.
    let mut halves: Vec<_> = settings
        .included_routes
        .iter()
        .filter(|route| route.address.is_ipv4() == is_v4 && route.length == 1)
        .collect();
    halves.dedup();
    lengths.into_iter().any(|length| length == 0) || halves.len() >= 2
}

/// Returns true if `network` is a proper subnet of `route`.
fn contains(route: IpPrefix, network: IpPrefix) -> bool {
    route.length < network.length && route.contains(network.address)
}

/// Returns true if `route` is the network of a device address. The kernel adds that route itself.
fn is_network_of_device(route: IpPrefix, settings: &NetworkSettings) -> bool {
    let is_its_network =
        |address: &IpPrefix| route.length == address.length && route.contains(address.address);
    settings.addresses.iter().any(is_its_network)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SERVER: &str = "198.18.0.1";

    fn prefix(text: &str) -> IpPrefix {
        text.parse().expect("a prefix")
    }

    fn prefixes(list: &[&str]) -> Vec<IpPrefix> {
        list.iter().map(|text| prefix(text)).collect()
    }

    fn settings(included: &[&str]) -> NetworkSettings {
        NetworkSettings {
            tunnel_remote_address: SERVER.parse().expect("an address"),
            addresses: prefixes(&["10.9.0.2/24", "fd00:9::2/64"]),
            included_routes: prefixes(included),
            excluded_routes: Vec::new(),
            dns_servers: Vec::new(),
            search_domains: Vec::new(),
            mtu: 1420,
        }
    }

    fn policy(excluded: &[&str]) -> RoutePolicy {
        RoutePolicy {
            excluded: prefixes(excluded),
            block_ipv6: true,
            has_mark: true,
        }
    }

    fn plan(included: &[&str], excluded: &[&str]) -> Plan {
        let server = SERVER.parse().expect("an address");
        Plan::new(&settings(included), server, &policy(excluded)).expect("a plan")
    }

    fn table(routes: &[(&str, RouteAction)], suppress: u8) -> Table {
        let routes = routes
            .iter()
            .map(|(route, action)| (prefix(route), *action))
            .collect();
        Table { routes, suppress }
    }

    #[test]
    fn a_split_tunnel_needs_no_table_and_no_rule() {
        let plan = plan(
            &["192.0.2.0/24", "2001:db8:2::/48", "10.9.0.0/24"],
            &["203.0.113.0/24"],
        );
        assert_eq!(plan.main, prefixes(&["192.0.2.0/24", "2001:db8:2::/48"]));
        assert!(!plan.has_table());
    }

    #[test]
    fn a_full_tunnel_puts_default_routes_into_its_own_table() {
        let plan = plan(&["0.0.0.0/0", "::/0", "192.0.2.0/24"], &[]);
        assert_eq!(plan.main, prefixes(&["192.0.2.0/24"]));
        assert_eq!(plan.tables[0], table(&[("0.0.0.0/0", RouteAction::Tunnel)], 0));
        assert_eq!(plan.tables[1], table(&[("::/0", RouteAction::Tunnel)], 0));
    }

    #[test]
    fn a_route_that_contains_the_server_goes_into_the_tunnels_table() {
        let plan = plan(&["198.18.0.0/15"], &[]);
        assert_eq!(plan.main, []);
        assert_eq!(
            plan.tables[0],
            table(&[("198.18.0.0/15", RouteAction::Tunnel)], 15)
        );
        assert_eq!(plan.tables[1], Table::default());
    }

    #[test]
    fn excluded_networks_get_throw_routes_in_the_tunnels_table() {
        let plan = plan(&["10.0.0.0/8", "192.0.2.0/24"], &["10.1.0.0/16", "2001:db8::/32"]);
        assert_eq!(plan.main, prefixes(&["192.0.2.0/24"]));
        let routes = [
            ("10.0.0.0/8", RouteAction::Tunnel),
            ("10.1.0.0/16", RouteAction::Throw),
        ];
        assert_eq!(plan.tables[0], table(&routes, 8));
        assert!(plan.tables[1].routes.is_empty(), "the tunnel has no IPv6 routes");
    }

    #[test]
    fn a_network_both_included_and_excluded_is_excluded() {
        let plan = plan(&["192.0.2.0/24"], &["192.0.2.0/24"]);
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn ipv6_is_blocked_if_the_tunnel_carries_all_ipv4_but_not_all_ipv6() {
        for included in [
            &["0.0.0.0/0"][..],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["0.0.0.0/0", "2001:db8::/32"],
        ] {
            let plan = plan(included, &["2001:db8:5::/48"]);
            let routes = &plan.tables[1].routes;
            assert!(
                routes.contains(&(prefix("::/0"), RouteAction::Unreachable)),
                "{included:?}: {plan:?}"
            );
            assert!(
                routes.contains(&(prefix("2001:db8:5::/48"), RouteAction::Throw)),
                "{included:?}: {plan:?}"
            );
        }
        let mut leave = policy(&[]);
        leave.block_ipv6 = false;
        let server = SERVER.parse().expect("an address");
        let plan = Plan::new(&settings(&["0.0.0.0/0"]), server, &leave).expect("a plan");
        assert!(plan.tables[1].routes.is_empty());
    }

    #[test]
    fn routes_to_the_server_need_a_mark_and_its_network_cannot_be_the_devices() {
        let server = SERVER.parse().expect("an address");
        let mut without = policy(&[]);
        without.has_mark = false;
        for included in ["0.0.0.0/0", "198.18.0.0/15", "198.18.0.1/32"] {
            let refused = Plan::new(&settings(&[included]), server, &without);
            assert_eq!(refused, Err(prefix(included)));
        }
        let mut own = settings(&[]);
        own.addresses = prefixes(&["198.18.0.9/24"]);
        assert_eq!(
            Plan::new(&own, server, &policy(&[])),
            Err(prefix("198.18.0.9/24"))
        );
    }
}
