//! Configuration file of a server in the classic profile.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use sandhog_proto::classic::{self, Key, ServerConfig, User};
use serde::Deserialize;
use toml::Spanned;

use crate::config::device::{DeviceTable, OneOrMore};
use crate::config::metrics::MetricsTable;
use crate::config::secret::{SecretSetting, warn_if_world_readable};
use crate::config::source::Source;
use crate::config::text::{Secret, Text};
use crate::config::{Device, Metrics, Profile};
use crate::failure::Failure;

/// A valid configuration of a server.
#[derive(Debug)]
pub struct Server {
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The key of the server and all clients.
    pub key: Key,
    /// The TUN device on this machine.
    pub device: Device,
    /// The users, at least one.
    pub users: Vec<User>,
    /// Settings of the metrics endpoint, if there is one.
    pub metrics: Option<Metrics>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ServerFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    listen: Text<SocketAddr>,
    key: Option<Spanned<Text<Secret>>>,
    key_file: Option<Spanned<PathBuf>>,
    device: DeviceTable,
    users: OneOrMore<UserTable>,
    metrics: Option<MetricsTable>,
}

/// The same keys as a table in the file of a server of the secure profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(in crate::config) struct ServerTable {
    listen: Text<SocketAddr>,
    key: Option<Spanned<Text<Secret>>>,
    key_file: Option<Spanned<PathBuf>>,
    device: DeviceTable,
    users: OneOrMore<UserTable>,
    metrics: Option<MetricsTable>,
}

impl From<ServerFile> for ServerTable {
    fn from(file: ServerFile) -> Self {
        Self {
            listen: file.listen,
            key: file.key,
            key_file: file.key_file,
            device: file.device,
            users: file.users,
            metrics: file.metrics,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct UserTable {
    login: Spanned<String>,
    password_hash: Spanned<String>,
    addresses: OneOrMore<Spanned<Text<IpAddr>>>,
}

impl Server {
    /// Returns true if the file has the keys of this profile, with any values.
    pub(in crate::config) fn has_fields_of_profile(source: &Source) -> bool {
        source.parse::<ServerFile>().is_ok()
    }

    /// Checks the file.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ServerFile = source.parse()?;
        Self::of(source, file.into())
    }

    /// Checks the content of a file or of a table.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub(in crate::config) fn of(source: &Source, file: ServerTable) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        // Anyone who can read a hash can guess the password offline.
        warn_if_world_readable(source.path(), &mut warnings);
        let key = SecretSetting {
            name: "key",
            inline: file.key,
            file: file.key_file,
        }
        .find(source, &mut warnings)?
        .into_key(source, &mut warnings)?;
        let device = Device::from(file.device);
        let users = check_users(source, &device, file.users.0)?;
        Ok(Self {
            listen: file.listen.0,
            key,
            device,
            users,
            metrics: Metrics::read(source, file.metrics)?,
            warnings,
        })
    }
}

/// Checks that user names and addresses are unique, and that each address is in a network of the device.
fn check_users(source: &Source, device: &Device, tables: Vec<UserTable>) -> Result<Vec<User>, Failure> {
    let mut logins = BTreeSet::new();
    let mut owners = BTreeMap::new();
    let mut users = Vec::with_capacity(tables.len());
    for table in tables {
        let login = table.login.get_ref().clone();
        if !logins.insert(login.clone()) {
            return Err(source.error(table.login.span(), &format!("the user `{login}` is listed twice")));
        }
        let mut addresses = Vec::with_capacity(table.addresses.0.len());
        for address in table.addresses.0 {
            let place = address.span();
            let address = address.into_inner().0;
            if device.addresses.iter().any(|own| own.address == address) {
                return Err(source.error(place, &format!("{address} is the server's own address")));
            }
            if let Some(owner) = owners.insert(address, login.clone()) {
                return Err(source.error(place, &format!("{address} already belongs to the user `{owner}`")));
            }
            if !device.addresses.iter().any(|network| network.contains(address)) {
                let networks: Vec<_> = device.addresses.iter().map(ToString::to_string).collect();
                let networks = networks.join(", ");
                return Err(source
                    .error(
                        place,
                        &format!("{address} is not in a network of the device ({networks})"),
                    )
                    .with_help(
                        "use an address from one of these networks, or shorten a prefix under [device]",
                    ));
            }
            addresses.push(address);
        }
        let place = table.password_hash.span();
        let user = User {
            login,
            password_hash: table.password_hash.into_inner(),
            addresses,
        };
        check_with_protocol(&user, device).map_err(|error| {
            source
                .error(place, &error.to_string())
                .with_help("create one with `sandhog hash-password`")
        })?;
        users.push(user);
    }
    Ok(users)
}

/// Checks that the protocol accepts this user. Only the password hash can still be invalid, and only the
/// protocol can check it. The server created here never runs.
fn check_with_protocol(user: &User, device: &Device) -> Result<(), classic::ConfigError> {
    let config = ServerConfig {
        key: Key::new([0; 32]),
        users: vec![user.clone()],
        mtu: device.mtu,
        seed: [0; 32],
    };
    classic::Server::new(config).map(drop)
}
