//! What HTTP client and server share: limits, the digest field, and which request targets exist.

use alloc::format;
use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::event::TaskError;

/// Most header fields a message can have.
pub(crate) const MAX_FIELDS: usize = 32;

/// The value of `Content-Digest` for this SHA-256 (RFC 9530, section 2).
pub(crate) fn digest_field(sha256: &[u8; 32]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256))
}

/// The SHA-256 in a `Content-Digest` value, which is a dictionary (RFC 9651, section 3.2) that may hold others.
pub(crate) fn parse_digest_field(value: &[u8]) -> Option<[u8; 32]> {
    let value = core::str::from_utf8(value).ok()?;
    let member = value
        .split(',')
        .find_map(|member| member.trim().strip_prefix("sha-256=:"))?;
    let (encoded, _parameters) = member.split_once(':')?;
    STANDARD.decode(encoded).ok()?.try_into().ok()
}

/// The SHA-256 of `body`.
pub(crate) fn sha256(body: &[u8]) -> [u8; 32] {
    Sha256::digest(body).into()
}

/// Whether `path` can stand in a request line.
pub(crate) fn check_path(path: &str) -> Result<(), TaskError> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    (path.starts_with('/') && printable)
        .then_some(())
        .ok_or(TaskError::BadPath)
}
