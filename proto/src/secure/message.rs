//! The messages of the protocol: the binary [`Control`] before there is a session, [`Message`] inside a session.
//!
//! Messages inside a session are JSON. Only those of a rekey are binary, because they contain keys of more than 1000 bytes.
//! Parsing of JSON is strict where two parsers could differ (see `strict`). It is lenient where the protocol may grow: unknown
//! keys are ignored. Every message has exactly one written form.

mod control;
mod json;
mod settings;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::Deserialize;

use self::control::Fields;
pub(crate) use self::control::{
    Control, KEY_HALF_LEN, Ke2Reply, LoginRequest, M3_MAC_LEN, Proof, SEALED_KE2_LEN, SEALED_LOGIN_LEN,
};
use self::json::{Bytes, Object, Text};
pub(crate) use self::settings::Accepted;
pub use self::settings::{
    MAX_DNS, MAX_KEEPALIVE, MAX_ROUTES, MAX_SEARCH, MIN_MTU, Refusal, SettingsError, TunnelSettings,
};
use super::strict;
use super::ticket::{TICKET_LEN, Ticket};
use crate::aead::Cipher;
use crate::kem::{CIPHERTEXT_LEN, PUBLIC_LEN};

/// First byte of a rekey request.
pub(crate) const REKEY: u8 = 0x01;
/// First byte of the answer to a rekey request.
pub(crate) const REKEYED: u8 = 0x02;
/// Bytes of a rekey message before the key or the ciphertext of ML-KEM.
const NEW_KEY_LEN: usize = 1 + 4 + 4 + 1 + 32;
/// Longest reason of a `bye` in bytes.
pub(crate) const MAX_WHY_LEN: usize = 64;

/// Reason why a message was not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// The message does not have the form that the protocol defines.
    Malformed,
    /// A control message of a version other than 3. The rest of it was not read.
    UnsupportedVersion,
    /// Well-formed, but of an unknown type or of a type for the other direction.
    Unexpected,
}

impl From<strict::Malformed> for ParseError {
    fn from(_: strict::Malformed) -> Self {
        Self::Malformed
    }
}

impl From<serde_json::Error> for ParseError {
    fn from(_: serde_json::Error) -> Self {
        Self::Malformed
    }
}

/// A message inside a session.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// M4: the login is complete. Contains the tunnel's settings.
    Settings(Box<Accepted>),
    /// M4: the login was valid, but the server refuses a session.
    Refused(Refusal),
    /// The client starts epoch `n`. Contains its encapsulation key.
    Rekey(NewKey<PUBLIC_LEN>),
    /// The server's part of epoch `n`. Contains the ciphertext for that key.
    Rekeyed(NewKey<CIPHERTEXT_LEN>),
    /// Requests a pong with the same number.
    Ping { n: u64 },
    /// Answer to a ping.
    Pong { n: u64 },
    /// End of the session. The reason has at most [`MAX_WHY_LEN`] bytes and no control characters.
    Bye { why: String },
    /// Password change, first step: KE1 of a login with the old password.
    Prove1(Box<[u8; 96]>),
    /// Its KE2.
    Prove2(Box<[u8; 320]>),
    /// Its KE3, which proves the old password, and the registration request for the new one.
    Prove3 { ke3: Box<[u8; 64]>, reg1: [u8; 32] },
    /// The registration response.
    Reg2([u8; 64]),
    /// The registration record, with a MAC under the session key of the proof.
    Reg3 { record: Box<[u8; 192]>, mac: [u8; 32] },
    /// The server has stored the record. Contains a ticket for it.
    RegOk(Option<Ticket>),
}

/// One side's part of a new epoch. `N` is the length of its part of ML-KEM.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NewKey<const N: usize> {
    /// Number of the epoch.
    pub(crate) n: u32,
    /// A new receiver index, not 0.
    pub(crate) index: u32,
    /// Cipher of the epoch. In a request, the cipher that the client prefers; in an answer, the server's
    /// choice.
    pub(crate) cipher: Cipher,
    /// An X25519 public key.
    pub(crate) pk: [u8; 32],
    /// An encapsulation key in a request, a ciphertext in an answer.
    pub(crate) kem: Box<[u8; N]>,
}

impl<const N: usize> NewKey<N> {
    /// Parses a rekey message without its first byte. Bytes after it are malformed.
    fn parse(fields: &[u8], is_request: bool) -> Result<Self, ParseError> {
        let mut fields = Fields(fields);
        let new = Self {
            n: fields.u32()?,
            index: fields.index()?,
            cipher: match fields.array()? {
                [0] => Cipher::ChaCha20Poly1305,
                [1] => Cipher::Aes256Gcm,
                // A later version may ask for a cipher that does not exist yet.
                _ if is_request => Cipher::default(),
                _ => return Err(ParseError::Malformed),
            },
            pk: fields.array()?,
            kem: fields.boxed()?,
        };
        fields.0.is_empty().then_some(new).ok_or(ParseError::Malformed)
    }

    fn to_bytes(&self, first: u8) -> Vec<u8> {
        let cipher = match self.cipher {
            Cipher::ChaCha20Poly1305 => 0,
            Cipher::Aes256Gcm => 1,
        };
        let mut bytes = Vec::with_capacity(NEW_KEY_LEN.saturating_add(N));
        let parts: [&[u8]; 6] = [
            &[first],
            &self.n.to_be_bytes(),
            &self.index.to_be_bytes(),
            &[cipher],
            &self.pk,
            &*self.kem,
        ];
        for part in parts {
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// Length of the message at the start of a plaintext with the first byte `first`. `None` if it is not a binary message.
pub(crate) const fn binary_len(first: u8) -> Option<usize> {
    match first {
        REKEY => Some(NEW_KEY_LEN + PUBLIC_LEN),
        REKEYED => Some(NEW_KEY_LEN + CIPHERTEXT_LEN),
        _ => None,
    }
}

impl Message {
    /// Parses the body of a session datagram.
    ///
    /// # Errors
    ///
    /// [`ParseError`], but never [`ParseError::UnsupportedVersion`].
    pub(crate) fn parse(body: &[u8]) -> Result<Self, ParseError> {
        match body.split_first() {
            Some((&REKEY, fields)) => return NewKey::parse(fields, true).map(Self::Rekey),
            Some((&REKEYED, fields)) => return NewKey::parse(fields, false).map(Self::Rekeyed),
            _ => {}
        }
        let json = strict::trimmed(body);
        strict::check(json)?;
        let head: Head<'_> = serde_json::from_slice(json)?;
        let name = match (&head.t, head.is_ok) {
            (Some(t), None) => t.0.as_ref(),
            (None, Some(true)) => {
                let accepted = Accepted::from_json(json)?;
                return Ok(Self::Settings(Box::new(accepted)));
            }
            (None, Some(false)) => {
                let RefusedBody { error } = serde_json::from_slice(json)?;
                let refusal = Refusal::from_name(&error.0).ok_or(ParseError::Malformed)?;
                return Ok(Self::Refused(refusal));
            }
            (None, None) | (Some(_), Some(_)) => return Err(ParseError::Malformed),
        };
        Ok(match name {
            "ping" => Self::Ping { n: number(json)? },
            "pong" => Self::Pong { n: number(json)? },
            "bye" => Self::bye(json)?,
            "prove1" => Self::Prove1(Box::new(serde_json::from_slice::<Prove1Body>(json)?.ke1.0)),
            "prove2" => Self::Prove2(Box::new(serde_json::from_slice::<Prove2Body>(json)?.ke2.0)),
            "prove3" => {
                let Prove3Body { ke3, reg1 } = serde_json::from_slice(json)?;
                Self::Prove3 {
                    ke3: Box::new(ke3.0),
                    reg1: reg1.0,
                }
            }
            "reg2" => Self::Reg2(serde_json::from_slice::<Reg2Body>(json)?.reg2.0),
            "reg3" => {
                let Reg3Body { reg3, mac } = serde_json::from_slice(json)?;
                Self::Reg3 {
                    record: Box::new(reg3.0),
                    mac: mac.0,
                }
            }
            "regOk" => {
                let RegOkBody { ticket } = serde_json::from_slice(json)?;
                Self::RegOk(ticket.map(|ticket| ticket.0))
            }
            _ => return Err(ParseError::Unexpected),
        })
    }

    fn bye(json: &[u8]) -> Result<Self, ParseError> {
        let ByeBody { why } = serde_json::from_slice(json)?;
        // The reason is shown in logs and on terminals.
        if why.len() > MAX_WHY_LEN || why.contains(char::is_control) {
            return Err(ParseError::Malformed);
        }
        Ok(Self::Bye { why })
    }

    /// The bytes, without padding. The same message always gives the same bytes. A `why` that is too long is
    /// truncated.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        match self {
            Self::Settings(accepted) => return accepted.to_json(),
            Self::Refused(refusal) => Object::new().plain("isOK", false).text("error", refusal.name()),
            Self::Rekey(new) => return new.to_bytes(REKEY),
            Self::Rekeyed(new) => return new.to_bytes(REKEYED),
            Self::Ping { n } => Object::of_type("ping").plain("n", n),
            Self::Pong { n } => Object::of_type("pong").plain("n", n),
            Self::Bye { why } => {
                let len = why.floor_char_boundary(MAX_WHY_LEN);
                Object::of_type("bye").text("why", why.get(..len).unwrap_or_default())
            }
            Self::Prove1(ke1) => Object::of_type("prove1").bytes("ke1", &**ke1),
            Self::Prove2(ke2) => Object::of_type("prove2").bytes("ke2", &**ke2),
            Self::Prove3 { ke3, reg1 } => Object::of_type("prove3").bytes("ke3", &**ke3).bytes("reg1", reg1),
            Self::Reg2(reg2) => Object::of_type("reg2").bytes("reg2", reg2),
            Self::Reg3 { record, mac } => Object::of_type("reg3").bytes("reg3", &**record).bytes("mac", mac),
            Self::RegOk(None) => Object::of_type("regOk"),
            Self::RegOk(Some(ticket)) => Object::of_type("regOk").bytes("ticket", ticket),
        }
        .end()
    }

    /// A stable name in kebab case; also the [`Datagram::kind`](crate::Datagram::kind).
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Settings(_) => "settings",
            Self::Refused(_) => "refused",
            Self::Rekey(_) => "rekey",
            Self::Rekeyed(_) => "rekeyed",
            Self::Ping { .. } => "ping",
            Self::Pong { .. } => "pong",
            Self::Bye { .. } => "bye",
            Self::Prove1(_) => "prove1",
            Self::Prove2(_) => "prove2",
            Self::Prove3 { .. } => "prove3",
            Self::Reg2(_) => "reg2",
            Self::Reg3 { .. } => "reg3",
            Self::RegOk(_) => "reg-ok",
        }
    }
}

/// Prints only the kind, because the rest may be secret.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Message({})", self.kind())
    }
}

/// The keys that determine the type of a session message.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(borrow)]
    t: Option<Text<'a>>,
    #[serde(rename = "isOK")]
    is_ok: Option<bool>,
}

#[derive(Deserialize)]
struct RefusedBody<'a> {
    #[serde(borrow)]
    error: Text<'a>,
}

#[derive(Deserialize)]
struct NumberBody {
    n: u64,
}

fn number(json: &[u8]) -> Result<u64, ParseError> {
    let NumberBody { n } = serde_json::from_slice(json)?;
    Ok(n)
}

#[derive(Deserialize)]
struct ByeBody {
    why: String,
}

#[derive(Deserialize)]
struct Prove1Body {
    ke1: Bytes<96>,
}

#[derive(Deserialize)]
struct Prove2Body {
    ke2: Bytes<320>,
}

#[derive(Deserialize)]
struct Prove3Body {
    ke3: Bytes<64>,
    reg1: Bytes<32>,
}

#[derive(Deserialize)]
struct Reg2Body {
    reg2: Bytes<64>,
}

#[derive(Deserialize)]
struct RegOkBody {
    ticket: Option<Bytes<TICKET_LEN>>,
}

#[derive(Deserialize)]
struct Reg3Body {
    reg3: Bytes<192>,
    mac: Bytes<32>,
}
