//! Configuration table `[metrics]`: the address of the metrics endpoint, and the data in it.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::source::Source;
use super::text::{Expected, Text};
use crate::failure::Failure;

/// Settings of the metrics endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The TCP address to listen on.
    pub listen: SocketAddr,
    /// True if the metrics include user names. Otherwise they have no data about single users.
    pub login_names: bool,
}

/// The table in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MetricsTable {
    listen: Spanned<Text<Address>>,
    #[serde(default)]
    login_names: bool,
    #[serde(default)]
    remote_access: bool,
}

/// A socket address. The example in its error message is a loopback address.
struct Address(SocketAddr);

impl FromStr for Address {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl Expected for Address {
    const EXPECTED: &str = "an address with a port such as 127.0.0.1:9586 or [::1]:9586";
}

impl Metrics {
    /// Checks the table, if there is one.
    ///
    /// # Errors
    ///
    /// If other machines could reach the address and the file does not allow it.
    pub(super) fn read(source: &Source, table: Option<MetricsTable>) -> Result<Option<Self>, Failure> {
        let Some(table) = table else {
            return Ok(None);
        };
        let place = table.listen.span();
        let listen = table.listen.into_inner().0.0;
        if !listen.ip().to_canonical().is_loopback() && !table.remote_access {
            return Err(source
                .error(place, &format!("other machines can reach {listen}"))
                .with_help(
                    "metrics are neither encrypted nor protected by a password: use 127.0.0.1 or [::1], or, if a firewall \
                     limits the access, add `remote-access = true` to [metrics]",
                ));
        }
        Ok(Some(Self {
            listen,
            login_names: table.login_names,
        }))
    }
}
