//! `sandhog profile`: a client's configuration file, with the server's key and a ticket of the user.

use std::path::PathBuf;

use clap::Args;
use sandhog_proto::secure::{Login, ServerKey, StoreOpError};

use crate::clock;
use crate::config::Endpoint;
use crate::config::secure::UserFiles;
use crate::failure::Failure;
use crate::ticket::Ticket;
use crate::users::refused;

/// Arguments of `sandhog profile`.
#[derive(Args, Debug)]
pub struct ProfileArguments {
    /// The server's configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Address of the server, for the client
    #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
    server: Option<Endpoint>,
    /// User name: 1 to 64 characters of a-z, 0-9 and . _ @ -
    login: Login,
}

/// Makes the configuration file of a user. Returns its text.
///
/// # Errors
///
/// If a file is invalid or cannot be read, or if the user does not exist.
pub fn run(arguments: &ProfileArguments) -> Result<String, Failure> {
    let ProfileArguments {
        config,
        server,
        login,
    } = arguments;
    let files = UserFiles::load(config)?;
    let users = files.users.load()?;
    let Some(user) = users.get(login) else {
        return Err(refused(login, StoreOpError::NoSuchUser));
    };
    let ticket = files.setup.ticket(login, &user.record, clock::unix_now());
    let owner = (login, Ticket::new(ticket));
    Ok(client_file(
        server.as_ref(),
        &files.setup.server_key(),
        &files.key_name,
        Some(owner),
    ))
}

/// Parses the address of a server on the command line.
pub(crate) fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|()| format!("expected {}", Endpoint::FORM))
}

/// The text of a client's configuration file. `key_name` is the name of the file with the pre-shared key. Without an owner, the
/// user name is an example, and there is no ticket.
pub(crate) fn client_file(
    server: Option<&Endpoint>,
    server_key: &ServerKey,
    key_name: &str,
    owner: Option<(&Login, Ticket)>,
) -> String {
    let server = server.map_or_else(|| "vpn.example.com:40404".to_owned(), ToString::to_string);
    let server_key = server_key.to_base64();
    let login = owner.map_or("kean", |(login, _)| login.as_str());
    let ticket = owner.map_or_else(String::new, |(_, ticket)| {
        let ticket = ticket.to_base64();
        format!("# Other people's login attempts do not count against a login with a ticket.\nticket = \"{ticket}\"\n")
    });
    // Formats the key as a string of TOML, whatever characters the name of the file has.
    let key_file = toml::Value::String(key_name.to_owned());
    format!(
        "\
# Sandhog client. Copy this file and {key_name} to the client. Start: `sandhog client --config client.toml`.
server = \"{server}\"
# The public key of the server. The client sends no proof of the password to any other server.
server-key = \"{server_key}\"
key-file = {key_file}
login = \"{login}\"                    # the user name, as in `sandhog user add`
{ticket}\
# password-file = \"password\"      # without it, the client asks for the password on the terminal
# included-routes = [\"192.0.2.0/24\"]   # networks to reach through the tunnel, besides those of the server
# excluded-routes = [\"10.1.0.0/16\"]    # networks to reach outside the tunnel
# dns = \"auto\"                    # \"off\": do not use the server's name servers
# kill-switch = false              # true: block all traffic outside the tunnel
# mtu-search = true                # adapt the MTU of the tunnel to the path to the server
# cipher = \"auto\"                  # the faster one for this machine, if the server agrees

# [metrics]                        # for Prometheus
# listen = \"127.0.0.1:9586\"        # http://127.0.0.1:9586/metrics
"
    )
}
