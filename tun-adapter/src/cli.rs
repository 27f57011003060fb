//! Command-line arguments of `sandhog`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{DeviceName, Endpoint};
use crate::control::command::ReloadArguments;
use crate::logging::Format;
use crate::status::command::StatusArguments;
use crate::users::command::UserCommand;

/// The exit codes and their meanings, in the order of `failure::Exit`.
pub(crate) const EXIT_CODES: [(u8, &str); 6] = [
    (0, "success; also after a stop by SIGTERM or SIGINT"),
    (
        1,
        "local problem (permissions, port, device, route, disk), or no tunnel runs",
    ),
    (
        2,
        "bad command line, configuration or user, or an unreadable file",
    ),
    (
        3,
        "the server rejected the login, or has no free address for the user",
    ),
    (4, "the server did not answer in time"),
    (5, "the session moved to another device of the same user"),
];

/// The warning about the classic profile, for every command that can start it.
pub(crate) const WARNING: &str = "The profile `classic` is INSECURE: anyone with the key can read every password and all \
                                  traffic. It runs only if the configuration file names it.";

/// Heading of the options that every command has.
const GLOBAL: &str = "Global options";

/// VPN for Linux: log in with a user name and a password, over UDP
///
/// The server and its clients each have a TUN device and exchange UDP datagrams. The server never sees a password. Keys
/// change every two minutes. Hosts without the pre-shared key get no reply.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 80, after_help = after_help())]
pub struct Cli {
    /// Also log details, such as each dropped packet
    #[arg(short, long, global = true, help_heading = GLOBAL, display_order = 1000)]
    pub verbose: bool,
    /// Format of the log on standard error: text or json
    #[arg(
        long,
        global = true,
        help_heading = GLOBAL,
        display_order = 1001,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        hide_possible_values = true,
        env = "SANDHOG_LOG_FORMAT",
        hide_env_values = true
    )]
    pub log_format: Format,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create the files of a new server: key, setup, users and configuration
    ///
    /// Existing files are never overwritten.
    Init {
        /// Folder for the files; created if it does not exist
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
        /// Address of the server, for the clients' configuration file
        #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
        server: Option<Endpoint>,
    },
    /// Add, change, list and remove the users of a server
    User {
        /// The command.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Run a server until SIGTERM or SIGINT
    ///
    /// On SIGHUP it reads the file with the users again.
    #[command(after_help = after_help())]
    Server {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Log in to a server and run the tunnel until SIGTERM or SIGINT
    #[command(after_help = after_help())]
    Client {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Stop a tunnel, or clean up after one that was killed
    ///
    /// Stops the process that owns the device and waits up to 10 s for its end. If there is no such process, undoes the changes
    /// that the tunnel made on this machine, including the kill switch.
    Down {
        /// Device of the tunnel [default: sandhog0]
        #[arg(long, value_name = "NAME", value_parser = device_name, conflicts_with = "config")]
        device: Option<DeviceName>,
        /// Configuration file with the name of the device
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration file (server or client)
    ///
    /// Changes nothing.
    Check {
        /// The configuration file (TOML)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Check whether this machine has everything that a tunnel needs
    ///
    /// Prints what to do about each problem. Changes nothing, and sends nothing except a DNS query for the server's name.
    /// Exit code 1 if a problem would stop a tunnel.
    Doctor {
        /// Also check what the tunnel with this configuration file needs
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show the tunnels that run on this machine
    ///
    /// Exit code 1 if none runs.
    Status(StatusArguments),
    /// Make running servers read their users again
    ///
    /// Like SIGHUP, but waits for the result and prints it. If the file with the users has an error, the server keeps its present
    /// users and the exit code is 2.
    Reload(ReloadArguments),
    /// Change your own password on the server
    ///
    /// Logs in and registers the new password. Needs no root. If the user may have only one session, a tunnel of the
    /// same user on another device ends.
    #[command(after_help = after_help())]
    Passwd {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Read the new password from standard input (one line) instead of the terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// Read a password and print its hash for `password-hash` (classic profile)
    ///
    /// Asks twice on a terminal, without echo. Otherwise reads one line from standard input.
    HashPassword,
    /// Print shell completions
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the main manual page, or write all manual pages to a folder
    ///
    /// `sandhog man | man -l -` shows the page.
    Man {
        /// Folder for the pages, one file each; created if it does not exist
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// The text below `--help`.
fn after_help() -> String {
    let codes = EXIT_CODES.map(|(code, meaning)| format!("  {code}  {meaning}\n"));
    format!("Exit codes:\n{}\n{WARNING}", codes.concat())
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    text.parse().map_err(|()| format!("expected {}", Endpoint::FORM))
}

fn device_name(text: &str) -> Result<DeviceName, String> {
    text.parse()
        .map_err(|()| format!("expected {}", DeviceName::FORM))
}
