//! The two control keys: they seal and open the messages before there is a session.

use core::fmt;

use rand_core::RngCore;

use super::Code;
use super::frame::{FrameError, open_control, seal_control};
use super::message::{Control, ParseError};
use super::psk::Psk;
use crate::aead::{Aead, Cipher, DefaultAead, NONCE_LEN};
use crate::secret::Secret;
use crate::{DropReason, PacketBuf};

/// The keys that all holders of the pre-shared key share.
pub(super) struct ControlKeys {
    up: DefaultAead,
    down: DefaultAead,
    /// Salt of the first chain key of every session.
    pub(super) mix: Secret<64>,
}

/// Nonces of control datagrams: a random start, and then one more for each datagram.
///
/// All peers with one pre-shared key share a key for each direction. A random start is a number of 96 bits. So two ranges of
/// nonces hardly ever meet, even after 2^40 datagrams.
#[derive(Debug)]
pub(super) struct Nonces(u128);

impl Nonces {
    pub(super) fn new(rng: &mut impl RngCore) -> Self {
        let mut start = [0; 16];
        rng.fill_bytes(&mut start);
        Self(u128::from_be_bytes(start))
    }

    fn next(&mut self) -> [u8; NONCE_LEN] {
        self.0 = self.0.wrapping_add(1);
        let [_, _, _, _, nonce @ ..] = self.0.to_be_bytes();
        nonce
    }
}

impl ControlKeys {
    pub(super) fn new(psk: &Psk) -> Self {
        let keys = psk.keys();
        let aead = |key| DefaultAead::new(Cipher::ChaCha20Poly1305, key);
        Self {
            up: aead(&keys.up),
            down: aead(&keys.down),
            mix: keys.mix,
        }
    }

    /// Seals `message` as a datagram under the next nonce.
    ///
    /// `None` if it does not fit, which cannot happen with the messages of this protocol.
    pub(super) fn seal(&self, message: &Control, nonces: &mut Nonces, tag: u64) -> Option<PacketBuf> {
        let code = message.code();
        let sealed = seal_control(self.key(code), code, nonces.next(), &message.to_bytes())?;
        Some(sealed.with_tag(tag))
    }

    /// Opens a datagram of the peer, whose code is `code`. Afterwards `buf` is the message with its padding. Returns the
    /// nonce.
    pub(super) fn open(&self, code: Code, buf: &mut PacketBuf) -> Result<[u8; NONCE_LEN], DropReason> {
        let nonce = buf.get(1..).and_then(<[u8]>::first_chunk).copied();
        open_control(self.key(code), code, buf).map_err(FrameError::reason)?;
        nonce.ok_or(DropReason::WrongLength)
    }

    const fn key(&self, code: Code) -> &DefaultAead {
        match code {
            Code::Up => &self.up,
            _ => &self.down,
        }
    }
}

/// Parses the body of a datagram whose code is `code`.
pub(super) fn parse(code: Code, body: &[u8]) -> Result<Control, DropReason> {
    Control::parse(code, body).map_err(ParseError::reason)
}

impl FrameError {
    /// The drop reason under which the datagram is counted.
    pub(super) const fn reason(self) -> DropReason {
        match self {
            Self::WrongLength => DropReason::WrongLength,
            Self::WrongCode => DropReason::InvalidCode,
            Self::AuthenticationFailed => DropReason::AuthenticationFailed,
        }
    }
}

impl ParseError {
    /// The drop reason under which the datagram is counted.
    pub(super) const fn reason(self) -> DropReason {
        match self {
            Self::Malformed => DropReason::MalformedBody,
            Self::UnsupportedVersion => DropReason::UnsupportedVersion,
            Self::Unexpected => DropReason::Unexpected,
        }
    }
}

impl fmt::Debug for ControlKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ControlKeys([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn no_two_nonces_of_a_peer_are_equal() {
        let mut nonces = Nonces::new(&mut ChaCha20Rng::from_seed([1; 32]));
        let first = nonces.next();
        let mut number =
            u128::from_be_bytes(core::array::from_fn(|n| n.checked_sub(4).map_or(0, |n| first[n])));
        for _ in 0..1000 {
            number = number.wrapping_add(1);
            assert_eq!(nonces.next()[..], number.to_be_bytes()[4..]);
        }
    }

    #[test]
    fn two_peers_start_at_different_nonces() {
        let first = |seed| Nonces::new(&mut ChaCha20Rng::from_seed([seed; 32])).next();
        assert_ne!(first(1), first(2));
    }
}
