//! The command `sandhog passwd`: changes the user's own password over a session without packets.

use std::future::pending;
use std::io;

use sandhog_proto::secure::{self, Suite};
use sandhog_proto::{Command, EventKind, StartError};
use tracing::debug;

use super::tickets::TicketFile;
use super::{bind, explain_login, resolve};
use crate::config::Client;
use crate::failure::Failure;
use crate::service::log_warnings;
use crate::shell::{Device, Shell};
use crate::ticket::Ticket;
use crate::{clock, password, random};

/// Logs in and changes the password. Returns the text to print.
///
/// # Errors
///
/// If no new password is given, if the server cannot be resolved or does not answer, or if it rejects the
/// login or the new password.
pub async fn run(config: Client, from_stdin: bool) -> Result<String, Failure> {
    let config = match config {
        Client::Secure(config) => *config,
        Client::Classic(_) => {
            let failure = Failure::input("the classic profile does not support password changes");
            return Err(failure
                .with_help("ask the operator to put a new `password-hash` into the server's configuration"));
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
    let ticket = TicketFile::of(&login, &config.server_key).choose(config.ticket, clock::unix_now());
    let client = secure::Client::new(secure::ClientConfig {
        psk: config.psk,
        login: config.login,
        password: old,
        suite: Suite::Standard,
        server,
        server_key: config.server_key,
        ticket: ticket.map(Ticket::bytes),
        clock: Some(clock::wall()),
        mtu_search: false,
        seed: random::bytes()?,
    });
    let mut shell = Shell::new(client, socket, NoDevice)?;
    shell.command(Command::Start);
    let mut new = Some(new);
    let result = loop {
        match shell.next_event().await?.kind {
            EventKind::Started(Ok(_)) => {
                let Some(new) = new.take() else { continue };
                let result = shell.with_peer(|client, now| client.change_password(now, new));
                if let Err(misuse) = result {
                    break Err(Failure::runtime("change the password", misuse));
                }
            }
            EventKind::Started(Err(error)) | EventKind::Cancelled(error) => {
                break Err(explain_login(error, &clock::utc_text()));
            }
            EventKind::PasswordChanged(result) => break result.map_err(explain),
            other => debug!("{other:?}"),
        }
    };
    shell.stop();
    result.map(|()| format!("changed the password of {login}. If you use a `password-file`, update it: it has the old password"))
}

fn explain(error: StartError) -> Failure {
    let failure = Failure::from(error);
    match error {
        StartError::ConnectionTimedOut => failure.with_help(
            "the server may or may not have stored the new password: try to log in with both. The server's log shows if it \
             could not store the new one",
        ),
        _ => failure,
    }
}

/// A device that never has a packet.
struct NoDevice;

impl Device for NoDevice {
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
