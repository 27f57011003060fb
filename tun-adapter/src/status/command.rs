//! The command `sandhog status`.

use std::io::{self, IsTerminal, Write};
use std::thread;
use std::time::Duration;

use clap::Args;

use super::{Status, Tunnels, VERSION};
use crate::control::client::{devices, send_request};
use crate::control::command::refused;
use crate::control::{Reply, Request};
use crate::failure::Failure;

/// Arguments of `sandhog status`.
#[derive(Args, Debug)]
pub struct StatusArguments {
    /// Only the tunnel with this device
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Print one JSON object, for scripts
    #[arg(long)]
    json: bool,
    /// Print the status every second, until Ctrl-C
    #[arg(long)]
    watch: bool,
}

/// Prints the status of the running tunnels.
///
/// # Errors
///
/// If no tunnel is running, or if a tunnel cannot be queried. With `--watch`, it is no error if no tunnel is
/// running.
pub fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    if !arguments.watch {
        let tunnels = gather(arguments)?;
        if arguments.json || !tunnels.is_empty() {
            print(arguments, tunnels.clone());
        }
        return match (tunnels.is_empty(), &arguments.device) {
            (false, _) => Ok(()),
            (true, Some(device)) => Err(Failure::machine(format!(
                "no tunnel with the device {device} is running"
            ))),
            (true, None) => Err(Failure::machine("no tunnel is running on this machine")),
        };
    }
    loop {
        let tunnels = gather(arguments)?;
        if !arguments.json && io::stdout().is_terminal() {
            // Clear the screen and move the cursor to the top.
            print!("\x1b[H\x1b[2J");
        }
        if tunnels.is_empty() && !arguments.json {
            println!("no tunnel is running");
        }
        if !print(arguments, tunnels) {
            return Ok(());
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this only paces the output on a terminal"
)]
fn pause() {
    thread::sleep(Duration::from_secs(1));
}

fn gather(arguments: &StatusArguments) -> Result<Vec<Status>, Failure> {
    let devices = match &arguments.device {
        Some(device) => vec![device.clone()],
        None => devices()?,
    };
    let mut found = Vec::new();
    for device in devices {
        match send_request(&device, Request::Status)? {
            Some(Reply::Status(status)) => found.push(*status),
            Some(Reply::Refused { error, exit }) => return Err(refused(&error, exit)),
            Some(Reply::Reloaded { .. } | Reply::Forgotten { .. }) | None => {}
        }
    }
    Ok(found)
}

/// Prints the status. Returns false if standard output is closed.
fn print(arguments: &StatusArguments, tunnels: Vec<Status>) -> bool {
    let text = if arguments.json {
        let all = Tunnels {
            version: VERSION,
            tunnels,
        };
        serde_json::to_string(&all)
            .map(|line| line + "\n")
            .unwrap_or_default()
    } else {
        let texts: Vec<_> = tunnels.iter().map(ToString::to_string).collect();
        texts.join("\n")
    };
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
        .is_ok()
}
