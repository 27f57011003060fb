//! Message bodies of the classic profile: JSON, compatible with `JSONEncoder` and `JSONDecoder` of
//! Foundation.
//!
//! The writer adds no white space, writes `/` as `\/`, escapes control characters and leaves everything else
//! unchanged. The reader accepts any order of keys, white space and all escapes of RFC 8259. It ignores
//! unknown keys.

use alloc::string::String;
use core::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use zeroize::{Zeroize, Zeroizing};

use super::MAX_CREDENTIAL_LEN;
use super::codec::{Code, Codec, DecodeError, Malformed};
use crate::PacketBuf;
use crate::aead::Aead;

/// An opened and parsed message.
#[derive(Debug)]
pub enum Message {
    /// Code 0x01: login request.
    AuthRequest(Credentials),
    /// Code 0x02: response of the server.
    AuthResponse {
        /// True if user name and password are right.
        is_ok: bool,
    },
    /// Code 0x03: one inner packet. The buffer now contains this packet.
    Data,
}

/// User name and password of a login request. Debug hides both, because users sometimes type the password
/// into the field of the name.
pub struct Credentials {
    /// User name as it was sent, at most [`MAX_CREDENTIAL_LEN`] bytes.
    pub login: String,
    /// Password in plain text, as this protocol sends it. Erased when dropped.
    pub password: Zeroizing<String>,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials([hidden])")
    }
}

impl<A: Aead> Codec<A> {
    /// Opens the datagram in `buf` and parses its body. After [`Message::Data`], `buf` contains the inner
    /// packet.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open), and [`Malformed::Body`] if the body does not match the code. Never
    /// [`DecodeError::Unexpected`], because that depends on the state of the caller.
    pub fn decode(&self, buf: &mut PacketBuf) -> Result<Message, DecodeError> {
        Ok(match self.open(buf)? {
            Code::AuthRequest => Message::AuthRequest(read_auth_request(buf)?),
            Code::AuthResponse => Message::AuthResponse {
                is_ok: read_auth_response(buf)?,
            },
            Code::Data => {
                read_data(buf)?;
                Message::Data
            }
        })
    }
}

#[derive(Deserialize)]
struct AuthRequest {
    login: String,
    password: String,
}

#[derive(Deserialize)]
struct AuthResponse {
    #[serde(rename = "isOK")]
    is_ok: bool,
}

/// Returns a new buffer with the body of a request. The body is written once and sealed in place, so no copy
/// of the password remains.
pub(super) fn auth_request(login: &str, password: &str) -> PacketBuf {
    const LONGEST_ESCAPE: usize = "\\u0000".len();
    let strings = login
        .len()
        .saturating_add(password.len())
        .saturating_mul(LONGEST_ESCAPE);
    let mut body = PacketBuf::with_capacity(strings.saturating_add(64));
    body.append(b"{\"login\":");
    append_string(&mut body, login);
    body.append(b",\"password\":");
    append_string(&mut body, password);
    body.append(b"}");
    body
}

/// Returns a new buffer with the body of a response.
pub(super) fn auth_response(is_ok: bool) -> PacketBuf {
    PacketBuf::copied_from(if is_ok {
        b"{\"isOK\":true}"
    } else {
        b"{\"isOK\":false}"
    })
}

/// Parses a request and erases it from `body`.
fn read_auth_request(body: &mut PacketBuf) -> Result<Credentials, Malformed> {
    let read = read_object(body);
    body.zeroize();
    let AuthRequest { login, password } = read?;
    let password = Zeroizing::new(password);
    if login.len() > MAX_CREDENTIAL_LEN || password.len() > MAX_CREDENTIAL_LEN {
        return Err(Malformed::Body);
    }
    Ok(Credentials { login, password })
}

/// Parses a response. Returns true if the login was accepted.
fn read_auth_response(body: &PacketBuf) -> Result<bool, Malformed> {
    let AuthResponse { is_ok } = read_object(body)?;
    Ok(is_ok)
}

/// Parses a JSON object. Arrays are rejected here, because serde would read their elements as the fields in
/// order.
fn read_object<'body, T: Deserialize<'body>>(body: &'body [u8]) -> Result<T, Malformed> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Malformed::Body);
    }
    serde_json::from_slice(body).map_err(|_| Malformed::Body)
}

/// Turns the body of a data message into the inner packet. Raw bytes stay unchanged. A JSON string of base64
/// is decoded, for old peers (no IP packet begins with `"`). Only decoding allocates memory.
fn read_data(body: &mut PacketBuf) -> Result<(), Malformed> {
    if body.first() == Some(&b'"') {
        let text: String = serde_json::from_slice(body).map_err(|_| Malformed::Body)?;
        let packet = STANDARD.decode(text).map_err(|_| Malformed::Body)?;
        body.truncate(0);
        body.append(&packet);
    }
    Ok(())
}

fn append_string(body: &mut PacketBuf, text: &str) {
    body.append(b"\"");
    for byte in text.bytes() {
        match byte {
            b'"' => body.append(b"\\\""),
            b'\\' => body.append(b"\\\\"),
            b'/' => body.append(b"\\/"),
            0x08 => body.append(b"\\b"),
            0x0c => body.append(b"\\f"),
            b'\n' => body.append(b"\\n"),
            b'\r' => body.append(b"\\r"),
            b'\t' => body.append(b"\\t"),
            0x00..0x20 => body.append(&[
                b'\\',
                b'u',
                b'0',
                b'0',
                hex_digit(byte >> 4),
                hex_digit(byte & 15),
            ]),
            _ => body.append(&[byte]),
        }
    }
    body.append(b"\"");
}

const fn hex_digit(nibble: u8) -> u8 {
    if nibble < 10 {
        b'0'.saturating_add(nibble)
    } else {
        (b'a' - 10).saturating_add(nibble)
    }
}
