//! Memory after use: every heap block is searched for known secrets when it is freed, and at certain times while it is in use.
//!
//! The secrets are those of the test vectors. The session here has the same seeds and must send the same datagrams, so
//! it has the same secrets. The stack is not searched: `docs/protocol.md` says that it is not erased.

extern crate alloc;

mod allocator;
mod generators;
#[path = "../../src/secure/tests/vectors/packet.rs"]
mod packet;
mod password;
mod secrets;
mod session;

use std::sync::{Mutex, MutexGuard, PoisonError};

use allocator::Watch;
use sandhog_proto::aead::Cipher;
use secrets::{Erased, Secrets};
use session::Pair;

/// The allocator is shared by all threads, so only one test may run at a time.
static TURN: Mutex<()> = Mutex::new(());

const CIPHERS: [Cipher; 2] = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm];

fn alone() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the session of the vectors as far as `until`. Then no block in use may hold a secret that must be erased by then.
#[track_caller]
fn nothing_is_left_at(until: Erased) {
    let _turn = alone();
    for cipher in CIPHERS {
        let secrets = Secrets::of_vectors(cipher);
        let watch = Watch::start(&secrets);
        let mut pair = Pair::new(&secrets);
        pair.run_until(until);
        let _pair = (until < Erased::WithThePeers).then_some(pair);
        let left = watch.in_use(|erased| erased <= until);
        assert!(left.is_empty(), "{} after {until:?}: {left:#?}", cipher.name());
        // The secrets of later times show that the search finds them.
        if until < Erased::WithThePeers {
            let known = watch.in_use(|erased| erased > until);
            assert!(!known.is_empty(), "the search finds no secret at all");
        }
    }
}

#[test]
fn a_secret_in_a_freed_block_is_found_unless_it_was_erased() {
    let _turn = alone();
    let secrets = Secrets::of_vectors(Cipher::default());
    let watch = Watch::start(&secrets);
    let mut block = vec![0; 100];
    block[30..62].copy_from_slice(&secrets.named("rekey_1 client X25519"));
    assert_eq!(watch.in_use(|_| true).len(), 2);
    let copy = block.clone();
    block.fill(0);
    drop(block);
    assert_eq!(watch.freed(), [""; 0]);
    drop(copy);
    let expected = [30, 46].map(|at| format!("rekey_1 client X25519 in a block of 100 bytes at {at}"));
    assert_eq!(watch.freed(), expected);
}

/// Attack 23: freed memory.
#[test]
fn no_freed_block_contains_a_secret_of_the_session() {
    let _turn = alone();
    for cipher in CIPHERS {
        let secrets = Secrets::of_vectors(cipher);
        let watch = Watch::start(&secrets);
        let mut pair = Pair::new(&secrets);
        pair.run_until(Erased::WithThePeers);
        drop(pair);
        let found = watch.freed();
        assert!(found.is_empty(), "{}: {found:#?}", cipher.name());
    }
}

/// Attack 23: memory in use after a login.
#[test]
fn the_secrets_of_a_login_are_erased_when_the_tunnel_is_up() {
    nothing_is_left_at(Erased::WhenUp);
}

/// Attack 23: memory in use after a rekey.
#[test]
fn the_keys_of_an_epoch_are_erased_10_s_after_the_next_rekey() {
    nothing_is_left_at(Erased::AfterTheSecondRekey);
}

/// Attack 23: memory in use after a change of the password.
#[test]
fn the_secrets_of_a_password_change_are_erased_when_their_time_is_over() {
    nothing_is_left_at(Erased::AfterTheChange);
}

/// Attack 23: memory in use after the end.
#[test]
fn no_secret_outlives_client_and_server() {
    nothing_is_left_at(Erased::WithThePeers);
}
