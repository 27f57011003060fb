//! Client of the secure profile. The server sends the addresses and routes of its device.

use std::io;
use std::net::{IpAddr, SocketAddr};

use sandhog_proto::secure::{self, Suite};
use sandhog_proto::{Command, EventKind, NetworkSettings, StartError};
use tokio::task::{JoinError, JoinHandle};
use tracing::{debug, info, warn};
use zeroize::Zeroizing;

use super::tickets::TicketFile;
use super::{any_address, explain_login, explain_mark, look_up, note_clock, resolve_or_last_known, stop};
use crate::config::secure::Client;
use crate::config::{DeviceName, Endpoint};
use crate::control::command::{forgotten, nothing_to_reload};
use crate::control::queue::RequestQueue;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::fingerprint::fingerprint;
use crate::net::client::{Network, StaleState};
use crate::plane::Plane;
use crate::service::{DropLog, Signals, log_status, log_stopping, log_warnings};
use crate::shell::Shell;
use crate::status::{ClientStatus, Profile, Role, Status, StatusTracker};
use crate::ticket::Ticket;
use crate::tun::Queue;
use crate::udp::{Options, Socket};
use crate::{clock, notify, password, random};

pub(super) async fn run(mut config: Client, once: bool) -> Result<(), Failure> {
    log_warnings(&config.warnings);
    let password = match config.password.take() {
        Some(password) => password,
        None => password::ask(&format!("{} at {}", config.login, config.server))?,
    };
    let signals = Signals::catch()?;
    let stale = StaleState::clear(&config.device, &config.network).await?;
    let server = resolve_or_last_known(&config.server, stale.servers()).await?;
    let tickets = TicketFile::of(&config.login, &config.server_key);
    let mut client = new_client(&config, server, password, &tickets)?;
    if !once {
        client.retry_start();
    }
    let Client {
        server: endpoint,
        server_key,
        login,
        device,
        network,
        offload,
        workers,
        mtu_search,
        metrics,
        ..
    } = config;
    let queues = Queue::open(&device, workers, offload.tun_segmentation)?;
    let requests = RequestQueue::open(&device, metrics.as_ref())?;
    let mut network = Network::begin(&device, network, stale, &[server]).await?;
    let run = async |network: &mut Network| {
        let options = Options {
            mark: network.mark(),
            allow_fragmentation: !mtu_search,
            ..offload.socket_options()
        };
        let socket = open_socket(server, &options)?;
        let mut client = RunningClient {
            shell: Shell::with_transport(client, Plane::start(queues, vec![socket])?)?,
            device,
            network,
            endpoint,
            server,
            applied: None,
            look_up: None,
            drops: DropLog::default(),
            login,
            fingerprint: fingerprint(&server_key),
            tickets,
            tracker: StatusTracker::new(),
        };
        info!(event = "logging-in", %server, "logging in to {server}");
        client.shell.command(Command::Start);
        let result = client.run(signals, requests).await;
        notify::stopping();
        // Tells the server, also after an error.
        stop(&mut client.shell);
        result
    };
    let result = run(&mut network).await;
    network.end(result).await
}

/// The protocol's client, which does nothing until it is started.
fn new_client(
    config: &Client,
    server: SocketAddr,
    password: Zeroizing<String>,
    tickets: &TicketFile,
) -> Result<secure::Client, Failure> {
    let ticket = tickets.choose(config.ticket, clock::unix_now());
    let mut client = secure::Client::new(secure::ClientConfig {
        psk: config.psk.clone(),
        login: config.login.clone(),
        password,
        suite: Suite::Standard,
        server,
        server_key: config.server_key,
        ticket: ticket.map(Ticket::bytes),
        clock: Some(clock::wall()),
        mtu_search: config.mtu_search,
        seed: random::bytes()?,
    });
    client.set_rekey_after(config.rekey_after);
    client.set_cipher(config.cipher);
    Ok(client)
}

/// Logs a failed login that the client will repeat. `help` is given for the first login only, because a later one had the right
/// address and keys.
fn log_retry(error: StartError, help: Option<&str>) {
    let note = match (error, help) {
        (_, Some(help)) => format!("; help: {help}"),
        (StartError::ConnectionTimedOut, None) => format!(" ({})", note_clock(&clock::utc_text())),
        _ => String::new(),
    };
    warn!(event = "retrying", %error, "login failed: {error}; will retry{note}");
}

/// Opens a socket of the same family as `server`.
fn open_socket(server: SocketAddr, options: &Options) -> Result<Socket, Failure> {
    Socket::bind(any_address(server), options).map_err(|error| match error.kind() {
        // Only the mark needs a privilege.
        io::ErrorKind::PermissionDenied if options.mark.is_some() => explain_mark(error),
        _ => Failure::runtime("open a UDP socket", error),
    })
}

/// A running client.
struct RunningClient<'a> {
    shell: Shell<secure::Client, Plane>,
    device: DeviceName,
    network: &'a mut Network,
    endpoint: Endpoint,
    /// Server address for the next login.
    server: SocketAddr,
    /// Settings in force on the device.
    applied: Option<NetworkSettings>,
    /// The name lookup in progress.
    look_up: Option<JoinHandle<io::Result<Vec<SocketAddr>>>>,
    drops: DropLog,
    /// The user name.
    login: secure::Login,
    /// Fingerprint of the server.
    fingerprint: String,
    tickets: TicketFile,
    tracker: StatusTracker,
}

impl RunningClient<'_> {
    /// Carries packets until a signal.
    async fn run(&mut self, mut signals: Signals, mut requests: RequestQueue) -> Result<(), Failure> {
        loop {
            let event = tokio::select! {
                biased;
                name = signals.stop() => {
                    log_stopping(name);
                    return Ok(());
                }
                pending = requests.next() => {
                    pending.reply_with(|request| match request {
                        Request::Status => Reply::Status(self.status().into()),
                        Request::Reload => nothing_to_reload(),
                        Request::Forget => forgotten(self.forget()),
                    });
                    continue;
                }
                found = finished(&mut self.look_up) => {
                    self.look_up = None;
                    self.use_lookup(found);
                    continue;
                }
                event = self.shell.next_event() => event?,
            };
            self.tracker.on_event(&event.kind);
            match event.kind {
                EventKind::Status(status) => {
                    log_status(status);
                }
                EventKind::Started(Ok(settings)) => {
                    self.apply(settings).await?;
                    let device = &self.device;
                    info!(event = "ready", %device, "ready: the tunnel is up, device {device}");
                    notify::ready("connected");
                }
                EventKind::SettingsChanged(settings) => {
                    let (before, mtu) = (self.applied.as_ref().map(|applied| applied.mtu), settings.mtu);
                    self.apply(settings).await?;
                    // Logged after the device has the new MTU.
                    if before.is_some_and(|before| before != mtu) {
                        info!("the tunnel's MTU is now {mtu} bytes");
                    }
                }
                EventKind::Started(Err(error)) | EventKind::Cancelled(error) => {
                    return Err(explain_login(error, &clock::utc_text()));
                }
                EventKind::Ticket(bytes) => {
                    if let Ok(ticket) = bytes.try_into() {
                        self.tickets.store(Ticket::new(ticket));
                    }
                }
                EventKind::Retrying(error) => {
                    let failure = explain_login(error, &clock::utc_text());
                    let is_first = self.applied.is_none();
                    log_retry(error, failure.help().filter(|_| is_first));
                    // The server's address may have changed.
                    let endpoint = self.endpoint.clone();
                    self.look_up
                        .get_or_insert_with(|| tokio::spawn(look_up(endpoint)));
                }
                EventKind::Roamed { from, to } => {
                    info!(event = "roamed", %from, %to, "the server's address changed from {from} to {to}");
                }
                EventKind::Dropped(reason) => self.drops.log(reason),
                other => debug!("{other:?}"),
            }
        }
    }

    /// Status of the client.
    fn status(&mut self) -> Status {
        let counters = self.shell.counters();
        let status = self
            .tracker
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
        let client = client.with_fingerprint(self.fingerprint.clone());
        status.client = Some(self.shell.with_peer(|peer, _| client.with_session(peer)));
        status
    }

    /// Forgets the session, after a restore of the machine, and logs in again. Returns the number of sessions.
    fn forget(&mut self) -> Result<usize, Failure> {
        let seed = random::bytes()?;
        self.shell.forget(|client, now| {
            let count = usize::from(client.session_info().is_some());
            client.forget_session(now, seed);
            count
        })
    }

    /// Applies the settings from the server.
    async fn apply(&mut self, settings: NetworkSettings) -> Result<(), Failure> {
        self.applied = Some(self.network.apply(settings, self.server.ip()).await?);
        Ok(())
    }

    /// Uses the result of the name lookup for the next login.
    fn use_lookup(&mut self, found: Result<io::Result<Vec<SocketAddr>>, JoinError>) {
        let addresses = match found {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(error)) => {
                debug!("cannot resolve {}: {error}", self.endpoint);
                return;
            }
            Err(error) => {
                debug!("cannot resolve {}: {error}", self.endpoint);
                return;
            }
        };
        let leads_into_tunnel = |address| self.network.leads_into_tunnel(address);
        if let Some(address) = next_server(self.server, &addresses, leads_into_tunnel) {
            info!(event = "server-moved", server = %address, "the server's name now resolves to {address}");
            self.server = address;
            self.shell.with_peer(|client, _| client.set_server(address));
            if let Err(failure) = self.network.note_servers(&[address]) {
                debug!("{}", failure.message());
            }
        }
    }
}

/// The server address for the next login: the first in `found` of the same address family that is not routed
/// into the tunnel. Returns `None` to keep the address `now`, in particular if it is still in `found`.
fn next_server(
    now: SocketAddr,
    found: &[SocketAddr],
    leads_into_tunnel: impl Fn(IpAddr) -> bool,
) -> Option<SocketAddr> {
    if found.contains(&now) {
        return None;
    }
    found
        .iter()
        .copied()
        .find(|address| address.is_ipv4() == now.is_ipv4() && !leads_into_tunnel(address.ip()))
}

/// Waits for the task, or forever if there is none. May be dropped and called again.
async fn finished<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use sandhog_proto::IpPrefix;

    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter()
            .map(|address| address.parse().expect("an address"))
            .collect()
    }

    #[test]
    fn the_next_login_uses_the_first_new_address_outside_the_tunnel() {
        let now: SocketAddr = "198.18.0.1:4000".parse().expect("an address");
        let tunnel: [IpPrefix; 2] =
            ["10.9.0.2/24", "192.0.2.0/24"].map(|text| text.parse().expect("a prefix"));
        let leads_into_tunnel = |address| tunnel.iter().any(|prefix| prefix.contains(address));
        let next = |found: &[&str]| next_server(now, &addresses(found), leads_into_tunnel);
        let expected = Some("203.0.113.1:4000".parse().expect("an address"));
        assert_eq!(
            next(&[
                "[2001:db8::1]:4000",
                "192.0.2.1:4000",
                "10.9.0.1:4000",
                "203.0.113.1:4000"
            ]),
            expected
        );
        assert_eq!(
            next(&["203.0.113.1:4000", "198.18.0.1:4000"]),
            None,
            "the present address is still valid"
        );
        assert_eq!(next(&["[2001:db8::1]:4000"]), None);
        assert_eq!(next(&[]), None);
    }
}
