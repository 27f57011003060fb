//! Configuration file of a client in the classic profile.

use std::path::PathBuf;

use sandhog_proto::IpPrefix;
use sandhog_proto::classic::{Key, MAX_CREDENTIAL_LEN};
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::config::device::DeviceTable;
use crate::config::metrics::MetricsTable;
use crate::config::secret::{SecretSetting, find_password};
use crate::config::source::Source;
use crate::config::text::{Endpoint, Secret, Text};
use crate::config::{Device, Metrics, Profile, networks};
use crate::failure::Failure;

/// A valid configuration of a client.
#[derive(Debug)]
pub struct Client {
    /// Address of the server.
    pub server: Endpoint,
    /// The key of the server and all clients.
    pub key: Key,
    /// The user's name.
    pub login: String,
    /// The user's password.
    pub password: Zeroizing<String>,
    /// The TUN device on this machine.
    pub device: Device,
    /// Networks to reach through the tunnel, besides those of the device's addresses.
    pub included_routes: Vec<IpPrefix>,
    /// Settings of the metrics endpoint, if there is one.
    pub metrics: Option<Metrics>,
    /// Warnings for the user.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    server: Text<Endpoint>,
    key: Option<Spanned<Text<Secret>>>,
    key_file: Option<Spanned<PathBuf>>,
    login: Spanned<String>,
    password: Option<Spanned<Text<Secret>>>,
    password_file: Option<Spanned<PathBuf>>,
    device: DeviceTable,
    #[serde(default)]
    included_routes: Vec<Spanned<Text<IpPrefix>>>,
    metrics: Option<MetricsTable>,
}

impl Client {
    /// Returns true if the file has the keys of this profile, with any values.
    pub(in crate::config) fn has_fields_of_profile(source: &Source) -> bool {
        source.parse::<ClientFile>().is_ok()
    }

    /// Checks the file.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ClientFile = source.parse()?;
        let mut warnings = Vec::new();
        if !(1..=MAX_CREDENTIAL_LEN).contains(&file.login.get_ref().len()) {
            let message = format!("expected a user name of 1 to {MAX_CREDENTIAL_LEN} bytes");
            return Err(source.error(file.login.span(), &message));
        }
        let key = SecretSetting {
            name: "key",
            inline: file.key,
            file: file.key_file,
        }
        .find(source, &mut warnings)?
        .into_key(source, &mut warnings)?;
        let password = SecretSetting {
            name: "password",
            inline: file.password,
            file: file.password_file,
        };
        let password = find_password(password, source, &mut warnings)?
            .ok_or_else(|| SecretSetting::missing("password", source))?
            .into_password(source)?;
        let included_routes = networks(source, file.included_routes)?;
        Ok(Self {
            server: file.server.0,
            key,
            login: file.login.into_inner(),
            password,
            device: file.device.into(),
            included_routes,
            metrics: Metrics::read(source, file.metrics)?,
            warnings,
        })
    }
}
