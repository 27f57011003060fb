//! A client of the secure profile: the server says which addresses and routes the device gets.

use std::fs;
use std::io;
use std::net::SocketAddr;

use sandhog_proto::secure::{self, Suite};
use sandhog_proto::{Command, EventKind, IpPrefix, NetworkSettings};
use tokio::task::{JoinError, JoinHandle};
use tracing::{debug, info, warn};

use super::{bind, find_loop, look_up, resolve, stop};
use crate::config::secure::Client;
use crate::config::{DeviceName, Endpoint};
use crate::control::command::nothing_to_reload;
use crate::control::desk::Desk;
use crate::control::{Answer, Question};
use crate::failure::Failure;
use crate::net::record::Ledger;
use crate::service::{DropLog, Signals, warn_of_files};
use crate::shell::Shell;
use crate::status::{ClientStatus, Profile, Progress, Role, Status};
use crate::tun::Tun;
use crate::{interface, notify, password, random};

pub(super) async fn run(config: Client) -> Result<(), Failure> {
    let Client {
        server: endpoint,
        psk,
        login,
        password,
        device,
        included_routes,
        offload: _,
        warnings,
    } = config;
    warn_of_files(&warnings);
    let password = match password {
        Some(password) => password,
        None => password::ask(&format!("{login} at {endpoint}"))?,
    };
    let signals = Signals::catch()?;
    let left = Ledger::clear(&device, false).await?;
    let server = resolve(&endpoint).await?;
    let tun = Tun::create(&device)?;
    let desk = Desk::open(&device)?;
    let socket = bind(server).await?;
    let ledger = Ledger::begin(&device, left)?;
    let client = secure::Client::new(secure::ClientConfig {
        psk,
        login: login.clone(),
        password,
        suite: Suite::Standard,
        server,
        mtu_search: false,
        seed: random::bytes()?,
    });
    let mut shell = Shell::new(client, socket, tun)?;
    info!("logging in to {server}");
    shell.command(Command::Start);
    let mut life = Life {
        shell,
        device,
        endpoint,
        server,
        included_routes,
        applied: None,
        look_up: None,
        drops: DropLog::default(),
        login,
        progress: Progress::new(),
    };
    let result = life.run(signals, desk).await;
    notify::stopping();
    // However it ends, the server is told.
    stop(&mut life.shell);
    let undone = ledger.end().await;
    result.and(undone)
}

/// A client at work.
struct Life {
    shell: Shell<secure::Client, Tun>,
    device: DeviceName,
    endpoint: Endpoint,
    /// Where the next login goes to.
    server: SocketAddr,
    /// The routes of the file, which join those of the server.
    included_routes: Vec<IpPrefix>,
    /// What the device has.
    applied: Option<NetworkSettings>,
    /// The server's name is being looked up again.
    look_up: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
    drops: DropLog,
    /// The user's name.
    login: secure::Login,
    progress: Progress,
}

impl Life {
    /// Carries packets until a signal.
    async fn run(&mut self, mut signals: Signals, mut desk: Desk) -> Result<(), Failure> {
        loop {
            let event = tokio::select! {
                biased;
                name = signals.stop() => {
                    info!("{name}: stopping");
                    return Ok(());
                }
                call = desk.next() => {
                    call.answer_with(|question| match question {
                        Question::Status => Answer::Status(self.status().into()),
                        Question::Reload => nothing_to_reload(),
                    });
                    continue;
                }
                found = answer(&mut self.look_up) => {
                    self.look_up = None;
                    self.follow(found);
                    continue;
                }
                event = self.shell.next_event() => event?,
            };
            self.progress.note(&event.kind);
            match event.kind {
                EventKind::Status(status) => {
                    info!("status: {}", status.name());
                    notify::status(status.name());
                }
                EventKind::Started(Ok(settings)) => {
                    self.apply(settings).await?;
                    info!("ready: the tunnel is up, device {}", self.device);
                    notify::ready("connected");
                }
                EventKind::SettingsChanged(settings) => self.apply(settings).await?,
                EventKind::Started(Err(error)) | EventKind::Cancelled(error) => return Err(error.into()),
                EventKind::Retrying(error) => {
                    warn!("cannot log in again: {error}; trying further");
                    // The name may lead somewhere else by now.
                    let endpoint = self.endpoint.clone();
                    self.look_up
                        .get_or_insert_with(|| tokio::spawn(look_up(endpoint)));
                }
                EventKind::Roamed { from, to } => info!("the server has moved from {from} to {to}"),
                EventKind::Dropped(reason) => self.drops.tell(reason),
                other => debug!("{other:?}"),
            }
        }
    }

    /// How the client is.
    fn status(&mut self) -> Status {
        let counters = self.shell.counters();
        let status = self
            .progress
            .status(Role::Client, Profile::Secure, &self.device, &counters);
        let mut status = match &self.applied {
            Some(settings) => status.with_settings(settings),
            None => status,
        };
        let client = ClientStatus::new(
            self.login.as_str(),
            &self.endpoint,
            self.server,
            self.applied.as_ref(),
        );
        status.client = Some(self.shell.with_peer(|peer, _| client.with_session(peer)));
        status
    }

    /// Gives the device what the server says, and the routes of the file.
    async fn apply(&mut self, mut settings: NetworkSettings) -> Result<(), Failure> {
        for route in &self.included_routes {
            if !settings.included_routes.contains(route) {
                settings.included_routes.push(*route);
            }
        }
        if let Some(why) = find_loop(&settings, self.server.ip()) {
            return Err(Failure::input(why).with_help(
                "have it left out of `included-routes` here and of the server's `routes`, or split it into networks \
                 that do not hold the server's address",
            ));
        }
        if is_ipv6_off(&self.device) {
            let before = settings.addresses.len();
            settings.addresses.retain(|prefix| prefix.address.is_ipv4());
            settings.included_routes.retain(|prefix| prefix.address.is_ipv4());
            if settings.addresses.len() < before {
                warn!("IPv6 is switched off on this machine: the tunnel carries IPv4 only");
            }
        }
        match &self.applied {
            Some(old) => interface::change(&self.device, old, &settings).await?,
            None => interface::apply(&self.device, &settings).await?,
        }
        let addresses: Vec<_> = settings.addresses.iter().map(ToString::to_string).collect();
        info!("addresses: {}", addresses.join(", "));
        if !settings.dns_servers.is_empty() || !settings.search_domains.is_empty() {
            warn!(
                "the server offers name servers or search domains; this program does not apply them yet: {:?} {:?}",
                settings.dns_servers, settings.search_domains
            );
        }
        self.applied = Some(settings);
        Ok(())
    }

    /// Has the next login go where the server's name leads now.
    fn follow(&mut self, found: Result<io::Result<Vec<SocketAddr>>, JoinError>) {
        let addresses = match found {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                debug!("cannot look up {}: {error}", self.endpoint);
                return;
            }
            Err(error) => {
                debug!("cannot look up {}: {error}", self.endpoint);
                return;
            }
        };
        if let Some(address) = next_server(self.server, &addresses, self.applied.as_ref()) {
            info!("the server's name leads to {address} now");
            self.server = address;
            self.shell.with_peer(|client, _| client.set_server(address));
        }
    }
}

/// Where to log in next, if the server's name leads to `found` and no longer to `now`: the first address that the socket,
/// which is of one family, can reach, and not through the tunnel itself.
fn next_server(
    now: SocketAddr,
    found: &[SocketAddr],
    applied: Option<&NetworkSettings>,
) -> Option<SocketAddr> {
    if found.contains(&now) {
        return None;
    }
    let leads_into_tunnel =
        |address: SocketAddr| applied.is_some_and(|settings| find_loop(settings, address.ip()).is_some());
    found
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == now.is_ipv4() && !leads_into_tunnel(*address))
}

/// Waits for the answer if there was a question, and for ever if not. May be dropped and called again.
async fn answer<T>(question: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match question {
        Some(question) => question.await,
        None => std::future::pending().await,
    }
}

/// Whether the kernel takes no IPv6 addresses for the device.
fn is_ipv6_off(device: &DeviceName) -> bool {
    fs::read_to_string(format!("/proc/sys/net/ipv6/conf/{device}/disable_ipv6"))
        .map_or(true, |switch| switch.trim() != "0")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|address| address.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn a_server_is_followed_to_the_first_address_that_can_be_reached_outside_the_tunnel() {
        let now: SocketAddr = "198.18.0.1:4000".parse().expect("an address");
        let settings = NetworkSettings {
            tunnel_remote_address: now.ip(),
            addresses: vec!["10.9.0.2/24".parse().expect("a prefix")],
            included_routes: vec!["192.0.2.0/24".parse().expect("a prefix")],
            excluded_routes: Vec::new(),
            dns_servers: Vec::new(),
            search_domains: Vec::new(),
            mtu: 1420,
        };
        let next = |found: &[&str]| next_server(now, &addresses(found), Some(&settings));
        let there = Some("203.0.113.1:4000".parse().expect("an address"));
        assert_eq!(
            next(&[
                "[2001:db8::1]:4000",
                "192.0.2.1:4000",
                "10.9.0.1:4000",
                "203.0.113.1:4000"
            ]),
            there
        );
        assert_eq!(
            next(&["203.0.113.1:4000", "198.18.0.1:4000"]),
            None,
            "it is still there"
        );
        assert_eq!(next(&["[2001:db8::1]:4000"]), None);
        assert_eq!(next(&[]), None);
    }
}
