//! The secure profile: login by name and password that nobody can steal, keys that change, replays that fail.
//!
//! What people should run. `docs/protocol.md` is the specification; the constants of this module are its numbers.

#![allow(dead_code, unused_imports, missing_docs)] // ponytail: skeleton, gone when client and server stand

use core::fmt;

mod cookie;
mod frame;
mod guard;
mod keys;
mod login;
mod message;
mod opaque;
mod opener;
mod pool;
mod psk;
mod sealer;
mod store;
mod strict;
mod window;

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

pub use login::{Login, LoginError, MAX_LOGIN_LEN};
pub use opaque::{BadRecord, BadSetup, RECORD_LEN, Record, RegisterError, SETUP_LEN, ServerSetup, register};
pub use pool::{Pool, PoolError};
pub use psk::{Psk, PskError};
pub use store::{
    SetupError, StoreError, StoreErrorKind, StoreOpError, User, UserStore, setup_from_text, setup_to_text,
};
