//! The server's configuration file in the classic profile.

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

/// A server's configuration, found good.
#[derive(Debug)]
pub struct Server {
    /// The UDP address to listen on.
    pub listen: SocketAddr,
    /// The key that server and clients share.
    pub key: Key,
    /// The tunnel's device on this machine.
    pub device: Device,
    /// Who may log in, at least one.
    pub users: Vec<User>,
    /// Where metrics are given out, if at all.
    pub metrics: Option<Metrics>,
    /// What the person who starts the server should know.
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

/// The same as a table in the file of a server of the secure profile.
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
    /// Whether the file has the form of this profile, whatever its values.
    pub(in crate::config) fn has_fields_of_profile(source: &Source) -> bool {
        source.parse::<ServerFile>().is_ok()
    }

    /// Checks the file.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ServerFile = source.parse()?;
        Self::of(source, file.into())
    }

    /// Checks what stands in a file, as the whole of it or as a table.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub(in crate::config) fn of(source: &Source, file: ServerTable) -> Result<Self, Failure> {
        let mut warnings = Vec::new();
        // Somebody who reads a hash can guess the password at leisure.
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

/// Logins and addresses are unique, and each address can be reached through the device.
fn check_users(source: &Source, device: &Device, tables: Vec<UserTable>) -> Result<Vec<User>, Failure> {
    let mut logins = BTreeSet::new();
    let mut owners = BTreeMap::new();
    let mut users = Vec::with_capacity(tables.len());
    for table in tables {
        let login = table.login.get_ref().clone();
        if !logins.insert(login.clone()) {
            return Err(source.error(
                table.login.span(),
                &format!("the user `{login}` stands here twice"),
            ));
        }
        let mut addresses = Vec::with_capacity(table.addresses.0.len());
        for address in table.addresses.0 {
            let place = address.span();
            let address = address.into_inner().0;
            if device.addresses.iter().any(|own| own.address == address) {
                return Err(source.error(place, &format!("{address} is the server's own address")));
            }
            if let Some(owner) = owners.insert(address, login.clone()) {
                return Err(source.error(place, &format!("{address} belongs to the user `{owner}` already")));
            }
            if !device.addresses.iter().any(|network| network.contains(address)) {
                let networks: Vec<_> = device.addresses.iter().map(ToString::to_string).collect();
                let networks = networks.join(", ");
                return Err(source
                    .error(
                        place,
                        &format!("{address} lies in no network of the device ({networks})"),
                    )
                    .with_help("take an address from one of them, or widen a prefix under [device]"));
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
                .with_help("`sandhog hash-password` makes one")
        })?;
        users.push(user);
    }
    Ok(users)
}

/// Whether the protocol takes this user. What is left to find wrong is the password hash, and only the protocol knows
/// which ones it can verify. The server made here never runs.
fn check_with_protocol(user: &User, device: &Device) -> Result<(), classic::ConfigError> {
    let config = ServerConfig {
        key: Key::new([0; 32]),
        users: vec![user.clone()],
        mtu: device.mtu,
        seed: [0; 32],
    };
    classic::Server::new(config).map(drop)
}
