//! States of the generators, computed from the seeds of the vectors. Whoever finds an old state can compute all later secrets.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use zeroize::Zeroizing;

/// The key of a generator's state.
pub(crate) type State = Zeroizing<Vec<u8>>;

fn drawn(rng: &mut ChaCha20Rng, len: usize) -> State {
    let mut bytes = Zeroizing::new(vec![0; len]);
    rng.fill_bytes(&mut bytes);
    bytes
}

fn started(state: &State) -> ChaCha20Rng {
    ChaCha20Rng::from_seed(state.as_slice().try_into().unwrap())
}

/// The first state of the generator for one use of a seed.
fn first(seed: &State, stream: u64) -> State {
    let mut rng = started(seed);
    rng.set_stream(stream);
    drawn(&mut rng, 32)
}

/// The secret that a session with this generator draws for its first rekey, after the jitter of that rekey.
fn first_secret(session: &State) -> State {
    let mut rng = started(session);
    rng.next_u32();
    drawn(&mut rng, 32)
}

/// The states of a client when it starts, after KE1, and of its session. `secret` is the session's first one.
pub(crate) fn of_client(seed: &State, secret: &State) -> [State; 3] {
    let start = first(seed, 16);
    let mut rng = started(&start);
    // The index, the blind, the seed and nonce of OPAQUE's keys, and the X25519 secret.
    rng.next_u32();
    for len in [64, 32, 32, 32] {
        drawn(&mut rng, len);
    }
    let after_ke1 = drawn(&mut rng, 32);
    let mut rng = started(&after_ke1);
    // The first nonce, the jitter of M0 and M1, the number of the job, the encapsulation.
    drawn(&mut rng, 16);
    rng.next_u32();
    rng.next_u32();
    rng.next_u64();
    drawn(&mut rng, 32);
    let session = drawn(&mut rng, 32);
    assert!(
        first_secret(&session) == *secret,
        "the generator of the client's session"
    );
    [start, after_ke1, session]
}

/// The states of a server when it starts, after KE2, and of its session. `secret` is the session's first one.
pub(crate) fn of_server(seed: &State, secret: &State) -> [State; 3] {
    let start = first(seed, 17);
    let mut rng = started(&start);
    // The first nonce; the masking key of a fake, the masking nonce, seed and nonce of OPAQUE's keys.
    for len in [16, 64, 32, 32, 32] {
        drawn(&mut rng, len);
    }
    let after_ke2 = drawn(&mut rng, 32);
    let session = drawn(&mut started(&after_ke2), 32);
    assert!(
        first_secret(&session) == *secret,
        "the generator of the server's session"
    );
    [start, after_ke2, session]
}
