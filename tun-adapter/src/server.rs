//! The life of `sandhog server`: device, socket, then events until a signal.

use std::io;

use sandhog_proto::{EventKind, NetworkSettings, classic};
use tokio::net::UdpSocket;
use tracing::{debug, info};

use crate::config;
use crate::failure::Failure;
use crate::service::{DropLog, StopSignals, tell_counters, warn_at_start};
use crate::shell::Shell;
use crate::tun::Tun;
use crate::{interface, random};

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
///
/// When socket or device cannot be had, or the device is lost.
pub async fn run(config: config::Server) -> Result<(), Failure> {
    let config::Server {
        listen,
        key,
        device,
        users,
        warnings,
    } = config;
    warn_at_start(&warnings);
    let mut signals = StopSignals::catch()?;
    let socket = UdpSocket::bind(listen)
        .await
        .map_err(|error| explain_bind(listen, &error))?;
    let tun = Tun::create(&device.name)?;
    let settings = NetworkSettings {
        tunnel_remote_address: listen.ip(),
        addresses: device.addresses,
        included_routes: Vec::new(),
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: device.mtu,
    };
    interface::apply(&device.name, &settings).await?;
    let server = classic::Server::new(classic::ServerConfig {
        key,
        users,
        mtu: device.mtu,
        seed: random::bytes()?,
    })
    .map_err(|error| Failure::input(error.to_string()))?;
    let mut shell =
        Shell::new(server, socket, tun).map_err(|error| Failure::runtime("make a timer", error))?;
    info!("ready: listening on {listen}, device {}", device.name);

    let mut drops = DropLog::default();
    loop {
        let event = tokio::select! {
            biased;
            name = signals.next() => {
                info!("{name}: stopping");
                break;
            }
            event = shell.next_event() => event?,
        };
        match event.kind {
            EventKind::LoggedIn { login, remote } => info!("{login} logged in from {remote}"),
            EventKind::LoginRefused { remote } => info!("refused a login from {remote}"),
            EventKind::Dropped(reason) => drops.tell(reason),
            other => debug!("{other:?}"),
        }
    }
    tell_counters(&shell.counters());
    Ok(())
}

fn explain_bind(listen: std::net::SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::runtime(format_args!("listen on UDP {listen}"), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.with_help(format!(
            "another program has this port; `ss -ulpn 'sport = :{}'` tells which. End it, or choose another `listen`",
            listen.port()
        )),
        io::ErrorKind::AddrNotAvailable => {
            failure.with_help("this machine does not have that address; 0.0.0.0 or [::] stands for all it has")
        }
        io::ErrorKind::PermissionDenied => failure.with_help("ports below 1024 need root or CAP_NET_BIND_SERVICE"),
        _ => failure,
    }
}
