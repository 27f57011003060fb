//! The command `sandhog user`: manages the users of a server, running or not.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::IpPrefix;
use sandhog_proto::secure::{Login, Record, StoreOpError, Suite, User, UserStore, register};

use super::refused;
use crate::config::secure::UserFiles;
use crate::date::Date;
use crate::exit_codes::codes_of;
use crate::failure::Failure;
use crate::{password, random};

/// Advice after each change.
const RELOAD: &str = "If the server is running: sudo sandhog reload";

/// Subcommands of `sandhog user`.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password twice
    #[command(after_help = codes_of("user"))]
    Add(Add),
    /// Set a user's password; asks for it twice
    #[command(after_help = codes_of("user"))]
    Passwd(Passwd),
    /// List all users
    #[command(after_help = codes_of("user"))]
    List {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Disable a user: refuse logins and end sessions
    #[command(after_help = codes_of("user"))]
    Disable(UserArguments),
    /// Enable a disabled user
    #[command(after_help = codes_of("user"))]
    Enable(UserArguments),
    /// Reset a user's failed logins on the running server
    #[command(after_help = codes_of("user"))]
    Unlock(UserArguments),
    /// Remove a user
    #[command(after_help = codes_of("user"))]
    Remove(UserArguments),
}

/// Arguments that select a user.
#[derive(Args, Debug)]
pub struct UserArguments {
    /// The server's configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// User name: 1 to 64 characters of a-z, 0-9 and . _ @ -
    login: Login,
}

/// Arguments of `sandhog user add`.
#[derive(Args, Debug)]
pub struct Add {
    #[command(flatten)]
    user: UserArguments,
    #[command(flatten)]
    password: PasswordSource,
    /// Fixed tunnel address, at most one IPv4 and one IPv6; limits the user to one session
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// First day (UTC) on which logins are refused
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires: Option<Date>,
    /// Maximum number of concurrent sessions; a further login ends the oldest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: u16,
}

/// Arguments of `sandhog user passwd`.
#[derive(Args, Debug)]
pub struct Passwd {
    #[command(flatten)]
    user: UserArguments,
    #[command(flatten)]
    password: PasswordSource,
}

/// Source of a password.
#[derive(Args, Debug)]
struct PasswordSource {
    /// Read the password from standard input (one line) instead of the terminal
    #[arg(long)]
    password_stdin: bool,
}

/// Runs a subcommand. Returns the text to print.
///
/// # Errors
///
/// If a file is invalid or cannot be read or written, if the user does not exist, or if a new user already
/// exists. Nothing is changed then.
pub fn run(command: UserCommand) -> Result<String, Failure> {
    match command {
        UserCommand::Add(add) => add.run(),
        UserCommand::Passwd(passwd) => passwd.run(),
        UserCommand::List { config } => UserFiles::load(&config)?.users.load().map(|users| list(&users)),
        UserCommand::Disable(user) => user.change("disabled", UserStore::disable),
        UserCommand::Enable(user) => user.change("enabled", UserStore::enable),
        UserCommand::Unlock(user) => user.unlock(),
        UserCommand::Remove(user) => user.change("removed", |users, login| users.remove(login).map(drop)),
    }
}

impl UserArguments {
    /// Changes a user in the file. Returns the text to print.
    fn change(
        &self,
        done: &str,
        work: impl FnOnce(&mut UserStore, &Login) -> Result<(), StoreOpError>,
    ) -> Result<String, Failure> {
        let files = UserFiles::load(&self.config)?;
        files
            .users
            .change(|users| work(users, &self.login).map_err(|error| refused(&self.login, error)))?;
        Ok(format!("{done} {}. {RELOAD}", self.login))
    }

    /// Requests an unlock. Only the running server knows the failed logins.
    fn unlock(&self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.config)?;
        self.check_exists(&files.users.load()?)?;
        files.users.request_unlock(&self.login)?;
        Ok(format!("unlocked {}. {RELOAD}", self.login))
    }

    fn check_exists(&self, users: &UserStore) -> Result<(), Failure> {
        match users.get(&self.login) {
            Some(_) => Ok(()),
            None => Err(refused(&self.login, StoreOpError::NoSuchUser)),
        }
    }

    /// Reads a new password and makes its record. This takes a second and 64 MiB of memory.
    fn record(&self, files: &UserFiles, source: &PasswordSource) -> Result<Record, Failure> {
        let password = password::new(source.password_stdin)?;
        let mut rng = ChaCha20Rng::from_seed(random::bytes()?);
        register(&files.setup, Suite::Standard, &self.login, &password, &mut rng)
            .map_err(|error| Failure::input(error.to_string()))
    }
}

impl Add {
    fn run(self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.user.config)?;
        let (address4, address6) = self.addresses(&files.networks)?;
        // Checked before the password is asked for.
        if files.users.load()?.get(&self.user.login).is_some() {
            return Err(refused(&self.user.login, StoreOpError::AlreadyThere));
        }
        let user = User {
            record: self.user.record(&files, &self.password)?,
            login: self.user.login.clone(),
            suite: Suite::Standard,
            disabled: false,
            expires: self.expires.map(Date::seconds),
            address4,
            address6,
            max_sessions: self.max_sessions,
        };
        let login = self.user.login;
        files
            .users
            .change(|users| users.add(user).map_err(|error| refused(&login, error)))?;
        Ok(format!("added {login}. {RELOAD}"))
    }

    /// The fixed addresses, by family. Each must be in one of the server's networks, otherwise it cannot be
    /// reached.
    fn addresses(
        &self,
        networks: &[IpPrefix],
    ) -> Result<(Option<std::net::Ipv4Addr>, Option<std::net::Ipv6Addr>), Failure> {
        let (mut v4, mut v6) = (None, None);
        for address in &self.address {
            if networks.iter().any(|network| network.address == *address) {
                return Err(Failure::input(format!("{address} is the server's own address")));
            }
            if !networks.iter().any(|network| network.contains(*address)) {
                let networks: Vec<_> = networks.iter().map(ToString::to_string).collect();
                return Err(Failure::input(format!(
                    "{address} is not in a network of the server ({})",
                    networks.join(", ")
                )));
            }
            let is_second = match address {
                IpAddr::V4(address) => v4.replace(*address).is_some(),
                IpAddr::V6(address) => v6.replace(*address).is_some(),
            };
            if is_second {
                let message =
                    format!("{address} is a second address of its family; a user can have only one");
                return Err(Failure::input(message));
            }
        }
        Ok((v4, v6))
    }
}

impl Passwd {
    fn run(self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.user.config)?;
        self.user.check_exists(&files.users.load()?)?;
        let record = self.user.record(&files, &self.password)?;
        let login = self.user.login;
        files.users.change(|users| {
            // The new record always has this program's suite, whatever the old one had.
            let changed = users.remove(&login).and_then(|user| {
                users.add(User {
                    record,
                    suite: Suite::Standard,
                    ..user
                })
            });
            changed.map_err(|error| refused(&login, error))
        })?;
        Ok(format!("changed the password of {login}. {RELOAD}"))
    }
}

/// Table of the users, one per line.
fn list(users: &UserStore) -> String {
    let header = ["LOGIN", "STATE", "EXPIRES", "SESSIONS", "ADDRESSES"].map(str::to_owned);
    let rows: Vec<[String; 5]> = std::iter::once(header).chain(users.iter().map(row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].len()).max().unwrap_or_default();
    let widths = [0, 1, 2, 3].map(width);
    let mut table = String::new();
    for row in &rows {
        for (cell, width) in row.iter().zip(widths) {
            // Writing to a string does not fail.
            let _ = write!(table, "{cell:width$}  ");
        }
        table.push_str(&row[4]);
        table.push('\n');
    }
    table.truncate(table.trim_end().len());
    table
}

fn row(user: &User) -> [String; 5] {
    let never = || "never".to_owned();
    let addresses: Vec<_> = [user.address4.map(IpAddr::V4), user.address6.map(IpAddr::V6)]
        .into_iter()
        .flatten()
        .map(|address| address.to_string())
        .collect();
    [
        user.login.to_string(),
        if user.disabled { "disabled" } else { "enabled" }.to_owned(),
        user.expires
            .and_then(Date::of)
            .map_or_else(never, |day| day.to_string()),
        user.max_sessions.to_string(),
        if addresses.is_empty() {
            "any".to_owned()
        } else {
            addresses.join(", ")
        },
    ]
}
