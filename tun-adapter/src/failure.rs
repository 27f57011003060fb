//! Program errors: a message, advice for the user, and the exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use sandhog_proto::StartError;

/// Exit codes of failures. Success is 0, which includes a stop by signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// A problem on this machine: permissions, a port, a device, a route, a full disk.
    Runtime = 1,
    /// The command line, a configuration file or a file named in it is invalid or unreadable, or the user
    /// does not exist.
    Input = 2,
    /// The server rejected the login, or has no free address for the user.
    Rejected = 3,
    /// The server did not answer in time.
    TimedOut = 4,
    /// The same user logged in on another device, which took the session over.
    Replaced = 5,
}

/// An error message for the user. Prints as `error: …`, followed by a line `help: …` if there is advice.
#[derive(Debug)]
pub struct Failure {
    /// The exit code of the program.
    pub exit: Exit,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// The machine did not allow `action` ("open /dev/net/tun").
    pub fn runtime(action: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Runtime,
            message: format!("cannot {action}: {cause}"),
            help: None,
        }
    }

    /// A file could not be written. Its old content is unchanged.
    pub fn write(path: &Path, error: io::Error) -> Self {
        let kind = error.kind();
        let failure = Self::runtime(format_args!("write {}", path.display()), error);
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure
                .with_help("nothing was changed; free some disk space (`df` shows the use) and try again"),
            io::ErrorKind::PermissionDenied => {
                failure.with_help("nothing was changed; run as the owner of the file, or as root")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                failure.with_help("nothing was changed; the file system is mounted read-only")
            }
            _ => failure,
        }
    }

    /// A folder that the user named could not be created.
    pub fn folder(path: &Path, error: &io::Error) -> Self {
        let help = match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                "a file has the name of the folder, or of a folder above it; choose another one with `--folder`"
            }
            io::ErrorKind::PermissionDenied => {
                "choose a folder of your own with `--folder`, or run the command as root"
            }
            _ => "choose another folder with `--folder`",
        };
        Self::runtime(format_args!("create the folder {}", path.display()), error).with_help(help)
    }

    /// A file that the user named could not be read.
    pub fn read(path: &Path, error: &io::Error) -> Self {
        let failure = Self::input(format!("cannot read {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::NotFound => {
                failure.with_help("check the path; `sandhog init` creates the files of a new server")
            }
            io::ErrorKind::IsADirectory => {
                failure.with_help("name a file in the folder, for example `server.toml` or `client.toml`")
            }
            io::ErrorKind::PermissionDenied => failure.with_help("run as the owner of the file, or as root"),
            io::ErrorKind::InvalidData => failure.with_help("a configuration file is a text file in UTF-8"),
            _ => failure,
        }
    }

    /// Any other problem on this machine.
    pub fn machine(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Runtime,
            message: message.into(),
            help: None,
        }
    }

    /// The input is invalid: command line, configuration or user.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Input,
            message: message.into(),
            help: None,
        }
    }

    /// The message without the advice.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The advice, if there is any.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// Sets the advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the advice if there is none yet.
    #[must_use]
    pub fn or_help(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }
}

impl Failure {
    /// Both failures in one text. The exit code is that of the first.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let help = self
            .help
            .map(|help| format!("\nhelp: {help}"))
            .unwrap_or_default();
        self.message = format!("{}{help}\nerror: {}", self.message, other.message);
        self.help = other.help;
        self
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (exit, help) = match error {
            StartError::ConnectionTimedOut => (
                Exit::TimedOut,
                "check that the server is running, that its address and UDP port are correct and reachable, and that \
                 both sides have the same key (a server does not answer a client with another key)",
            ),
            StartError::AuthenticationRejected => (
                Exit::Rejected,
                "check `login` and the password; `sandhog user passwd` on the server sets a new password (classic \
                 profile: `sandhog hash-password` prints a new `password-hash`)",
            ),
            StartError::AccountDisabled => (
                Exit::Rejected,
                "the password is correct, but the user is disabled; to enable the user, run `sandhog user enable` and \
                 then `sandhog reload` on the server",
            ),
            StartError::AccountExpired => (
                Exit::Rejected,
                "the password is correct, but the account has expired; `sandhog user list` on the server shows the date",
            ),
            StartError::ServerFull => (
                Exit::Rejected,
                "the password is correct, but the server has no free address; its networks under [device] need shorter \
                 prefixes",
            ),
            StartError::SessionReplaced => (
                Exit::Replaced,
                "the same user has logged in on another device; start again to move the session back here; for several \
                 devices at once, the user must be added with `--max-sessions` on the server",
            ),
            StartError::OtherServer => (
                Exit::Rejected,
                "the password was not used. Compare the fingerprints: `sandhog doctor --config FILE` shows that of `server-key` \
                 in the client's file, `sandhog status` on the server shows that of the server. If the server has a new setup, \
                 make a new profile with `sandhog profile` on the server. Otherwise another machine has answered in its place",
            ),
            StartError::InvalidConfiguration => (Exit::Input, "choose a shorter password"),
            StartError::KeyExhausted => (Exit::Runtime, "create a new key and copy it to both sides"),
            _ => {
                return Self {
                    exit: Exit::Runtime,
                    message: error.to_string(),
                    help: None,
                };
            }
        };
        Self {
            exit,
            message: error.to_string(),
            help: None,
        }
        .with_help(help)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        match &self.help {
            Some(help) => write!(f, "\nhelp: {help}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_failures_print_both_messages_with_their_advice() {
        let one = Failure::input("no file").with_help("check the path");
        let two = Failure::machine("no tunnel").with_help("start it");
        let both = one.and(two);
        assert_eq!(both.exit, Exit::Input);
        assert_eq!(
            both.to_string(),
            "error: no file\nhelp: check the path\nerror: no tunnel\nhelp: start it"
        );
    }
}
