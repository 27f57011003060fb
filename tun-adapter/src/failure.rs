//! Why the program ends without having done what it was asked: one sentence, what to do about it, an exit code.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use sandhog_proto::StartError;

/// What a script can tell from the exit code. 0 is success, a stop by signal included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something on this machine stood in the way: rights, a port, a device, a route, a full disk.
    Runtime = 1,
    /// The command line, a configuration file or a file named in it is wrong or cannot be read, or there is no such user.
    Input = 2,
    /// The server answered that name or password are wrong, or that it has no place for the user.
    Rejected = 3,
    /// The server did not answer in time.
    TimedOut = 4,
    /// The session went to another device of the same user.
    Replaced = 5,
}

/// An error for a person. Prints as `error: …`, with a line `help: …` below it where there is something to do.
#[derive(Debug)]
pub struct Failure {
    /// The exit code that goes with it.
    pub exit: Exit,
    message: String,
    help: Option<String>,
}

impl Failure {
    /// Something on this machine stood in the way of `action` ("open /dev/net/tun").
    pub fn runtime(action: impl fmt::Display, cause: impl fmt::Display) -> Self {
        Self {
            exit: Exit::Runtime,
            message: format!("cannot {action}: {cause}"),
            help: None,
        }
    }

    /// A file could not be written; what was in it is as before.
    pub fn write(path: &Path, error: io::Error) -> Self {
        let kind = error.kind();
        let failure = Self::runtime(format_args!("write {}", path.display()), error);
        match kind {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => failure.with_help(
                "nothing was changed; make room there (`df` shows how much there is) and try again",
            ),
            io::ErrorKind::PermissionDenied => {
                failure.with_help("nothing was changed; run as the user whose file it is, or as root")
            }
            io::ErrorKind::ReadOnlyFilesystem => {
                failure.with_help("nothing was changed; the file system is mounted for reading only")
            }
            _ => failure,
        }
    }

    /// Anything else on this machine that is not as it should be.
    pub fn machine(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Runtime,
            message: message.into(),
            help: None,
        }
    }

    /// What was given is wrong.
    pub fn input(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Input,
            message: message.into(),
            help: None,
        }
    }

    /// What went wrong, without advice.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What to do about it, if there is advice.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with advice, unless it has some.
    #[must_use]
    pub fn or_help(mut self, help: impl Into<String>) -> Self {
        self.help.get_or_insert_with(|| help.into());
        self
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        let (exit, help) = match error {
            StartError::ConnectionTimedOut => (
                Exit::TimedOut,
                "check that the server runs, that its address and UDP port are right and reachable, and that \
                 both sides have the same key (a server stays silent to a wrong key)",
            ),
            StartError::AuthenticationRejected => (
                Exit::Rejected,
                "check `login` and the password; on the server, `sandhog user passwd` sets a new one (in the classic \
                 profile, `sandhog hash-password` makes the user's `password-hash`)",
            ),
            StartError::AccountDisabled => (
                Exit::Rejected,
                "the password is right; on the server, `sandhog user enable` and SIGHUP let the user in again",
            ),
            StartError::AccountExpired => (
                Exit::Rejected,
                "the password is right; on the server, `sandhog user list` shows until when the user was let in",
            ),
            StartError::ServerFull => (
                Exit::Rejected,
                "the password is right; the server's networks under [device] need shorter prefixes",
            ),
            StartError::SessionReplaced => (
                Exit::Replaced,
                "start it again to get the session back, or have the user added with more than one session on the \
                 server (`--max-sessions`)",
            ),
            StartError::InvalidConfiguration => (Exit::Input, "choose a shorter password"),
            StartError::KeyExhausted => (Exit::Runtime, "make a new key and give it to both sides"),
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
