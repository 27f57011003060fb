//! Queries for the kernel's routing rules and routes.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::route::{RouteAttribute, RouteMessage};
use rtnetlink::packet_route::rule::{RuleAction, RuleAttribute, RuleFlags, RuleMessage};
use rtnetlink::{Handle, IpVersion, RouteMessageBuilder};
use rustix::io::Errno;

use super::OURS;
use crate::failure::Failure;
use crate::net::netlink::cause;

/// All rules of an address family. The list is empty if the kernel does not support the family.
pub(super) async fn rules(handle: &Handle, family: IpVersion) -> Result<Vec<RuleMessage>, Failure> {
    let rules = handle.rule().get(family).execute().try_collect().await;
    rules.or_else(|error| empty_if_unsupported(cause(error), "list the routing rules"))
}

/// All routes of an address family, in all tables.
pub(super) async fn routes(handle: &Handle, family: IpVersion) -> Result<Vec<RouteMessage>, Failure> {
    let all = match family {
        IpVersion::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        IpVersion::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    };
    let routes = handle.route().get(all).execute().try_collect().await;
    routes.or_else(|error| empty_if_unsupported(cause(error), "list the routes"))
}

fn empty_if_unsupported<T>(error: io::Error, action: &str) -> Result<Vec<T>, Failure> {
    if is_unsupported(&error) {
        return Ok(Vec::new());
    }
    Err(Failure::runtime(action, error))
}

/// Returns true if the kernel does not support the address family.
pub(super) fn is_unsupported(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::OPNOTSUPP]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

/// The firewall mark that a rule matches.
pub(super) fn mark_of_rule(rule: &RuleMessage) -> Option<u32> {
    rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::FwMark(mark) => Some(*mark),
        _ => None,
    })
}

pub(super) fn priority_of(rule: &RuleMessage) -> u32 {
    let priority = rule.attributes.iter().find_map(|attribute| match attribute {
        RuleAttribute::Priority(priority) => Some(*priority),
        _ => None,
    });
    // The kernel sends no priority for the rule with priority 0.
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

pub(super) fn uses_device(route: &RouteMessage) -> bool {
    // In IPv6, unreachable routes have the loopback device (index 1).
    let is_device =
        |attribute: &RouteAttribute| matches!(attribute, RouteAttribute::Oif(index) if *index != 1);
    route.attributes.iter().any(is_device)
}

pub(super) fn is_ours(rule: &RuleMessage) -> bool {
    rule.header.action == RuleAction::ToTable
        && rule
            .attributes
            .iter()
            .any(|attribute| matches!(attribute, RuleAttribute::Protocol(protocol) if *protocol == OURS))
}

pub(super) fn is_inverted(rule: &RuleMessage) -> bool {
    rule.header.flags.contains(RuleFlags::Invert)
}
