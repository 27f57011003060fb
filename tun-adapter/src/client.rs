//! The life of `sandhog client`: device, login, addresses and routes, then packets until a signal.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use sandhog_proto::{Command, EventKind, NetworkSettings, classic};
use tokio::net::UdpSocket;
use tracing::{debug, info};

use crate::config;
use crate::failure::Failure;
use crate::service::{DropLog, StopSignals, tell_counters, warn_at_start};
use crate::shell::{Device, Shell};
use crate::tun::Tun;
use crate::{interface, random};

/// Logs in and carries packets until SIGTERM or SIGINT.
///
/// # Errors
///
/// When socket or device cannot be had, the server cannot be found, does not answer or rejects the login, or the
/// device is lost.
pub async fn run(config: config::Client) -> Result<(), Failure> {
    let config::Client {
        server: endpoint,
        key,
        login,
        password,
        device,
        included_routes,
        warnings,
    } = config;
    warn_at_start(&warnings);
    let mut signals = StopSignals::catch()?;
    let server = resolve(&endpoint).await?;
    let settings = NetworkSettings {
        tunnel_remote_address: server.ip(),
        addresses: device.addresses,
        included_routes,
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: device.mtu,
    };
    refuse_loop(&settings)?;
    let tun = Tun::create(&device.name)?;
    let any: IpAddr = if server.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))
        .await
        .map_err(|error| Failure::runtime("open a UDP socket", error))?;
    let client = classic::Client::new(classic::ClientConfig {
        key,
        login,
        password,
        server,
        settings,
        seed: random::bytes()?,
    });
    let mut shell =
        Shell::new(client, socket, tun).map_err(|error| Failure::runtime("make a timer", error))?;
    info!("logging in to {server}");
    shell.command(Command::Start);

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
            EventKind::Status(status) => info!("status: {}", status.name()),
            EventKind::Started(Ok(settings)) => {
                interface::apply(&device.name, &settings).await?;
                info!("ready: the tunnel is up, device {}", device.name);
            }
            EventKind::Started(Err(error)) | EventKind::Cancelled(error) => return Err(error.into()),
            EventKind::Dropped(reason) => drops.tell(reason),
            other => debug!("{other:?}"),
        }
    }
    stop(&mut shell);
    Ok(())
}

/// Takes the tunnel down and says how it was.
fn stop<D: Device>(shell: &mut Shell<classic::Client, D>) {
    for event in shell.stop() {
        if let EventKind::Status(status) = event {
            info!("status: {}", status.name());
        }
    }
    tell_counters(&shell.counters());
}

/// The first address of the server's name.
async fn resolve(endpoint: &config::Endpoint) -> Result<SocketAddr, Failure> {
    let action = format!("find the server {endpoint}");
    let mut addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| {
            Failure::runtime(&action, error).with_help("check `server` and this machine's DNS")
        })?;
    addresses
        .next()
        .ok_or_else(|| Failure::runtime(&action, "the name has no address"))
}

/// A route that leads the tunnel's own datagrams into the tunnel would cut it off from the server.
fn refuse_loop(settings: &NetworkSettings) -> Result<(), Failure> {
    let remote = settings.tunnel_remote_address;
    match settings
        .included_routes
        .iter()
        .chain(&settings.addresses)
        .find(|route| route.contains(remote))
    {
        Some(route) => Err(Failure::input(format!(
            "{route} would lead the datagrams for the server {remote} into the tunnel itself"
        ))
        .with_help("leave it out, or split it into networks that do not hold the server's address")),
        None => Ok(()),
    }
}
