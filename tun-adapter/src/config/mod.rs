//! Configuration files: parsing, validation, and the resulting types.
//!
//! Files are parsed into private structures with the same keys, and then converted into [`Server`] and
//! [`Client`], which contain only valid values. Unknown keys, invalid values and contradictions are errors
//! with file, line and column.

mod choice;
mod cipher;
pub mod classic;
mod device;
mod metrics;
mod offload;
mod secret;
pub mod secure;
mod source;
mod text;
mod workers;

use std::collections::BTreeMap;
use std::path::Path;

use sandhog_proto::IpPrefix;
use serde::Deserialize;
use serde::de::IgnoredAny;
use toml::Spanned;

pub use device::Device;
pub use metrics::Metrics;
pub use offload::Offload;
pub use text::{DeviceName, Endpoint};

use crate::failure::Failure;
use choice::Choice;
use source::Source;
use text::Text;
use workers::Workers;

/// A valid configuration of a server.
#[derive(Debug)]
pub enum Server {
    /// Secure profile.
    Secure(Box<secure::Server>),
    /// Classic profile.
    Classic(Box<classic::Server>),
}

/// A valid configuration of a client.
#[derive(Debug)]
pub enum Client {
    /// Secure profile.
    Secure(Box<secure::Client>),
    /// Classic profile.
    Classic(Box<classic::Client>),
}

impl Server {
    /// Reads and checks the file at `path` and the files that it names.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        match profile_of(&source)? {
            Some(Profile::Classic) => Ok(Self::Classic(classic::Server::read(&source)?.into())),
            named => secure::Server::read(&source)
                .map(|server| Self::Secure(server.into()))
                .map_err(|failure| {
                    explain(failure, named, || classic::Server::has_fields_of_profile(&source))
                }),
        }
    }
}

impl Client {
    /// Reads and checks the file at `path` and the files that it names.
    ///
    /// # Errors
    ///
    /// The first error, with its position.
    pub fn load(path: &Path) -> Result<Self, Failure> {
        let source = Source::read(path)?;
        match profile_of(&source)? {
            Some(Profile::Classic) => Ok(Self::Classic(classic::Client::read(&source)?.into())),
            named => secure::Client::read(&source)
                .map(|client| Self::Secure(client.into()))
                .map_err(|failure| {
                    explain(failure, named, || classic::Client::has_fields_of_profile(&source))
                }),
        }
    }
}

/// The protocol to use. Without the key `profile`, it is the secure one.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Profile {
    Secure,
    Classic,
}

/// Returns the profile that a file names, if any.
fn profile_of(source: &Source) -> Result<Option<Profile>, Failure> {
    #[derive(Deserialize)]
    struct Named {
        profile: Option<Choice<Profile>>,
    }

    let named: Named = source.parse()?;
    Ok(named.profile.map(|word| word.0))
}

/// Returns the name of the device in the file at `path`, of a server or a client. All other keys are ignored,
/// so that a tunnel can be stopped even if its file has errors.
///
/// # Errors
///
/// If the file cannot be read, or `device.name` is not a valid name.
pub fn device_of(path: &Path) -> Result<DeviceName, Failure> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Table {
        name: Option<Text<DeviceName>>,
    }
    #[derive(Deserialize)]
    struct Named {
        #[serde(default)]
        device: Table,
    }

    let named: Named = Source::read(path)?.parse()?;
    Ok(named.device.name.map(|name| name.0).unwrap_or_default())
}

/// The role of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A server's file.
    Server,
    /// A client's file.
    Client,
}

/// Returns the role of the file at `path`: a server's file has `listen`, a client's has `server`.
pub(crate) fn role_of(path: &Path) -> Result<Role, Failure> {
    let source = Source::read(path)?;
    let keys: BTreeMap<Spanned<String>, IgnoredAny> = source.parse()?;
    let has = |name: &str| keys.keys().any(|key| key.get_ref() == name);
    match (has("listen"), has("server")) {
        (true, false) => Ok(Role::Server),
        (false, true) => Ok(Role::Client),
        (both, _) => {
            if let Some((key, name)) = keys.keys().filter(|_| !both).find_map(misspelt_role) {
                let message = format!("unknown key `{}`", key.get_ref());
                return Err(source
                    .error(key.span(), &message)
                    .with_help(format!("did you mean `{name}`?")));
            }
            let has = if both {
                "both `listen` and `server`"
            } else {
                "neither `listen` nor `server`"
            };
            Err(Failure::input(format!("{} has {has}", path.display()))
                .with_help("a server's file has `listen`, a client's has `server`"))
        }
    }
}

/// Returns `listen` or `server` if the key is probably a misspelling of it.
fn misspelt_role(key: &Spanned<String>) -> Option<(&Spanned<String>, &'static str)> {
    let is_close = |name: &&str| strsim::damerau_levenshtein(name, key.get_ref()) <= 2;
    let name = ["listen", "server"].into_iter().find(is_close)?;
    Some((key, name))
}

/// Adds advice if the file has the keys of the classic profile but does not name the profile.
fn explain(failure: Failure, named: Option<Profile>, is_classic: impl FnOnce() -> bool) -> Failure {
    if named.is_none() && is_classic() {
        return failure.with_help(
            "this looks like a file of the classic profile, which is insecure and must be named: `profile = \"classic\"`",
        );
    }
    failure
}

/// Converts a list of networks. Host bits must be zero.
fn networks(source: &Source, list: Vec<Spanned<Text<IpPrefix>>>) -> Result<Vec<IpPrefix>, Failure> {
    list.into_iter()
        .map(|route| {
            let place = route.span();
            let route = route.into_inner().0;
            let network = network_of(route);
            if network == route {
                return Ok(route);
            }
            Err(source
                .error(place, &format!("{route} is an address, not a network"))
                .with_help(format!("did you mean `{network}`?")))
        })
        .collect()
}

/// Returns the network of an address: all host bits are zero.
pub(crate) fn network_of(prefix: IpPrefix) -> IpPrefix {
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
