//! What one tunnel needs besides: its device's name, its port, a way to the server, routes that are free.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use sandhog_proto::IpPrefix;

use super::Finding;
use crate::check::CheckedConfig;
use crate::config::{Client, DeviceName, Endpoint, Server};
use crate::control::Request;
use crate::control::client::send_request;
use crate::net::routes::{Route, all, overlap};
use crate::{client, server};

/// What the tunnel's own headers need of an outer packet, at most: IPv6, UDP, code, nonce, tag and padding.
const OVERHEAD: u32 = 40 + 8 + 29 + 15;
/// The smallest MTU a tunnel can have (RFC 8200, section 5).
const SMALLEST: u32 = 1280;

pub(super) async fn look(checked: &CheckedConfig) -> Vec<Finding> {
    let (device, networks) = match checked {
        CheckedConfig::Server(Server::Secure(server)) => {
            (&server.device.name, server.device.addresses.clone())
        }
        CheckedConfig::Server(Server::Classic(server)) => {
            (&server.device.name, server.device.addresses.clone())
        }
        CheckedConfig::Client(Client::Secure(client)) => (&client.device, narrow(&client.network.included)),
        CheckedConfig::Client(Client::Classic(client)) => {
            (&client.device.name, client.device.addresses.clone())
        }
    };
    let runs = matches!(send_request(device.as_str(), Request::Status), Ok(Some(_)));
    let mut findings = vec![name(device, runs)];
    match checked {
        CheckedConfig::Server(Server::Secure(server)) => findings.push(port(server.listen, runs)),
        CheckedConfig::Server(Server::Classic(server)) => findings.push(port(server.listen, runs)),
        CheckedConfig::Client(Client::Secure(client)) => findings.extend(way(&client.server).await),
        CheckedConfig::Client(Client::Classic(client)) => findings.extend(way(&client.server).await),
    }
    findings.push(routes(device, &networks, &all()));
    findings
}

fn name(device: &DeviceName, runs: bool) -> Finding {
    const SUBJECT: &str = "device name";
    match (runs, Path::new("/sys/class/net").join(device.as_str()).exists()) {
        (true, _) => Finding::ok(SUBJECT, format!("{device} belongs to a tunnel that runs")),
        (false, false) => Finding::ok(SUBJECT, format!("{device} is free")),
        (false, true) => Finding::fail(
            SUBJECT,
            format!("something else is called {device}"),
            format!("`ip link show {device}` tells what; choose another `name` under [device]"),
        ),
    }
}

fn port(listen: SocketAddr, runs: bool) -> Finding {
    match UdpSocket::bind(listen) {
        _ if runs => Finding::ok("port", format!("the tunnel listens on UDP {listen}")),
        Ok(_) => Finding::ok("port", format!("UDP {listen} is free")),
        Err(error) => Finding::from_failure("port", &server::explain_bind(listen, &error)),
    }
}

/// Name, route and MTU towards a server. No datagram is sent.
async fn way(endpoint: &Endpoint) -> Vec<Finding> {
    let server = match client::resolve(endpoint).await {
        Ok(server) => server,
        Err(failure) => return vec![Finding::from_failure("server's name", &failure)],
    };
    let found = Finding::ok("server's name", format!("{endpoint} is {server}"));
    let any: SocketAddr = if server.is_ipv4() {
        ([0; 4], 0).into()
    } else {
        ([0_u16; 8], 0).into()
    };
    let connected = UdpSocket::bind(any).and_then(|socket| {
        socket.connect(server)?;
        Ok((socket.local_addr()?.ip(), mtu(&socket, server)?))
    });
    match connected {
        Ok((from, mtu)) => vec![
            found,
            Finding::ok("way to the server", format!("goes out from {from}")),
            room(mtu),
        ],
        Err(error) => {
            let help = "check this machine's default route (`ip route`) and its network";
            let text = format!("there is none to {server}: {error}");
            vec![found, Finding::fail("way to the server", text, help)]
        }
    }
}

/// What the kernel knows of the path's MTU.
fn mtu(socket: &UdpSocket, server: SocketAddr) -> std::io::Result<u32> {
    Ok(match server.ip() {
        IpAddr::V4(_) => rustix::net::sockopt::ip_mtu(socket)?,
        IpAddr::V6(_) => rustix::net::sockopt::ipv6_mtu(socket)?,
    })
}

fn room(mtu: u32) -> Finding {
    const SUBJECT: &str = "MTU to the server";
    let inner = mtu.saturating_sub(OVERHEAD);
    if mtu >= 1500 {
        return Finding::ok(SUBJECT, format!("{mtu} bytes: the usual 1420 fit into it"));
    }
    if inner < SMALLEST {
        return Finding::warn(
            SUBJECT,
            format!("{mtu} bytes: packets of {SMALLEST} bytes have to be cut in two outside"),
            "use a link with an MTU of 1400 or more, if there is one",
        );
    }
    Finding::warn(
        SUBJECT,
        format!("{mtu} bytes, less than the usual 1500"),
        format!("have the server's `device.mtu` set to {inner} if large packets get stuck"),
    )
}

/// The networks that others may not have as well. What is for everything is behind everything that others have.
fn narrow(routes: &[IpPrefix]) -> Vec<IpPrefix> {
    routes.iter().filter(|route| route.length > 0).copied().collect()
}

/// Whether the tunnel's networks are somewhere else already.
fn routes(device: &DeviceName, networks: &[IpPrefix], routes: &[Route]) -> Finding {
    let meets = |route: &&Route| {
        route.device != device.as_str() && networks.iter().any(|network| overlap(*network, route.network))
    };
    let met: Vec<_> = routes
        .iter()
        .filter(meets)
        .map(|route| format!("{} through {}", route.network, route.device))
        .collect();
    if met.is_empty() {
        return Finding::ok("routes", "the tunnel's networks are nowhere else");
    }
    Finding::warn(
        "routes",
        format!(
            "this machine has routes into the tunnel's networks: {}",
            met.join(", ")
        ),
        "the narrower route wins; if that is not what you want, choose other networks for the tunnel",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn an_mtu_that_is_too_small_comes_with_the_number_that_fits() {
        assert_eq!(room(1500).level, Level::Ok);
        assert_eq!(room(9000).level, Level::Ok);
        let narrow = room(1492);
        assert_eq!(narrow.level, Level::Warn);
        assert!(narrow.help.is_some_and(|help| help.contains("set to 1400")));
        assert!(room(1280).text.contains("cut in two"));
    }

    #[test]
    fn routes_of_others_into_the_tunnels_networks_are_named() {
        let networks: Vec<IpPrefix> = vec!["10.9.0.1/24".parse().expect("a prefix")];
        let route = |network: &str, device: &str| Route {
            network: network.parse().expect("a prefix"),
            device: device.to_owned(),
        };
        let judge = |list: &[Route]| routes(&DeviceName::default(), &networks, list);
        let harmless = [
            route("0.0.0.0/0", "eth0"),
            route("10.9.0.0/24", "sandhog0"),
            route("10.8.0.0/24", "eth0"),
        ];
        assert_eq!(judge(&harmless).level, Level::Ok);
        let finding = judge(&[route("10.0.0.0/8", "eth0")]);
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.ends_with("10.0.0.0/8 through eth0"), "{finding}");
    }
}
