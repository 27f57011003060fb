//! Conflicts between a tunnel's addresses and those of other devices. The kernel would accept such an address
//! without an error, but would still send its packets to the other device.

use std::net::IpAddr;
use std::os::unix::net::UnixDatagram;

use futures_util::TryStreamExt;
use rtnetlink::Handle;
use rtnetlink::packet_route::address::AddressAttribute;
use sandhog_proto::IpPrefix;
use tracing::debug;

use super::netlink::cause;
use super::record;
use super::routes::{self, Route};
use crate::config::DeviceName;
use crate::failure::Failure;

/// Checks that no other device has one of the addresses, and that this machine has no route to exactly the
/// same network. Other sandhog tunnels are ignored, because an old tunnel of the same user may be about to
/// stop.
///
/// # Errors
///
/// If there is a conflict.
pub(crate) async fn check(
    handle: &Handle,
    device: &DeviceName,
    addresses: impl IntoIterator<Item = &IpPrefix>,
) -> Result<(), Failure> {
    let others = addresses_of_others(handle, device).await;
    let mut routes = routes::all();
    routes.retain(|route| !is_ours(device, &route.device));
    addresses
        .into_iter()
        .try_for_each(|prefix| check_prefix(device, *prefix, &others, &routes))
}

fn check_prefix(
    device: &DeviceName,
    prefix: IpPrefix,
    addresses: &[(IpAddr, String)],
    routes: &[Route],
) -> Result<(), Failure> {
    let action = format!("add the address {prefix} to `{device}`");
    if let Some((address, owner)) = addresses.iter().find(|(address, _)| *address == prefix.address) {
        let failure = Failure::runtime(action, format_args!("`{owner}` already has it"));
        return Err(failure.with_help(format!(
            "`ip address show to {address}` shows it. Remove it there, or choose other `addresses` under [device] in the \
             server's configuration"
        )));
    }
    let is_same =
        |route: &&Route| route.network.length == prefix.length && route.network.contains(prefix.address);
    match routes.iter().find(is_same) {
        Some(Route { network, device }) => {
            let failure = Failure::runtime(
                action,
                format_args!("this machine already has a route to its network, through `{device}`"),
            );
            Err(failure.with_help(format!(
                "`ip route show {network}` shows it. Remove it, or choose other `addresses` under [device] in the server's \
                 configuration"
            )))
        }
        None => Ok(()),
    }
}

/// All addresses of this machine, except those of sandhog's tunnels. If the kernel cannot be asked, the list
/// is empty.
async fn addresses_of_others(handle: &Handle, device: &DeviceName) -> Vec<(IpAddr, String)> {
    let listed: Result<Vec<_>, _> = handle.address().get().execute().try_collect().await;
    let messages = listed.unwrap_or_else(|error| {
        debug!("cannot list this machine's addresses: {}", cause(error));
        Vec::new()
    });
    let Ok(socket) = UnixDatagram::unbound() else {
        return Vec::new();
    };
    let named = messages.into_iter().filter_map(|message| {
        let name = rustix::net::netdevice::index_to_name(&socket, message.header.index).ok()?;
        let local = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        };
        let address = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        };
        // On a point-to-point device, `Address` is the peer's address and `Local` is its own.
        let attributes = &message.attributes;
        let address = attributes
            .iter()
            .find_map(local)
            .or_else(|| attributes.iter().find_map(address))?;
        Some((address, name))
    });
    named.filter(|(_, name)| !is_ours(device, name)).collect()
}

fn is_ours(device: &DeviceName, name: &str) -> bool {
    name == device.as_str() || record::belongs_to_a_tunnel(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> IpPrefix {
        text.parse().expect("a prefix")
    }

    fn route(network: &str) -> Route {
        Route {
            network: prefix(network),
            device: "eth0".to_owned(),
        }
    }

    #[test]
    fn an_address_of_another_device_is_refused_with_any_prefix_length() {
        let others = [(prefix("10.9.0.2").address, "eth0".to_owned())];
        let checked = check_prefix(&DeviceName::default(), prefix("10.9.0.2/24"), &others, &[]);
        let failure = checked.expect_err("a conflict");
        assert_eq!(
            failure.message(),
            "cannot add the address 10.9.0.2/24 to `sandhog0`: `eth0` already has it"
        );
        assert!(check_prefix(&DeviceName::default(), prefix("10.9.0.3/24"), &others, &[]).is_ok());
    }

    #[test]
    fn a_route_to_the_same_network_is_refused_but_wider_and_narrower_ones_are_not() {
        let check =
            |routes: &[Route]| check_prefix(&DeviceName::default(), prefix("10.9.0.2/24"), &[], routes);
        let failure = check(&[route("10.9.0.0/24")]).expect_err("a conflict");
        assert!(
            failure.message().ends_with("its network, through `eth0`"),
            "{failure}"
        );
        for other in [
            "10.9.0.0/16",
            "10.9.0.0/28",
            "10.8.0.0/24",
            "0.0.0.0/0",
            "fd00:9::/64",
        ] {
            assert!(check(&[route(other)]).is_ok(), "{other}");
        }
    }
}
