//! Tests of the key schedule. `vectors` compares it with published values.

mod vectors;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

pub(in crate::secure) use vectors::hex;

#[test]
fn both_sides_of_a_rekey_reach_the_same_epoch() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (client, server) = (Ephemeral::new(&mut rng), Ephemeral::new(&mut rng));
    let transcript = transcript(b"{\"t\":\"rekey\"}", b"{\"t\":\"rekeyed\"}");
    let epoch_1 = |ours: &Ephemeral, theirs: &Ephemeral| {
        let (_, next) = Chain::first(&[2; 64], &[3; 64]).epoch(0);
        let dh = ours.agree(&theirs.public()).unwrap();
        next.chain(&dh, &transcript).epoch(1).0
    };
    let (ours, theirs) = (epoch_1(&client, &server), epoch_1(&server, &client));
    assert_eq!(ours.up, theirs.up);
    assert_eq!(ours.down, theirs.down);
}

#[test]
fn every_key_of_every_epoch_is_different() {
    let (zero, next) = Chain::first(&[2; 64], &[3; 64]).epoch(0);
    let (one, _) = next.chain(&[4; 32], &[5; 64]).epoch(1);
    let (other, _) = next.chain(&[6; 32], &[5; 64]).epoch(1);
    let (bound, _) = next.chain(&[4; 32], &[7; 64]).epoch(1);
    let keys = [&zero, &one, &other, &bound].map(|epoch| [*epoch.up, *epoch.down]);
    let mut keys = keys.concat();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 8);
}

#[test]
fn the_first_chain_needs_the_pre_shared_key_and_the_session_key() {
    let up = |mix: u8, session_key: u8| *Chain::first(&[mix; 64], &[session_key; 64]).epoch(0).0.up;
    assert_ne!(up(1, 1), up(2, 1));
    assert_ne!(up(1, 1), up(1, 2));
}
