//! Control datagrams: messages before there is a session, padded and sealed with keys derived from the pre-shared key.
//!
//! The layout is `code (1) | nonce (12) | ciphertext | tag (16)`, 1200 bytes in total. The code is the
//! associated data. All control datagrams have the same length. So the length reveals nothing about the
//! content, and no answer is longer than its request.

use super::Code;
use crate::PacketBuf;
use crate::aead::{Aead, NONCE_LEN, TAG_LEN};

/// Length of every control datagram in bytes. With its headers (40 and 8 bytes) it fits IPv6's minimum MTU of
/// 1280.
pub const CONTROL_LEN: usize = 1200;
/// Bytes that sealing adds to a body: code, nonce and tag.
pub const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// Bytes of a message and its padding in a control datagram.
pub(crate) const CONTROL_BODY_LEN: usize = CONTROL_LEN - OVERHEAD;

/// Bytes of a datagram before its body: code and nonce.
pub const HEADER_LEN: usize = 1 + NONCE_LEN;

/// Reason why a control datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// The length is not [`CONTROL_LEN`]. Nothing was decrypted.
    WrongLength,
    /// The first byte is not the code that this side accepts. Nothing was decrypted.
    WrongCode,
    /// The tag is wrong: another key was used, or the datagram was changed in transit.
    AuthenticationFailed,
}

/// Seals `message`, padded with zeros, as a control datagram. No two datagrams may have the same nonce. All clients share the
/// key.
///
/// `None` if `message` is longer than [`CONTROL_BODY_LEN`], or if `code` is not a control code.
pub(crate) fn seal_control<A: Aead>(
    aead: &A,
    code: Code,
    nonce: [u8; NONCE_LEN],
    message: &[u8],
) -> Option<PacketBuf> {
    if message.len() > CONTROL_BODY_LEN || code == Code::Session {
        return None;
    }
    let mut buf = PacketBuf::with_capacity(CONTROL_BODY_LEN);
    buf.append(message);
    pad(&mut buf, CONTROL_BODY_LEN, 0);
    seal(aead, code, nonce, &mut buf).then_some(buf)
}

/// Opens the control datagram in `buf`. Afterwards `buf` is the message with its padding.
///
/// # Errors
///
/// [`FrameError`]; the bytes in `buf` are unspecified then.
pub(crate) fn open_control<A: Aead>(aead: &A, code: Code, buf: &mut PacketBuf) -> Result<(), FrameError> {
    if buf.len() != CONTROL_LEN {
        return Err(FrameError::WrongLength);
    }
    if buf.first() != Some(&code.byte()) {
        return Err(FrameError::WrongCode);
    }
    if open(aead, code, buf) {
        Ok(())
    } else {
        Err(FrameError::AuthenticationFailed)
    }
}

/// Reads the receiver index and the counter of a session datagram. They are not authenticated yet.
///
/// `None` if `buf` is not a session datagram: another code, too short, or index 0, which is never assigned.
pub(crate) fn session_header(buf: &[u8]) -> Option<(u32, u64)> {
    if buf.len() < OVERHEAD {
        return None;
    }
    let (code, rest) = buf.split_first()?;
    let (index, rest) = rest.split_first_chunk::<4>()?;
    let index = u32::from_be_bytes(*index);
    let counter = u64::from_be_bytes(*rest.first_chunk::<8>()?);
    (*code == Code::Session.byte() && index != 0).then_some((index, counter))
}

/// The nonce of a session datagram: index and counter. It never repeats under one key.
pub(super) const fn session_nonce(index: u32, counter: u64) -> [u8; NONCE_LEN] {
    let [i0, i1, i2, i3] = index.to_be_bytes();
    let [c0, c1, c2, c3, c4, c5, c6, c7] = counter.to_be_bytes();
    [i0, i1, i2, i3, c0, c1, c2, c3, c4, c5, c6, c7]
}

/// Makes `buf` at least `len` bytes long. New bytes are set to `filler`.
pub(super) fn pad(buf: &mut PacketBuf, len: usize, filler: u8) {
    let before = buf.len();
    if before < len {
        buf.resize(len);
        if let Some(padding) = buf.get_mut(before..) {
            padding.fill(filler);
        }
    }
}

/// Seals the body in `buf` in place. Afterwards `buf` is the datagram. Returns true on success.
pub(super) fn seal<A: Aead>(aead: &A, code: Code, nonce: [u8; NONCE_LEN], buf: &mut PacketBuf) -> bool {
    buf.append(&[0; TAG_LEN]);
    buf.prepend(&[0; HEADER_LEN]);
    seal_framed(aead, code, nonce, buf)
}

/// Seals the body in `frame` in place. There must be room for the header before it and for the tag after it.
/// Afterwards `frame` is the datagram. Returns true on success.
pub(super) fn seal_framed<A: Aead>(aead: &A, code: Code, nonce: [u8; NONCE_LEN], frame: &mut [u8]) -> bool {
    let Some((header, rest)) = frame.split_first_chunk_mut::<HEADER_LEN>() else {
        return false;
    };
    let Some((body, tag_place)) = rest.split_last_chunk_mut::<TAG_LEN>() else {
        return false;
    };
    let Ok(tag) = aead.seal(&nonce, &[code.byte()], body) else {
        return false;
    };
    let [first, rest @ ..] = header;
    *first = code.byte();
    *rest = nonce;
    *tag_place = tag;
    true
}

/// Opens the datagram in `buf` in place. Afterwards `buf` is the body. Returns true if it is authentic.
pub(super) fn open<A: Aead>(aead: &A, code: Code, buf: &mut PacketBuf) -> bool {
    let Some(body_len) = open_framed(aead, code, buf) else {
        return false;
    };
    buf.advance(HEADER_LEN);
    buf.truncate(body_len);
    true
}

/// Opens a datagram in place and returns the length of the body, which follows the header. `None` if it is
/// not authentic.
pub(super) fn open_framed<A: Aead>(aead: &A, code: Code, datagram: &mut [u8]) -> Option<usize> {
    let (header, rest) = datagram.split_first_chunk_mut::<HEADER_LEN>()?;
    let [_, nonce @ ..] = *header;
    let (body, tag) = rest.split_last_chunk_mut::<TAG_LEN>()?;
    aead.open(&nonce, &[code.byte()], body, tag).ok()?;
    Some(body.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aead::{Cipher, Portable};

    fn aead() -> Portable {
        Portable::new(Cipher::ChaCha20Poly1305, &[7; 32])
    }

    fn sealed(code: Code) -> PacketBuf {
        seal_control(&aead(), code, [9; NONCE_LEN], b"{\"v\":2}").unwrap()
    }

    #[test]
    fn every_control_datagram_is_1200_bytes_long() {
        for json in [&b""[..], b"{}", &[b'x'; CONTROL_BODY_LEN]] {
            let mut buf = seal_control(&aead(), Code::Up, [9; NONCE_LEN], json).unwrap();
            assert_eq!(buf.len(), 1200);
            assert_eq!(buf[..13], [1, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9]);
            open_control(&aead(), Code::Up, &mut buf).unwrap();
            assert_eq!(buf.len(), CONTROL_BODY_LEN);
            assert!(buf.starts_with(json) && buf[json.len()..].iter().all(|byte| *byte == 0));
        }
    }

    /// The expected bytes come from another implementation (Python's `cryptography`, which is OpenSSL).
    #[test]
    fn a_control_datagram_matches_that_of_another_implementation() {
        let key = core::array::from_fn(|n| n as u8);
        let aead = Portable::new(Cipher::ChaCha20Poly1305, &key);
        let buf = seal_control(&aead, Code::Up, [9; NONCE_LEN], b"{\"v\":2}").unwrap();
        let (body, tag) = (&buf[13..29], &buf[1184..]);
        assert_eq!(
            (body, tag),
            (
                &0x4a5d_fd8c_10cc_150b_dfd5_0bcc_1bf8_b3f0_u128.to_be_bytes()[..],
                &0xa338_8e3d_a1ad_6544_2b9c_eb80_ecb0_9956_u128.to_be_bytes()[..]
            )
        );
    }

    #[test]
    fn a_message_that_does_not_fit_is_not_sealed() {
        let json = [b'x'; CONTROL_BODY_LEN + 1];
        assert!(seal_control(&aead(), Code::Up, [9; NONCE_LEN], &json).is_none());
        assert!(seal_control(&aead(), Code::Session, [9; NONCE_LEN], b"{}").is_none());
    }

    #[test]
    fn a_wrong_length_or_code_is_rejected_before_decryption() {
        for len in [0, 1, 29, 1199, 1201, 65_507] {
            let mut buf = sealed(Code::Up);
            buf.resize(len);
            let before = buf.to_vec();
            assert_eq!(
                open_control(&aead(), Code::Up, &mut buf),
                Err(FrameError::WrongLength)
            );
            assert_eq!(buf[..], before);
        }
        let mut buf = sealed(Code::Down);
        let before = buf.to_vec();
        assert_eq!(
            open_control(&aead(), Code::Up, &mut buf),
            Err(FrameError::WrongCode)
        );
        assert_eq!(buf[..], before);
    }

    #[test]
    fn every_byte_including_the_code_is_authenticated() {
        for n in (0..60).chain(1140..CONTROL_LEN) {
            let mut buf = sealed(Code::Up);
            buf[n] ^= 1;
            assert!(open_control(&aead(), Code::Up, &mut buf).is_err(), "byte {n}");
        }
        let mut buf = sealed(Code::Up);
        buf[0] = Code::Down.byte();
        assert_eq!(
            open_control(&aead(), Code::Down, &mut buf),
            Err(FrameError::AuthenticationFailed)
        );
    }

    #[test]
    fn a_session_header_consists_of_index_and_counter() {
        let mut datagram = [0; OVERHEAD];
        datagram[0] = 3;
        datagram[1..13].copy_from_slice(&session_nonce(0x0102_0304, 0x0506_0708_090a_0b0c));
        assert_eq!(datagram[1..13], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(
            session_header(&datagram),
            Some((0x0102_0304, 0x0506_0708_090a_0b0c))
        );
        assert_eq!(session_header(&datagram[..OVERHEAD - 1]), None);
        assert_eq!(session_header(&[]), None);
        let of_nobody = {
            datagram[1..5].fill(0);
            datagram
        };
        assert_eq!(session_header(&of_nobody), None);
        datagram[4] = 1;
        assert_eq!(session_header(&datagram), Some((1, 0x0506_0708_090a_0b0c)));
        datagram[0] = 1;
        assert_eq!(session_header(&datagram), None);
    }
}
