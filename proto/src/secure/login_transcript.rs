//! The transcript of a login. The keys of the session depend on it, so a message that was changed on the way gives other keys.

use sha2::{Digest, Sha512};

use super::message::{Ke2Reply, LoginRequest, Proof};
use crate::kem::PUBLIC_LEN;

/// The transcript of a login: M1 without its time, M2, the server's encapsulation key, and M3 without its MAC.
#[derive(Clone)]
pub(crate) struct LoginTranscript(Sha512);

impl LoginTranscript {
    /// The transcript up to M2.
    pub(crate) fn new(request: &LoginRequest, reply: &Ke2Reply, kem: &[u8; PUBLIC_LEN]) -> Self {
        let hash = Sha512::new()
            .chain_update(request.to_bytes())
            .chain_update(reply.to_bytes())
            .chain_update(kem);
        Self(hash)
    }

    /// The hash of the whole transcript.
    pub(crate) fn finish(self, proof: &Proof) -> [u8; 64] {
        self.0.chain_update(proof.to_bytes()).finalize().into()
    }
}
