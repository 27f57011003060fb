//! The table `[metrics]`: where numbers about the tunnel can be fetched, and what may stand in them.

use std::net::SocketAddr;
use std::str::FromStr;

use serde::Deserialize;
use toml::Spanned;

use super::source::Source;
use super::text::{Expected, Text};
use crate::failure::Failure;

/// Where metrics are given out, and what they may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// The TCP address to listen on.
    pub listen: SocketAddr,
    /// Whether users are named. Otherwise there is nothing about any single one of them.
    pub login_names: bool,
}

/// The table as it stands in a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct MetricsTable {
    listen: Spanned<Text<Address>>,
    #[serde(default)]
    login_names: bool,
    #[serde(default)]
    remote_access: bool,
}

/// An address whose example does not invite the whole network.
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
    /// When other machines could reach the address and the file does not say that they may.
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
                    "metrics are not encrypted, and who asks for them gets them: take 127.0.0.1 or [::1], or add \
                     `remote-access = true` to [metrics] if a firewall lets in only who may read them",
                ));
        }
        Ok(Some(Self {
            listen,
            login_names: table.login_names,
        }))
    }
}
