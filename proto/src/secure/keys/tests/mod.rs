//! Tests of the key schedule. `vectors` compares it with published values.

mod vectors;

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use super::*;

pub(in crate::secure) use vectors::hex;

fn shared(byte: u8) -> SharedSecret {
    Zeroizing::new([byte; 32])
}

#[test]
fn both_sides_of_a_rekey_reach_the_same_epoch() {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let (client, server) = (Ephemeral::new(&mut rng), Ephemeral::new(&mut rng));
    let transcript = transcript(&[b"rekey", b"rekeyed"]);
    let epoch_1 = |ours: &Ephemeral, theirs: &Ephemeral| {
        let (_, next) = Chain::first(&[2; 64], &[3; 64], &shared(4), &[5; 64]).epoch(0);
        let dh = ours.agree(&theirs.public()).unwrap();
        next.chain(&dh, &shared(6), &transcript).epoch(1).0
    };
    let (ours, theirs) = (epoch_1(&client, &server), epoch_1(&server, &client));
    assert_eq!(ours.up, theirs.up);
    assert_eq!(ours.down, theirs.down);
}

#[test]
fn every_key_of_every_epoch_is_different() {
    let (zero, next) = Chain::first(&[2; 64], &[3; 64], &shared(4), &[5; 64]).epoch(0);
    let of =
        |dh: u8, kem: u8, transcript: u8| next.chain(&[dh; 32], &shared(kem), &[transcript; 64]).epoch(1).0;
    let others = [of(4, 4, 4), of(5, 4, 4), of(4, 5, 4), of(4, 4, 5)];
    let keys: Vec<_> = others
        .iter()
        .chain([&zero])
        .map(|epoch| [*epoch.up, *epoch.down])
        .collect();
    let mut keys = keys.concat();
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), 10);
}

#[test]
fn the_first_chain_needs_all_four_inputs() {
    let up = |[mix, session_key, kem, transcript]: [u8; 4]| {
        let chain = Chain::first(&[mix; 64], &[session_key; 64], &shared(kem), &[transcript; 64]);
        *chain.epoch(0).0.up
    };
    for changed in 0..4 {
        let mut inputs = [1; 4];
        inputs[changed] = 2;
        assert_ne!(up([1; 4]), up(inputs), "input {changed}");
    }
}
