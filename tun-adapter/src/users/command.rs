//! `sandhog user`: what an operator does with the users of a server, whether it runs or not.

use std::fmt::Write;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::IpPrefix;
use sandhog_proto::secure::{Login, Record, StoreOpError, Suite, User, UserStore, register};

use super::expiry::Expiry;
use crate::config::secure::UserFiles;
use crate::failure::Failure;
use crate::{password, random};

/// Ends what a change says.
const TAKEN_UP: &str = "a running server takes that up on SIGHUP";

/// What can be done with users.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user; asks for the password twice
    Add(Add),
    /// Set a user's password; asks for it twice
    Passwd(Passwd),
    /// List all users
    List {
        /// The server's configuration file (TOML)
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Refuse a user's logins and end the user's sessions, until `enable`
    Disable(Who),
    /// Take a user's logins again
    Enable(Who),
    /// Have a running server forget a user's failed logins
    Unlock(Who),
    /// Remove a user
    Remove(Who),
}

/// A user of a server.
#[derive(Args, Debug)]
pub struct Who {
    /// The server's configuration file (TOML)
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// The user's name: 1 to 64 of a to z, 0 to 9 and . _ @ -
    login: Login,
}

/// A user to be.
#[derive(Args, Debug)]
pub struct Add {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    password: PasswordSource,
    /// An address in the tunnel that is always this user's, at most one of each family; allows one session at a time
    #[arg(long, value_name = "IP")]
    address: Vec<IpAddr>,
    /// The first day, by UTC, on which the user's logins are refused
    #[arg(long, value_name = "YYYY-MM-DD")]
    expires: Option<Expiry>,
    /// How many sessions the user may have at a time; one more ends the oldest
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    max_sessions: u16,
}

/// A user and a new password.
#[derive(Args, Debug)]
pub struct Passwd {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    password: PasswordSource,
}

/// Where a password comes from.
#[derive(Args, Debug)]
struct PasswordSource {
    /// Read the password from standard input, one line, instead of asking on the terminal
    #[arg(long)]
    password_stdin: bool,
}

/// Does it, and gives what to print.
///
/// # Errors
///
/// When a file is wrong or cannot be read or written, when there is no such user, or one already. Nothing has changed
/// then.
pub fn run(command: UserCommand) -> Result<String, Failure> {
    match command {
        UserCommand::Add(add) => add.run(),
        UserCommand::Passwd(passwd) => passwd.run(),
        UserCommand::List { config } => UserFiles::load(&config)?.users.load().map(|users| list(&users)),
        UserCommand::Disable(who) => who.change("disabled", UserStore::disable),
        UserCommand::Enable(who) => who.change("enabled", UserStore::enable),
        UserCommand::Unlock(who) => who.unlock(),
        UserCommand::Remove(who) => who.change("removed", |users, login| users.remove(login).map(drop)),
    }
}

impl Who {
    /// Changes the user in the store and says so.
    fn change(
        &self,
        done: &str,
        work: impl FnOnce(&mut UserStore, &Login) -> Result<(), StoreOpError>,
    ) -> Result<String, Failure> {
        let files = UserFiles::load(&self.config)?;
        files
            .users
            .change(|users| work(users, &self.login).map_err(|error| refused(&self.login, error)))?;
        Ok(format!("{done} {}; {TAKEN_UP}", self.login))
    }

    /// Failed logins are the running server's to know; it is told of the wish.
    fn unlock(&self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.config)?;
        self.check_exists(&files.users.load()?)?;
        files.users.ask_to_unlock(&self.login)?;
        Ok(format!("unlocked {}; {TAKEN_UP}", self.login))
    }

    fn check_exists(&self, users: &UserStore) -> Result<(), Failure> {
        match users.get(&self.login) {
            Some(_) => Ok(()),
            None => Err(refused(&self.login, StoreOpError::NoSuchUser)),
        }
    }

    /// Makes a record of a new password. Takes a second and 64 MiB.
    fn record(&self, files: &UserFiles, source: &PasswordSource) -> Result<Record, Failure> {
        let password = password::new(source.password_stdin)?;
        let mut rng = ChaCha20Rng::from_seed(random::bytes()?);
        register(&files.setup, Suite::Standard, &self.login, &password, &mut rng)
            .map_err(|error| Failure::input(error.to_string()))
    }
}

impl Add {
    fn run(self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.who.config)?;
        let (address4, address6) = self.addresses(&files.networks)?;
        // What is wrong already is said before anybody types a password.
        if files.users.load()?.get(&self.who.login).is_some() {
            return Err(refused(&self.who.login, StoreOpError::AlreadyThere));
        }
        let user = User {
            record: self.who.record(&files, &self.password)?,
            login: self.who.login.clone(),
            suite: Suite::Standard,
            disabled: false,
            expires: self.expires.map(Expiry::seconds),
            address4,
            address6,
            max_sessions: self.max_sessions,
        };
        let login = self.who.login;
        files
            .users
            .change(|users| users.add(user).map_err(|error| refused(&login, error)))?;
        Ok(format!("added {login}; {TAKEN_UP}"))
    }

    /// The fixed addresses by family. Each lies in one of the server's networks, or no packet would ever come to it.
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
                    "{address} lies in no network of the server ({})",
                    networks.join(", ")
                )));
            }
            let is_second = match address {
                IpAddr::V4(address) => v4.replace(*address).is_some(),
                IpAddr::V6(address) => v6.replace(*address).is_some(),
            };
            if is_second {
                let message = format!("{address} is a second address of its family; a user has one at most");
                return Err(Failure::input(message));
            }
        }
        Ok((v4, v6))
    }
}

impl Passwd {
    fn run(self) -> Result<String, Failure> {
        let files = UserFiles::load(&self.who.config)?;
        self.who.check_exists(&files.users.load()?)?;
        let record = self.who.record(&files, &self.password)?;
        let login = self.who.login;
        files.users.change(|users| {
            // Not only the record: it is of this program's suite, whichever the old one was of.
            let changed = users.remove(&login).and_then(|user| {
                users.add(User {
                    record,
                    suite: Suite::Standard,
                    ..user
                })
            });
            changed.map_err(|error| refused(&login, error))
        })?;
        Ok(format!("changed the password of {login}; {TAKEN_UP}"))
    }
}

fn refused(login: &Login, error: StoreOpError) -> Failure {
    let failure = Failure::input(format!("{login}: {error}"));
    match error {
        StoreOpError::AlreadyThere => failure.with_help("`sandhog user passwd` changes the password"),
        StoreOpError::NoSuchUser => failure.with_help("`sandhog user list` shows who there is"),
        _ => failure,
    }
}

/// The users as a table, one on a line.
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
            .and_then(Expiry::of)
            .map_or_else(never, |day| day.to_string()),
        user.max_sessions.to_string(),
        if addresses.is_empty() {
            "any".to_owned()
        } else {
            addresses.join(", ")
        },
    ]
}
