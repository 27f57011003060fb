//! The command `sandhog reload`.

use std::path::PathBuf;

use clap::Args;

use super::client::{devices, send_request};
use super::{Reply, Request};
use crate::config;
use crate::failure::{Exit, Failure};
use crate::users::count_users;

/// Arguments of `sandhog reload`.
#[derive(Args, Debug)]
pub struct ReloadArguments {
    /// Only the server with this device
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    device: Option<String>,
    /// Only the server with this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Makes running servers read their users and pre-shared keys again. Returns the text to print.
///
/// # Errors
///
/// If no server is running, or if a file has an error. The server then keeps its old users and keys.
pub fn reload(arguments: ReloadArguments) -> Result<String, Failure> {
    let named = match arguments.config {
        Some(file) => Some(config::device_of(&file)?.to_string()),
        None => arguments.device,
    };
    let is_named = named.is_some();
    let devices = named.map_or_else(devices, |device| Ok(vec![device]))?;
    let mut done = Vec::new();
    for device in &devices {
        match send_request(device, Request::Reload)? {
            Some(Reply::Reloaded { users }) => done.push(format!("{device}: {}", count_users(users))),
            // Without a device name, tunnels without users are skipped.
            Some(Reply::Refused { exit, .. }) if !is_named && exit == NOTHING_TO_RELOAD => {}
            Some(Reply::Refused { error, exit }) => {
                return Err(refused(&format!("{device}: {error}"), exit));
            }
            Some(Reply::Status(_)) | None => {}
        }
    }
    if done.is_empty() {
        return Err(Failure::machine("no running server to reload")
            .with_help("`sandhog status` shows the running tunnels"));
    }
    Ok(done.join("\n"))
}

/// The exit code for tunnels without a users file.
const NOTHING_TO_RELOAD: u8 = Exit::Runtime as u8;

/// The reply of a tunnel without a users file.
pub(crate) fn nothing_to_reload() -> Reply {
    Reply::Refused {
        error: "only a server of the secure profile can reload its users; restart this tunnel".to_owned(),
        exit: NOTHING_TO_RELOAD,
    }
}

/// The error of a command whose request was refused.
pub(crate) fn refused(error: &str, exit: u8) -> Failure {
    if exit == Exit::Runtime as u8 {
        Failure::machine(error)
    } else {
        Failure::input(error)
    }
}
