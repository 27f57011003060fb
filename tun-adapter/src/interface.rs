//! Device configuration through netlink: addresses, MTU, routes, and the state "up".

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
use crate::net::{conflicts, routes};

/// Interval of the checks whether an address is in effect.
const POLL_INTERVAL: Duration = Duration::from_millis(1);
/// Longest wait for an address to take effect. Usual are a few milliseconds, and more on machines that create
/// and remove devices all the time.
const MAX_WAIT: Duration = Duration::from_secs(5);

/// Applies `settings` to the device `name` and brings it up. The kernel removes all of them together with the
/// device.
///
/// # Errors
///
/// If the kernel refuses one of the steps; the message names the step.
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

/// Replaces the settings `old` of a device by `new`. Settings in both stay, except between the removal of old
/// addresses and the addition of new ones.
///
/// # Errors
///
/// If the kernel refuses one of the steps; the message names the step.
pub async fn change(name: &DeviceName, old: &NetworkSettings, new: &NetworkSettings) -> Result<(), Failure> {
    with_netlink(async |handle| {
        let device = Interface::find(handle, name)?;
        let (old_routes, new_routes): (Vec<_>, Vec<_>) =
            (own_routes(old).collect(), own_routes(new).collect());
        for route in old_routes.iter().filter(|route| !new_routes.contains(route)) {
            device.remove_route(**route).await;
        }
        // Old addresses are removed first. An address added to a network in which the device already has one
        // becomes a secondary address, and the kernel removes it together with the primary one.
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
                // The kernel drops all routes of a family together with its last address.
                device.restore_route(*route).await?;
            } else {
                device.add_route(*route).await?;
            }
        }
        Ok(())
    })
    .await
}

/// The routes that the kernel does not create together with an address.
fn own_routes(settings: &NetworkSettings) -> impl Iterator<Item = &IpPrefix> {
    settings.included_routes.iter().filter(|route| {
        !settings
            .addresses
            .iter()
            .any(|address| is_network_of(**route, *address))
    })
}

/// A device with its netlink index.
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

    /// Switches link-local addresses off. With one, the kernel would send router solicitations into the
    /// tunnel, and the peer can only drop them. A kernel without IPv6 rejects the attribute, but it sends no
    /// solicitations either.
    async fn disable_link_local(&self) {
        let no_link_local = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let quiet = LinkUnspec::new_with_index(self.index)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![no_link_local]))
            .build();
        if let Err(error) = self.handle.link().set(quiet).execute().await {
            debug!("cannot switch off link-local addresses on {}: {error}", self.name);
        }
    }

    async fn add_addresses(&self, addresses: impl IntoIterator<Item = &IpPrefix>) -> Result<(), Failure> {
        let addresses: Vec<_> = addresses.into_iter().collect();
        conflicts::check(self.handle, self.name, addresses.iter().copied()).await?;
        for prefix in addresses {
            let mut request = self
                .handle
                .address()
                .add(self.index, prefix.address, prefix.length);
            if prefix.address.is_ipv6() {
                // No duplicate address detection: the device has no other hosts. Until it ends, the kernel
                // would send from another address, and the peer drops such packets.
                request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            }
            request
                .execute()
                .await
                .map_err(|error| explain_address(self.name, *prefix, error))?;
        }
        Ok(())
    }

    /// Waits until the kernel delivers packets for all of these addresses. For IPv6 this takes some time, and
    /// the kernel drops packets until then.
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
                    debug!("the kernel does not deliver packets for {address} yet; continuing");
                    return Ok(());
                }
                timer.arm(clock::now() + POLL_INTERVAL).map_err(explain)?;
                timer.expired().await.map_err(explain)?;
            }
        }
        Ok(())
    }

    /// Removes an address. It may be gone already.
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

    /// Adds a route, or replaces it if it exists.
    async fn restore_route(&self, route: IpPrefix) -> Result<(), Failure> {
        let request = self.handle.route().add(route_message(self.index, route));
        request
            .replace()
            .execute()
            .await
            .map_err(|error| explain_route(self.name, route, error))
    }

    /// Removes a route. It may be gone already.
    async fn remove_route(&self, route: IpPrefix) {
        let request = self.handle.route().del(route_message(self.index, route));
        if let Err(error) = request.execute().await {
            debug!("cannot remove the route {route} through {}: {error}", self.name);
        }
    }
}

/// Returns true if `route` is the network of `address`.
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
            "IPv6 is disabled on this machine: remove the IPv6 address from the configuration, or set the sysctl \
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
            "this machine already has such a route (`ip route show {route}`). \
             Remove it, or remove the network from `included-routes`"
        )),
        io::ErrorKind::InvalidInput => failure
            .with_help("a network address has no bits set after its prefix (10.9.0.0/24, not 10.9.0.1/24)"),
        _ => failure,
    }
}
