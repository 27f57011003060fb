//! HTTP elements that client and server share: limits, the digest field, the syntax of request targets.

use alloc::format;
use alloc::string::String;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::event::TaskError;

/// Maximum number of header fields in a message.
pub(crate) const MAX_FIELDS: usize = 32;

/// The `Content-Digest` value for this SHA-256 (RFC 9530, section 2).
pub(crate) fn digest_field(sha256: &[u8; 32]) -> String {
    format!("sha-256=:{}:", STANDARD.encode(sha256))
}

/// The SHA-256 in a `Content-Digest` value. The value is a dictionary (RFC 9651, section 3.2) and may contain other digests.
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

/// Checks that `path` is a valid request target: it starts with `/` and is printable ASCII without spaces.
pub(crate) fn check_path(path: &str) -> Result<(), TaskError> {
    let printable = path.bytes().all(|byte| byte.is_ascii_graphic());
    (path.starts_with('/') && printable)
        .then_some(())
        .ok_or(TaskError::BadPath)
}
