//! The two control keys: they seal and open the messages before there is a session.

use core::fmt;

use rand_core::RngCore;
use zeroize::Zeroizing;

use super::Code;
use super::frame::{FrameError, open_control, seal_control};
use super::message::{Control, ParseError};
use super::psk::Psk;
use crate::aead::{Aead, Cipher, DefaultAead, NONCE_LEN};
use crate::{DropReason, PacketBuf};

/// The keys that all holders of the pre-shared key share.
pub(super) struct ControlKeys {
    up: DefaultAead,
    down: DefaultAead,
    /// Salt of the first chain key of every session.
    pub(super) mix: Zeroizing<[u8; 64]>,
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

    /// Seals `message` as a datagram under a random nonce.
    ///
    /// `None` if it does not fit, which cannot happen with the messages of this protocol.
    pub(super) fn seal(&self, message: &Control, rng: &mut impl RngCore, tag: u64) -> Option<PacketBuf> {
        let code = message.code();
        let mut nonce = [0; NONCE_LEN];
        rng.fill_bytes(&mut nonce);
        let sealed = seal_control(self.key(code), code, nonce, &message.to_json())?;
        Some(sealed.with_tag(tag))
    }

    /// Opens and parses a datagram of the peer, whose code is `code`.
    pub(super) fn open(&self, code: Code, buf: &mut PacketBuf) -> Result<Control, DropReason> {
        open_control(self.key(code), code, buf).map_err(FrameError::reason)?;
        Control::parse(code, buf).map_err(ParseError::reason)
    }

    const fn key(&self, code: Code) -> &DefaultAead {
        match code {
            Code::Up => &self.up,
            _ => &self.down,
        }
    }
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
