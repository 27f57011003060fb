//! The secure profile: OPAQUE login by user name and password, forward-secret session keys, replay
//! protection.
//!
//! Use this profile for real tunnels. A user proves the password with OPAQUE (RFC 9807), so the server never
//! sees it. An eavesdropper cannot guess the password offline, even with the pre-shared key: every guess
//! needs the server. Session keys come from the login. They change every two minutes by X25519, and old keys
//! are erased. Every packet is accepted at most once. The server does not answer a host without the
//! pre-shared key.
//!
//! A datagram is `code (1) | nonce (12) | ciphertext | tag (16)`, with the code as associated data. It is
//! sealed with ChaCha20-Poly1305 (RFC 8439), or with AES-256-GCM if both sides prefer it. [`Client`] and
//! [`Server`] are the two sides; `docs/protocol.md` is the specification.

mod activity;
mod client;
mod clock;
mod control;
mod cookie;
mod data_path;
mod epochs;
mod frame;
mod generator;
mod guard;
mod job;
mod keys;
mod login;
mod login_box;
mod login_transcript;
mod message;
pub(crate) mod opaque;
mod opener;
mod path_mtu;
mod pool;
mod psk;
mod sealer;
mod server;
mod session;
mod setup;
mod store;
mod strict;
#[cfg(test)]
mod tests;
mod ticket;
mod window;

use generator::{Generator, forget, generator, seed_from, stream};

pub use activity::{SessionInfo, Traffic};
pub use client::{
    Client, ClientConfig, MAX_COOKIES, MAX_RECONNECT_WAIT, MAX_REJECTED_WAIT, MIN_REJECTED_WAIT,
    REPEAT_AFTER, REPEAT_JITTER, RESTART_AFTER, RESTART_ROUND_TRIPS,
};
pub use clock::WallClock;
pub use data_path::{DataPath, DataPaths, DataPeer, Incoming, KeyAge, Notice};
pub use epochs::{KEEP_PREVIOUS, REJECT_AFTER};
pub use frame::{CONTROL_LEN, HEADER_LEN, OVERHEAD};
pub use guard::CLOCK_TOLERANCE;
pub use login::{Login, LoginError, MAX_LOGIN_LEN};
pub use message::{
    MAX_DNS, MAX_KEEPALIVE, MAX_ROUTES, MAX_SEARCH, MIN_MTU, Refusal, SettingsError, TunnelSettings,
};
pub use opaque::{BadRecord, RECORD_LEN, Record, RegisterError};
pub use opener::{Body, MAX_FAILED_OPENS, OpenError, Opened, Opener};
pub use path_mtu::{MTU_PRECISION, MTU_PROBE_WAIT, MTU_PROBES, MTU_SEARCH_AGAIN};
pub use pool::{Pool, PoolError};
pub use psk::{Psk, PskError};
pub use sealer::{
    AES_MAX_MTU, AES_REJECT_AFTER_MESSAGES, AES_REKEY_AFTER_MESSAGES, Limits, REJECT_AFTER_MESSAGES,
    REKEY_AFTER_MESSAGES, SealError, Sealer,
};
pub use server::{ANSWER_WITHIN, ConfigError, HALF_OPEN_FOR, MAX_BAD_KE3, Server, ServerConfig};
pub use session::{
    DEAD_AFTER, IDLE_AFTER, MESSAGE_PADDING, MIN_REKEY_AFTER, PROBE_AFTER, PROBE_INTERVAL, REKEY_AFTER,
    REKEY_JITTER, REKEY_REPEAT,
};
pub use setup::{BadServerKey, BadSetup, SERVER_KEY_LEN, SETUP_LEN, ServerKey, ServerSetup, register};
pub use store::{
    SetupError, StoreError, StoreErrorKind, StoreOpError, User, UserStore, setup_from_text, setup_to_text,
};

pub use ticket::{TICKET_FOR, TICKET_LEN, Ticket};

pub use crate::retransmit::{LOGIN_TIMEOUT, MAX_JITTER};

/// Reason of a server's bye: the same user logged in on another device.
pub const BYE_REPLACED: &str = "replaced";
/// Reason of a server's bye: the user was removed or disabled, or an administrator changed the password.
pub const BYE_REMOVED: &str = "removed";
/// Reason of a server's bye: an address of the session no longer belongs to the user. The next login assigns
/// another one.
pub const BYE_READDRESSED: &str = "readdressed";
/// Reason of a server's bye: the server shuts down.
pub const BYE_SHUTDOWN: &str = "shutdown";

/// The first byte of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// 0x01: control, client to server.
    Up,
    /// 0x02: control, server to client.
    Down,
    /// 0x03: session, both directions.
    Session,
}

impl Code {
    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Up => 0x01,
            Self::Down => 0x02,
            Self::Session => 0x03,
        }
    }
}

/// Parameter set of the password stretching: Argon2id (RFC 9106) with fixed, numbered parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// 0: 8 KiB, one pass, one lane. Only for simulations and tests; production programs reject it.
    Laboratory,
    /// 1: 64 MiB, three passes, four lanes (the second choice of RFC 9106, section 4).
    Standard,
}

impl Suite {
    /// The byte in the context of a login.
    #[must_use]
    pub const fn byte(self) -> u8 {
        match self {
            Self::Laboratory => 0,
            Self::Standard => 1,
        }
    }
}
