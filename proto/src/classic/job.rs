//! Blocking job of the classic profile: password verification.

use alloc::string::String;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use sandhog_peer::Job;
use zeroize::Zeroizing;

/// Name of [`verify_password`].
pub(crate) const VERIFY_PASSWORD: &str = "verify password";

/// Result of [`verify_password`]: true if the password is right.
pub(crate) type PasswordVerified = bool;

/// Verification of `password` against `hash`, an Argon2 PHC string.
pub(crate) fn verify_password(id: u64, hash: String, password: Zeroizing<String>) -> Job {
    Job::new(id, VERIFY_PASSWORD, move || -> PasswordVerified {
        verify(&hash, &password)
    })
}

/// Compares in constant time. An unreadable hash matches no password.
fn verify(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .and_then(|hash| Argon2::default().verify_password(password.as_bytes(), &hash))
        .is_ok()
}
