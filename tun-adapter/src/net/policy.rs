//! Policy routing: a table of routes for all datagrams but those that carry the tunnel's mark, and the rules that lead there.
//!
//! Two rules stand before those of the system. The first asks the main table, but does not take what is as wide as the
//! tunnel's own routes or wider (`suppress_prefixlength`): neighbours and other networks that this machine has routes to are
//! reached as before. The second sends what is not marked to the tunnel's table.

use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};

use super::netlink::{cause, with_netlink};
use crate::failure::Failure;

/// What marks rules and routes as ours (`rtm_protocol`); `ip rule` and `ip route` show it. The numbers of well-known programs
/// end at 192, those below 128 are nobody's.
pub(super) const OURS: RouteProtocol = RouteProtocol::Other(83);
/// How many rules a family has, at a priority and those behind it.
pub(super) const RULES: u32 = 2;

/// The families.
pub(super) const FAMILIES: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// Removes the rules at `priority` and behind it, and all routes of the table. What is not there is no error.
pub(super) async fn remove(table: u32, priority: u32) -> Result<(), Failure> {
    with_netlink(async |handle| {
        for family in FAMILIES {
            for rule in rules(handle, family.clone()).await? {
                let at = priority_of(&rule);
                if is_ours(&rule) && (priority..priority + RULES).contains(&at) {
                    remove_rule(handle, rule).await?;
                }
            }
            remove_routes(handle, family, table).await?;
        }
        Ok(())
    })
    .await
}

/// Removes all rules of ours that lead to none of the `known` tables and to no device, and the routes of their tables. Gives
/// the tables.
pub(super) async fn sweep(known: &[(u32, u32)]) -> Result<Vec<u32>, Failure> {
    with_netlink(async |handle| {
        let mut live: Vec<u32> = known.iter().map(|(table, _)| *table).collect();
        let known_priorities = known
            .iter()
            .flat_map(|(_, priority)| *priority..*priority + RULES);
        let known_priorities: Vec<u32> = known_priorities.collect();
        for family in FAMILIES {
            let routes = routes(handle, family).await?;
            live.extend(
                routes
                    .iter()
                    .filter(|route| leads_to_device(route))
                    .map(table_of_route),
            );
        }
        let mut dead = Vec::new();
        let mut kept_priorities = known_priorities;
        for family in FAMILIES {
            let ours: Vec<_> = rules(handle, family).await?.into_iter().filter(is_ours).collect();
            // The rule before one that leads to a table of somebody who lives is his as well.
            for rule in ours
                .iter()
                .filter(|rule| live.contains(&table_of_rule(rule)) && is_inverted(rule))
            {
                kept_priorities.extend([priority_of(rule), priority_of(rule).saturating_sub(1)]);
            }
            for rule in ours {
                if kept_priorities.contains(&priority_of(&rule)) {
                    continue;
                }
                if is_inverted(&rule) && !dead.contains(&table_of_rule(&rule)) {
                    dead.push(table_of_rule(&rule));
                }
                remove_rule(handle, rule).await?;
            }
        }
        for table in &dead {
            for family in FAMILIES {
                remove_routes(handle, family, *table).await?;
            }
        }
        Ok(dead)
    })
    .await
}

async fn remove_rule(handle: &Handle, rule: RuleMessage) -> Result<(), Failure> {
    let at = priority_of(&rule);
    let removed = handle.rule().del(rule).execute().await;
    removed.map_err(|error| Failure::runtime(format_args!("remove the rule {at}"), cause(error)))
}

async fn remove_routes(handle: &Handle, family: IpVersion, table: u32) -> Result<(), Failure> {
    for route in routes(handle, family).await? {
        if table_of_route(&route) == table && route.header.protocol == OURS {
            let removed = handle.route().del(route).execute().await;
            removed.map_err(|error| {
                Failure::runtime(format_args!("remove a route of the table {table}"), cause(error))
            })?;
        }
    }
    Ok(())
}

/// All rules of a family. A kernel without the family has none.
pub(super) async fn rules(handle: &Handle, family: IpVersion) -> Result<Vec<RuleMessage>, Failure> {
    let rules = handle.rule().get(family).execute().try_collect().await;
    rules.or_else(|error| absent(cause(error), "list the routing rules"))
}

/// All routes of a family, in whatever table.
pub(super) async fn routes(handle: &Handle, family: IpVersion) -> Result<Vec<RouteMessage>, Failure> {
    let all = match family {
        IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    };
    let routes = handle.route().get(all).execute().try_collect().await;
    routes.or_else(|error| absent(cause(error), "list the routes"))
}

fn absent<T>(error: std::io::Error, action: &str) -> Result<Vec<T>, Failure> {
    use rustix::io::Errno;
    let absent = [Errno::AFNOSUPPORT, Errno::OPNOTSUPP].map(|errno| Some(errno.raw_os_error()));
    if absent.contains(&error.raw_os_error()) {
        return Ok(Vec::new());
    }
    Err(Failure::runtime(action, error))
}

pub(super) fn priority_of(rule: &RuleMessage) -> u32 {
    let priority = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    // The kernel does not say that of the first rule.
    priority.unwrap_or_default()
}

pub(super) fn table_of_rule(rule: &RuleMessage) -> u32 {
    let table = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| rule.header.table.into())
}

pub(super) fn table_of_route(route: &RouteMessage) -> u32 {
    let table = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Table(table) => Some(*table),
        _ => None,
    });
    table.unwrap_or_else(|| route.header.table.into())
}

fn leads_to_device(route: &RouteMessage) -> bool {
    // What leads nowhere in IPv6 is said to lead to the loopback device.
    let is_device =
        |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Oif(index) if *index != 1);
    route.attributes.iter().any(is_device)
}

fn is_ours(rule: &RuleMessage) -> bool {
    rule.header.action == RuleAction::ToTable
        && rule
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, RuleAttribute::Protocol(protocol) if *protocol == OURS))
}

fn is_inverted(rule: &RuleMessage) -> bool {
    rule.header.flags.contains(RuleFlags::Invert)
}
