//! Fingerprint of a server's public keys, as text. Users and operators compare it.

use std::fmt::Write;

use sandhog_proto::secure::ServerKey;

/// The fingerprint in a server key: 64 hexadecimal digits.
pub(crate) fn fingerprint(key: &ServerKey) -> String {
    let mut text = String::new();
    for byte in key.fingerprint() {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
