//! Policy routing: a table of routes for all datagrams but those that carry the tunnel's mark, and the rules that lead there.
//!
//! Two rules stand before those of the system. The first asks the main table, but does not take what is as wide as the
//! tunnel's own routes or wider (`suppress_prefixlength`): neighbours and other networks that this machine has routes to are
//! reached as before. The second sends what is not marked to the tunnel's table.

mod kernel;
mod remove;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::route::{RouteMessage, RouteProtocol, RouteScope, RouteType};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use sandhog_proto::IpPrefix;
use tracing::debug;

use super::netlink::{cause, with_netlink};
use super::plan::{Plan, RouteAction, Table};
use crate::failure::Failure;
use kernel::{is_absent, mark_of_rule, priority_of, routes, rules, table_of_route, table_of_rule};
pub(super) use remove::{remove, sweep};

/// What marks rules and routes as ours (`rtm_protocol`); `ip rule` and `ip route` show it. The numbers of well-known programs
/// lie elsewhere.
const OURS: RouteProtocol = RouteProtocol::Other(83);
/// How many rules a family has, at a priority and those behind it.
const RULES: u32 = 2;
/// The families.
const FAMILIES: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// The first number that is tried for mark and table. wg-quick begins one below.
const FIRST_MARK: u32 = 0xca6d;
/// How many are tried.
const MARKS: u32 = 64;
/// The main table's number (`RT_TABLE_MAIN`).
const MAIN: u32 = 254;
/// Where the rule of the main table stands; ours come before it.
const MAIN_PRIORITY: u32 = 32766;

/// Where a tunnel's rules stand, and what its datagrams and its table are called by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The mark of the tunnel's own datagrams, and the number of its table.
    pub(crate) mark: u32,
    /// Where the rules stand: there and right behind it.
    pub(crate) priority: u32,
}

impl Policy {
    /// Finds a mark that nobody uses, or sees that nobody uses the one that is `wanted`; and a place for the rules.
    ///
    /// # Errors
    ///
    /// When the wanted one is in use, or when there is none left.
    pub(crate) async fn choose(wanted: Option<u32>) -> Result<Self, Failure> {
        with_netlink(async |handle| {
            let (mut used, mut priorities) = (Vec::new(), Vec::new());
            for family in FAMILIES {
                for rule in rules(handle, family.clone()).await? {
                    used.extend([Some(table_of_rule(&rule)), mark_of_rule(&rule)]);
                    priorities.push(priority_of(&rule));
                }
                let routes = routes(handle, family).await?;
                used.extend(routes.iter().map(table_of_route).map(Some));
            }
            let is_free = |mark: &u32| !used.contains(&Some(*mark));
            let mark = match wanted {
                Some(mark) if is_free(&mark) => Some(mark),
                Some(mark) => return Err(taken(mark)),
                None => (FIRST_MARK..FIRST_MARK + MARKS).find(is_free),
            };
            let priority = (1..MAIN_PRIORITY / RULES)
                .map(|place| MAIN_PRIORITY - RULES * place)
                .find(|at| (*at..*at + RULES).all(|at| !priorities.contains(&at)));
            let none = || Failure::runtime("find a place for the tunnel's routing rules", "all are taken");
            Ok(Self {
                mark: mark.ok_or_else(none)?,
                priority: priority.ok_or_else(none)?,
            })
        })
        .await
    }

    /// Has routes and rules be as `new` says, where they are as `old` says now, for the device with this number.
    ///
    /// # Errors
    ///
    /// When the kernel refuses one of them; the message says which.
    pub(crate) async fn apply(self, device: u32, old: &Plan, new: &Plan) -> Result<(), Failure> {
        with_netlink(async |handle| {
            let families = FAMILIES.into_iter().zip(old.tables.iter().zip(&new.tables));
            for (family, (old, new)) in families {
                // First the routes, then what leads to them. What was there stays until the new one is.
                for (route, lead) in &new.routes {
                    self.add_route(handle, device, *route, *lead).await?;
                }
                let (old_rules, new_rules) = (self.rules(&family, old), self.rules(&family, new));
                for rule in new_rules.iter().filter(|rule| !old_rules.contains(rule)) {
                    add_rule(handle, rule.clone(), new).await?;
                }
                for rule in old_rules.into_iter().filter(|rule| !new_rules.contains(rule)) {
                    let gone = handle.rule().del(rule).execute().await;
                    gone.unwrap_or_else(|error| debug!("cannot remove a rule: {error}"));
                }
                let kept = |route: &IpPrefix| new.routes.iter().any(|(other, _)| other == route);
                for (route, lead) in old.routes.iter().filter(|(route, _)| !kept(route)) {
                    let message = self.route(device, *route, *lead);
                    let gone = handle.route().del(message).execute().await;
                    gone.unwrap_or_else(|error| debug!("cannot remove the route {route}: {error}"));
                }
            }
            Ok(())
        })
        .await
    }

    async fn add_route(
        self,
        handle: &Handle,
        device: u32,
        route: IpPrefix,
        lead: RouteAction,
    ) -> Result<(), Failure> {
        let request = handle.route().add(self.route(device, route, lead));
        // It may be there, and may have gone with an address.
        let added = request.replace().execute().await.map_err(cause);
        added.or_else(|error| {
            if lead == RouteAction::Unreachable && is_absent(&error) {
                debug!("this kernel has no IPv6 to block");
                return Ok(());
            }
            let table = self.mark;
            Err(Failure::runtime(
                format_args!("add the route {route} to the table {table}"),
                error,
            ))
        })
    }

    fn route(self, device: u32, route: IpPrefix, lead: RouteAction) -> RouteMessage {
        let kind = match lead {
            RouteAction::Tunnel => RouteType::Unicast,
            RouteAction::Throw => RouteType::Throw,
            RouteAction::Unreachable => RouteType::Unreachable,
        };
        match route.address {
            IpAddr::V4(network) => {
                let builder = RouteMessageBuilder::<Ipv4Addr>::new()
                    .destination_prefix(network, route.length)
                    .table_id(self.mark)
                    .protocol(OURS)
                    .kind(kind);
                match lead {
                    RouteAction::Tunnel => builder.output_interface(device).scope(RouteScope::Link).build(),
                    RouteAction::Throw | RouteAction::Unreachable => builder.build(),
                }
            }
            IpAddr::V6(network) => {
                let builder = RouteMessageBuilder::<Ipv6Addr>::new()
                    .destination_prefix(network, route.length)
                    .table_id(self.mark)
                    .protocol(OURS)
                    .kind(kind);
                match lead {
                    RouteAction::Tunnel => builder.output_interface(device).build(),
                    RouteAction::Throw | RouteAction::Unreachable => builder.build(),
                }
            }
        }
    }

    /// The rules that a table of a family needs: none if it has no routes.
    fn rules(self, family: &IpVersion, table: &Table) -> Vec<RuleMessage> {
        if table.routes.is_empty() {
            return Vec::new();
        }
        let rule = |at: u32, number: u32| {
            let mut rule = RuleMessage::default();
            rule.header.family = match family {
                IpVersion::V4 => AddressFamily::Inet,
                IpVersion::V6 => AddressFamily::Inet6,
            };
            rule.header.action = RuleAction::ToTable;
            rule.attributes = vec![
                RuleAttribute::Priority(at),
                RuleAttribute::Table(number),
                RuleAttribute::Protocol(OURS),
            ];
            rule
        };
        let mut neighbours = rule(self.priority, MAIN);
        neighbours
            .attributes
            .push(RuleAttribute::SuppressPrefixLen(table.suppress.into()));
        let mut unmarked = rule(self.priority + 1, self.mark);
        unmarked.header.flags = RuleFlags::Invert;
        unmarked.attributes.push(RuleAttribute::FwMark(self.mark));
        vec![neighbours, unmarked]
    }
}

async fn add_rule(handle: &Handle, rule: RuleMessage, table: &Table) -> Result<(), Failure> {
    let at = priority_of(&rule);
    let mut request = handle.rule().add();
    *request.message_mut() = rule;
    let added = request.execute().await.map_err(cause);
    added.or_else(|error| {
        let only_blocks = table.routes.iter().all(|(_, lead)| *lead != RouteAction::Tunnel);
        if only_blocks && is_absent(&error) {
            return Ok(());
        }
        let failure = Failure::runtime(format_args!("add the routing rule {at}"), error);
        Err(failure.with_help(
            "`ip rule` and `ip -6 rule` show who has it; a kernel without policy routing (CONFIG_IP_MULTIPLE_TABLES) cannot \
             carry all traffic through a tunnel",
        ))
    })
}

fn taken(mark: u32) -> Failure {
    let failure = Failure::runtime(
        format_args!("use the mark {mark}"),
        "a rule or a routing table of this machine has that number",
    );
    failure.with_help(format!(
        "`ip rule` and `ip route show table {mark}` show whose it is; choose another `fwmark`, or leave it out to have a free \
         one chosen"
    ))
}
