//! Why the program ends without having done what it was asked: one sentence, what to do about it, an exit code.

use std::fmt;
use std::process::ExitCode;

use sandhog_proto::StartError;

/// What a script can tell from the exit code. 0 is success, a stop by signal included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Something on this machine stood in the way: rights, a port, a device, a route.
    Runtime = 1,
    /// The command line, a configuration file or a file named in it is wrong or cannot be read.
    Input = 2,
    /// The server answered that name or password are wrong.
    Rejected = 3,
    /// The server did not answer in time.
    TimedOut = 4,
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

    /// The same with advice.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
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
                "check `login` and the password; on the server, the user's `password-hash` is made by \
                 `sandhog hash-password`",
            ),
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
