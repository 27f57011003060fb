//! Events that a peer reports.

use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

use crate::{DropReason, NetworkSettings, StartError, TunnelStatus};

/// An event inside a peer.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The [`PacketBuf::tag`](crate::PacketBuf::tag) of the input that caused it. 0 if a timer or a command caused it.
    pub tag: u64,
    /// The kind of event.
    pub kind: EventKind,
}

/// The kind of an [`Event`], with its details.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EventKind {
    /// A client's status changed.
    Status(TunnelStatus),
    /// [`Command::Start`](crate::Command::Start) completed, with the settings to apply or the reason of the failure.
    Started(Result<NetworkSettings, StartError>),
    /// A server accepted a login.
    LoggedIn {
        /// The user name.
        login: String,
        /// The address of the client.
        remote: SocketAddr,
    },
    /// A client logged in again and received other settings. They replace the old ones.
    SettingsChanged(NetworkSettings),
    /// A tunnel went down because logging in again failed (`cancelTunnelWithError`).
    Cancelled(StartError),
    /// A server refused a login. The user name is left out, because users sometimes type a password into that field.
    LoginRefused {
        /// The address that the request came from.
        remote: SocketAddr,
    },
    /// The other side of a session moved to another address. The tag is that of the datagram that caused the move.
    Roamed {
        /// The old address.
        from: SocketAddr,
        /// The new address.
        to: SocketAddr,
    },
    /// This side starts to seal under new keys.
    Rekeyed {
        /// Number of key changes of the session.
        epoch: u32,
    },
    /// Logging in again failed, and the client will retry. The shell should resolve the server's name again.
    Retrying(StartError),
    /// A session of a server ended that [`LoggedIn`](Self::LoggedIn) had reported.
    SessionEnded {
        /// The user name.
        login: String,
        /// The reason, in kebab case.
        reason: &'static str,
    },
    /// A server stored a new record of a user after a password change.
    RecordChanged {
        /// The user name.
        login: String,
    },
    /// A client received a ticket for its next login. The shell may store it, so that the ticket outlives the program.
    Ticket(Vec<u8>),
    /// A password change of a client completed.
    PasswordChanged(Result<(), StartError>),
    /// A datagram or packet was dropped.
    Dropped(DropReason),
    /// An event of another protocol, in kebab case. It has no effect on a shell except in logs and traces.
    Other(&'static str),
}
