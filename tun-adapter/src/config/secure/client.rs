//! The client's configuration file in the secure profile.

use std::path::PathBuf;

use sandhog_proto::IpPrefix;
use sandhog_proto::secure::{Login, Psk};
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use crate::config::device::NameTable;
use crate::config::secret::{SecretSetting, find_password, read_secret};
use crate::config::source::Source;
use crate::config::text::{DeviceName, Endpoint, Text};
use crate::config::{Offload, Profile, networks};
use crate::failure::Failure;

/// A client's configuration, found good.
#[derive(Debug)]
pub struct Client {
    /// Where the server is.
    pub server: Endpoint,
    /// The key that everyone who may knock holds.
    pub psk: Psk,
    /// The user's name.
    pub login: Login,
    /// The user's password; `None`: the user is asked.
    pub password: Option<Zeroizing<String>>,
    /// The name of the tunnel's device on this machine. The server says the rest.
    pub device: DeviceName,
    /// Networks to be reached through the tunnel, besides those that the server offers.
    pub included_routes: Vec<IpPrefix>,
    /// What may be left to the kernel.
    pub offload: Offload,
    /// What the person who starts the client should know.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientFile {
    #[serde(rename = "profile")]
    _profile: Option<Profile>,
    server: Text<Endpoint>,
    key_file: Spanned<PathBuf>,
    login: Spanned<String>,
    password_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    included_routes: Vec<Spanned<Text<IpPrefix>>>,
    #[serde(default)]
    device: NameTable,
    #[serde(default)]
    offload: Offload,
}

impl Client {
    /// Checks the file and those that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub(in crate::config) fn read(source: &Source) -> Result<Self, Failure> {
        let file: ClientFile = source.parse()?;
        let mut warnings = Vec::new();
        let login = Login::new(file.login.get_ref())
            .map_err(|error| source.error(file.login.span(), &error.to_string()))?;
        let psk = read_secret("key-file", &file.key_file, source, &mut warnings)?.into_psk(source)?;
        let password = SecretSetting {
            name: "password",
            inline: None,
            file: file.password_file,
        };
        let password = find_password(password, source, &mut warnings)?
            .map(|found| found.into_new_password(source))
            .transpose()?;
        Ok(Self {
            server: file.server.0,
            psk,
            login,
            password,
            device: file.device.into(),
            included_routes: networks(source, file.included_routes)?,
            offload: file.offload,
            warnings,
        })
    }
}
