//! Removal of sandhog's rules and routes, with or without a record.

use rtnetlink::packet_route::rule::RuleMessage;
use rtnetlink::{Handle, IpVersion};

use super::kernel::{
    is_inverted, is_ours, priority_of, routes, rules, table_of_route, table_of_rule, uses_device,
};
use super::{FAMILIES, OURS, RULES};
use crate::failure::Failure;
use crate::net::netlink::{cause, with_netlink};

/// Removes the rules from `priority` on, and all routes of the table. Missing rules and routes are no error.
pub(in crate::net) async fn remove(table: u32, priority: u32) -> Result<(), Failure> {
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

/// Removes sandhog's rules that belong to no running tunnel, and the routes of their tables. Returns the
/// tables.
///
/// A table belongs to a running tunnel if it is one of the `known` tables, or if a route in it uses a device.
pub(in crate::net) async fn sweep(known: &[(u32, u32)]) -> Result<Vec<u32>, Failure> {
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
                    .filter(|route| uses_device(route))
                    .map(table_of_route),
            );
        }
        let mut dead = Vec::new();
        let mut kept_priorities = known_priorities;
        for family in FAMILIES {
            let ours: Vec<_> = rules(handle, family).await?.into_iter().filter(is_ours).collect();
            // The rule before the one with the table of a running tunnel also belongs to that tunnel.
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
