//! Datagrams of the secure protocol, sealed and opened from the specification alone, without the code of the protocol.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use sandhog_proto::kem::{PublicKey, Seed};
use serde_json::Value;
use sha2::{Digest, Sha512};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use super::opaque;

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

/// HMAC-SHA512 of the concatenated parts.
pub(super) fn mac(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let mut mac = <Hmac<Sha512> as Mac>::new_from_slice(key).expect("a key of any length");
    parts.iter().for_each(|part| mac.update(part));
    mac.finalize().into_bytes().to_vec()
}

/// ChaCha20-Poly1305. Returns the ciphertext and the tag.
fn encrypt(key: &[u8; 32], nonce: [u8; 12], data: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let mut body = plaintext.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    let sealed = cipher.encrypt_inout_detached(&nonce.into(), data, body.as_mut_slice().into());
    let tag = sealed.expect("the plaintext is short");
    [&body, &tag[..]].concat()
}

/// The plaintext. `None` if it was sealed with another key.
fn decrypt(key: &[u8; 32], nonce: [u8; 12], data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (body, tag) = sealed.split_last_chunk::<16>()?;
    let mut body = body.to_vec();
    let cipher = ChaCha20Poly1305::new(key.into());
    cipher
        .decrypt_inout_detached(&nonce.into(), data, body.as_mut_slice().into(), tag.into())
        .ok()?;
    Some(body)
}

/// `code | nonce | ciphertext | tag`, with the code as associated data.
fn seal(key: &[u8; 32], code: u8, nonce: [u8; 12], plaintext: &[u8]) -> Vec<u8> {
    [&[code], &nonce[..], &encrypt(key, nonce, &[code], plaintext)].concat()
}

/// The plaintext of a datagram. `None` if it was sealed with another key.
fn open(key: &[u8; 32], datagram: &[u8]) -> Option<Vec<u8>> {
    let (header, sealed) = datagram.split_first_chunk::<13>()?;
    let [code, nonce @ ..] = *header;
    decrypt(key, nonce, &[code], sealed)
}

/// The public keys of a server.
#[derive(Clone, Debug)]
pub(in crate::profile::secure) struct ServerKeys {
    x25519: [u8; 32],
    kem: PublicKey,
    pub(super) fingerprint: [u8; 32],
}

impl ServerKeys {
    /// The keys of a setup. Its layout is that of the file.
    pub(in crate::profile::secure) fn of_setup(setup: &[u8; 256]) -> Self {
        let part = |from: usize| *setup[from..].first_chunk().expect("inside the setup");
        let x25519 = x25519(part(128), X25519_BASEPOINT_BYTES);
        let opaque = opaque::public_key(&setup[..128]);
        let (_, kem) = Seed::new(*setup[160..].first_chunk().expect("inside the setup")).key_pair();
        let hash = Sha512::new()
            .chain_update(b"sandhog/3 server")
            .chain_update(x25519)
            .chain_update(opaque)
            .chain_update(kem.as_bytes())
            .finalize();
        Self {
            x25519,
            kem,
            fingerprint: *hash.first_chunk().expect("a hash of 64 bytes"),
        }
    }
}

/// The first message of a login that has no cookie.
pub(super) fn m0(time: u64, index: u32) -> Vec<u8> {
    [&[0x31][..], &time.to_be_bytes(), &index.to_be_bytes()].concat()
}

/// The cookie in M0r for the client with this receiver index.
pub(super) fn cookie(message: &[u8], index: u32) -> Option<[u8; 16]> {
    (message.first() == Some(&0x32) && message.get(1..5)? == index.to_be_bytes()).then_some(())?;
    message.get(5..)?.first_chunk().copied()
}

/// M1 without its first byte and its time, and the key of M2.
#[derive(Clone)]
pub(super) struct Request {
    bytes: Vec<u8>,
    prk: [u8; 64],
    public: [u8; 32],
}

impl Request {
    pub(super) fn new(
        keys: &ServerKeys,
        (secret, index): ([u8; 32], u32),
        cookie: [u8; 16],
        (login, ke1): (&str, &[u8]),
    ) -> Self {
        let public = x25519(secret, X25519_BASEPOINT_BYTES);
        let salt = [&cookie[..], &index.to_be_bytes()].concat();
        let prk = extract(&salt, &x25519(secret, keys.x25519));
        let mut name = login.as_bytes().to_vec();
        let length = u8::try_from(name.len()).expect("the scenario was validated");
        name.resize(64, 0);
        let content = [&[length][..], &name, ke1, &[0; 32]].concat();
        let key = expand(&prk, &[&b"m1"[..], &public, &keys.x25519].concat());
        let sealed = encrypt(&key, [0; 12], &[], &content);
        let bytes = [&index.to_be_bytes()[..], &cookie, &public, &sealed].concat();
        Self { bytes, prk, public }
    }

    /// M1.
    pub(super) fn message(&self, time: u64) -> Vec<u8> {
        [&[0x33][..], &time.to_be_bytes(), &self.bytes].concat()
    }

    /// The server's receiver index and KE2 in M2.
    pub(super) fn ke2(&self, keys: &ServerKeys, message: &[u8]) -> Option<(u32, Vec<u8>)> {
        (message.first() == Some(&0x34) && message.get(1..5)? == &self.bytes[..4]).then_some(())?;
        let index: [u8; 4] = message.get(5..)?.first_chunk().copied()?;
        let info = [&b"m2"[..], &self.public, &keys.x25519, &index].concat();
        let content = decrypt(&expand(&self.prk, &info), [0; 12], &[], message.get(9..969)?)?;
        Some((u32::from_be_bytes(index), content.get(32..352)?.to_vec()))
    }

    /// M3 and the keys of the session, after this M2.
    pub(super) fn proof(
        &self,
        (keys, control): (&ServerKeys, &ControlKeys),
        rng: &mut ChaCha20Rng,
        m2: &[u8],
        (theirs, ke3, session_key): (u32, &[u8], &[u8]),
    ) -> (Vec<u8>, SessionKeys) {
        let (ciphertext, shared) = keys.kem.encapsulate(rng);
        let proof = [&[0x35][..], &theirs.to_be_bytes(), ke3, &*ciphertext].concat();
        let mac = mac(session_key, &[b"m3", &*ciphertext]);
        let transcript = Sha512::new()
            .chain_update(&self.bytes)
            .chain_update(&m2[..969])
            .chain_update(keys.kem.as_bytes())
            .chain_update(&proof)
            .finalize();
        let chain = extract(&control.mix, &[session_key, &*shared, &transcript].concat());
        let session = SessionKeys {
            up: expand(&chain, b"up\0\0\0\0"),
            down: expand(&chain, b"down\0\0\0\0"),
            theirs,
            counter: 0,
        };
        ([&proof, &mac[..14]].concat(), session)
    }
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
        let root = extract(b"sandhog/3", psk);
        Self {
            up: expand(&root, b"ctl up"),
            down: expand(&root, b"ctl down"),
            mix: expand(&root, b"mix"),
        }
    }

    /// A control datagram of a client.
    pub(super) fn seal(&self, rng: &mut impl RngCore, message: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        rng.fill_bytes(&mut nonce);
        let mut body = message.to_vec();
        body.resize(CONTROL_LEN - OVERHEAD, 0);
        seal(&self.up, 1, nonce, &body)
    }

    /// The message in a control datagram of a server.
    pub(super) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        (datagram.first() == Some(&2)).then(|| open(&self.down, datagram))?
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
    pub(super) fn seal(&mut self, message: &[u8]) -> Vec<u8> {
        let mut nonce = [0; 12];
        nonce[..4].copy_from_slice(&self.theirs.to_be_bytes());
        nonce[4..].copy_from_slice(&self.counter.to_be_bytes());
        self.counter += 1;
        let mut body = message.to_vec();
        body.resize(body.len().next_multiple_of(MESSAGE_PADDING), b' ');
        seal(&self.up, 3, nonce, &body)
    }

    /// The message in a session datagram of the server.
    pub(super) fn open(&self, datagram: &[u8]) -> Option<Vec<u8>> {
        (datagram.first() == Some(&3)).then(|| open(&self.down, datagram))?
    }
}
