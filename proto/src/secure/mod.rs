//! The secure profile: login by name and password that nobody can steal, keys that change, replays that fail.
//!
//! What people should run. A user proves their password with OPAQUE (RFC 9807), so that the server never sees it and
//! nobody who listens, not even a holder of the pre-shared key, can guess it other than by asking the server. Session
//! keys come out of the login, change every two minutes by X25519 and are forgotten; every packet is accepted once.
//! Without the pre-shared key a server answers nothing at all.
//!
//! A datagram is `code (1) | nonce (12) | ciphertext | tag (16)`, sealed with ChaCha20-Poly1305 (RFC 8439), or AES-256-GCM
//! where both sides would rather have it, the code as associated data. [`Client`] and [`Server`] are the two sides; `docs/protocol.md` is the specification.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::mutant::{Mutant, planted};

mod client;
mod control;
mod cookie;
mod data_path;
mod epochs;
mod frame;
mod guard;
mod keys;
mod login;
#[cfg(test)]
mod memory;
mod message;
pub(crate) mod opaque;
mod opener;
mod path_mtu;
mod pool;
mod psk;
mod sealer;
mod server;
mod session;
mod signs;
mod store;
mod strict;
#[cfg(test)]
mod vectors;
mod window;

pub use client::{
    Client, ClientConfig, MAX_CANDIDATES, MAX_COOKIES, MAX_RECONNECT_WAIT, MAX_REJECTED_WAIT,
    MIN_REJECTED_WAIT, REJECTION_GRACE, REPEAT_AFTER, REPEAT_JITTER,
};
pub use data_path::{DataPath, DataPaths, DataPeer, Incoming, KeyAge, Notice};
pub use epochs::{KEEP_PREVIOUS, REJECT_AFTER};
pub use frame::{CONTROL_LEN, HEADER_LEN, OVERHEAD};
pub use login::{Login, LoginError, MAX_LOGIN_LEN};
pub use message::{
    MAX_DNS, MAX_KEEPALIVE, MAX_ROUTES, MAX_SEARCH, MIN_MTU, Refusal, SettingsError, TunnelSettings,
};
pub use opaque::{BadRecord, BadSetup, RECORD_LEN, Record, RegisterError, SETUP_LEN, ServerSetup, register};
pub use opener::{Body, MAX_FAILED_OPENS, OpenError, Opened, Opener};
pub use path_mtu::{MTU_PRECISION, MTU_PROBE_WAIT, MTU_PROBES, MTU_SEARCH_AGAIN};
pub use pool::{Pool, PoolError};
pub use psk::{Psk, PskError};
pub use sealer::{
    AES_MAX_MTU, AES_REJECT_AFTER_MESSAGES, AES_REKEY_AFTER_MESSAGES, Limits, REJECT_AFTER_MESSAGES,
    REKEY_AFTER_MESSAGES, SealError, Sealer,
};
pub use server::{ConfigError, HALF_OPEN_FOR, MAX_BAD_KE3, Server, ServerConfig};
pub use session::{
    DEAD_AFTER, IDLE_AFTER, MESSAGE_PADDING, MIN_REKEY_AFTER, PROBE_AFTER, PROBE_INTERVAL, REKEY_AFTER,
    REKEY_JITTER, REKEY_REPEAT,
};
pub use signs::{SessionInfo, Traffic};
pub use store::{
    SetupError, StoreError, StoreErrorKind, StoreOpError, User, UserStore, setup_from_text, setup_to_text,
};

pub use crate::attempt::{LOGIN_TIMEOUT, MAX_JITTER};

/// Why a server says bye: the user's session went to another device.
pub const BYE_REPLACED: &str = "replaced";
/// Why a server says bye: the user was removed or disabled, or got another password from an administrator.
pub const BYE_REMOVED: &str = "removed";
/// Why a server says bye: an address of the session is not its user's any more. The next login gives another one.
pub const BYE_READDRESSED: &str = "readdressed";
/// Why a server says bye: it goes away.
pub const BYE_SHUTDOWN: &str = "shutdown";

/// The uses of one seed, kept apart as streams of the ChaCha generator. Those of client and server differ, so that a
/// seed that was given to both by mistake still gives nothing twice.
mod stream {
    pub(super) const CLIENT: u64 = 16;
    pub(super) const SERVER: u64 = 17;
    pub(super) const INDICES: u64 = 18;
    pub(super) const COOKIES: u64 = 19;
}

/// The generator for one use of a peer's seed. It does not lead back to the seed, nor to the generators of other uses.
fn generator(seed: &[u8; 32], stream: u64) -> ChaCha20Rng {
    let mut rng = ChaCha20Rng::from_seed(*seed);
    rng.set_stream(stream);
    if planted(Mutant::SeedKept) {
        return rng;
    }
    seed_from(&mut rng)
}

/// A generator of its own for one session.
fn seed_from(rng: &mut ChaCha20Rng) -> ChaCha20Rng {
    let mut seed = zeroize::Zeroizing::new([0; 32]);
    rng.fill_bytes(&mut *seed);
    ChaCha20Rng::from_seed(*seed)
}

/// Replaces a generator that secrets have come from by one that does not lead back to them: whoever gets hold of it later
/// cannot make them again. It leads forward, though: what comes next follows from it.
fn forget(rng: &mut ChaCha20Rng) {
    *rng = seed_from(rng);
}

/// The first byte of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Code {
    /// 0x01: control, client to server.
    Up,
    /// 0x02: control, server to client.
    Down,
    /// 0x03: session, both ways.
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

/// What stretches a password: the parameters of Argon2id (RFC 9106), fixed by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Suite {
    /// 0: 8 KiB, one pass, one lane. For simulations and tests only; programs that people rely on refuse it.
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
