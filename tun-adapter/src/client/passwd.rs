//! `sandhog passwd`: a user changes their own password, through a session that carries nothing else.

use std::future::pending;
use std::io;

use sandhog_proto::secure::{self, Suite};
use sandhog_proto::{Command, EventKind, StartError};
use tracing::debug;

use super::{bind, resolve};
use crate::config::Client;
use crate::failure::Failure;
use crate::service::log_warnings;
use crate::shell::{Device, Shell};
use crate::{password, random};

/// Logs in, has the server take a new password, and gives what to print.
///
/// # Errors
///
/// When there is no new password, the server cannot be found, does not answer, rejects the login or does not take the new
/// password.
pub async fn run(config: Client, from_stdin: bool) -> Result<String, Failure> {
    let config = match config {
        Client::Secure(config) => *config,
        Client::Classic(_) => {
            let failure = Failure::input("the classic profile cannot change a password");
            return Err(failure
                .with_help("have the operator put a new `password-hash` into the server's configuration"));
        }
    };
    log_warnings(&config.warnings);
    let old = match config.password {
        Some(password) => password,
        None => password::ask(&format!("{} at {}", config.login, config.server))?,
    };
    let new = password::new(from_stdin)?;
    let server = resolve(&config.server).await?;
    let socket = bind(server, None).await?;
    let login = config.login.clone();
    let client = secure::Client::new(secure::ClientConfig {
        psk: config.psk,
        login: config.login,
        password: old,
        suite: Suite::Standard,
        server,
        mtu_search: false,
        seed: random::bytes()?,
    });
    let mut shell = Shell::new(client, socket, Nothing)?;
    shell.command(Command::Start);
    let mut new = Some(new);
    let result = loop {
        match shell.next_event().await?.kind {
            EventKind::Started(Ok(_)) => {
                let Some(new) = new.take() else { continue };
                let asked = shell.with_peer(|client, now| client.change_password(now, new));
                if let Err(misuse) = asked {
                    break Err(Failure::runtime("ask for a new password", misuse));
                }
            }
            EventKind::Started(Err(error)) | EventKind::Cancelled(error) => break Err(error.into()),
            EventKind::PasswordChanged(result) => break result.map_err(not_taken),
            other => debug!("{other:?}"),
        }
    };
    shell.stop();
    result.map(|()| format!("changed the password of {login}; a `password-file` still holds the old one"))
}

fn not_taken(error: StartError) -> Failure {
    let failure = Failure::from(error);
    match error {
        StartError::ConnectionTimedOut => failure.with_help(
            "the server may or may not have taken the new password: try to log in with either. Its log tells if it could \
             not store it",
        ),
        _ => failure,
    }
}

/// A device without packets.
struct Nothing;

impl Device for Nothing {
    async fn readable(&self) -> io::Result<()> {
        pending().await
    }

    async fn writable(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_read(&self, _packet: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn try_write(&self, packet: &[u8]) -> io::Result<usize> {
        Ok(packet.len())
    }
}
