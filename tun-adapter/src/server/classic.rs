//! Server of the classic profile. Its configuration file lists the users and their addresses.

use std::net::SocketAddr;

use sandhog_proto::{EventKind, classic};
use tracing::{debug, info};

use super::{bind, device_settings};
use crate::config::classic::Server;
use crate::control::command::{cannot_forget, nothing_to_reload};
use crate::control::queue::RequestQueue;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::net::record::Journal;
use crate::service::{
    DropLog, Signals, log_counters, log_login, log_refused_login, log_stopping, log_warnings,
    warn_classic_profile,
};
use crate::shell::{Direct, Shell};
use crate::status::{Profile, Role, Status, StatusTracker};
use crate::tun::Tun;
use crate::{config, interface, notify, random};

pub(super) async fn run(config: Server, mut signals: Signals) -> Result<(), Failure> {
    let Server {
        listen,
        key,
        device,
        users,
        metrics,
        warnings,
    } = config;
    warn_classic_profile();
    log_warnings(&warnings);
    let user_count = users.len();
    let server = classic::Server::new(classic::ServerConfig {
        key,
        users,
        mtu: device.mtu,
        seed: random::bytes()?,
    })
    .map_err(|error| Failure::input(error.to_string()))?;
    let left = Journal::clear(&device.name, false).await?;
    let socket = bind(listen).await?;
    let tun = Tun::create(&device.name)?;
    let mut requests = RequestQueue::open(&device.name, metrics.as_ref())?;
    let journal = Journal::begin(&device.name, left)?;
    let local = LocalConfig {
        listen,
        users: user_count,
        device,
    };
    let shell = Shell::new(server, socket, tun)?;
    let result = serve(shell, &mut signals, &mut requests, &local).await;
    let undone = journal.end().await;
    result.and(undone)
}

/// Listen address, device and number of users of the server.
struct LocalConfig {
    listen: SocketAddr,
    device: config::Device,
    users: usize,
}

/// Brings the device up and serves until a signal to stop.
async fn serve(
    mut shell: Shell<classic::Server, Direct<Tun>>,
    signals: &mut Signals,
    requests: &mut RequestQueue,
    local: &LocalConfig,
) -> Result<(), Failure> {
    let LocalConfig { listen, device, .. } = local;
    interface::apply(&device.name, &device_settings(*listen, device)).await?;
    let about = format!("listening on {listen}, device {}", device.name);
    info!(event = "ready", %listen, device = %device.name, users = local.users, "ready: {about}");
    notify::ready(&about);

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
                        Reply::Status(status(&mut shell, &tracker, local).into())
                    }
                    Request::Reload => nothing_to_reload(),
                    Request::Forget => cannot_forget(),
                });
                continue;
            }
            event = shell.next_event() => event?,
        };
        tracker.on_event(&event.kind);
        match event.kind {
            EventKind::LoggedIn { login, remote } => log_login(&login, remote),
            EventKind::LoginRefused { remote } => log_refused_login(remote),
            EventKind::Dropped(reason) => drops.log(reason),
            other => debug!("{other:?}"),
        }
    }
    notify::stopping();
    log_counters(&shell.counters());
    Ok(())
}

/// Status of the server.
fn status(
    shell: &mut Shell<classic::Server, Direct<Tun>>,
    tracker: &StatusTracker,
    local: &LocalConfig,
) -> Status {
    let LocalConfig {
        listen,
        device,
        users,
    } = local;
    let mut status = tracker
        .status(Role::Server, Profile::Classic, &device.name, &shell.counters())
        .with_settings(&device_settings(*listen, device));
    let sessions = shell.with_peer(|server, _| server.session_count());
    status.server = Some(tracker.server(*listen, *users, 0, sessions, std::iter::empty()));
    status
}
