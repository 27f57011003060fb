//! Whether another device has a tunnel's addresses or their networks. The kernel would give them to the tunnel as well without a
//! word, and go on sending packets for them to the other device.

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

/// Refuses an address that another device has, or to whose network this machine has a route already. Other tunnels of ours do
/// not count: one of the same user is about to end.
///
/// # Errors
///
/// When that is so.
pub(crate) async fn refuse(
    handle: &Handle,
    device: &DeviceName,
    addresses: impl IntoIterator<Item = &IpPrefix>,
) -> Result<(), Failure> {
    let others = addresses_of_others(handle, device).await;
    let mut routes = routes::all();
    routes.retain(|route| !is_ours(device, &route.device));
    addresses
        .into_iter()
        .try_for_each(|prefix| judge(device, *prefix, &others, &routes))
}

fn judge(
    device: &DeviceName,
    prefix: IpPrefix,
    addresses: &[(IpAddr, String)],
    routes: &[Route],
) -> Result<(), Failure> {
    let action = format!("give `{device}` the address {prefix}");
    if let Some((address, owner)) = addresses.iter().find(|(address, _)| *address == prefix.address) {
        let failure = Failure::runtime(action, format_args!("`{owner}` has it already"));
        return Err(failure.with_help(format!(
            "`ip address show to {address}` shows it. Take it away there, or choose other `addresses` under [device] of the \
             server"
        )));
    }
    let is_same =
        |route: &&Route| route.network.length == prefix.length && route.network.contains(prefix.address);
    match routes.iter().find(is_same) {
        Some(Route { network, device }) => {
            let failure = Failure::runtime(
                action,
                format_args!("this machine has a route to its network already, through `{device}`"),
            );
            Err(failure.with_help(format!(
                "`ip route show {network}` shows it. Remove it, or choose other `addresses` under [device] of the server"
            )))
        }
        None => Ok(()),
    }
}

/// All addresses of the machine but those of the tunnel's device and of other tunnels of ours. What cannot be asked is not
/// there.
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
        let own = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Local(address) => Some(*address),
            _ => None,
        };
        let other = |attribute: &AddressAttribute| match attribute {
            AddressAttribute::Address(address) => Some(*address),
            _ => None,
        };
        // Where a device has an address for its other end, that one stands in the place of its own.
        let attributes = &message.attributes;
        let address = attributes
            .iter()
            .find_map(own)
            .or_else(|| attributes.iter().find_map(other))?;
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
    fn an_address_that_another_device_has_is_refused_with_its_name_whatever_the_length_of_its_prefix() {
        let others = [(prefix("10.9.0.2").address, "eth0".to_owned())];
        let judged = judge(&DeviceName::default(), prefix("10.9.0.2/24"), &others, &[]);
        let failure = judged.expect_err("it is taken");
        assert_eq!(
            failure.message(),
            "cannot give `sandhog0` the address 10.9.0.2/24: `eth0` has it already"
        );
        assert!(judge(&DeviceName::default(), prefix("10.9.0.3/24"), &others, &[]).is_ok());
    }

    #[test]
    fn the_very_network_of_another_route_is_refused_and_wider_and_narrower_ones_are_not() {
        let judge = |routes: &[Route]| judge(&DeviceName::default(), prefix("10.9.0.2/24"), &[], routes);
        let failure = judge(&[route("10.9.0.0/24")]).expect_err("it is taken");
        assert!(
            failure.message().ends_with("already, through `eth0`"),
            "{failure}"
        );
        for other in [
            "10.9.0.0/16",
            "10.9.0.0/28",
            "10.8.0.0/24",
            "0.0.0.0/0",
            "fd00:9::/64",
        ] {
            assert!(judge(&[route(other)]).is_ok(), "{other}");
        }
    }
}
