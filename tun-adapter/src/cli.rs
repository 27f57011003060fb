//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use clap_complete::Shell;

use crate::config::{DeviceName, Endpoint};
use crate::control::command::ReloadArguments;
use crate::logging::Format;
use crate::status::command::StatusArguments;
use crate::users::command::UserCommand;

/// The exit codes, as `failure::Exit` has them.
pub(crate) const EXIT_CODES: [(u8, &str); 6] = [
    (0, "done; also after a stop by SIGTERM or SIGINT"),
    (
        1,
        "something on this machine stood in the way: rights, a port, a device, a route, a full disk; no tunnel runs",
    ),
    (
        2,
        "bad command line, configuration or user, or a file that cannot be read",
    ),
    (3, "the server rejected the login, or has no place for the user"),
    (4, "the server did not answer in time"),
    (5, "the session went to another device of the same user"),
];

/// What has to be said wherever a tunnel can be started.
pub(crate) const WARNING: &str = "The profile `classic`, which a file has to name, is INSECURE: everyone with the key can \
                                  read every password and all traffic.";

/// A VPN tunnel by name and password over UDP.
///
/// A server and its clients have a TUN device each and speak UDP with each other. Users log in by name and password, which
/// the server never sees; keys change every two minutes; who does not have the pre-shared key gets no answer.
#[derive(Debug, Parser)]
#[command(version, after_help = after_help())]
pub struct Cli {
    /// Also log what is usually left out, such as each dropped packet
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// How to write the log, which goes to standard error
    #[arg(
        long,
        global = true,
        value_name = "FORMAT",
        value_enum,
        default_value_t,
        env = "SANDHOG_LOG_FORMAT"
    )]
    pub log_format: Format,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make everything that a new server needs: key, setup, an empty list of users, configuration files
    ///
    /// Never overwrites a file.
    Init {
        /// Where to make it; made if it is not there
        #[arg(long, value_name = "FOLDER", default_value = ".")]
        folder: PathBuf,
        /// Where clients will find the server, for their configuration file
        #[arg(long, value_name = "HOST:PORT", value_parser = endpoint)]
        server: Option<Endpoint>,
    },
    /// Add, change, list and remove the users of a server
    User {
        /// What to do with them.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Let users log in and carry their packets, until SIGTERM or SIGINT
    ///
    /// SIGHUP has it read the file with the users again.
    #[command(after_help = after_help())]
    Server {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Log in to a server and carry packets, until SIGTERM or SIGINT
    #[command(after_help = after_help())]
    Client {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take a tunnel down, and undo what one has left behind that was killed
    ///
    /// Ends the process that the device belongs to and waits for it, at most 10 s. If there is none, undoes what it has
    /// changed on this machine, the kill switch included.
    Down {
        /// The tunnel's device [default: sandhog0]
        #[arg(long, value_name = "NAME", value_parser = device_name, conflicts_with = "config")]
        device: Option<DeviceName>,
        /// The configuration file that names the device
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Tell whether a configuration file is right, of a server or a client, without doing anything
    Check {
        /// The configuration file (TOML)
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Look at everything on this machine that a tunnel needs, and say what to do
    ///
    /// Changes nothing and sends nothing but a question for the server's name. Exit code 1 if something stands in the way.
    Doctor {
        /// Also look at what the tunnel with this configuration file needs
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Tell how the tunnels are that run on this machine
    ///
    /// Exit code 1 if none runs.
    Status(StatusArguments),
    /// Have running servers read their users again, and tell what came out of it
    ///
    /// As SIGHUP does, but for the answer. Exit code 2 if something is wrong with the users, who stay as they were then.
    Reload(ReloadArguments),
    /// Change one's own password, as a user: logs in and has the server take a new one
    ///
    /// Needs no root. A tunnel of the same user that is up on another device ends, unless the user may have several.
    #[command(after_help = after_help())]
    Passwd {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
        /// Read the new password from standard input, one line, instead of asking on the terminal
        #[arg(long)]
        password_stdin: bool,
    },
    /// Read a password and print what belongs into `password-hash` in a server's configuration (classic profile)
    ///
    /// Asks twice on a terminal, without echo. Otherwise reads one line from standard input.
    HashPassword,
    /// Print the completions of a shell: what it has to know to complete the commands of this program
    Completions {
        /// The shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Print the main manual page, or write the pages of all commands into a folder
    ///
    /// `sandhog man | man -l -` shows the page.
    Man {
        /// Where to write the pages, one file each; made if it is not there
        #[arg(long, value_name = "FOLDER")]
        folder: Option<PathBuf>,
    },
}

/// What stands below `--help`.
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
