//! Checks for one tunnel: device name, port, path to the server, conflicting routes.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;

use sandhog_proto::IpPrefix;

use super::Finding;
use crate::check::CheckedConfig;
use crate::config::{Client, DeviceName, Endpoint, Server};
use crate::control::Request;
use crate::control::client::send_request;
use crate::fingerprint::fingerprint;
use crate::net::routes::{Route, all, overlap};
use crate::{client, server};

/// Maximum overhead of an outer packet in bytes: IPv6, UDP, code, nonce, tag and padding.
const OVERHEAD: u32 = 40 + 8 + 29 + 15;
/// Minimum MTU of a tunnel (RFC 8200, section 5).
const MIN_MTU: u32 = 1280;

pub(super) async fn check(checked: &CheckedConfig) -> Vec<Finding> {
    let (device, networks) = match checked {
        CheckedConfig::Server(Server::Secure(server)) => {
            (&server.device.name, server.device.addresses.clone())
        }
        CheckedConfig::Server(Server::Classic(server)) => {
            (&server.device.name, server.device.addresses.clone())
        }
        CheckedConfig::Client(Client::Secure(client)) => {
            (&client.device, without_default_routes(&client.network.included))
        }
        CheckedConfig::Client(Client::Classic(client)) => {
            (&client.device.name, client.device.addresses.clone())
        }
    };
    let is_running = matches!(send_request(device.as_str(), Request::Status), Ok(Some(_)));
    let mut findings = vec![name(device, is_running)];
    findings.extend(server_key(checked));
    match checked {
        CheckedConfig::Server(Server::Secure(server)) => findings.push(port(server.listen, is_running)),
        CheckedConfig::Server(Server::Classic(server)) => findings.push(port(server.listen, is_running)),
        CheckedConfig::Client(Client::Secure(client)) => findings.extend(path(&client.server).await),
        CheckedConfig::Client(Client::Classic(client)) => findings.extend(path(&client.server).await),
    }
    findings.push(routes(device, &networks, &all()));
    findings
}

/// The fingerprint of the server, for a comparison of both sides. The classic profile has none.
fn server_key(checked: &CheckedConfig) -> Option<Finding> {
    const SUBJECT: &str = "server's fingerprint";
    match checked {
        CheckedConfig::Server(Server::Secure(server)) => {
            Some(Finding::ok(SUBJECT, fingerprint(&server.setup.server_key())))
        }
        CheckedConfig::Client(Client::Secure(client)) => {
            Some(Finding::ok(SUBJECT, fingerprint(&client.server_key)))
        }
        _ => None,
    }
}

fn name(device: &DeviceName, is_running: bool) -> Finding {
    const SUBJECT: &str = "device name";
    match (
        is_running,
        Path::new("/sys/class/net").join(device.as_str()).exists(),
    ) {
        (true, _) => Finding::ok(SUBJECT, format!("{device} belongs to a running tunnel")),
        (false, false) => Finding::ok(SUBJECT, format!("{device} is free")),
        (false, true) => Finding::fail(
            SUBJECT,
            format!("{device} is the name of another device"),
            format!("`ip link show {device}` shows that device; choose another `name` under [device]"),
        ),
    }
}

fn port(listen: SocketAddr, is_running: bool) -> Finding {
    match UdpSocket::bind(listen) {
        _ if is_running => Finding::ok("port", format!("the tunnel listens on UDP {listen}")),
        Ok(_) => Finding::ok("port", format!("UDP {listen} is free")),
        Err(error) => Finding::from_failure("port", &server::explain_bind(listen, &error)),
    }
}

/// Checks name, route and path MTU of the server. No datagram is sent.
async fn path(endpoint: &Endpoint) -> Vec<Finding> {
    let server = match client::resolve(endpoint).await {
        Ok(server) => server,
        Err(failure) => return vec![Finding::from_failure("server name", &failure)],
    };
    let found = Finding::ok("server name", format!("{endpoint} resolves to {server}"));
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
            Finding::ok("route to the server", format!("source address {from}")),
            path_mtu(mtu),
        ],
        Err(error) => {
            let help = "check this machine's default route (`ip route`) and its network";
            let text = format!("no route to {server}: {error}");
            vec![found, Finding::fail("route to the server", text, help)]
        }
    }
}

/// Path MTU known to the kernel.
fn mtu(socket: &UdpSocket, server: SocketAddr) -> std::io::Result<u32> {
    Ok(match server.ip() {
        IpAddr::V4(_) => rustix::net::sockopt::ip_mtu(socket)?,
        IpAddr::V6(_) => rustix::net::sockopt::ipv6_mtu(socket)?,
    })
}

fn path_mtu(mtu: u32) -> Finding {
    const SUBJECT: &str = "MTU to the server";
    let inner = mtu.saturating_sub(OVERHEAD);
    if mtu >= 1500 {
        return Finding::ok(
            SUBJECT,
            format!("{mtu} bytes, enough for the default tunnel MTU of 1420"),
        );
    }
    if inner < MIN_MTU {
        return Finding::warn(
            SUBJECT,
            format!("{mtu} bytes: the outer datagrams for packets of {MIN_MTU} bytes must be fragmented"),
            "if possible, use a link with an MTU of 1400 or more",
        );
    }
    Finding::warn(
        SUBJECT,
        format!("{mtu} bytes, less than the usual 1500"),
        format!("if large packets are lost, set `device.mtu` on the server to {inner}"),
    )
}

/// The networks without default routes, which conflict with no other route.
fn without_default_routes(routes: &[IpPrefix]) -> Vec<IpPrefix> {
    routes.iter().filter(|route| route.length > 0).copied().collect()
}

/// Checks for other routes into the tunnel's networks.
fn routes(device: &DeviceName, networks: &[IpPrefix], routes: &[Route]) -> Finding {
    let conflicts = |route: &&Route| {
        route.device != device.as_str() && networks.iter().any(|network| overlap(*network, route.network))
    };
    let found: Vec<_> = routes
        .iter()
        .filter(conflicts)
        .map(|route| format!("{} through {}", route.network, route.device))
        .collect();
    if found.is_empty() {
        return Finding::ok("routes", "no other routes into the tunnel's networks");
    }
    Finding::warn(
        "routes",
        format!("other routes into the tunnel's networks: {}", found.join(", ")),
        "the route with the longer prefix is used. If that is wrong, choose other networks for the tunnel",
    )
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn a_small_path_mtu_is_reported_with_a_tunnel_mtu_that_fits() {
        assert_eq!(path_mtu(1500).level, Level::Ok);
        assert_eq!(path_mtu(9000).level, Level::Ok);
        let narrow = path_mtu(1492);
        assert_eq!(narrow.level, Level::Warn);
        assert!(narrow.help.is_some_and(|help| help.ends_with("to 1400")));
        assert!(path_mtu(1280).text.contains("must be fragmented"));
    }

    #[test]
    fn other_routes_into_the_tunnels_networks_are_reported() {
        let networks: Vec<IpPrefix> = vec!["10.9.0.1/24".parse().expect("a prefix")];
        let route = |network: &str, device: &str| Route {
            network: network.parse().expect("a prefix"),
            device: device.to_owned(),
        };
        let check = |list: &[Route]| routes(&DeviceName::default(), &networks, list);
        let harmless = [
            route("0.0.0.0/0", "eth0"),
            route("10.9.0.0/24", "sandhog0"),
            route("10.8.0.0/24", "eth0"),
        ];
        assert_eq!(check(&harmless).level, Level::Ok);
        let finding = check(&[route("10.0.0.0/8", "eth0")]);
        assert_eq!(finding.level, Level::Warn);
        assert!(finding.text.ends_with("10.0.0.0/8 through eth0"), "{finding}");
    }
}
