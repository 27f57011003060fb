//! Configuration of a client.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::aead::Cipher;
use crate::secure::clock::WallClock;
use crate::secure::ticket::Ticket;
use crate::secure::{Login, Psk, ServerKey, Suite};

/// Configuration of a client. Debug does not show key, password or seed.
#[derive(Clone)]
pub struct ClientConfig {
    /// The pre-shared key.
    pub psk: Psk,
    /// User name.
    pub login: Login,
    /// Password of the user. The server never sees it.
    pub password: Zeroizing<String>,
    /// Suite that stretches the password. A server has one for all its users.
    pub suite: Suite,
    /// Outer address of the server.
    pub server: SocketAddr,
    /// Public key of the server. The client sends no proof to any other server.
    pub server_key: ServerKey,
    /// Ticket of an earlier login of this user. Without one, other people's attempts count against the login.
    pub ticket: Option<Ticket>,
    /// The client's wall clock. A server that checks clocks does not answer a client without one.
    pub clock: Option<WallClock>,
    /// True to search for the MTU of the path with padded pings (RFC 8899). The tunnel then begins with an
    /// MTU of [`MIN_MTU`](crate::secure::MIN_MTU), and
    /// [`EventKind::SettingsChanged`](crate::EventKind::SettingsChanged) reports each change. The MTU never
    /// exceeds the value from the server. The shell must send its datagrams so that no router fragments them.
    pub mtu_search: bool,
    /// Seed of all randomness. In production it must be fresh entropy for every client and every run.
    pub seed: [u8; 32],
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("login", &self.login)
            .field("suite", &self.suite)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The part of the configuration that a client keeps.
pub(super) struct Account {
    pub(super) login: Login,
    /// Needed for later logins.
    pub(super) password: Zeroizing<String>,
    /// Another password that the server may have stored: a change to it, or from it, had no answer. A login that is rejected
    /// tries it too.
    pub(super) other_password: Option<Zeroizing<String>>,
    pub(super) suite: Suite,
    /// Suite at whose cost the client stretches the password.
    pub(super) stretching: Suite,
    pub(super) server: SocketAddr,
    pub(super) server_key: ServerKey,
    pub(super) ticket: Option<Ticket>,
    pub(super) mtu_search: bool,
    pub(super) cipher: Cipher,
    pub(super) rekey_after: Duration,
    /// A `start` without an answer goes on.
    pub(super) retries_start: bool,
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("login", &self.login)
            .field("suite", &self.suite)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}
