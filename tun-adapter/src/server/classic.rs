//! A server of the classic profile: its file names the users and their addresses.

use sandhog_proto::{EventKind, classic};
use tracing::{debug, info};

use super::{bind, own_settings};
use crate::config::classic::Server;
use crate::failure::Failure;
use crate::service::{DropLog, Signals, tell_counters, warn_of_classic, warn_of_files};
use crate::shell::Shell;
use crate::tun::Tun;
use crate::{interface, random};

pub(super) async fn run(config: Server) -> Result<(), Failure> {
    let Server {
        listen,
        key,
        device,
        users,
        warnings,
    } = config;
    warn_of_classic();
    warn_of_files(&warnings);
    let mut signals = Signals::catch()?;
    let socket = bind(listen).await?;
    let tun = Tun::create(&device.name)?;
    interface::apply(&device.name, &own_settings(listen, &device)).await?;
    let server = classic::Server::new(classic::ServerConfig {
        key,
        users,
        mtu: device.mtu,
        seed: random::bytes()?,
    })
    .map_err(|error| Failure::input(error.to_string()))?;
    let mut shell = Shell::new(server, socket, tun)?;
    info!("ready: listening on {listen}, device {}", device.name);

    let mut drops = DropLog::default();
    loop {
        let event = tokio::select! {
            biased;
            name = signals.stop() => {
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
