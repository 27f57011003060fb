//! What the kernel has of rules and routes, and how it is read.

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

fn absent<T>(error: io::Error, action: &str) -> Result<Vec<T>, Failure> {
    if is_absent(&error) {
        return Ok(Vec::new());
    }
    Err(Failure::runtime(action, error))
}

/// Whether the kernel says that it does not have the family at all.
pub(super) fn is_absent(error: &io::Error) -> bool {
    [Errno::AFNOSUPPORT, Errno::OPNOTSUPP]
        .map(|errno| Some(errno.raw_os_error()))
        .contains(&error.raw_os_error())
}

/// The mark that a rule asks for.
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

pub(super) fn leads_to_device(route: &RouteMessage) -> bool {
    // What leads nowhere in IPv6 is said to lead to the loopback device.
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
