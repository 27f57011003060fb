//! The command `sandhog client`: logs in, sets up device and routes, then carries packets until a signal.

mod classic;
pub mod passwd;
mod secure;
mod tickets;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sandhog_proto::secure::CLOCK_TOLERANCE;
use sandhog_proto::{EventKind, NetworkSettings, Peer, StartError};
use socket2::SockRef;
use tokio::net::UdpSocket;
use tracing::info;

use crate::config::{Client, Endpoint};
use crate::failure::Failure;
use crate::privileges::Privileges;
use crate::service::{log_counters, log_status};
use crate::shell::{Shell, Transport};

/// Logs in and carries packets until SIGTERM or SIGINT. If the server does not answer the first login, a client of the secure
/// profile tries again, unless `once` is true.
///
/// # Errors
///
/// If the socket or the device is not available, if the server's name cannot be resolved, if the server
/// rejects the login or does not answer the only one, or if the device is removed.
pub async fn run(config: Client, once: bool) -> Result<(), Failure> {
    // Each login may change addresses and routes, so these privileges are kept.
    Privileges::keep_for_setup(None, &[])?;
    match config {
        Client::Secure(config) => secure::run(*config, once).await,
        Client::Classic(config) => classic::run(*config).await,
    }
}

/// Stops the tunnel and logs the counters.
fn stop<P: Peer, T: Transport<P>>(shell: &mut Shell<P, T>) {
    for event in shell.stop() {
        if let EventKind::Status(status) = event {
            log_status(status);
        }
    }
    log_counters(&shell.counters());
}

/// The error for a failed login of the secure profile. `clock` is the time that this machine shows.
fn explain_login(error: StartError, clock: &str) -> Failure {
    let failure = Failure::from(error);
    match (error, failure.help()) {
        (StartError::ConnectionTimedOut, Some(help)) => {
            let help = format!("{help}; {}", note_clock(clock));
            failure.with_help(help)
        }
        _ => failure,
    }
}

/// The reason why a clock matters, for a login without a reply.
fn note_clock(clock: &str) -> String {
    let tolerance = CLOCK_TOLERANCE.as_secs();
    format!(
        "a server ignores clients whose clock differs by more than {tolerance} s from its own, and the clock of this machine \
         shows {clock}"
    )
}

/// All addresses of the server's name, in the order of the resolver.
async fn look_up(endpoint: Endpoint) -> io::Result<Vec<SocketAddr>> {
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await?;
    Ok(addresses.collect())
}

/// The first address of the server's name.
pub(crate) async fn resolve(endpoint: &Endpoint) -> Result<SocketAddr, Failure> {
    let action = format!("resolve the server {endpoint}");
    let addresses = look_up(endpoint.clone()).await.map_err(|error| {
        Failure::runtime(&action, error)
            .with_help("check `server` in the configuration and this machine's DNS")
    })?;
    addresses
        .first()
        .copied()
        .ok_or_else(|| Failure::runtime(&action, "the name has no address"))
}

/// The first address of the server's name, or the first last known address if the lookup fails.
async fn resolve_or_last_known(
    endpoint: &Endpoint,
    last_known: &[SocketAddr],
) -> Result<SocketAddr, Failure> {
    match (resolve(endpoint).await, last_known.first()) {
        (Err(failure), Some(server)) => {
            info!("{}; using the last known address {server}", failure.message());
            Ok(*server)
        }
        (found, _) => found,
    }
}

/// The unspecified address of the same family as `server`.
fn any_address(server: SocketAddr) -> SocketAddr {
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    (any, 0).into()
}

/// Opens a socket of the same family as `server`. Its datagrams get the firewall mark, if there is one.
async fn bind(server: SocketAddr, mark: Option<u32>) -> Result<UdpSocket, Failure> {
    let socket = UdpSocket::bind(any_address(server))
        .await
        .map_err(|error| Failure::runtime("open a UDP socket", error))?;
    if let Some(mark) = mark {
        SockRef::from(&socket).set_mark(mark).map_err(explain_mark)?;
    }
    Ok(socket)
}

/// The error if the firewall mark cannot be set.
fn explain_mark(error: io::Error) -> Failure {
    Failure::runtime("set the firewall mark of the tunnel's datagrams", error)
        .with_help("run as root, or with the capability CAP_NET_ADMIN; or set `fwmark = 0`")
}

/// Describes the first route that would send the tunnel's own datagrams into the tunnel.
fn find_loop(settings: &NetworkSettings, server: IpAddr) -> Option<String> {
    settings
        .included_routes
        .iter()
        .chain(&settings.addresses)
        .find(|route| route.contains(server))
        .map(|route| format!("{route} would route the datagrams to the server {server} into the tunnel"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Exit;

    #[test]
    fn a_login_without_a_reply_names_the_clock_of_this_machine() {
        let failure = explain_login(StartError::ConnectionTimedOut, "2026-11-28 19:40:12 UTC");
        assert_eq!(failure.exit, Exit::TimedOut);
        let said = failure.to_string();
        let clock = "differs by more than 30 s from its own, and the clock of this machine shows 2026-11-28 19:40:12 UTC";
        assert!(said.ends_with(clock), "{said}");
        let failure = explain_login(StartError::AuthenticationRejected, "2026-11-28 19:40:12 UTC");
        assert!(!failure.to_string().contains("clock"), "{failure}");
    }

    #[test]
    fn another_server_is_named_with_the_commands_that_show_its_fingerprint() {
        let failure = explain_login(StartError::OtherServer, "");
        assert_eq!(failure.exit, Exit::Rejected);
        let said = failure.to_string();
        assert!(
            said.starts_with("error: the server has another key than the configuration\nhelp: "),
            "{said}"
        );
        for word in ["sandhog doctor", "sandhog status", "`server-key`"] {
            assert!(said.contains(word), "{word}: {said}");
        }
    }
}
