//! Datagrams of the secure protocol, sealed and opened from the specification alone, without the code of the protocol.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use rand_core::RngCore;
use serde_json::Value;
use sha2::Sha512;

/// Length of every control datagram.
const CONTROL_LEN: usize = 1200;
/// Bytes of a datagram besides its plaintext: code, nonce and tag.
const OVERHEAD: usize = 29;
/// Session messages are padded to multiples of this length.
const MESSAGE_PADDING: usize = 64;

/// Bytes in base64url without padding.
pub(super) fn text_of(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a key of a message.
pub(super) fn bytes_of(message: &Value, key: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(message.get(key)?.as_str()?).ok()
}

/// The receiver index in a key of a message.
pub(super) fn index_of(message: &Value, key: &str) -> Option<u32> {
    u32::try_from(message.get(key)?.as_u64()?).ok()
}

/// HKDF-Extract.
fn extract(salt: &[u8], secret: &[u8]) -> [u8; 64] {
    Hkdf::<Sha512>::extract(Some(salt), secret).0.into()
}

/// HKDF-Expand.
fn expand<const N: usize>(key: &[u8; 64], info: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    let expanded = Hkdf::<Sha512>::from_prk(key).map(|key| key.expand(info, &mut out));
    debug_assert!(matches!(expanded, Ok(Ok(()))), "the lengths are constants");
    out
}

/// `code | nonce | ciphertext | tag`, with the code as associated data.
fn seal(key: &[u8; 32], code: u8, nonce: [u8; 12], plaintext: &str, len: usize) -> Vec<u8> {
    let mut body = format!("{plaintext:len$}").into_bytes();
    let cipher = ChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt_inout_detached(&nonce.into(), &[code], body.as_mut_slice().into());
    let tag = sealed.expect("the plaintext is short");
    [&[code], &nonce[..], &body, &tag[..]].concat()
}

/// The message in a datagram. `None` if it was sealed with another key, or is not JSON.
fn open(key: &[u8; 32], datagram: &[u8]) -> Option<Value> {
    let (header, rest) = datagram.split_first_chunk::<13>()?;
    let (body, tag) = rest.split_last_chunk::<16>()?;
    let [code, nonce @ ..] = *header;
    let mut body = body.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher
        .decrypt_inout_detached(&nonce.into(), &[code], body.as_mut_slice().into(), tag.into())
        .ok()?;
    serde_json::from_slice(&body).ok()
}

/// The keys of all holders of the pre-shared key.
#[derive(Debug)]
pub(super) struct ControlKeys {
    up: [u8; 32],
    down: [u8; 32],
    mix: [u8; 64],
}

impl ControlKeys {
    pub(super) fn new(psk: &[u8; 32]) -> Self {
        let root = extract(b"sandhog/2", psk);
        Self {
            up: expand(&root, b"ctl up"),
            down: expand(&root, b"ctl down"),
            mix: expand(&root, b"mix"),
        }
    }

    /// A control datagram of a client.
    pub(super) fn seal(&self, rng: &mut impl RngCore, json: &str) -> Vec<u8> {
        let mut nonce = [0; 12];
        rng.fill_bytes(&mut nonce);
        seal(&self.up, 1, nonce, json, CONTROL_LEN - OVERHEAD)
    }

    /// The message in a control datagram of a server.
    pub(super) fn open(&self, datagram: &[u8]) -> Option<Value> {
        (datagram.first() == Some(&2)).then(|| open(&self.down, datagram))?
    }

    /// The first keys of a session. `theirs` is the index of the server.
    pub(super) fn session(&self, session_key: &[u8], theirs: u32) -> SessionKeys {
        let chain = extract(&self.mix, session_key);
        SessionKeys {
            up: expand(&chain, b"up\0\0\0\0"),
            down: expand(&chain, b"down\0\0\0\0"),
            theirs,
            counter: 0,
        }
    }
}

/// The keys of epoch 0 of a session, for a client.
#[derive(Debug)]
pub(super) struct SessionKeys {
    up: [u8; 32],
    down: [u8; 32],
    theirs: u32,
    counter: u64,
}

impl SessionKeys {
    /// The next session datagram with a message.
    pub(super) fn seal(&mut self, json: &str) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.theirs.to_be_bytes());
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        let len = json.len().next_multiple_of(MESSAGE_PADDING);
        seal(&self.up, 3, nonce, json, len)
    }

    /// The message in a session datagram of the server.
    pub(super) fn open(&self, datagram: &[u8]) -> Option<Value> {
        (datagram.first() == Some(&3)).then(|| open(&self.down, datagram))?
    }
}
