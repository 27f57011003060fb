//! The commands `sandhog reload` and `sandhog forget`.

use std::path::PathBuf;

use clap::Args;
use tracing::{error, info};

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
            Some(Reply::Status(_) | Reply::Forgotten { .. }) | None => {}
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

/// Arguments of `sandhog forget`.
#[derive(Args, Debug)]
pub struct ForgetArguments {
    /// Only the tunnel with this device
    #[arg(long, value_name = "NAME", conflicts_with = "config")]
    device: Option<String>,
    /// Only the tunnel with this configuration file
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Makes running tunnels forget their sessions, and prints the results. A tunnel that cannot do it does not keep the others from it.
///
/// # Errors
///
/// If no tunnel is running, or if one of them has not forgotten its sessions.
pub fn forget(arguments: ForgetArguments) -> Result<(), Failure> {
    let named = match arguments.config {
        Some(file) => Some(config::device_of(&file)?.to_string()),
        None => arguments.device,
    };
    let devices = named.map_or_else(devices, |device| Ok(vec![device]))?;
    let (mut done, mut failures) = (0, Vec::new());
    for device in &devices {
        match send_request(device, Request::Forget) {
            Ok(Some(Reply::Forgotten { sessions })) => {
                println!("{device}: {} forgotten", count_sessions(sessions));
                done += 1;
            }
            Ok(Some(Reply::Refused { error, exit })) => {
                failures.push(refused(&format!("{device}: {error}"), exit).with_help(format!(
                    "this tunnel has not forgotten its sessions; stop it with `sandhog down --device {device}` and start it again"
                )));
            }
            // A socket that a killed process has left.
            Ok(Some(Reply::Status(_) | Reply::Reloaded { .. }) | None) => {}
            Err(failure) => failures.push(failure),
        }
    }
    match failures.into_iter().reduce(Failure::and) {
        Some(failure) => Err(failure),
        None if done == 0 => Err(Failure::machine("no running tunnel that could forget its sessions")
            .with_help("a tunnel that starts after the restore needs no command; `sandhog status` shows the running tunnels")),
        None => Ok(()),
    }
}

fn count_sessions(count: usize) -> String {
    match count {
        1 => "1 session".to_owned(),
        _ => format!("{count} sessions"),
    }
}

/// The reply of a tunnel to [`Request::Forget`]: the number of sessions that it has forgotten.
pub(crate) fn forgotten(result: Result<usize, Failure>) -> Reply {
    match result {
        Ok(sessions) => {
            let count = count_sessions(sessions);
            info!(
                event = "sessions-forgotten",
                sessions, "{count} forgotten, as requested"
            );
            Reply::Forgotten { sessions }
        }
        Err(failure) => {
            error!("cannot forget the sessions: {}", failure.message());
            Reply::from(&failure)
        }
    }
}

/// The reply of a tunnel of the classic profile. It has random nonces under one key, and its generator would repeat them.
pub(crate) fn cannot_forget() -> Reply {
    Reply::Refused {
        error: "a tunnel of the classic profile cannot take new random numbers while it runs".to_owned(),
        exit: Exit::Runtime as u8,
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
