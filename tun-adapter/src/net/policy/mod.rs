//! Policy routing (ip-rule(8)): a routing table for all datagrams without the tunnel's mark, and the rules
//! that select it.
//!
//! Two rules precede those of the system. The first looks up the main table, but ignores routes whose prefix
//! is no longer than that of the tunnel's own routes (`suppress_prefixlength`). So neighbours and other
//! networks with routes of their own stay outside the tunnel. The second rule sends unmarked datagrams to the
//! tunnel's table.

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
use kernel::{is_unsupported, mark_of_rule, priority_of, routes, rules, table_of_route, table_of_rule};
pub(super) use remove::{remove, sweep};

/// The protocol number of sandhog's rules and routes (`rtm_protocol`), which `ip rule` and `ip route` show.
/// No well-known program uses it.
const OURS: RouteProtocol = RouteProtocol::Other(83);
/// Number of rules per address family, at consecutive priorities.
const RULES: u32 = 2;
/// The address families.
const FAMILIES: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// The first number that is tried for mark and table. wg-quick starts one below.
const FIRST_MARK: u32 = 0xca6d;
/// Number of marks that are tried.
const MARKS: u32 = 64;
/// The main table's number (`RT_TABLE_MAIN`).
const MAIN: u32 = 254;
/// Priority of the main table's rule. The tunnel's rules have lower numbers.
const MAIN_PRIORITY: u32 = 32766;

/// The mark, table number and rule priorities of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The mark of the tunnel's own datagrams, and the number of its table.
    pub(crate) mark: u32,
    /// Priority of the first rule. The second has the next number.
    pub(crate) priority: u32,
}

impl Policy {
    /// Chooses a free mark, or checks that the `wanted` mark is free. Also chooses free priorities for the
    /// rules.
    ///
    /// # Errors
    ///
    /// If the wanted mark is in use, or if no mark or priority is free.
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
                Some(mark) => return Err(mark_in_use(mark)),
                None => (FIRST_MARK..FIRST_MARK + MARKS).find(is_free),
            };
            let priority = (1..MAIN_PRIORITY / RULES)
                .map(|index| MAIN_PRIORITY - RULES * index)
                .find(|at| (*at..*at + RULES).all(|at| !priorities.contains(&at)));
            let none = || {
                Failure::runtime(
                    "choose a mark and priorities for the tunnel's routing rules",
                    "none is free",
                )
            };
            Ok(Self {
                mark: mark.ok_or_else(none)?,
                priority: priority.ok_or_else(none)?,
            })
        })
        .await
    }

    /// Changes routes and rules from `old` to `new`, for the device with the interface index `device`.
    ///
    /// # Errors
    ///
    /// If the kernel rejects a route or rule. The message names it.
    pub(crate) async fn apply(self, device: u32, old: &Plan, new: &Plan) -> Result<(), Failure> {
        with_netlink(async |handle| {
            let families = FAMILIES.into_iter().zip(old.tables.iter().zip(&new.tables));
            for (family, (old, new)) in families {
                // Routes are added before the rules that use them. Old ones are removed after the new ones
                // are in place.
                for (route, action) in &new.routes {
                    self.add_route(handle, device, *route, *action).await?;
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
                for (route, action) in old.routes.iter().filter(|(route, _)| !kept(route)) {
                    let message = self.route(device, *route, *action);
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
        action: RouteAction,
    ) -> Result<(), Failure> {
        let request = handle.route().add(self.route(device, route, action));
        // The route may exist already, or may have been removed together with an address.
        let added = request.replace().execute().await.map_err(cause);
        added.or_else(|error| {
            if action == RouteAction::Unreachable && is_unsupported(&error) {
                debug!("this kernel does not support IPv6, so there is nothing to block");
                return Ok(());
            }
            let table = self.mark;
            Err(Failure::runtime(
                format_args!("add the route {route} to the table {table}"),
                error,
            ))
        })
    }

    fn route(self, device: u32, route: IpPrefix, action: RouteAction) -> RouteMessage {
        let kind = match action {
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
                match action {
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
                match action {
                    RouteAction::Tunnel => builder.output_interface(device).build(),
                    RouteAction::Throw | RouteAction::Unreachable => builder.build(),
                }
            }
        }
    }

    /// The rules for a table. An empty table has none.
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
        let mut main = rule(self.priority, MAIN);
        main.attributes
            .push(RuleAttribute::SuppressPrefixLen(table.suppress.into()));
        let mut unmarked = rule(self.priority + 1, self.mark);
        unmarked.header.flags = RuleFlags::Invert;
        unmarked.attributes.push(RuleAttribute::FwMark(self.mark));
        vec![main, unmarked]
    }
}

async fn add_rule(handle: &Handle, rule: RuleMessage, table: &Table) -> Result<(), Failure> {
    let at = priority_of(&rule);
    let mut request = handle.rule().add();
    *request.message_mut() = rule;
    let added = request.execute().await.map_err(cause);
    added.or_else(|error| {
        let only_blocks = table.routes.iter().all(|(_, action)| *action != RouteAction::Tunnel);
        if only_blocks && is_unsupported(&error) {
            return Ok(());
        }
        let failure = Failure::runtime(format_args!("add the routing rule {at}"), error);
        Err(failure.with_help(
            "`ip rule` and `ip -6 rule` show the existing rules. A tunnel for all traffic needs a kernel with policy routing \
             (CONFIG_IP_MULTIPLE_TABLES)",
        ))
    })
}

fn mark_in_use(mark: u32) -> Failure {
    let failure = Failure::runtime(
        format_args!("use the mark {mark}"),
        "a routing rule or table of this machine has this number",
    );
    failure.with_help(format!(
        "`ip rule` and `ip route show table {mark}` show it. Choose another `fwmark`, or remove `fwmark` to use a free one"
    ))
}
