//! Control socket of a running tunnel: one Unix socket per device, one line of JSON per request and per
//! reply.
//!
//! The packet loop itself answers the requests, so a reply also shows that the loop is running. `socket`
//! accepts connections, `queue` passes the requests to the loop, and `client` is the side of the commands.

pub mod client;
pub mod command;
pub(crate) mod handle;
pub(crate) mod queue;
mod socket;

use serde::{Deserialize, Serialize};

use crate::failure::Failure;
use crate::status::Status;

/// A request to a running tunnel.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Report the status of the tunnel.
    Status,
    /// Read the users file again and report the result.
    Reload,
    /// Forget all sessions without a word, and take a new seed.
    Forget,
}

/// The line that carries a request.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    request: Request,
}

/// The reply to a [`Request`].
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The status of the tunnel.
    Status(Box<Status>),
    /// The users file was read again.
    Reloaded {
        /// Number of users.
        users: usize,
    },
    /// The sessions are forgotten.
    Forgotten {
        /// Number of sessions.
        sessions: usize,
    },
    /// The request failed.
    Refused {
        /// The reason.
        error: String,
        /// The exit code for the command that sent the request.
        exit: u8,
    },
}

impl From<&Failure> for Reply {
    fn from(failure: &Failure) -> Self {
        Self::Refused {
            error: failure.message().to_owned(),
            exit: failure.exit as u8,
        }
    }
}

/// File name of a device's control socket.
fn socket_name(device: &str) -> String {
    format!("{device}.sock")
}
