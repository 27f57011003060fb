//! The binary messages of a login, before there is a session.
//!
//! The first byte holds the protocol version and the type. The fields follow without gaps, numbers in network byte order.
//! `seal_control` pads the message with zeros.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use super::ParseError;
use crate::kem::{CIPHERTEXT_LEN, PUBLIC_LEN};
use crate::secure::Code;

/// Length of each half of an encapsulation key in bytes.
pub(crate) const KEY_HALF_LEN: usize = PUBLIC_LEN / 2;
/// Length of the sealed part of M1 in bytes, with its tag.
pub(crate) const SEALED_LOGIN_LEN: usize = 209;
/// Length of the sealed part of M2 in bytes, with its tag.
pub(crate) const SEALED_KE2_LEN: usize = 960;
/// Length of the MAC over the ciphertext in M3, in bytes. It fills the datagram.
pub(crate) const M3_MAC_LEN: usize = 14;

/// Protocol version, in the high half of the first byte.
const VERSION: u8 = 3;
const HELLO: u8 = 0x31;
const COOKIE: u8 = 0x32;
const LOGIN: u8 = 0x33;
const KE2: u8 = 0x34;
const KE3: u8 = 0x35;

/// A message of the login, sealed under the keys that all holders of the pre-shared key share.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// M0: a client asks for a cookie.
    Hello {
        /// Wall clock of the client in milliseconds since 1970.
        time: u64,
        /// The client's receiver index, not 0.
        index: u32,
    },
    /// M0r: the server asks the client to show the cookie, and sends the first half of its encapsulation key.
    Cookie {
        to: u32,
        cookie: [u8; 16],
        /// Fingerprint of the server's public keys, so that a client notices a wrong configuration.
        fingerprint: [u8; 32],
        key_half: Box<[u8; KEY_HALF_LEN]>,
    },
    /// M1: the client asks to log in.
    Login {
        /// Wall clock of the client in milliseconds since 1970.
        time: u64,
        request: LoginRequest,
    },
    /// M2: the server's part of the login.
    Ke2(Ke2Reply),
    /// M3: the client's proof, and the ciphertext for the server's encapsulation key.
    Ke3(Proof),
}

/// M1 without its time.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct LoginRequest {
    /// The client's receiver index, not 0.
    pub(crate) index: u32,
    pub(crate) cookie: [u8; 16],
    /// An ephemeral X25519 public key.
    pub(crate) ephemeral: [u8; 32],
    /// User name, KE1 and ticket, readable to the server only.
    pub(crate) sealed: Box<[u8; SEALED_LOGIN_LEN]>,
}

/// M2.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Ke2Reply {
    pub(crate) to: u32,
    /// The server's receiver index, not 0.
    pub(crate) index: u32,
    /// The server's OPAQUE key, KE2 and the second half of the encapsulation key.
    pub(crate) sealed: Box<[u8; SEALED_KE2_LEN]>,
}

/// M3.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Proof {
    pub(crate) to: u32,
    pub(crate) ke3: [u8; 64],
    pub(crate) ciphertext: Box<[u8; CIPHERTEXT_LEN]>,
    /// Shows that the sender of KE3 has made the ciphertext.
    pub(crate) mac: [u8; M3_MAC_LEN],
}

impl Control {
    /// Parses the body of a control datagram. [`Code::Up`] carries only `Hello`, `Login` and `Ke3`, [`Code::Down`]
    /// only `Cookie` and `Ke2`, [`Code::Session`] none.
    ///
    /// # Errors
    ///
    /// [`ParseError`]. The body is malformed if an index is 0 or if a byte of the padding is not 0.
    pub(crate) fn parse(code: Code, body: &[u8]) -> Result<Self, ParseError> {
        let (first, rest) = body.split_first().ok_or(ParseError::Malformed)?;
        if first >> 4 != VERSION {
            return Err(ParseError::UnsupportedVersion);
        }
        let mut fields = Fields(rest);
        let message = match (code, *first) {
            (Code::Up, HELLO) => Self::Hello {
                time: fields.u64()?,
                index: fields.index()?,
            },
            (Code::Up, LOGIN) => Self::Login {
                time: fields.u64()?,
                request: LoginRequest {
                    index: fields.index()?,
                    cookie: fields.array()?,
                    ephemeral: fields.array()?,
                    sealed: fields.boxed()?,
                },
            },
            (Code::Up, KE3) => Self::Ke3(Proof {
                to: fields.index()?,
                ke3: fields.array()?,
                ciphertext: fields.boxed()?,
                mac: fields.array()?,
            }),
            (Code::Down, COOKIE) => Self::Cookie {
                to: fields.index()?,
                cookie: fields.array()?,
                fingerprint: fields.array()?,
                key_half: fields.boxed()?,
            },
            (Code::Down, KE2) => Self::Ke2(Ke2Reply {
                to: fields.index()?,
                index: fields.index()?,
                sealed: fields.boxed()?,
            }),
            _ => return Err(ParseError::Unexpected),
        };
        fields.end(message)
    }

    /// The bytes, without padding.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Hello { time, index } => join(HELLO, &[&time.to_be_bytes(), &index.to_be_bytes()]),
            Self::Cookie {
                to,
                cookie,
                fingerprint,
                key_half,
            } => join(COOKIE, &[&to.to_be_bytes(), cookie, fingerprint, &**key_half]),
            Self::Login { time, request } => {
                let mut bytes = join(LOGIN, &[&time.to_be_bytes()]);
                bytes.extend_from_slice(&request.to_bytes());
                bytes
            }
            Self::Ke2(reply) => reply.to_bytes(),
            Self::Ke3(proof) => {
                let mut bytes = proof.to_bytes();
                bytes.extend_from_slice(&proof.mac);
                bytes
            }
        }
    }

    /// The code for the direction of the message.
    pub(crate) const fn code(&self) -> Code {
        match self {
            Self::Hello { .. } | Self::Login { .. } | Self::Ke3(_) => Code::Up,
            Self::Cookie { .. } | Self::Ke2(_) => Code::Down,
        }
    }

    /// A stable name in kebab case; also the [`Datagram::kind`](crate::Datagram::kind).
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Hello { .. } => "login",
            Self::Cookie { .. } => "cookie",
            Self::Login { .. } => "login-cookie",
            Self::Ke2(_) => "ke2",
            Self::Ke3(_) => "ke3",
        }
    }
}

/// Prints only the kind, because the rest may be secret.
impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({})", self.kind())
    }
}

impl LoginRequest {
    /// M1 without version, type and time, as it goes into the transcript.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(261);
        for part in [
            &self.index.to_be_bytes()[..],
            &self.cookie,
            &self.ephemeral,
            &*self.sealed,
        ] {
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

impl Ke2Reply {
    /// M2 without padding.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        join(
            KE2,
            &[&self.to.to_be_bytes(), &self.index.to_be_bytes(), &*self.sealed],
        )
    }
}

impl Proof {
    /// M3 without its MAC, as it goes into the transcript.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        join(KE3, &[&self.to.to_be_bytes(), &self.ke3, &*self.ciphertext])
    }
}

fn join(first: u8, parts: &[&[u8]]) -> Vec<u8> {
    let len = parts
        .iter()
        .fold(1, |len: usize, part| len.saturating_add(part.len()));
    // M3 gets its MAC without another allocation.
    let mut bytes = Vec::with_capacity(len.saturating_add(M3_MAC_LEN));
    bytes.push(first);
    for part in parts {
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The fields of a message that are not read yet.
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl Fields<'_> {
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(ParseError::Malformed)?;
        self.0 = rest;
        Ok(*field)
    }

    pub(super) fn boxed<const N: usize>(&mut self) -> Result<Box<[u8; N]>, ParseError> {
        self.array().map(Box::new)
    }

    fn u64(&mut self) -> Result<u64, ParseError> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, ParseError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A receiver index.
    pub(super) fn index(&mut self) -> Result<u32, ParseError> {
        match self.u32()? {
            0 => Err(ParseError::Malformed),
            index => Ok(index),
        }
    }

    /// Returns `message` if only zeros are left.
    fn end<T>(self, message: T) -> Result<T, ParseError> {
        let is_padding = self.0.iter().all(|byte| *byte == 0);
        is_padding.then_some(message).ok_or(ParseError::Malformed)
    }
}

#[cfg(test)]
mod tests;
