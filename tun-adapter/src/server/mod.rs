//! The command `sandhog server`: sets up device and socket, then handles events until a signal.

mod classic;
mod forwarding;
pub mod secure;

use std::io;
use std::net::SocketAddr;

use sandhog_proto::NetworkSettings;
use tokio::net::UdpSocket;

use crate::config::{Device, Server};
use crate::failure::Failure;
use crate::privileges::Privileges;
use crate::service::Signals;

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// If the socket or the device is not available, or if the device is removed.
pub async fn run(config: Server) -> Result<(), Failure> {
    let mut config = match config {
        Server::Secure(config) => *config,
        Server::Classic(config) => {
            Privileges::keep_for_setup(None, &[])?;
            return classic::run(*config, Signals::catch()?).await;
        }
    };
    let read = [std::slice::from_ref(&config.path), &config.key_files].concat();
    let privileges = Privileges::keep_for_setup(Some(config.users_file.path()), &read)?;
    let Some(second) = config.classic.take() else {
        return secure::run(config, Signals::catch()?, Some(privileges)).await;
    };
    let [signals, second_signals] = Signals::catch_for_pair()?;
    let (secure, classic) = tokio::join!(
        secure::run(config, signals, None),
        classic::run(*second, second_signals)
    );
    secure.and(classic)
}

async fn bind(listen: SocketAddr) -> Result<UdpSocket, Failure> {
    UdpSocket::bind(listen)
        .await
        .map_err(|error| explain_bind(listen, &error))
}

/// Settings of the server's device.
fn device_settings(listen: SocketAddr, device: &Device) -> NetworkSettings {
    NetworkSettings {
        tunnel_remote_address: listen.ip(),
        addresses: device.addresses.clone(),
        included_routes: Vec::new(),
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: device.mtu,
    }
}

pub(crate) fn explain_bind(listen: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::runtime(format_args!("listen on UDP {listen}"), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.with_help(format!(
            "another program uses this port: `ss -ulpn 'sport = :{}'` shows it. Stop that program, or choose another `listen`",
            listen.port()
        )),
        io::ErrorKind::AddrNotAvailable => {
            failure.with_help("this machine does not have that address. 0.0.0.0 or [::] listens on all addresses")
        }
        io::ErrorKind::PermissionDenied => failure.with_help("ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        _ => failure,
    }
}
