//! The sealed parts of M1 and M2: only the owner of the server's X25519 key reads M1 and can answer it.
//!
//! The keys come from X25519 between an ephemeral key of the client and the static key of the server. Each key seals one
//! message, so the nonce is zero.

use alloc::boxed::Box;
use core::fmt;

use zeroize::Zeroizing;

use super::keys::{expand, extract};
use super::message::{KEY_HALF_LEN, SEALED_KE2_LEN, SEALED_LOGIN_LEN};
use super::ticket::TICKET_LEN;
use super::{Login, MAX_LOGIN_LEN};
use crate::aead::{Aead, Cipher, DefaultAead, KEY_LEN, NONCE_LEN, TAG_LEN};
use crate::secret::Secret;

const NONCE: [u8; NONCE_LEN] = [0; NONCE_LEN];
/// Length of the plaintext of M1's sealed part: length and text of the user name, KE1, ticket.
const LOGIN_LEN: usize = 1 + MAX_LOGIN_LEN + 96 + TICKET_LEN;
/// Length of the plaintext of M2's sealed part: OPAQUE key of the server, KE2, second half of the encapsulation key.
const KE2_LEN: usize = 32 + 320 + KEY_HALF_LEN;

const _: () = assert!(LOGIN_LEN + TAG_LEN == SEALED_LOGIN_LEN && KE2_LEN + TAG_LEN == SEALED_KE2_LEN);

/// The secret of one M1, from which the keys of both sealed parts are derived.
#[derive(Clone)]
pub(super) struct LoginSecret {
    prk: Secret<64>,
    ephemeral: [u8; 32],
    server: [u8; 32],
}

/// The sealed content of M1.
pub(super) struct SealedLogin {
    pub(super) login: Login,
    /// Not decoded here. OPAQUE checks that it contains curve points.
    pub(super) ke1: Box<[u8; 96]>,
    /// All zeros if the client has none.
    pub(super) ticket: [u8; TICKET_LEN],
}

/// The sealed content of M2.
pub(super) struct SealedKe2 {
    /// OPAQUE public key of the server.
    pub(super) opaque_key: [u8; 32],
    pub(super) ke2: Box<[u8; 320]>,
    pub(super) key_half: Box<[u8; KEY_HALF_LEN]>,
}

impl LoginSecret {
    /// The secret of the M1 with this cookie and receiver index. `dh` is the X25519 result. `ephemeral` and `server` are the
    /// two public keys.
    pub(super) fn new(
        dh: &[u8; 32],
        (cookie, index): (&[u8; 16], u32),
        ephemeral: &[u8; 32],
        server: &[u8; 32],
    ) -> Self {
        let mut salt = [0; 20];
        for (to, from) in salt.iter_mut().zip(cookie.iter().chain(&index.to_be_bytes())) {
            *to = *from;
        }
        Self {
            prk: extract(&salt, &[dh]),
            ephemeral: *ephemeral,
            server: *server,
        }
    }

    fn aead(&self, name: &[u8], more: &[u8]) -> DefaultAead {
        let key: Secret<KEY_LEN> = expand(&self.prk, &[name, &self.ephemeral, &self.server, more]);
        DefaultAead::new(Cipher::ChaCha20Poly1305, &key)
    }

    /// Seals the content of M1.
    pub(super) fn seal_login(&self, content: &SealedLogin) -> Option<Box<[u8; SEALED_LOGIN_LEN]>> {
        let name = content.login.as_str().as_bytes();
        let length = u8::try_from(name.len()).ok()?;
        let mut text = [0; MAX_LOGIN_LEN];
        text.get_mut(..name.len())?.copy_from_slice(name);
        seal(
            &self.aead(b"m1", b""),
            &[&[length], &text, &*content.ke1, &content.ticket],
        )
    }

    /// Opens the content of M1. `None` if it was not made for this server, or is malformed.
    pub(super) fn open_login(&self, sealed: &[u8; SEALED_LOGIN_LEN]) -> Option<SealedLogin> {
        let mut bytes = Zeroizing::new(*sealed);
        let content = open::<SEALED_LOGIN_LEN>(&self.aead(b"m1", b""), &mut bytes)?;
        let (length, rest) = content.split_first()?;
        let (text, rest) = rest.split_at_checked(MAX_LOGIN_LEN)?;
        let (name, padding) = text.split_at_checked(usize::from(*length))?;
        if padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        let (ke1, ticket) = rest.split_first_chunk()?;
        Some(SealedLogin {
            login: Login::new(core::str::from_utf8(name).ok()?).ok()?,
            ke1: Box::new(*ke1),
            ticket: *ticket.first_chunk()?,
        })
    }

    /// Seals the content of the M2 with this receiver index of the server.
    pub(super) fn seal_ke2(&self, index: u32, content: &SealedKe2) -> Option<Box<[u8; SEALED_KE2_LEN]>> {
        let aead = self.aead(b"m2", &index.to_be_bytes());
        seal(&aead, &[&content.opaque_key, &*content.ke2, &*content.key_half])
    }

    /// Opens the content of M2. `None` if it does not answer this M1, or is not from this server.
    pub(super) fn open_ke2(&self, index: u32, sealed: &[u8; SEALED_KE2_LEN]) -> Option<SealedKe2> {
        let mut bytes = *sealed;
        let content = open::<SEALED_KE2_LEN>(&self.aead(b"m2", &index.to_be_bytes()), &mut bytes)?;
        let (opaque_key, rest) = content.split_first_chunk()?;
        let (ke2, key_half) = rest.split_first_chunk()?;
        Some(SealedKe2 {
            opaque_key: *opaque_key,
            ke2: Box::new(*ke2),
            key_half: Box::new(*key_half.first_chunk()?),
        })
    }
}

impl fmt::Debug for LoginSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LoginSecret([hidden])")
    }
}

/// Seals the concatenated `parts`. `None` if their length is not `N` without the tag.
fn seal<const N: usize>(aead: &DefaultAead, parts: &[&[u8]]) -> Option<Box<[u8; N]>> {
    let mut sealed = Box::new([0; N]);
    let (body, tag_place) = sealed.split_last_chunk_mut::<TAG_LEN>()?;
    let mut room = &mut *body;
    for part in parts {
        let (to, rest) = room.split_at_mut_checked(part.len())?;
        to.copy_from_slice(part);
        room = rest;
    }
    if !room.is_empty() {
        return None;
    }
    *tag_place = aead.seal(&NONCE, &[], body).ok()?;
    Some(sealed)
}

/// Opens `bytes` in place and returns the content. `None` if the tag is wrong.
fn open<'a, const N: usize>(aead: &DefaultAead, bytes: &'a mut [u8; N]) -> Option<&'a [u8]> {
    let (body, tag) = bytes.split_last_chunk_mut::<TAG_LEN>()?;
    aead.open(&NONCE, &[], body, tag).ok()?;
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(dh: u8, cookie: u8, index: u32) -> LoginSecret {
        LoginSecret::new(&[dh; 32], (&[cookie; 16], index), &[3; 32], &[4; 32])
    }

    fn login(name: &str) -> SealedLogin {
        SealedLogin {
            login: Login::new(name).unwrap(),
            ke1: Box::new([5; 96]),
            ticket: [6; TICKET_LEN],
        }
    }

    #[test]
    fn the_content_of_m1_is_read_back_for_names_of_every_length() {
        for length in 1..=MAX_LOGIN_LEN {
            let name = "a".repeat(length);
            let sealed = secret(1, 2, 7).seal_login(&login(&name)).unwrap();
            let content = secret(1, 2, 7).open_login(&sealed).unwrap();
            assert_eq!(content.login.as_str(), name);
            assert_eq!((*content.ke1, content.ticket), ([5; 96], [6; TICKET_LEN]));
        }
    }

    #[test]
    fn m1_opens_only_under_its_own_secret_cookie_and_index() {
        let sealed = secret(1, 2, 7).seal_login(&login("kean")).unwrap();
        for other in [secret(9, 2, 7), secret(1, 9, 7), secret(1, 2, 9)] {
            assert!(other.open_login(&sealed).is_none());
        }
    }

    #[test]
    fn m2_opens_only_with_the_server_index_of_its_header() {
        let content = SealedKe2 {
            opaque_key: [1; 32],
            ke2: Box::new([2; 320]),
            key_half: Box::new([3; KEY_HALF_LEN]),
        };
        let sealed = secret(1, 2, 7).seal_ke2(8, &content).unwrap();
        let read = secret(1, 2, 7).open_ke2(8, &sealed).unwrap();
        assert_eq!(
            (read.opaque_key, *read.ke2, *read.key_half),
            ([1; 32], [2; 320], [3; KEY_HALF_LEN])
        );
        assert!(secret(1, 2, 7).open_ke2(9, &sealed).is_none());
        assert!(secret(1, 2, 8).open_ke2(8, &sealed).is_none());
    }

    #[test]
    fn m1_with_bytes_after_the_name_is_rejected() {
        let keys = secret(1, 2, 7);
        let mut text = [0; MAX_LOGIN_LEN];
        text[..5].copy_from_slice(b"keanx");
        let sealed = seal(&keys.aead(b"m1", b""), &[&[4], &text, &[5; 96], &[6; TICKET_LEN]]).unwrap();
        assert!(keys.open_login(&sealed).is_none());
        let sealed = seal(
            &keys.aead(b"m1", b""),
            &[&[65], &text, &[5; 96], &[6; TICKET_LEN]],
        )
        .unwrap();
        assert!(keys.open_login(&sealed).is_none());
    }
}
