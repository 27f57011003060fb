//! VPN program for Linux: the Sandhog protocol over a TUN device and a UDP socket.
//!
//! The protocol itself is in `sandhog-proto`. This crate adds sockets, devices, the clock, randomness,
//! configuration files and the process life cycle. The main loop is in `shell`.
//!
//! The binary `sandhog` is `main.rs`, which only calls [`run`]. On systems other than Linux this library is
//! empty.

#![cfg(target_os = "linux")]
#![deny(unsafe_code)]

pub mod check;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
mod connections;
pub mod control;
mod credentials;
mod date;
pub mod doctor;
mod exit_codes;
pub mod failure;
mod fd;
mod fingerprint;
pub(crate) mod fs;
pub mod init;
pub mod interface;
pub mod logging;
mod manual;
mod metrics;
pub mod net;
mod notify;
pub mod offload;
pub mod password;
pub mod plane;
mod privileges;
pub mod profile;
pub mod random;
pub mod server;
pub mod service;
pub mod shell;
pub mod status;
pub mod ticket;
pub mod tun;
pub mod udp;
pub mod users;

use cli::{Cli, Command};
use failure::Failure;

/// Runs the command that the command line names.
///
/// # Errors
///
/// If the command fails. The error has the exit code.
pub fn run(cli: Cli) -> Result<(), Failure> {
    logging::init(cli.log_format, cli.verbose);
    match cli.command {
        Command::Init { folder, server } => {
            println!("{}", init::run(&folder, server.as_ref())?);
            Ok(())
        }
        Command::Profile(arguments) => {
            print!("{}", profile::run(&arguments)?);
            Ok(())
        }
        Command::User { command } => {
            println!("{}", users::command::run(command)?);
            Ok(())
        }
        Command::Server { config } => service::block_on(server::run(config::Server::load(&config)?)),
        Command::Client { config, once } => {
            service::block_on(client::run(config::Client::load(&config)?, once))
        }
        Command::Down { device, config } => {
            let device = match config {
                Some(config) => config::device_of(&config)?,
                None => device.unwrap_or_default(),
            };
            println!("{}", service::block_on(net::down::run(&device))?);
            Ok(())
        }
        Command::Check { file } => {
            println!("{}", check::run(&file)?);
            Ok(())
        }
        Command::Doctor { config } => service::block_on(doctor::run(config.as_deref())),
        Command::Status(arguments) => status::command::run(&arguments),
        Command::Reload(arguments) => {
            println!("{}", control::command::reload(arguments)?);
            Ok(())
        }
        Command::Forget(arguments) => control::command::forget(arguments),
        Command::Passwd {
            config,
            password_stdin,
        } => {
            let config = config::Client::load(&config)?;
            println!(
                "{}",
                service::block_on(client::passwd::run(config, password_stdin))?
            );
            Ok(())
        }
        Command::HashPassword => {
            println!("{}", password::hash()?);
            Ok(())
        }
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { folder } => manual::man(folder.as_deref()),
    }
}
