//! The life of `sandhog client`: device, login, addresses and routes, then packets until a signal.

mod classic;
pub mod passwd;
mod secure;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sandhog_proto::{EventKind, NetworkSettings, Peer};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tracing::info;

use crate::config::{Client, Endpoint};
use crate::failure::Failure;
use crate::privileges::Privileges;
use crate::service::{log_counters, log_status};
use crate::shell::{Shell, Transport};

/// Logs in and carries packets until SIGTERM or SIGINT.
///
/// # Errors
///
/// When socket or device cannot be had, the server cannot be found, does not answer or rejects the login, or the
/// device is lost.
pub async fn run(config: Client) -> Result<(), Failure> {
    // Each login may bring other addresses and routes, so what it takes to change those stays to the end.
    Privileges::keep_for_setup(None)?;
    match config {
        Client::Secure(config) => secure::run(*config).await,
        Client::Classic(config) => classic::run(*config).await,
    }
}

/// Takes the tunnel down and says how it was.
fn stop<P: Peer, T: Transport<P>>(shell: &mut Shell<P, T>) {
    for event in shell.stop() {
        if let EventKind::Status(status) = event {
            log_status(status);
        }
    }
    log_counters(&shell.counters());
}

/// All addresses of the server's name, in the order of this machine's preference.
async fn look_up(endpoint: Endpoint) -> io::Result<Vec<SocketAddr>> {
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    Ok(addresses.collect())
}

/// The first address of the server's name.
pub(crate) async fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, Failure> {
    let action = format!("find the server {endpoint}");
    let addresses = look_up(endpoint.clone()).await.map_err(|error| {
        Failure::runtime(&action, error).with_help("check `server` and this machine's DNS")
    })?;
    addresses
        .first()
        .copied()
        .ok_or_else(|| Failure::runtime(&action, "the name has no address"))
}

/// The same, or what was found before, where the name cannot be looked up.
async fn resolve_or(endpoint: &Endpoint, before: &[SocketAddr]) -> Result<SocketAddr, Failure> {
    match (resolve(endpoint).await, before.first()) {
        (Err(failure), Some(server)) => {
            info!("{}; taking {server}, where it was before", failure.message());
            Ok(*server)
        }
        (found, _) => found,
    }
}

/// The address that a socket is bound to from which `server` can be reached.
fn any_address(server: SocketAddr) -> SocketAddr {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    (any, 0).into()
}

/// A socket from which `server` can be reached. What it sends bears the mark, if there is one.
async fn bind(server: SocketAddr, mark: Option<u32>) -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::bind(any_address(server))
        .await
        .map_err(|error| Failure::runtime("open a UDP socket", error))?;
    if let Some(mark) = mark {
        SockRef::from(&socket).set_mark(mark).map_err(explain_mark)?;
    }
    Ok(socket)
}

/// What to do about a socket that may not have a mark.
fn explain_mark(error: io::Error) -> Failure {
    Failure::runtime("mark the tunnel's datagrams", error)
        .with_help("run as root, or with the capability CAP_NET_ADMIN; or set `fwmark = 0`")
}

/// The first route that would lead the tunnel's own datagrams into the tunnel and cut it off from the server.
fn find_loop(settings: &NetworkSettings, server: IpAddr) -> Option<String> {
    settings
        .included_routes
        .iter()
        .chain(&settings.addresses)
        .find(|route| route.contains(server))
        .map(|route| {
            format!("{route} would lead the datagrams for the server {server} into the tunnel itself")
        })
}
