//! A client of the classic profile: everything but the login stands in its file.

use sandhog_proto::{Command, EventKind, NetworkSettings, classic};
use tracing::{debug, info};

use super::{bind, find_loop, resolve, stop};
use crate::config::classic::Client;
use crate::control::command::nothing_to_reload;
use crate::control::desk::Desk;
use crate::control::{Answer, Question};
use crate::failure::Failure;
use crate::service::{DropLog, Signals, warn_of_classic, warn_of_files};
use crate::shell::Shell;
use crate::status::{ClientStatus, Profile, Progress, Role};
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
        warnings,
    } = config;
    warn_of_classic();
    warn_of_files(&warnings);
    let mut signals = Signals::catch()?;
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
    if let Some(why) = find_loop(&settings, server.ip()) {
        return Err(Failure::input(why)
            .with_help("leave it out, or split it into networks that do not hold the server's address"));
    }
    let tun = Tun::create(&device.name)?;
    let mut desk = Desk::open(&device.name)?;
    let socket = bind(server).await?;
    let client = classic::Client::new(classic::ClientConfig {
        key,
        login: login.clone(),
        password,
        server,
        settings: settings.clone(),
        seed: random::bytes()?,
    });
    let mut shell = Shell::new(client, socket, tun)?;
    info!("logging in to {server}");
    shell.command(Command::Start);

    let (mut drops, mut progress) = (DropLog::default(), Progress::new());
    loop {
        let event = tokio::select! {
            biased;
            name = signals.stop() => {
                info!("{name}: stopping");
                break;
            }
            call = desk.next() => {
                call.answer_with(|question| match question {
                    Question::Status => {
                        let mut status = progress
                            .status(Role::Client, Profile::Classic, &device.name, &shell.counters())
                            .with_settings(&settings);
                        status.client = Some(ClientStatus::new(&login, &endpoint, server, Some(&settings)));
                        Answer::Status(status.into())
                    }
                    Question::Reload => nothing_to_reload(),
                });
                continue;
            }
            event = shell.next_event() => event?,
        };
        progress.note(&event.kind);
        match event.kind {
            EventKind::Status(status) => {
                info!("status: {}", status.name());
                notify::status(status.name());
            }
            EventKind::Started(Ok(settings)) => {
                interface::apply(&device.name, &settings).await?;
                info!("ready: the tunnel is up, device {}", device.name);
                notify::ready("connected");
            }
            EventKind::Started(Err(error)) | EventKind::Cancelled(error) => return Err(error.into()),
            EventKind::Dropped(reason) => drops.tell(reason),
            other => debug!("{other:?}"),
        }
    }
    notify::stopping();
    stop(&mut shell);
    Ok(())
}
