//! The client's configuration file.

use std::path::{Path, PathBuf};

use sandhog_proto::IpPrefix;
use sandhog_proto::classic::{Key, MAX_CREDENTIAL_LEN};
use serde::Deserialize;
use toml::Spanned;
use zeroize::Zeroizing;

use super::secret::SecretSetting;
use super::source::Source;
use super::text::{Endpoint, Secret, Text};
use super::{Device, DeviceTable, Profile};
use crate::failure::Failure;

/// A client's configuration, found good.
#[derive(Debug)]
pub struct Client {
    /// Where the server is.
    pub server: Endpoint,
    /// The key that server and clients share.
    pub key: Key,
    /// The user's name.
    pub login: String,
    /// The user's password.
    pub password: Zeroizing<String>,
    /// The tunnel's device on this machine.
    pub device: Device,
    /// Networks to be reached through the tunnel, besides those of the device's addresses.
    pub included_routes: Vec<IpPrefix>,
    /// What the person who starts the client should know.
    pub warnings: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct ClientFile {
    #[serde(rename = "profile")]
    _profile: Profile,
    server: Text<Endpoint>,
    key: Option<Spanned<Text<Secret>>>,
    key_file: Option<Spanned<PathBuf>>,
    login: Spanned<String>,
    password: Option<Spanned<Text<Secret>>>,
    password_file: Option<Spanned<PathBuf>>,
    device: DeviceTable,
    #[serde(default)]
    included_routes: Vec<Spanned<Text<IpPrefix>>>,
}

impl Client {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        let file: ClientFile = source.parse()?;
        let mut warnings = Vec::new();
        if !(1..=MAX_CREDENTIAL_LEN).contains(&file.login.get_ref().len()) {
            let message = format!("expected a login of 1 to {MAX_CREDENTIAL_LEN} bytes");
            return Err(source.error(file.login.span(), &message));
        }
        let key = SecretSetting {
            name: "key",
            inline: file.key,
            file: file.key_file,
        }
        .find(&source, &mut warnings)?
        .into_key(&source, &mut warnings)?;
        let password = SecretSetting {
            name: "password",
            inline: file.password,
            file: file.password_file,
        }
        .find(&source, &mut warnings)?
        .into_password(&source)?;
        let included_routes = file
            .included_routes
            .into_iter()
            .map(|route| {
                let place = route.span();
                let route = route.into_inner().0;
                let network = network_of(route);
                if network == route {
                    return Ok(route);
                }
                Err(source
                    .error(
                        place,
                        &format!("{route} is an address in a network, not a network"),
                    )
                    .with_help(format!("did you mean `{network}`?")))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            server: file.server.0,
            key,
            login: file.login.into_inner(),
            password,
            device: file.device.into(),
            included_routes,
            warnings,
        })
    }
}

/// The network that an address lies in: no bit set behind the prefix.
fn network_of(prefix: IpPrefix) -> IpPrefix {
    let IpPrefix { address, length } = prefix;
    let host_bits = |width: u32| width - u32::from(length);
    let address = match address {
        std::net::IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(host_bits(32)).unwrap_or(0);
            std::net::Ipv4Addr::from_bits(address.to_bits() & mask).into()
        }
        std::net::IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(host_bits(128)).unwrap_or(0);
            std::net::Ipv6Addr::from_bits(address.to_bits() & mask).into()
        }
    };
    IpPrefix { address, length }
}
