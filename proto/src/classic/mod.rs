//! The classic profile: wire-compatible with the tunnel of the article "VPN, Part 2: Packet Tunnel Provider".
//!
//! For learning, and for old peers. **It is insecure by design**, and nothing in here can mend it:
//!
//! - Everyone who holds the key reads every password and every packet, and can pose as the server.
//! - There is no forward secrecy: who learns the key tomorrow reads what was recorded today.
//! - There is no protection against replay: a recorded datagram is good for ever, a login as much as a packet. Nor
//!   against reflection: a client's own packet, sent back to it, is taken for the server's.
//! - One key seals everything for ever under random nonces, so a key is used up after 2^32 messages of all its holders
//!   together; each peer counts its own ([`MAX_MESSAGES`]).
//! - The header is not authenticated: whoever changes the code byte of a datagram changes what its body is taken for.
//!
//! A datagram is `code (1) | nonce (12) | ciphertext | tag (16)`, sealed with ChaCha20-Poly1305 without associated
//! data. [`Codec`] makes and reads them, [`Client`] and [`Server`] are the two sides.

mod body;
mod client;
mod codec;
mod key;
mod outbox;
mod password;
mod server;
mod users;

pub use crate::queues::MAX_EVENTS;
pub use crate::retransmit::{LOGIN_TIMEOUT, MAX_JITTER, REPEAT_WAITS};
pub use body::{Credentials, Message};
pub use client::{Client, ClientConfig};
pub use codec::{Code, Codec, DecodeError, MAX_DATAGRAM_LEN, MAX_MESSAGES, Malformed, OVERHEAD, SealError};
pub use key::{Key, KeyError};
pub use password::{HashCost, hash_password};
pub use server::{MAX_PENDING_JOBS, MAX_REQUESTS_PER_JOB, Server, ServerConfig};
pub use users::{ConfigError, User};

/// Longest login and longest password in bytes of UTF-8. The published protocol sets no limit; this one keeps what a
/// request costs small and makes every request fit a datagram.
pub const MAX_CREDENTIAL_LEN: usize = 1024;

/// The uses of one seed, kept apart as streams of the ChaCha generator. Those of client and server differ, so that a
/// seed that was given to both by mistake still gives no nonce twice.
mod stream {
    pub(super) const CLIENT_NONCES: u64 = 0;
    pub(super) const CLIENT_JITTER: u64 = 1;
    pub(super) const SERVER_NONCES: u64 = 2;
    pub(super) const SERVER_JOBS: u64 = 3;
}
