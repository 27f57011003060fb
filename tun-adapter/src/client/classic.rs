//! Client of the classic profile. Its addresses and routes are in its configuration file.

use std::net::IpAddr;

use sandhog_proto::{Command, EventKind, IpPrefix, NetworkSettings, classic};
use tracing::{debug, info};

use super::{bind, find_loop, resolve, stop};
use crate::config::classic::Client;
use crate::config::{Device, DeviceName};
use crate::control::command::{cannot_forget, nothing_to_reload};
use crate::control::queue::RequestQueue;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::service::{DropLog, Signals, log_status, log_stopping, log_warnings, warn_classic_profile};
use crate::shell::Shell;
use crate::status::{ClientStatus, Profile, Role, StatusTracker};
use crate::tun::Tun;
use crate::{interface, notify, random};

pub(super) async fn run(config: Client) -> Result<(), Failure> {
    let Client {
        server: endpoint,
        key,
        login,
        password,
        device,
        included_routes,
        metrics,
        warnings,
    } = config;
    warn_classic_profile();
    log_warnings(&warnings);
    let mut signals = Signals::catch()?;
    let server = resolve(&endpoint).await?;
    let settings = settings(&device, included_routes, server.ip());
    if let Some(why) = find_loop(&settings, server.ip()) {
        return Err(Failure::input(why).with_help(
            "remove this network, or split it into networks that do not contain the server's address",
        ));
    }
    let tun = Tun::create(&device.name)?;
    let mut requests = RequestQueue::open(&device.name, metrics.as_ref())?;
    let socket = bind(server, None).await?;
    let client = classic::Client::new(classic::ClientConfig {
        key,
        login: login.clone(),
        password,
        server,
        settings: settings.clone(),
        seed: random::bytes()?,
    });
    let mut shell = Shell::new(client, socket, tun)?;
    info!(event = "logging-in", %server, "logging in to {server}");
    shell.command(Command::Start);

    let (mut drops, mut tracker) = (DropLog::default(), StatusTracker::new());
    loop {
        let event = tokio::select! {
            biased;
            name = signals.stop() => {
                log_stopping(name);
                break;
            }
            pending = requests.next() => {
                pending.reply_with(|request| match request {
                    Request::Status => {
                        let (role, profile) = (Role::Client, Profile::Classic);
                        let mut status = tracker.status(role, profile, &device.name, &shell.counters());
                        status.client = Some(ClientStatus::new(&login, &endpoint, server, Some(&settings)));
                        Reply::Status(status.with_settings(&settings).into())
                    }
                    Request::Reload => nothing_to_reload(),
                    Request::Forget => cannot_forget(),
                });
                continue;
            }
            event = shell.next_event() => event?,
        };
        tracker.on_event(&event.kind);
        handle_event(event.kind, &device.name, &mut drops).await?;
    }
    notify::stopping();
    stop(&mut shell);
    Ok(())
}

/// Settings of the device, from the configuration file.
fn settings(device: &Device, included_routes: Vec<IpPrefix>, server: IpAddr) -> NetworkSettings {
    NetworkSettings {
        tunnel_remote_address: server,
        addresses: device.addresses.clone(),
        included_routes,
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: device.mtu,
    }
}

/// Handles and logs an event. The end of the session is an error.
async fn handle_event(event: EventKind, device: &DeviceName, drops: &mut DropLog) -> Result<(), Failure> {
    match event {
        EventKind::Status(status) => {
            log_status(status);
        }
        EventKind::Started(Ok(settings)) => {
            interface::apply(device, &settings).await?;
            info!(event = "ready", %device, "ready: the tunnel is up, device {device}");
            notify::ready("connected");
        }
        EventKind::Started(Err(error)) | EventKind::Cancelled(error) => return Err(error.into()),
        EventKind::Dropped(reason) => drops.log(reason),
        other => debug!("{other:?}"),
    }
    Ok(())
}
