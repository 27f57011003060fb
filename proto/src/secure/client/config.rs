//! What a client has to know.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use zeroize::Zeroizing;

use crate::aead::Cipher;
use crate::secure::{Login, Psk, Suite};

/// What a client has to know. Debug shows neither key, password nor seed.
#[derive(Clone)]
pub struct ClientConfig {
    /// The pre-shared key.
    pub psk: Psk,
    /// Name of the user.
    pub login: Login,
    /// Password of the user. The server never sees it.
    pub password: Zeroizing<String>,
    /// What stretches the password; the server's choice for this user.
    pub suite: Suite,
    /// The server's outer address.
    pub server: SocketAddr,
    /// Whether to find out by padded pings how large a packet the path carries (RFC 8899). The tunnel begins with an MTU of
    /// [`MIN_MTU`](crate::secure::MIN_MTU) then, and [`EventKind::SettingsChanged`](crate::EventKind::SettingsChanged) tells
    /// of each change; it never goes above what the server gives. It takes datagrams that no router cuts into pieces.
    pub mtu_search: bool,
    /// Where everything random comes from. In earnest it must be fresh entropy for every client and every run.
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

/// What a client keeps of its configuration.
pub(super) struct Account {
    pub(super) login: Login,
    /// Needed to log in again.
    pub(super) password: Zeroizing<String>,
    pub(super) suite: Suite,
    /// The suite whose cost a login stretches the password with.
    pub(super) stretching: Suite,
    pub(super) server: SocketAddr,
    pub(super) mtu_search: bool,
    pub(super) cipher: Cipher,
    pub(super) rekey_after: Duration,
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
