//! Random generators of the peers. All their output is a function of the seed.

use alloc::boxed::Box;
use core::fmt;
use core::hint::black_box;
use core::ops::{Deref, DerefMut};

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Error, RngCore, SeedableRng};

use crate::secret::{Secret, erasing_small_stack};

/// Uses of one seed, separated as streams of the ChaCha generator. Client and server use different streams.
/// So even if both get the same seed by mistake, no output repeats.
pub(super) mod stream {
    pub(in super::super) const CLIENT: u64 = 16;
    pub(in super::super) const SERVER: u64 = 17;
    pub(in super::super) const INDICES: u64 = 18;
    pub(in super::super) const COOKIES: u64 = 19;
}

/// A generator in a block of its own, so that a moved peer leaves no state behind from which its secrets can be computed. Erased when
/// dropped.
#[derive(Clone)]
pub(super) struct Generator(Box<ChaCha20Rng>);

impl Generator {
    pub(super) fn from_seed(seed: &Secret<32>) -> Self {
        erasing_small_stack(|| Self(Box::new(ChaCha20Rng::from_seed(**seed))))
    }
}

/// The generator for one use of a peer's seed. It reveals neither the seed nor the generators of other uses.
pub(super) fn generator(seed: &[u8; 32], stream: u64) -> Generator {
    let mut rng = Generator::from_seed(&Secret::copied_from(seed));
    rng.set_stream(stream);
    seed_from(&mut rng)
}

/// A separate generator for one session.
pub(super) fn seed_from(rng: &mut ChaCha20Rng) -> Generator {
    let mut seed = Secret::zero();
    erasing_small_stack(|| rng.fill_bytes(&mut *seed));
    Generator::from_seed(&seed)
}

/// Replaces a generator after secrets were drawn from it. An attacker with the new state cannot compute earlier
/// output, but can compute all later output.
pub(super) fn forget(rng: &mut ChaCha20Rng) {
    let next = seed_from(rng);
    erasing_small_stack(|| rng.clone_from(&next));
}

impl Deref for Generator {
    type Target = ChaCha20Rng;

    fn deref(&self) -> &ChaCha20Rng {
        &self.0
    }
}

impl DerefMut for Generator {
    fn deref_mut(&mut self) -> &mut ChaCha20Rng {
        &mut self.0
    }
}

impl RngCore for Generator {
    fn next_u32(&mut self) -> u32 {
        erasing_small_stack(|| self.0.next_u32())
    }

    fn next_u64(&mut self) -> u64 {
        erasing_small_stack(|| self.0.next_u64())
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        erasing_small_stack(|| self.0.fill_bytes(dest));
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), Error> {
        erasing_small_stack(|| self.0.try_fill_bytes(dest))
    }
}

impl CryptoRng for Generator {}

impl Drop for Generator {
    fn drop(&mut self) {
        *self.0 = ChaCha20Rng::from_seed([0; 32]);
        // Keeps the compiler from removing the write.
        black_box(&self.0);
    }
}

/// Hides the state.
impl fmt::Debug for Generator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Generator([hidden])")
    }
}
