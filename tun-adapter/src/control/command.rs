//! `sandhog reload`.

use std::path::PathBuf;

use clap::Args;

use super::ask::{ask, devices};
use super::{Answer, Question};
use crate::config;
use crate::failure::{Exit, Failure};

/// Which server.
#[derive(Args, Debug)]
pub struct ReloadArguments {
    /// Only the server with this device
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    device: Option<String>,
    /// Only the server with this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Has running servers read their users again, and gives what to print.
///
/// # Errors
///
/// When none runs, or something is wrong with the users: the server keeps the old ones then.
pub fn reload(arguments: ReloadArguments) -> Result<String, Failure> {
    let named = match arguments.config {
        Some(file) => Some(config::device_of(&file)?.to_string()),
        None => arguments.device,
    };
    let is_named = named.is_some();
    let asked = named.map_or_else(devices, |device| Ok(vec![device]))?;
    let mut done = Vec::new();
    for device in &asked {
        match ask(device, Question::Reload)? {
            Some(Answer::Reloaded { users }) => done.push(format!("{device}: {users} users")),
            // Of all tunnels, those that have nothing to reload are not meant.
            Some(Answer::Refused { exit, .. }) if !is_named && exit == NOTHING_TO_RELOAD => {}
            Some(Answer::Refused { error, exit }) => {
                return Err(refused(&format!("{device}: {error}"), exit));
            }
            Some(Answer::Status(_)) | None => {}
        }
    }
    if done.is_empty() {
        return Err(Failure::machine("no server runs that could reload")
            .with_help("`sandhog status` shows what runs"));
    }
    Ok(done.join("\n"))
}

/// The exit code of tunnels that have no users.
const NOTHING_TO_RELOAD: u8 = Exit::Runtime as u8;

/// The answer of a tunnel that has no users which could be read again.
pub(crate) fn nothing_to_reload() -> Answer {
    Answer::Refused {
        error: "only a server of the secure profile can read its users again; restart this tunnel".to_owned(),
        exit: NOTHING_TO_RELOAD,
    }
}

/// The error of a command whose question was refused.
pub(crate) fn refused(error: &str, exit: u8) -> Failure {
    if exit == Exit::Runtime as u8 {
        Failure::machine(error)
    } else {
        Failure::input(error)
    }
}
