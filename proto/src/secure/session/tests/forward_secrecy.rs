//! Forward secrecy of a session's state in memory: the part of row 14 of the table in `SECURITY.md` that
//! datagrams do not show.

use alloc::vec::Vec;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::secure::message::NewKey;
use crate::secure::session::*;

const INDICES: Indices = Indices { ours: 1, theirs: 2 };

fn session(role: Role) -> Session {
    let chain = Chain::first(&[1; 64], &[2; 64], &Zeroizing::new([3; 32]), &[4; 64]);
    let remote = SocketAddr::from(([203, 0, 113, 1], 9999));
    Session::new(
        role,
        chain,
        INDICES,
        remote,
        Instant::ZERO,
        Generator::from_seed(&Secret::copied_from(&[3; 32])),
    )
}

/// Returns true if a generator that started with this seed gives the secret of `public` within its first 4
/// KiB.
fn has_given(seed: [u8; 32], public: &[u8; 32]) -> bool {
    let mut given = [0; 4096];
    ChaCha20Rng::from_seed(seed).fill_bytes(&mut given);
    let secrets = given.windows(32).step_by(4);
    let mut publics =
        secrets.filter_map(|secret| Some(x25519(secret.try_into().ok()?, X25519_BASEPOINT_BYTES)));
    publics.any(|of_secret| of_secret == *public)
}

/// Attack 14: later theft of a session's generator.
#[test]
fn a_stolen_session_generator_does_not_reveal_earlier_secrets() {
    let mut queues = Queues::default();
    let mut client = session(Role::Client);
    let before = client.rng.get_seed();
    client
        .handle_timeout(Instant::from_secs(120), &mut || 5, &mut queues)
        .unwrap();
    let asked = client.epochs.ask(5, Cipher::default(), &mut client.rng).to_vec();
    let Ok(Message::Rekey(asked)) = Message::parse(&asked) else {
        panic!("not a rekey");
    };
    let pk = asked.pk;
    assert!(has_given(before, &pk), "the search finds an existing secret");
    assert!(!has_given(client.rng.get_seed(), &pk));

    let mut server = session(Role::Server);
    let before = server.rng.get_seed();
    let json = Message::Rekey(asked.clone()).to_bytes();
    let buf = PacketBuf::copied_from(&json);
    server
        .message(Instant::from_secs(120), &buf, &mut || 6, &mut queues)
        .unwrap();
    let answer = server
        .epochs
        .answer(&asked, &json, (6, Cipher::default()), &mut server.rng)
        .unwrap();
    let Ok(Message::Rekeyed(NewKey { pk, .. })) = Message::parse(&answer) else {
        panic!("not rekeyed");
    };
    assert!(has_given(before, &pk), "the search finds an existing secret");
    assert!(!has_given(server.rng.get_seed(), &pk));
}

/// Attack 14: state that remains 10 s after the end of an epoch.
#[test]
fn a_finished_epoch_leaves_no_index_and_no_key_behind() {
    let mut queues = Queues::default();
    let now = Instant::from_secs(115);
    let mut client = session(Role::Client);
    let mut server = session(Role::Server);
    let asked = client.epochs.ask(5, Cipher::default(), &mut client.rng).to_vec();
    let Ok(Message::Rekey(new)) = Message::parse(&asked) else {
        panic!("not a rekey");
    };
    let answer = server
        .epochs
        .answer(&new, &asked, (6, Cipher::default()), &mut server.rng)
        .unwrap();
    let buf = PacketBuf::copied_from(&answer);
    client.message(now, &buf, &mut || 7, &mut queues).unwrap();
    let indices = |session: &Session| session.open_indices().into_iter().flatten().collect::<Vec<_>>();
    assert_eq!(indices(&client), [INDICES.ours, 5]);
    client
        .handle_timeout(now + crate::secure::KEEP_PREVIOUS, &mut || 7, &mut queues)
        .unwrap();
    assert_eq!(indices(&client), [5]);
}
