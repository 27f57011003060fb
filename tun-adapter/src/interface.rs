//! Tells the kernel what a tunnel device is to carry: addresses, MTU, routes, up. Through netlink, as `ip` does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute};
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{AddressMessageBuilder, Handle, LinkUnspec, RouteMessageBuilder};
use sandhog_proto::{IpPrefix, NetworkSettings};
use tracing::debug;

use crate::clock::{self, Timer};
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::net::netlink::{cause, index_of, with_netlink};
use crate::net::{routes, taken};

/// How often to look whether an address is in force.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// How long to look. It takes some milliseconds, and more where devices come and go all the time.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Applies `settings` to the device `name` and brings it up. All of it goes when the device goes.
///
/// # Errors
///
/// When the kernel refuses one of the steps; the message says which.
pub async fn apply(name: &DeviceName, settings: &NetworkSettings) -> Result<(), Failure> {
    with_netlink(async |handle| {
        let device = Interface::find(handle, name)?;
        device.disable_link_local().await;
        device.add_addresses(&settings.addresses).await?;
        device.bring_up(settings.mtu).await?;
        device.wait_for(&settings.addresses).await?;
        for route in own_routes(settings) {
            device.add_route(*route).await?;
        }
        Ok(())
    })
    .await
}

/// Gives a device that has the settings `old` the settings `new` in their place. What is in both stays, but for the
/// moment between the old addresses and the new ones.
///
/// # Errors
///
/// When the kernel refuses one of the steps; the message says which.
pub async fn change(name: &DeviceName, old: &NetworkSettings, new: &NetworkSettings) -> Result<(), Failure> {
    with_netlink(async |handle| {
        let device = Interface::find(handle, name)?;
        let (old_routes, new_routes): (Vec<_>, Vec<_>) =
            (own_routes(old).collect(), own_routes(new).collect());
        for route in old_routes.iter().filter(|route| !new_routes.contains(route)) {
            device.remove_route(**route).await;
        }
        // First the old ones go: an address that comes to a network in which the device has one already would be a
        // secondary one, and go together with the first.
        for address in old
            .addresses
            .iter()
            .filter(|address| !new.addresses.contains(address))
        {
            device.remove_address(*address).await;
        }
        let added = new
            .addresses
            .iter()
            .filter(|address| !old.addresses.contains(address));
        device.add_addresses(added).await?;
        device.bring_up(new.mtu).await?;
        device.wait_for(&new.addresses).await?;
        for route in new_routes {
            if old_routes.contains(&route) {
                // With the last address of a family the kernel drops its routes.
                device.restore_route(*route).await?;
            } else {
                device.add_route(*route).await?;
            }
        }
        Ok(())
    })
    .await
}

/// The routes that do not come with an address by themselves.
fn own_routes(settings: &NetworkSettings) -> impl Iterator<Item = &IpPrefix> {
    settings.included_routes.iter().filter(|route| {
        !settings
            .addresses
            .iter()
            .any(|address| is_network_of(**route, *address))
    })
}

/// A device, as netlink knows it.
struct Interface<'a> {
    handle: &'a Handle,
    name: &'a DeviceName,
    index: u32,
}

impl<'a> Interface<'a> {
    fn find(handle: &'a Handle, name: &'a DeviceName) -> Result<Self, Failure> {
        let index = index_of(name)
            .map_err(|error| Failure::runtime(format_args!("find the device `{name}`"), error))?;
        Ok(Self { handle, name, index })
    }

    /// A link-local address would make the kernel send router solicitations into the tunnel, which the other side can
    /// only drop. A kernel without IPv6 refuses the attribute and sends none either.
    async fn disable_link_local(&self) {
        let no_link_local = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let quiet = LinkUnspec::new_with_index(self.index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![no_link_local]))
            .build();
        if let Err(error) = self.handle.link().set(quiet).execute().await {
            debug!("no switch for link-local addresses on {}: {error}", self.name);
        }
    }

    async fn add_addresses(&self, addresses: impl IntoIterator<Item = &IpPrefix>) -> Result<(), Failure> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        taken::refuse(self.handle, self.name, addresses.iter().copied()).await?;
        for prefix in addresses {
            let mut request = self
                .handle
                .address()
                .add(self.index, prefix.address, prefix.length);
            if prefix.address.is_ipv6() {
                // Nobody else is on the device whom the kernel could ask for this address, and until it has asked, packets
                // go out under another one, which the other side drops.
                request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            }
            request
                .execute()
                .await
                .map_err(|error| explain_address(self.name, *prefix, error))?;
        }
        Ok(())
    }

    /// Waits until packets for all of these are delivered. The kernel sees to that for IPv6 in its own time, and drops them
    /// until then.
    async fn wait_for(&self, addresses: &[IpPrefix]) -> Result<(), Failure> {
        let explain = |error| Failure::runtime("wait for the kernel", error);
        let mut timer = Timer::new().map_err(explain)?;
        let start = clock::now();
        for prefix in addresses {
            let IpAddr::V6(address) = prefix.address else {
                continue;
            };
            while !routes::is_delivered(address) {
                if clock::now().saturating_duration_since(start) > MAX_WAIT {
                    debug!("the kernel takes long to deliver what comes for {address}");
                    return Ok(());
                }
                timer.arm(clock::now() + POLL_INTERVAL).map_err(explain)?;
                timer.expired().await.map_err(explain)?;
            }
        }
        Ok(())
    }

    /// Who has removed it before us has done our work.
    async fn remove_address(&self, prefix: IpPrefix) {
        let message = match prefix.address {
            IpAddr::V4(address) => AddressMessageBuilder::<Ipv4Addr>::new()
                .index(self.index)
                .address(address, prefix.length)
                .build(),
            IpAddr::V6(address) => AddressMessageBuilder::<Ipv6Addr>::new()
                .index(self.index)
                .address(address, prefix.length)
                .build(),
        };
        if let Err(error) = self.handle.address().del(message).execute().await {
            debug!("cannot remove the address {prefix} of {}: {error}", self.name);
        }
    }

    async fn bring_up(&self, mtu: u16) -> Result<(), Failure> {
        let up = LinkUnspec::new_with_index(self.index)
            .mtu(mtu.into())
            .up()
            .build();
        self.handle
            .link()
            .set(up)
            .execute()
            .await
            .map_err(|error| Failure::runtime(format_args!("bring `{}` up", self.name), cause(error)))
    }

    async fn add_route(&self, route: IpPrefix) -> Result<(), Failure> {
        let request = self.handle.route().add(route_message(self.index, route));
        request
            .execute()
            .await
            .map_err(|error| explain_route(self.name, route, error))
    }

    /// Adds a route that may be there.
    async fn restore_route(&self, route: IpPrefix) -> Result<(), Failure> {
        let request = self.handle.route().add(route_message(self.index, route));
        request
            .replace()
            .execute()
            .await
            .map_err(|error| explain_route(self.name, route, error))
    }

    /// Who has removed it before us has done our work.
    async fn remove_route(&self, route: IpPrefix) {
        let request = self.handle.route().del(route_message(self.index, route));
        if let Err(error) = request.execute().await {
            debug!("cannot remove the route {route} through {}: {error}", self.name);
        }
    }
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
