//! The JSON messages of the protocol: [`Control`] before there is a session, [`Message`] inside a session.
//!
//! Parsing is strict where two parsers could differ (see `strict`). It is lenient where the protocol may
//! grow: unknown keys are ignored. Every message has exactly one written form, because transcripts are
//! hashed.

mod json;
mod settings;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::num::NonZeroU32;

use serde::Deserialize;

use self::json::{Bytes, Object, Text};
pub use self::settings::{
    MAX_DNS, MAX_KEEPALIVE, MAX_ROUTES, MAX_SEARCH, MIN_MTU, Refusal, SettingsError, TunnelSettings,
};
use super::strict;
use super::{Code, Login};
use crate::aead::Cipher;

/// Protocol version in control messages.
pub(crate) const VERSION: u64 = 2;
/// Longest reason of a `bye` in bytes.
pub(crate) const MAX_WHY_LEN: usize = 64;

/// Reason why a message was not parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParseError {
    /// The message does not have the form that the protocol defines.
    Malformed,
    /// A control message of a version other than 2. The rest of it was not read.
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

/// A message of the login, sealed under the keys that all holders of the pre-shared key share.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// M0, or M1 if it has a cookie: the client asks to log in.
    Login {
        /// The client's receiver index, not 0.
        index: u32,
        login: Login,
        /// Not decoded here. OPAQUE checks that it contains curve points.
        ke1: Box<[u8; 96]>,
        cookie: Option<[u8; 16]>,
    },
    /// M0r: the server asks the client to repeat its request with this cookie.
    Cookie { to: u32, cookie: [u8; 16] },
    /// M2: the server's part of the login.
    Ke2 {
        to: u32,
        /// The server's receiver index, not 0.
        index: u32,
        ke2: Box<[u8; 320]>,
    },
    /// M3: the client's proof.
    Ke3 { to: u32, ke3: [u8; 64] },
}

impl Control {
    /// Parses the body of a control datagram. [`Code::Up`] carries only `Login` and `Ke3`, [`Code::Down`]
    /// only `Cookie` and `Ke2`, [`Code::Session`] none.
    ///
    /// # Errors
    ///
    /// [`ParseError`].
    pub(crate) fn parse(code: Code, json: &[u8]) -> Result<Self, ParseError> {
        let json = strict::trimmed(json);
        strict::check(json)?;
        let Version { v } = serde_json::from_slice(json)?;
        if v != VERSION {
            return Err(ParseError::UnsupportedVersion);
        }
        let Type { t } = serde_json::from_slice(json)?;
        Ok(match (code, t.0.as_ref()) {
            (Code::Up, "login") => {
                let body: LoginBody<'_> = serde_json::from_slice(json)?;
                Self::Login {
                    index: body.idx.get(),
                    login: Login::new(&body.login.0).map_err(|_| ParseError::Malformed)?,
                    ke1: Box::new(body.ke1.0),
                    cookie: body.cookie.map(|cookie| cookie.0),
                }
            }
            (Code::Up, "ke3") => {
                let Ke3Body { to, ke3 } = serde_json::from_slice(json)?;
                Self::Ke3 {
                    to: to.get(),
                    ke3: ke3.0,
                }
            }
            (Code::Down, "cookie") => {
                let CookieBody { to, cookie } = serde_json::from_slice(json)?;
                Self::Cookie {
                    to: to.get(),
                    cookie: cookie.0,
                }
            }
            (Code::Down, "ke2") => {
                let Ke2Body { to, idx, ke2 } = serde_json::from_slice(json)?;
                Self::Ke2 {
                    to: to.get(),
                    index: idx.get(),
                    ke2: Box::new(ke2.0),
                }
            }
            _ => return Err(ParseError::Unexpected),
        })
    }

    /// The JSON, without padding.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let object = |name| Object::new().plain("v", VERSION).text("t", name);
        match self {
            Self::Login {
                index,
                login,
                ke1,
                cookie,
            } => {
                let json = object("login")
                    .plain("idx", index)
                    .text("login", login)
                    .bytes("ke1", &**ke1);
                match cookie {
                    Some(cookie) => json.bytes("cookie", cookie),
                    None => json,
                }
            }
            Self::Cookie { to, cookie } => object("cookie").plain("to", to).bytes("cookie", cookie),
            Self::Ke2 { to, index, ke2 } => object("ke2")
                .plain("to", to)
                .plain("idx", index)
                .bytes("ke2", &**ke2),
            Self::Ke3 { to, ke3 } => object("ke3").plain("to", to).bytes("ke3", ke3),
        }
        .end()
    }

    /// The code for the direction of the message.
    pub(crate) const fn code(&self) -> Code {
        match self {
            Self::Login { .. } | Self::Ke3 { .. } => Code::Up,
            Self::Cookie { .. } | Self::Ke2 { .. } => Code::Down,
        }
    }

    /// A stable name in kebab case; also the [`Datagram::kind`](crate::Datagram::kind).
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Login { cookie: None, .. } => "login",
            Self::Login { cookie: Some(_), .. } => "login-cookie",
            Self::Cookie { .. } => "cookie",
            Self::Ke2 { .. } => "ke2",
            Self::Ke3 { .. } => "ke3",
        }
    }
}

/// Prints only the kind, because the rest may be secret.
impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Control({})", self.kind())
    }
}

#[derive(Deserialize)]
struct Version {
    v: u64,
}

#[derive(Deserialize)]
struct Type<'a> {
    #[serde(borrow)]
    t: Text<'a>,
}

#[derive(Deserialize)]
struct LoginBody<'a> {
    idx: NonZeroU32,
    #[serde(borrow)]
    login: Text<'a>,
    ke1: Bytes<96>,
    cookie: Option<Bytes<16>>,
}

#[derive(Deserialize)]
struct CookieBody {
    to: NonZeroU32,
    cookie: Bytes<16>,
}

#[derive(Deserialize)]
struct Ke2Body {
    to: NonZeroU32,
    idx: NonZeroU32,
    ke2: Bytes<320>,
}

#[derive(Deserialize)]
struct Ke3Body {
    to: NonZeroU32,
    ke3: Bytes<64>,
}

/// A message inside a session.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// M4: the login is complete. Contains the tunnel's settings.
    Settings(TunnelSettings),
    /// M4: the login was valid, but the server refuses a session.
    Refused(Refusal),
    /// The client starts epoch `n`.
    Rekey(NewKey),
    /// The server's part of epoch `n`.
    Rekeyed(NewKey),
    /// Requests a pong with the same number.
    Ping { n: u64 },
    /// Answer to a ping.
    Pong { n: u64 },
    /// End of the session. The reason has at most [`MAX_WHY_LEN`] bytes and no control characters.
    Bye { why: String },
    /// Password change, first step: OPAQUE's registration request.
    Reg1([u8; 32]),
    /// Second step: the registration response.
    Reg2([u8; 64]),
    /// Third step: the registration record.
    Reg3(Box<[u8; 192]>),
    /// The server has stored the record.
    RegOk,
}

/// One side's part of a new epoch.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct NewKey {
    /// Number of the epoch.
    pub(crate) n: u32,
    /// A new receiver index, not 0.
    pub(crate) index: u32,
    /// An X25519 public key.
    pub(crate) pk: [u8; 32],
    /// Cipher of the epoch. In a request, the cipher that the client prefers; in an answer, the server's
    /// choice.
    pub(crate) cipher: Cipher,
}

impl Message {
    /// Parses the body of a session datagram.
    ///
    /// # Errors
    ///
    /// [`ParseError`], but never [`ParseError::UnsupportedVersion`].
    pub(crate) fn parse(json: &[u8]) -> Result<Self, ParseError> {
        let json = strict::trimmed(json);
        strict::check(json)?;
        let head: Head<'_> = serde_json::from_slice(json)?;
        let name = match (&head.t, head.is_ok) {
            (Some(t), None) => t.0.as_ref(),
            (None, Some(true)) => return TunnelSettings::from_json(json).map(Self::Settings),
            (None, Some(false)) => {
                let RefusedBody { error } = serde_json::from_slice(json)?;
                let refusal = Refusal::from_name(&error.0).ok_or(ParseError::Malformed)?;
                return Ok(Self::Refused(refusal));
            }
            (None, None) | (Some(_), Some(_)) => return Err(ParseError::Malformed),
        };
        Ok(match name {
            "rekey" | "rekeyed" => {
                let body: RekeyBody<'_> = serde_json::from_slice(json)?;
                let is_request = name == "rekey";
                let new = NewKey {
                    n: body.n,
                    index: body.idx.get(),
                    pk: body.pk.0,
                    cipher: body.cipher(is_request)?,
                };
                if is_request {
                    Self::Rekey(new)
                } else {
                    Self::Rekeyed(new)
                }
            }
            "ping" => Self::Ping { n: number(json)? },
            "pong" => Self::Pong { n: number(json)? },
            "bye" => Self::bye(json)?,
            "reg1" => Self::Reg1(serde_json::from_slice::<Reg1Body>(json)?.reg1.0),
            "reg2" => Self::Reg2(serde_json::from_slice::<Reg2Body>(json)?.reg2.0),
            "reg3" => Self::Reg3(Box::new(serde_json::from_slice::<Reg3Body>(json)?.reg3.0)),
            "regOk" => Self::RegOk,
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

    /// The JSON, without padding. The same message always gives the same bytes. A `why` that is too long is
    /// truncated.
    pub(crate) fn to_json(&self) -> Vec<u8> {
        let rekey = |name, new: &NewKey| {
            let json = Object::of_type(name)
                .plain("n", new.n)
                .plain("idx", new.index)
                .bytes("pk", &new.pk);
            match new.cipher {
                Cipher::ChaCha20Poly1305 => json,
                cipher @ Cipher::Aes256Gcm => json.text("cipher", cipher),
            }
        };
        match self {
            Self::Settings(settings) => return settings.to_json(),
            Self::Refused(refusal) => Object::new().plain("isOK", false).text("error", refusal.name()),
            Self::Rekey(new) => rekey("rekey", new),
            Self::Rekeyed(new) => rekey("rekeyed", new),
            Self::Ping { n } => Object::of_type("ping").plain("n", n),
            Self::Pong { n } => Object::of_type("pong").plain("n", n),
            Self::Bye { why } => {
                let len = why.floor_char_boundary(MAX_WHY_LEN);
                Object::of_type("bye").text("why", why.get(..len).unwrap_or_default())
            }
            Self::Reg1(reg1) => Object::of_type("reg1").bytes("reg1", reg1),
            Self::Reg2(reg2) => Object::of_type("reg2").bytes("reg2", reg2),
            Self::Reg3(reg3) => Object::of_type("reg3").bytes("reg3", &**reg3),
            Self::RegOk => Object::of_type("regOk"),
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
            Self::Reg1(_) => "reg1",
            Self::Reg2(_) => "reg2",
            Self::Reg3(_) => "reg3",
            Self::RegOk => "reg-ok",
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
struct RekeyBody<'a> {
    n: u32,
    idx: NonZeroU32,
    pk: Bytes<32>,
    #[serde(borrow)]
    cipher: Option<Text<'a>>,
}

impl RekeyBody<'_> {
    /// The cipher of a rekey message. A missing key means the default cipher. An unknown cipher is ignored in
    /// a request and rejected in an answer.
    fn cipher(&self, is_request: bool) -> Result<Cipher, ParseError> {
        let name = self.cipher.as_ref().map(|name| name.0.as_ref());
        match (name, name.and_then(Cipher::from_name)) {
            (_, Some(cipher)) => Ok(cipher),
            (Some(_), None) if !is_request => Err(ParseError::Malformed),
            (_, None) => Ok(Cipher::default()),
        }
    }
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
struct Reg1Body {
    reg1: Bytes<32>,
}

#[derive(Deserialize)]
struct Reg2Body {
    reg2: Bytes<64>,
}

#[derive(Deserialize)]
struct Reg3Body {
    reg3: Bytes<192>,
}
