//! The server's configuration file in the secure profile.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::path::{Path, PathBuf};

use sandhog_proto::IpPrefix;
use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::{self, ConfigError, Psk, ServerConfig, ServerSetup, Suite, UserStore};
use serde::Deserialize;
use toml::Spanned;

use crate::config::choice::Choice;
use crate::config::cipher::CipherChoice;
use crate::config::classic::{self, ServerTable};
use crate::config::device::DeviceTable;
use crate::config::metrics::MetricsTable;
use crate::config::secret::{read_secret, warn_if_world_readable};
use crate::config::source::Source;
use crate::config::text::Text;
use crate::config::{Device, Metrics, Offload, Profile, Workers, networks};
use crate::failure::Failure;
use crate::users::UsersFile;

/// After how many seconds without sending a client pings where the file does not say: often enough for the 30 s after
/// which the most forgetful home routers forget a mapping.
const KEEPALIVE: u16 = 25;

/// A server's configuration, found good.
#[derive(Debug)]
pub struct Server {
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The key that everyone who may knock holds.
    pub psk: Psk,
    /// The server's part of all passwords.
    pub setup: ServerSetup,
    /// Who may log in.
    pub users: UserStore,
    /// The file that the users are kept in.
    pub users_file: UsersFile,
    /// The tunnel's device on this machine. Clients get their addresses from its networks.
    pub device: Device,
    /// What the clients are told besides.
    pub clients: ClientSettings,
    /// What may be left to the kernel.
    pub offload: Offload,
    /// How many threads move packets, at least one.
    pub workers: usize,
    /// With what packets are sealed, if their client would rather have it as well.
    pub cipher: Cipher,
    /// Whether the machine becomes a router for them.
    pub forwarding: Forwarding,
    /// A server of the classic profile that runs beside it, on a device of its own.
    pub classic: Option<Box<classic::Server>>,
    /// Where metrics are given out, if at all.
    pub metrics: Option<Metrics>,
    /// What the person who starts the server should know.
    pub warnings: Vec<String>,
}

/// What the machine does with the clients' packets to other networks.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Forwarding {
    /// Whether it passes them on.
    #[serde(rename = "enabled", default)]
    pub is_enabled: bool,
    /// Whether it does so under its own addresses.
    #[serde(rename = "masquerade", default)]
    pub masquerades: bool,
}

/// What every client is told.
#[derive(Debug)]
pub struct ClientSettings {
    /// Name servers.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub search: Vec<String>,
    /// What the clients reach through the tunnel besides the device's networks.
    pub routes: Vec<IpPrefix>,
    /// After how many seconds without sending a client pings.
    pub keepalive: u16,
    /// Whether clients are kept apart: none reaches an address of another.
    pub isolated: bool,
}

/// What the commands on users need of the file.
#[derive(Debug)]
pub struct UserFiles {
    /// The server's part of all passwords.
    pub setup: ServerSetup,
    /// The file that the users are kept in.
    pub users: UsersFile,
    /// The server's own addresses with the prefixes of the networks that users can have addresses of.
    pub networks: Vec<IpPrefix>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    listen: Text<SocketAddr>,
    key_file: Spanned<PathBuf>,
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
    /// Checks the file and those that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ServerFile = source.parse()?;
        let mut warnings = Vec::new();
        let psk = read_secret("key-file", &file.key_file, source, &mut warnings)?.into_psk(source)?;
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
            psk,
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
            metrics,
            warnings,
        };
        server.check_with_protocol(source, device_place, clients_place)?;
        Ok(server)
    }

    /// Whether the protocol takes all this. The server made here never runs.
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

    /// The same for the protocol. `unix_origin` is what the clock of the world showed at the origin of the protocol's.
    #[must_use]
    pub fn protocol(&self, seed: [u8; 32], unix_origin: Option<u64>) -> ServerConfig {
        ServerConfig {
            psk: self.psk.clone(),
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
            unix_origin,
            seed,
        }
    }
}

impl UserFiles {
    /// Reads the server's file at `path` for what the commands on users need, and the setup. The users are not read.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        if let Some(Profile::Classic) = crate::config::profile_of(&source)? {
            let message = format!("{} is of the classic profile", path.display());
            return Err(Failure::input(message).with_help(
                "its users stand in that file itself, under [[users]]; `sandhog hash-password` makes a `password-hash`",
            ));
        }
        let file: ServerFile = source.parse()?;
        Ok(Self {
            setup: read_setup(&source, &file.setup_file, &mut Vec::new())?,
            users: users_file(&source, &file.users_file)?,
            networks: Device::from(file.device.into_inner()).addresses,
        })
    }
}

fn check_forwarding(source: &Source, table: &Spanned<Forwarding>) -> Result<Forwarding, Failure> {
    let forwarding = *table.get_ref();
    if forwarding.masquerades && !forwarding.is_enabled {
        let message = "`masquerade` is about packets that are forwarded, and forwarding is not enabled";
        return Err(source
            .error(table.span(), message)
            .with_help("add `enabled = true` to [forwarding]"));
    }
    Ok(forwarding)
}

/// A server of the classic profile beside the one that has this device and these addresses. It shares nothing with it.
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
            format!("the device `{}` is that of the secure profile", device.name),
            "give [classic.device] a `name` of its own",
        );
    }
    if server.listen.port() == listen.port() {
        return wrong(
            format!("the port {} is that of the secure profile", listen.port()),
            "give [classic] a port of its own in `listen`",
        );
    }
    if let (Some(own), Some(other)) = (&server.metrics, metrics)
        && own.listen == other.listen
    {
        return wrong(
            format!(
                "the metrics of the secure profile are at {} already",
                other.listen
            ),
            "give [classic.metrics] a port of its own in `listen`",
        );
    }
    for own in &server.device.addresses {
        let overlaps = |other: &&IpPrefix| own.contains(other.address) || other.contains(own.address);
        if let Some(other) = device.addresses.iter().find(overlaps) {
            return wrong(
                format!("the networks of {own} and {other} overlap"),
                "give [classic.device] networks of its own",
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
            "restore it from a backup; `sandhog init` makes a new one for a new server, and with a new one \
             no old user can log in",
        )
    })?;
    warn_if_world_readable(file.path(), warnings);
    secure::setup_from_text(file.text()).map_err(|error| file.error(0..0, &error.to_string()))
}

fn users_file(source: &Source, path: &Spanned<PathBuf>) -> Result<UsersFile, Failure> {
    UsersFile::at(&source.resolve(path.get_ref())).map_err(|error| {
        source
            .unreadable("users-file", path, &error)
            .with_help("restore it from a backup; `sandhog init` makes an empty one for a new server")
    })
}
