//! Configuration key `cipher`: the preferred cipher. It is used if the other side prefers it too.

use sandhog_proto::aead::Cipher;
use serde::Deserialize;

/// Value of the key `cipher`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) enum CipherChoice {
    /// The faster cipher on this machine.
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

/// Returns true if the processor has the AES and GCM instructions that `ring` uses.
#[cfg(target_arch = "x86_64")]
fn is_aes_fast() -> bool {
    use std::arch::is_x86_feature_detected as has;
    has!("aes") && has!("pclmulqdq") && has!("avx") && has!("movbe")
}

/// Returns true if the processor has AES instructions. Those for GCM are always present with them.
#[cfg(target_arch = "aarch64")]
fn is_aes_fast() -> bool {
    std::arch::is_aarch64_feature_detected!("aes")
}

/// Returns false, because this architecture has no check.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const fn is_aes_fast() -> bool {
    false
}
