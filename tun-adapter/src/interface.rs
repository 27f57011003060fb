//! Tells the kernel what a tunnel device is to carry: addresses, MTU, routes, up. Through netlink, as `ip` does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::net::UnixDatagram;

use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use sandhog_proto::{IpPrefix, NetworkSettings};
use tracing::debug;

use crate::config::DeviceName;
use crate::failure::Failure;

/// Applies `settings` to the device `name` and brings it up. All of it goes when the device goes.
///
/// # Errors
///
/// When the kernel refuses one of the steps; the message says which.
pub async fn apply(name: &DeviceName, settings: &NetworkSettings) -> Result<(), Failure> {
    let (connection, handle, _) =
        rtnetlink::new_connection().map_err(|error| Failure::runtime("open a netlink socket", error))?;
    let connection = tokio::spawn(connection);
    let result = apply_through(&handle, name, settings).await;
    connection.abort();
    result
}

async fn apply_through(
    handle: &Handle,
    name: &DeviceName,
    settings: &NetworkSettings,
) -> Result<(), Failure> {
    // Interfaces are looked up through a socket, whichever.
    let index = UnixDatagram::unbound()
        .and_then(|socket| Ok(rustix::net::netdevice::name_to_index(socket, name.as_str())?))
        .map_err(|error| Failure::runtime(format_args!("find the device `{name}`"), error))?;

    // A link-local address would make the kernel send router solicitations into the tunnel, which the other side
    // can only drop. A kernel without IPv6 refuses the attribute and sends none either.
    let no_link_local = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
    let quiet = LinkUnspec::new_with_index(index)
        .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![no_link_local]))
        .build();
    if let Err(error) = handle.link().set(quiet).execute().await {
        debug!("no switch for link-local addresses on {name}: {error}");
    }

    for prefix in &settings.addresses {
        handle
            .address()
            .add(index, prefix.address, prefix.length)
            .execute()
            .await
            .map_err(|error| explain_address(name, *prefix, error))?;
    }
    let up = LinkUnspec::new_with_index(index)
        .mtu(settings.mtu.into())
        .up()
        .build();
    handle
        .link()
        .set(up)
        .execute()
        .await
        .map_err(|error| Failure::runtime(format_args!("bring `{name}` up"), cause(error)))?;

    for route in &settings.included_routes {
        if settings
            .addresses
            .iter()
            .any(|address| is_network_of(*route, *address))
        {
            continue; // came with the address
        }
        handle
            .route()
            .add(route_message(index, *route))
            .execute()
            .await
            .map_err(|error| explain_route(name, *route, error))?;
    }
    Ok(())
}

/// Whether `route` is the network that `address` lies in.
fn is_network_of(route: IpPrefix, address: IpPrefix) -> bool {
    route.length == address.length && route.contains(address.address)
}

fn route_message(index: u32, route: IpPrefix) -> RouteMessage {
    match route.address {
        IpAddr::V4(network) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(network, route.length)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpAddr::V6(network) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(network, route.length)
            .output_interface(index)
            .build(),
    }
}

/// The system's error where there is one, without netlink's wrapping.
fn cause(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other.to_string()),
    }
}

fn explain_address(name: &DeviceName, prefix: IpPrefix, error: rtnetlink::Error) -> Failure {
    let cause = cause(error);
    let kind = cause.kind();
    let failure = Failure::runtime(format_args!("give `{name}` the address {prefix}"), cause);
    if prefix.address.is_ipv6() && kind == io::ErrorKind::PermissionDenied {
        return failure.with_help(
            "IPv6 is switched off here: leave the IPv6 address out, or set the sysctl \
             net.ipv6.conf.default.disable_ipv6 to 0",
        );
    }
    failure
}

fn explain_route(name: &DeviceName, route: IpPrefix, error: rtnetlink::Error) -> Failure {
    let cause = cause(error);
    let kind = cause.kind();
    let failure = Failure::runtime(format_args!("add the route {route} through `{name}`"), cause);
    match kind {
        io::ErrorKind::AlreadyExists => failure.with_help(format!(
            "this machine has such a route already; `ip route show {route}` tells whose. \
             Remove that one, or leave it out of `included-routes`"
        )),
        io::ErrorKind::InvalidInput => failure.with_help(
            "the address of a network has no bits set behind its prefix (10.9.0.0/24, not 10.9.0.1/24)",
        ),
        _ => failure,
    }
}
