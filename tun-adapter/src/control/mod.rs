//! How other processes ask a running tunnel: a socket for each device, one line of JSON in, one line out.
//!
//! The loop that carries packets answers by itself, so that an answer also shows that it turns. `desk` brings the
//! questions to it, `socket` takes them in, `ask` is the other end, for the commands.

pub mod ask;
pub mod command;
pub(crate) mod desk;
mod socket;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::status::Status;

/// What can be asked for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Question {
    /// How the tunnel is.
    Status,
    /// To read the file with the users again, and to say what came out of it.
    Reload,
}

/// A question as it stands in its line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Request {
    request: Question,
}

/// What a tunnel answers.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// How it is.
    Status(Box<Status>),
    /// It has read its users again.
    Reloaded {
        /// How many there are.
        users: usize,
    },
    /// It has not done what it was asked for.
    Refused {
        /// Why.
        error: String,
        /// The exit code that goes with it.
        exit: u8,
    },
}

impl From<&Failure> for Answer {
    fn from(failure: &Failure) -> Self {
        Self::Refused {
            error: failure.message().to_owned(),
            exit: failure.exit as u8,
        }
    }
}

/// The name of a device's socket in the folder.
fn socket_name(device: &str) -> String {
    format!("{device}.sock")
}
