//! The classic profile: wire-compatible with the tunnel of the article "VPN, Part 2: Packet Tunnel Provider".
//!
//! Use it for learning and for old peers. **It is insecure by design**, and cannot be made secure without
//! changing the protocol:
//!
//! - Everyone with the key can read every password and every packet, and can impersonate the server.
//! - There is no forward secrecy. An attacker who gets the key later can read everything that was recorded
//!   before.
//! - There is no replay protection. Recorded packets and logins are accepted again. There is no protection
//!   against reflection either: a client accepts its own packets as packets of the server.
//! - One key seals all messages with random nonces. All holders of the key together may seal at most 2^32
//!   messages. Each peer counts only its own ([`MAX_MESSAGES`]).
//! - The header is not authenticated. An attacker who changes the code byte of a datagram changes the type of
//!   its body.
//!
//! A datagram is `code (1) | nonce (12) | ciphertext | tag (16)`, sealed with ChaCha20-Poly1305 without
//! associated data. [`Codec`] writes and reads datagrams. [`Client`] and [`Server`] are the two sides.

mod body;
mod client;
mod codec;
mod job;
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

/// Maximum length of a user name and of a password in bytes of UTF-8. The published protocol has no limit.
/// This limit bounds the cost of a request and makes every request fit into a datagram.
pub const MAX_CREDENTIAL_LEN: usize = 1024;

/// Uses of one seed, separated as streams of the ChaCha generator. Client and server have different streams.
/// So a seed that was given to both by mistake still produces no nonce twice.
mod stream {
    pub(super) const CLIENT_NONCES: u64 = 0;
    pub(super) const CLIENT_JITTER: u64 = 1;
    pub(super) const SERVER_NONCES: u64 = 2;
    pub(super) const SERVER_JOBS: u64 = 3;
}
