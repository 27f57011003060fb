//! The key `cipher`: with what packets are sealed, if the other side would rather have it as well.

use sandhog_proto::aead::Cipher;
use serde::Deserialize;

/// What the file says.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum CipherChoice {
    /// The faster one on this machine.
    #[default]
    #[serde(rename = "auto")]
    Auto,
    #[serde(rename = "chacha20-poly1305")]
    ChaCha20Poly1305,
    #[serde(rename = "aes-256-gcm")]
    Aes256Gcm,
}

impl From<CipherChoice> for Cipher {
    fn from(choice: CipherChoice) -> Self {
        match choice {
            CipherChoice::Auto if is_aes_fast() => Self::Aes256Gcm,
            CipherChoice::Auto | CipherChoice::ChaCha20Poly1305 => Self::ChaCha20Poly1305,
            CipherChoice::Aes256Gcm => Self::Aes256Gcm,
        }
    }
}

/// Whether the processor has instructions for AES and for the multiplication of GCM, and `ring` uses them.
#[cfg(target_arch = "x86_64")]
fn is_aes_fast() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("aes") && has!("pclmulqdq") && has!("avx") && has!("movbe")
}

/// Whether the processor has instructions for AES; those for the multiplication of GCM come with them.
#[cfg(target_arch = "aarch64")]
fn is_aes_fast() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

/// Nobody has looked.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn is_aes_fast() -> bool {
    false
}
