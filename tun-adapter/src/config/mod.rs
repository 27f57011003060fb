//! The configuration files: what may stand in them, and what is left of them once they are found good.
//!
//! Files are read into private structures that mirror them and turned at once into [`Server`] and [`Client`], which
//! hold only what is valid. Unknown keys, bad values and contradictions are errors with file, line and column.

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

/// A server's configuration, found good.
#[derive(Debug)]
pub enum Server {
    /// For the secure profile.
    Secure(Box<secure::Server>),
    /// For the classic profile.
    Classic(Box<classic::Server>),
}

/// A client's configuration, found good.
#[derive(Debug)]
pub enum Client {
    /// For the secure profile.
    Secure(Box<secure::Client>),
    /// For the classic profile.
    Classic(Box<classic::Client>),
}

impl Server {
    /// Reads and checks the file at `path` and those that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
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
    /// Reads and checks the file at `path` and those that it names.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong, with its place.
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

/// Which protocol to speak. A file that does not say gets the secure one; the other has to be named.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Profile {
    Secure,
    Classic,
}

/// The profile that a file names.
fn profile_of(source: &Source) -> Result<Option<Profile>, Failure> {
    #[derive(Deserialize)]
    struct Named {
        profile: Option<Choice<Profile>>,
    }

    let named: Named = source.parse()?;
    Ok(named.profile.map(|word| word.0))
}

/// The device that the file at `path` names, of a server or a client. Nothing else in it is looked at, so that a tunnel can be
/// taken down whose file has an error by now.
///
/// # Errors
///
/// When the file cannot be read, or what stands in `device.name` is no name.
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

/// Which end of a tunnel a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// The one that lets users in.
    Server,
    /// The one that logs in.
    Client,
}

/// Which end the file at `path` is for: a server listens, a client has a server.
pub(crate) fn role_of(path: &Path) -> Result<Role, Failure> {
    #[derive(Deserialize)]
    struct Ends {
        listen: Option<IgnoredAny>,
        server: Option<IgnoredAny>,
    }

    let ends: Ends = Source::read(path)?.parse()?;
    match (ends.listen.is_some(), ends.server.is_some()) {
        (true, false) => Ok(Role::Server),
        (false, true) => Ok(Role::Client),
        (both, _) => {
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

/// Adds the advice that a file of the classic profile needs which does not say that it is one.
fn explain(failure: Failure, named: Option<Profile>, is_classic: impl FnOnce() -> bool) -> Failure {
    if named.is_none() && is_classic() {
        return failure.with_help(
            "this is a file of the classic profile, which is insecure and has to be named: `profile = \"classic\"`",
        );
    }
    failure
}

/// Networks to be reached through the tunnel, each without bits behind its prefix.
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
                .error(
                    place,
                    &format!("{route} is an address in a network, not a network"),
                )
                .with_help(format!("did you mean `{network}`?")))
        })
        .collect()
}

/// The network that an address lies in: no bit set behind the prefix.
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
