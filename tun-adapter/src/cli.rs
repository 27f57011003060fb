//! Command-line arguments of `sandhog`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{DeviceName, Endpoint};
use crate::control::command::{ForgetArguments, ReloadArguments};
use crate::exit_codes::codes_of;
use crate::logging::Format;
use crate::profile::{ProfileArguments, endpoint};
use crate::status::command::StatusArguments;
use crate::users::command::UserCommand;

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
#[command(version, max_term_width = 80, after_help = with_warning(""))]
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
    /// Create the files of a new server: pre-shared key, setup, users, configuration
    ///
    /// The setup is the server's secret for the passwords of all users. Existing files are never overwritten.
    #[command(after_help = codes_of("init"))]
    Init {
        /// Folder for the files; created if it does not exist
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
        /// Address of the server, for the clients' configuration file
        #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
        server: Option<Endpoint>,
    },
    /// Add, change, list and remove the users of a server
    #[command(after_help = codes_of("user"))]
    User {
        /// The command.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Print the configuration file of a user's client
    ///
    /// It contains the server's key, by which the client recognises the server, and a ticket of the user. Keep it as secret
    /// as the pre-shared key.
    #[command(after_help = codes_of("profile"))]
    Profile(ProfileArguments),
    /// Run a server until SIGTERM or SIGINT
    ///
    /// On SIGHUP it reads the file with the users again.
    #[command(after_help = with_warning("server"))]
    Server {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Log in to a server and run the tunnel until SIGTERM or SIGINT
    ///
    /// If the server does not answer, the client tries again, with longer and longer pauses.
    #[command(after_help = with_warning("client"))]
    Client {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// End if the server does not answer the first login within 10 s. The classic profile always does
        #[arg(long)]
        once: bool,
    },
    /// Stop a tunnel, or clean up after one that was killed
    ///
    /// Stops the process that owns the device and waits up to 10 s for its end. If there is no such process, undoes the changes
    /// that the tunnel made on this machine, including the kill switch.
    #[command(after_help = codes_of("down"))]
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
    #[command(after_help = codes_of("check"))]
    Check {
        /// The configuration file (TOML)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Check the requirements of a tunnel on this machine
    ///
    /// Prints the correction of each problem. Changes nothing, and sends nothing except a DNS query for the server's name.
    #[command(after_help = codes_of("doctor"))]
    Doctor {
        /// Also check the requirements of this configuration file
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Show the tunnels that run on this machine
    #[command(after_help = codes_of("status"))]
    Status(StatusArguments),
    /// Make running servers read their users and pre-shared keys again
    ///
    /// Like SIGHUP, but waits for the result and prints it. If a file has an error, the server keeps its present users and keys.
    /// Sessions stay.
    #[command(after_help = codes_of("reload"))]
    Reload(ReloadArguments),
    /// Forget all sessions, after this machine was restored from a snapshot
    ///
    /// A restored machine would use numbers again that must be used only once. So run this before the machine has its network
    /// again, and after its clock is right. The tunnels send nothing in their old sessions, not even a goodbye, and take new
    /// random numbers from the kernel. Clients log in again. A server waits for logins.
    #[command(after_help = codes_of("forget"))]
    Forget(ForgetArguments),
    /// Change your own password on the server
    ///
    /// Logs in and registers the new password. Needs no root. If the user may have only one session, a tunnel of the
    /// same user on another device ends.
    #[command(after_help = with_warning("passwd"))]
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
    #[command(after_help = codes_of("hash-password"))]
    HashPassword,
    /// Print shell completions
    #[command(after_help = codes_of("completions"))]
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the main manual page, or write all manual pages to a folder
    ///
    /// `sandhog man | man -l -` shows the page.
    #[command(after_help = codes_of("man"))]
    Man {
        /// Folder for the pages, one file each; created if it does not exist
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// The exit codes, and the warning about the classic profile, for a command that can start it.
fn with_warning(command: &str) -> String {
    format!("{}\n\n{WARNING}", codes_of(command))
}

fn device_name(text: &str) -> Result<DeviceName, String> {
    text.parse()
        .map_err(|()| format!("expected {}", DeviceName::FORM))
}
