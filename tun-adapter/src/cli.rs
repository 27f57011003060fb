//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// What stands below `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done; also after a stop by SIGTERM or SIGINT
  1  something on this machine stood in the way: rights, a port, a device, a route
  2  bad command line or configuration, or a file that cannot be read
  3  the server rejected the login
  4  the server did not answer in time

The only profile so far, classic, is INSECURE: everyone with the key can read every password and all traffic.";

/// A VPN tunnel by name and password over UDP.
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub struct Cli {
    /// Also log what is usually left out, such as each dropped packet
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Let users log in and carry their packets, until SIGTERM or SIGINT
    #[command(after_help = EXIT_CODES)]
    Server {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Log in to a server and carry packets, until SIGTERM or SIGINT
    #[command(after_help = EXIT_CODES)]
    Client {
        /// The client's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Read a password and print what belongs into `password-hash` in a server's configuration
    ///
    /// Asks twice on a terminal, without echo. Otherwise reads one line from standard input.
    HashPassword,
}
