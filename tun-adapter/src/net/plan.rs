//! Where packets shall go while a tunnel is up: which routes stand in the main table, and which in the tunnel's own.
//!
//! A route that holds the server's address would lead the tunnel's own datagrams into the tunnel, and one that holds an
//! excluded network would swallow that. Such routes stand in a table of their own, which datagrams with the tunnel's mark
//! pass by and in which excluded networks are thrown back to the main table. All others stand in the main table, where the
//! longest prefix wins.

use std::net::{IpAddr, Ipv6Addr};

use sandhog_proto::{IpPrefix, NetworkSettings};

/// What the client's configuration says of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Networks to be reached as before the tunnel.
    pub excluded: Vec<IpPrefix>,
    /// Whether IPv6 outside the tunnel ends while all of IPv4 goes through it.
    pub block_ipv6: bool,
    /// Whether the tunnel's own datagrams bear a mark by which they can be told apart.
    pub has_mark: bool,
}

/// What a route of the tunnel's own table does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// Into the tunnel.
    Tunnel,
    /// On to the next rule: as before the tunnel.
    Past,
    /// Nowhere.
    Nowhere,
}

/// The routes of one family in the tunnel's own table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// Each network once.
    pub routes: Vec<(IpPrefix, Lead)>,
    /// Routes of the main table that are as short as this or shorter come after this table, all others before it.
    pub suppress: u8,
}

/// Where packets shall go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Networks that the main table leads into the tunnel.
    pub main: Vec<IpPrefix>,
    /// The tunnel's own table, for IPv4 and IPv6. Empty: no table and no rules are needed.
    pub tables: [Table; 2],
}

impl Plan {
    /// Finds out where the routes of `settings` belong for a server at `server`.
    ///
    /// # Errors
    ///
    /// The route that would lead the tunnel into itself, where nothing can be done about it.
    pub fn new(settings: &NetworkSettings, server: IpAddr, wishes: &Wishes) -> Result<Self, IpPrefix> {
        // The network of an address of the device's own is always in the main table.
        if let Some(network) = settings.addresses.iter().find(|prefix| prefix.contains(server)) {
            return Err(*network);
        }
        let excluded: Vec<_> = settings.excluded_routes.iter().chain(&wishes.excluded).collect();
        let mut plan = Self::default();
        for route in &settings.included_routes {
            if excluded.contains(&route) || is_network_of_device(*route, settings) {
                continue;
            }
            let holds_server = route.contains(server);
            if holds_server && !wishes.has_mark {
                return Err(*route);
            }
            let swallows = excluded.iter().any(|network| holds(*route, **network));
            if wishes.has_mark && (route.length == 0 || holds_server || swallows) {
                plan.table(*route).routes.push((*route, Lead::Tunnel));
            } else {
                plan.main.push(*route);
            }
        }
        if wishes.has_mark && wishes.block_ipv6 && leaves_ipv6_outside(settings) {
            let all = IpPrefix {
                address: Ipv6Addr::UNSPECIFIED.into(),
                length: 0,
            };
            plan.table(all).routes.push((all, Lead::Nowhere));
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
                // Said twice, it is said once.
                if !table.routes.contains(&(**network, Lead::Past)) {
                    table.routes.push((**network, Lead::Past));
                }
            }
        }
    }

    /// Whether a table and rules are needed.
    #[must_use]
    pub fn has_table(&self) -> bool {
        self.tables.iter().any(|table| !table.routes.is_empty())
    }
}

/// Whether all packets of one family go into the tunnel.
#[must_use]
pub fn is_full(settings: &NetworkSettings) -> bool {
    [true, false].into_iter().any(|is_v4| covers_all(settings, is_v4))
}

/// Whether all of IPv4 goes into the tunnel, and IPv6 does not.
#[must_use]
pub fn leaves_ipv6_outside(settings: &NetworkSettings) -> bool {
    covers_all(settings, true) && !covers_all(settings, false)
}

/// Whether the routes hold every address of a family: one of length 0, or the two halves that some write in its place.
fn covers_all(settings: &NetworkSettings, is_v4: bool) -> bool {
    let lengths = settings
        .included_routes
        .iter()
        .filter(|route| route.address.is_ipv4() == is_v4)
        .map(|route| route.length);
    // Two different routes of length 1 are both halves.
    let mut halves: Vec<_> = settings
        .included_routes
        .iter()
        .filter(|route| route.address.is_ipv4() == is_v4 && route.length == 1)
        .collect();
    halves.dedup();
    lengths.into_iter().any(|length| length == 0) || halves.len() >= 2
}

/// Whether `network` lies in `route`, and is not the same.
fn holds(route: IpPrefix, network: IpPrefix) -> bool {
    route.length < network.length && route.contains(network.address)
}

/// Whether `route` is the network of one of the device's addresses, to which the kernel makes a route by itself.
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

    fn wishes(excluded: &[&str]) -> Wishes {
        Wishes {
            excluded: prefixes(excluded),
            block_ipv6: true,
            has_mark: true,
        }
    }

    fn plan(included: &[&str], excluded: &[&str]) -> Plan {
        let server = SERVER.parse().expect("an address");
        Plan::new(&settings(included), server, &wishes(excluded)).expect("a plan")
    }

    fn table(routes: &[(&str, Lead)], suppress: u8) -> Table {
        let routes = routes
            .iter()
            .map(|(route, lead)| (prefix(route), *lead))
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
    fn a_full_tunnel_has_its_default_routes_in_a_table_and_the_rest_in_the_main_one() {
        let plan = plan(&["0.0.0.0/0", "::/0", "192.0.2.0/24"], &[]);
        assert_eq!(plan.main, prefixes(&["192.0.2.0/24"]));
        assert_eq!(plan.tables[0], table(&[("0.0.0.0/0", Lead::Tunnel)], 0));
        assert_eq!(plan.tables[1], table(&[("::/0", Lead::Tunnel)], 0));
    }

    #[test]
    fn a_route_that_holds_the_server_goes_into_the_table() {
        let plan = plan(&["198.18.0.0/15"], &[]);
        assert_eq!(plan.main, []);
        assert_eq!(plan.tables[0], table(&[("198.18.0.0/15", Lead::Tunnel)], 15));
        assert_eq!(plan.tables[1], Table::default());
    }

    #[test]
    fn what_is_excluded_is_thrown_back_from_the_route_that_holds_it() {
        let plan = plan(&["10.0.0.0/8", "192.0.2.0/24"], &["10.1.0.0/16", "2001:db8::/32"]);
        assert_eq!(plan.main, prefixes(&["192.0.2.0/24"]));
        let routes = [("10.0.0.0/8", Lead::Tunnel), ("10.1.0.0/16", Lead::Past)];
        assert_eq!(plan.tables[0], table(&routes, 8));
        assert!(
            plan.tables[1].routes.is_empty(),
            "nothing of IPv6 is in the tunnel"
        );
    }

    #[test]
    fn what_is_included_and_excluded_is_excluded() {
        let plan = plan(&["192.0.2.0/24"], &["192.0.2.0/24"]);
        assert_eq!(plan, Plan::default());
    }

    #[test]
    fn ipv6_goes_nowhere_where_all_of_ipv4_goes_into_the_tunnel_and_ipv6_does_not() {
        for included in [
            &["0.0.0.0/0"][..],
            &["0.0.0.0/1", "128.0.0.0/1"],
            &["0.0.0.0/0", "2001:db8::/32"],
        ] {
            let plan = plan(included, &["2001:db8:5::/48"]);
            let routes = &plan.tables[1].routes;
            assert!(
                routes.contains(&(prefix("::/0"), Lead::Nowhere)),
                "{included:?}: {plan:?}"
            );
            assert!(
                routes.contains(&(prefix("2001:db8:5::/48"), Lead::Past)),
                "{included:?}: {plan:?}"
            );
        }
        let mut leave = wishes(&[]);
        leave.block_ipv6 = false;
        let server = SERVER.parse().expect("an address");
        let plan = Plan::new(&settings(&["0.0.0.0/0"]), server, &leave).expect("a plan");
        assert!(plan.tables[1].routes.is_empty());
    }

    #[test]
    fn without_a_mark_a_route_that_holds_the_server_is_refused_and_so_is_the_devices_own_network_with_one() {
        let server = SERVER.parse().expect("an address");
        let mut without = wishes(&[]);
        without.has_mark = false;
        for included in ["0.0.0.0/0", "198.18.0.0/15", "198.18.0.1/32"] {
            let refused = Plan::new(&settings(&[included]), server, &without);
            assert_eq!(refused, Err(prefix(included)));
        }
        let mut own = settings(&[]);
        own.addresses = prefixes(&["198.18.0.9/24"]);
        assert_eq!(
            Plan::new(&own, server, &wishes(&[])),
            Err(prefix("198.18.0.9/24"))
        );
    }
}
