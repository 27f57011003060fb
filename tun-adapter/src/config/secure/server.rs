//! Configuration file of a server in the secure profile.

use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sandhog_proto::IpPrefix;
use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::{self, ConfigError, ServerConfig, ServerSetup, Suite, UserStore, WallClock};
use serde::Deserialize;
use toml::Spanned;

use super::keys::Keys;
use crate::config::choice::Choice;
use crate::config::cipher::CipherChoice;
use crate::config::classic::{self, ServerTable};
use crate::config::device::DeviceTable;
use crate::config::metrics::MetricsTable;
use crate::config::secret::warn_if_world_readable;
use crate::config::source::Source;
use crate::config::text::Text;
use crate::config::{Device, Metrics, Offload, Profile, Role, Workers, networks, role_of};
use crate::credentials;
use crate::failure::Failure;
use crate::users::UsersFile;

/// Default of `keepalive`: a client pings after this many seconds without sending. Short enough for NAT
/// routers that forget a mapping after 30 s.
const KEEPALIVE: u16 = 25;

/// A valid configuration of a server.
#[derive(Debug)]
pub struct Server {
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The configuration file.
    pub path: PathBuf,
    /// The files with the pre-shared keys, without credentials of the service manager.
    pub key_files: Vec<PathBuf>,
    /// The pre-shared keys.
    pub keys: Keys,
    /// The server's own secrets: its keys, and its part of all passwords.
    pub setup: ServerSetup,
    /// The users.
    pub users: UserStore,
    /// The file with the users.
    pub users_file: UsersFile,
    /// The TUN device on this machine. Clients get addresses from its networks.
    pub device: Device,
    /// Settings that the server sends to its clients.
    pub clients: ClientSettings,
    /// Offload features in use.
    pub offload: Offload,
    /// Number of packet threads, at least one.
    pub workers: usize,
    /// The preferred cipher. It is used for clients that prefer it too.
    pub cipher: Cipher,
    /// The clocks of clients that may log in.
    pub clock: ClockCheck,
    /// Forwarding of the clients' packets.
    pub forwarding: Forwarding,
    /// A server of the classic profile in the same process, with its own device.
    pub classic: Option<Box<classic::Server>>,
    /// Settings of the metrics endpoint, if there is one.
    pub metrics: Option<Metrics>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

/// The clocks of clients that may log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClockCheck {
    /// Clocks that differ from the server's by at most 30 s. A recorded first message of a login gets no reply.
    #[default]
    Checked,
    /// All clocks. Anyone who has recorded the first message of a login can send it again and find the server.
    Unchecked,
}

/// Handling of the clients' packets to other networks.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    /// True if the machine forwards them.
    #[serde(rename = "enabled", default)]
    pub is_enabled: bool,
    /// True if it replaces their source addresses by its own (NAT).
    #[serde(rename = "masquerade", default)]
    pub masquerades: bool,
}

/// Settings that the server sends to every client.
#[derive(Debug)]
pub struct ClientSettings {
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// Networks that clients reach through the tunnel, besides those of the device.
    pub routes: Vec<IpPrefix>,
    /// Seconds without sending after which a client pings.
    pub keepalive: u16,
    /// True if clients cannot reach each other through the tunnel.
    pub isolated: bool,
}

/// The settings that `sandhog user` needs.
#[derive(Debug)]
pub struct UserFiles {
    /// Name of the file with the pre-shared key, for a client's file.
    pub key_name: String,
    /// The server's own secrets: its keys, and its part of all passwords.
    pub setup: ServerSetup,
    /// The file with the users.
    pub users: UsersFile,
    /// The server's own addresses with the prefixes of the networks for the users' addresses.
    pub networks: Vec<IpPrefix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    listen: Text<SocketAddr>,
    key_file: Spanned<PathBuf>,
    second_key_file: Option<Spanned<PathBuf>>,
    setup_file: Spanned<PathBuf>,
    users_file: Spanned<PathBuf>,
    device: Spanned<DeviceTable>,
    clients: Option<Spanned<ClientsTable>>,
    forwarding: Option<Spanned<Forwarding>>,
    classic: Option<Spanned<ServerTable>>,
    #[serde(default)]
    offload: Offload,
    #[serde(default)]
    workers: Workers,
    #[serde(default)]
    cipher: Choice<CipherChoice>,
    #[serde(default)]
    clock: Choice<ClockCheck>,
    metrics: Option<MetricsTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientsTable {
    #[serde(default)]
    dns: Vec<Text<IpAddr>>,
    #[serde(default)]
    search: Vec<String>,
    #[serde(default)]
    routes: Vec<Spanned<Text<IpPrefix>>>,
    keepalive: Option<u16>,
    isolated: Option<bool>,
}

impl ServerFile {
    /// The names of the key files.
    const fn keys(&self) -> (&Spanned<PathBuf>, Option<&Spanned<PathBuf>>) {
        (&self.key_file, self.second_key_file.as_ref())
    }

    /// Returns the paths of the key files, without credentials of the service manager.
    fn key_files(&self, source: &Source) -> Vec<PathBuf> {
        std::iter::once(&self.key_file)
            .chain(&self.second_key_file)
            .map(Spanned::get_ref)
            .filter(|path| credentials::name_in(path).is_none())
            .map(|path| source.resolve(path))
            .collect()
    }
}

impl ClientSettings {
    fn read(source: &Source, table: Option<ClientsTable>) -> Result<Self, Failure> {
        let table = table.unwrap_or(ClientsTable {
            dns: Vec::new(),
            search: Vec::new(),
            routes: Vec::new(),
            keepalive: None,
            isolated: None,
        });
        Ok(Self {
            dns: table.dns.into_iter().map(|address| address.0).collect(),
            search: table.search,
            routes: networks(source, table.routes)?,
            keepalive: table.keepalive.unwrap_or(KEEPALIVE),
            isolated: table.isolated.unwrap_or(true),
        })
    }
}

impl Server {
    /// Checks the file and the files that it names.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ServerFile = source.parse()?;
        let mut warnings = Vec::new();
        let keys = Keys::read(source, file.keys(), &mut warnings)?;
        let key_files = file.key_files(source);
        let setup = read_setup(source, &file.setup_file, &mut warnings)?;
        let users_file = users_file(source, &file.users_file)?;
        let users = users_file.load()?;
        warn_if_world_readable(users_file.path(), &mut warnings);
        let device_place = file.device.span();
        let clients_place = file.clients.as_ref().map_or(0..0, Spanned::span);
        let device = Device::from(file.device.into_inner());
        let listen = file.listen.0;
        let metrics = Metrics::read(source, file.metrics)?;
        let classic = file
            .classic
            .map(|table| read_classic(source, table, (&device, listen, metrics.as_ref())))
            .transpose()?;
        let server = Self {
            listen,
            path: source.path().to_owned(),
            key_files,
            keys,
            setup,
            users,
            users_file,
            device,
            forwarding: file.forwarding.map_or_else(
                || Ok(Forwarding::default()),
                |table| check_forwarding(source, &table),
            )?,
            classic,
            clients: ClientSettings::read(source, file.clients.map(Spanned::into_inner))?,
            offload: file.offload,
            workers: file.workers.0,
            cipher: file.cipher.0.into(),
            clock: file.clock.0,
            metrics,
            warnings,
        };
        server.check_with_protocol(source, device_place, clients_place)?;
        Ok(server)
    }

    /// Reads only the pre-shared keys, from the configuration file at `path`. Returns them with warnings for the user.
    ///
    /// # Errors
    ///
    /// If the file is not one of a server, or if a key file cannot be read or has no usable key.
    pub fn load_keys(path: &Path) -> Result<(Keys, Vec<String>), Failure> {
        let source = Source::read(path)?;
        let file: ServerFile = source.parse()?;
        let mut warnings = Vec::new();
        let keys = Keys::read(&source, file.keys(), &mut warnings)?;
        Ok((keys, warnings))
    }

    /// Checks that the protocol accepts the configuration. The server created here never runs.
    fn check_with_protocol(
        &self,
        source: &Source,
        device: Range<usize>,
        clients: Range<usize>,
    ) -> Result<(), Failure> {
        secure::Server::new(self.protocol([0; 32], None))
            .map(drop)
            .map_err(|error| match &error {
                ConfigError::Addresses | ConfigError::Pool(..) => source.error(device, &error.to_string()),
                ConfigError::Settings(_) | ConfigError::SettingsTooLong => {
                    source.error(clients, &error.to_string())
                }
                _ => self.users_file.explain(&error),
            })
    }

    /// The configuration for the protocol. `clock` is the clock of this machine.
    #[must_use]
    pub fn protocol(&self, seed: [u8; 32], clock: Option<WallClock>) -> ServerConfig {
        ServerConfig {
            psk: self.keys.first.clone(),
            second_psk: self.keys.second.clone(),
            setup: self.setup.clone(),
            users: self.users.clone(),
            suite: Suite::Standard,
            addresses: self.device.addresses.clone(),
            mtu: self.device.mtu,
            dns: self.clients.dns.clone(),
            search: self.clients.search.clone(),
            routes: self.clients.routes.clone(),
            keepalive: self.clients.keepalive,
            isolate_clients: self.clients.isolated,
            clock,
            checks_clock: self.clock == ClockCheck::Checked,
            seed,
        }
    }
}

impl UserFiles {
    /// Reads the server's file at `path`, without the users.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        if let Some(Profile::Classic) = crate::config::profile_of(&source)? {
            let message = format!("{} is a file of the classic profile", path.display());
            return Err(Failure::input(message).with_help(
                "its users are in the file itself, under [[users]]; `sandhog hash-password` prints a `password-hash`",
            ));
        }
        if matches!(role_of(path), Ok(Role::Client)) {
            let message = format!("{} is a client's file", path.display());
            return Err(Failure::input(message).with_help(
                "the users belong to the server; name the server's file, for example `server.toml`",
            ));
        }
        let file: ServerFile = source.parse()?;
        Ok(Self {
            key_name: key_name(file.key_file.get_ref()),
            setup: read_setup(&source, &file.setup_file, &mut Vec::new())?,
            users: users_file(&source, &file.users_file)?,
            networks: Device::from(file.device.into_inner()).addresses,
        })
    }
}

/// The name for a client's copy of the file with the pre-shared key.
fn key_name(path: &Path) -> String {
    let name = match credentials::name_in(path) {
        Some(credential) => Some(credential),
        None => path.file_name().and_then(OsStr::to_str),
    };
    // The name is also part of a comment, which ends at a line feed.
    let printable = name.filter(|name| !name.contains(char::is_control));
    printable.unwrap_or("sandhog.key").to_owned()
}

fn check_forwarding(source: &Source, table: &Spanned<Forwarding>) -> Result<Forwarding, Failure> {
    let forwarding = *table.get_ref();
    if forwarding.masquerades && !forwarding.is_enabled {
        let message = "`masquerade` has no effect without forwarding";
        return Err(source
            .error(table.span(), message)
            .with_help("add `enabled = true` to [forwarding]"));
    }
    Ok(forwarding)
}

/// Checks the table `[classic]`. It must not share device, port or networks with the secure profile.
fn read_classic(
    source: &Source,
    table: Spanned<ServerTable>,
    (device, listen, metrics): (&Device, SocketAddr, Option<&Metrics>),
) -> Result<Box<classic::Server>, Failure> {
    let place = table.span();
    let server = classic::Server::of(source, table.into_inner())?;
    let wrong = |message: String, help: &str| Err(source.error(place.clone(), &message).with_help(help));
    if server.device.name == device.name {
        return wrong(
            format!("the secure profile already uses the device `{}`", device.name),
            "use another `name` under [classic.device]",
        );
    }
    if server.listen.port() == listen.port() {
        return wrong(
            format!("the secure profile already uses the port {}", listen.port()),
            "use another port in `listen` under [classic]",
        );
    }
    if let (Some(own), Some(other)) = (&server.metrics, metrics)
        && own.listen == other.listen
    {
        return wrong(
            format!("the metrics of the secure profile already use {}", other.listen),
            "use another port in `listen` under [classic.metrics]",
        );
    }
    for own in &server.device.addresses {
        let overlaps = |other: &&IpPrefix| own.contains(other.address) || other.contains(own.address);
        if let Some(other) = device.addresses.iter().find(overlaps) {
            return wrong(
                format!("the networks {own} and {other} overlap"),
                "use other networks under [classic.device]",
            );
        }
    }
    Ok(server.into())
}

fn read_setup(
    source: &Source,
    path: &Spanned<PathBuf>,
    warnings: &mut Vec<String>,
) -> Result<ServerSetup, Failure> {
    let file = source.open("setup-file", path).map_err(|failure| {
        failure.with_help(
            "restore it from a backup; `sandhog init` creates one for a new server, but with a new one \
             no existing user can log in",
        )
    })?;
    warn_if_world_readable(file.path(), warnings);
    secure::setup_from_text(file.text()).map_err(|error| file.error(0..0, &error.to_string()))
}

fn users_file(source: &Source, path: &Spanned<PathBuf>) -> Result<UsersFile, Failure> {
    UsersFile::at(&source.resolve(path.get_ref())).map_err(|error| {
        source
            .unreadable("users-file", path, &error)
            .with_help("restore it from a backup; `sandhog init` creates an empty one for a new server")
    })
}
