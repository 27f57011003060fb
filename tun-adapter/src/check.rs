//! `sandhog check`: whether a configuration is right, found out without doing anything.

use std::path::Path;

use crate::config::{self, Client, Server};
use crate::failure::Failure;

/// A configuration of either side, found good.
#[derive(Debug)]
pub(crate) enum CheckedConfig {
    /// Of a server.
    Server(Server),
    /// Of a client.
    Client(Client),
}

impl CheckedConfig {
    /// Reads and checks the file at `path` and those that it names, as a start would.
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

    /// What it is, in a few words.
    fn describe(&self) -> String {
        match self {
            Self::Server(Server::Secure(server)) => {
                format!("a server of the secure profile with {} users", server.users.len())
            }
            Self::Server(Server::Classic(server)) => {
                format!(
                    "a server of the INSECURE classic profile with {} users",
                    server.users.len()
                )
            }
            Self::Client(Client::Secure(client)) => {
                let password = match client.password {
                    Some(_) => "",
                    None => ", who is asked for the password",
                };
                format!("a client of the secure profile, user {}{password}", client.login)
            }
            Self::Client(Client::Classic(client)) => {
                format!("a client of the INSECURE classic profile, user {}", client.login)
            }
        }
    }
}

/// Checks the file at `path`, and gives what to print.
///
/// # Errors
///
/// The error that a start would end with.
pub fn run(path: &Path) -> Result<String, Failure> {
    let checked = CheckedConfig::load(path)?;
    let good = format!("{}: good: {}", path.display(), checked.describe());
    let warnings = checked
        .warnings()
        .iter()
        .map(|warning| format!("warning: {warning}"));
    Ok(std::iter::once(good)
        .chain(warnings)
        .collect::<Vec<_>>()
        .join("\n"))
}
