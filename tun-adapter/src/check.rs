//! `sandhog check`: validation of a configuration file, without side effects.

use std::path::Path;

use crate::config::{self, Client, Server};
use crate::failure::Failure;

/// A valid configuration of a server or a client.
#[derive(Debug)]
pub(crate) enum CheckedConfig {
    /// A server's configuration.
    Server(Server),
    /// A client's configuration.
    Client(Client),
}

impl CheckedConfig {
    /// Reads and checks the file at `path` and the files that it names, exactly as `sandhog server` and
    /// `sandhog client` do.
    pub(crate) fn load(path: &Path) -> Result<Self, Failure> {
        match config::role_of(path)? {
            config::Role::Server => Server::load(path).map(Self::Server),
            config::Role::Client => Client::load(path).map(Self::Client),
        }
    }

    fn warnings(&self) -> &[String] {
        match self {
            Self::Server(Server::Secure(server)) => &server.warnings,
            Self::Server(Server::Classic(server)) => &server.warnings,
            Self::Client(Client::Secure(client)) => &client.warnings,
            Self::Client(Client::Classic(client)) => &client.warnings,
        }
    }

    /// A short description for the output.
    fn describe(&self) -> String {
        match self {
            Self::Server(Server::Secure(server)) => {
                format!("server, secure profile, {}", users(server.users.len()))
            }
            Self::Server(Server::Classic(server)) => {
                format!("server, INSECURE classic profile, {}", users(server.users.len()))
            }
            Self::Client(Client::Secure(client)) => {
                let password = match client.password {
                    Some(_) => "",
                    None => "; will ask for the password",
                };
                format!("client, secure profile, user {}{password}", client.login)
            }
            Self::Client(Client::Classic(client)) => {
                format!("client, INSECURE classic profile, user {}", client.login)
            }
        }
    }
}

/// "1 user", "2 users".
fn users(count: usize) -> String {
    format!("{count} user{}", if count == 1 { "" } else { "s" })
}

/// Checks the file at `path` and returns the text to print.
///
/// # Errors
///
/// The same error with which `sandhog server` or `sandhog client` would fail.
pub fn run(path: &Path) -> Result<String, Failure> {
    let checked = CheckedConfig::load(path)?;
    let good = format!("{}: valid: {}", path.display(), checked.describe());
    let warnings = checked
        .warnings()
        .iter()
        .map(|warning| format!("warning: {warning}"));
    Ok(std::iter::once(good)
        .chain(warnings)
        .collect::<Vec<_>>()
        .join("\n"))
}
