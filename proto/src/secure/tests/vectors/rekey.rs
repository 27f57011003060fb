//! The epochs of the session, and the rekeys between them.

use alloc::vec::Vec;

use rand_core::RngCore;
use x25519_dalek::x25519;

use super::file::{EpochValues, RekeyValues};
use super::login::After;
use super::pair::{Pair, opened};
use super::{array, hex};
use crate::aead::Cipher;
use crate::kem::Seed;
use crate::secure::forget;
use crate::secure::keys::tests::hex as bytes;
use crate::secure::keys::{Chain, Ephemeral, Next, expand, extract, transcript};
use crate::secure::message::{Message, binary_len};

/// The keys of an epoch, computed with the formulas and compared with those of the peers; and the secret of the next epoch.
pub(super) fn epoch_values(
    e: u32,
    (chain, keys): (&[u8; 64], Chain),
    [client_index, server_index]: [u32; 2],
    cipher: Cipher,
) -> (EpochValues, Next) {
    let be = e.to_be_bytes();
    let (up, down) = (
        expand::<32>(chain, &[b"up", &be]),
        expand::<32>(chain, &[b"down", &be]),
    );
    let (keys, next) = keys.epoch(e);
    assert_eq!((&keys.up, &keys.down), (&up, &down));
    let values = EpochValues {
        cipher: cipher.name(),
        client_index,
        server_index,
        chain: hex(chain),
        up: hex(&*up),
        down: hex(&*down),
        next: hex(&*expand::<64>(chain, &[b"next", &be])),
    };
    (values, next)
}

/// A rekey message, without padding.
fn message(pair: &Pair, kind: &str, nth: usize, (cipher, key): (Cipher, &str)) -> Vec<u8> {
    let mut body = opened(cipher, &array(&bytes(key)), pair.nth(kind, nth));
    let padding = body.split_off(binary_len(body[0]).unwrap());
    assert!(padding.iter().all(|byte| *byte == b' '));
    body
}

/// The rekey from epoch `e`, and the next epoch: its chain from the formula, its keys compared with those of the peers.
pub(super) fn rekey_values(
    pair: &Pair,
    after: &mut After,
    e: u32,
    (epoch, next, cipher): (&EpochValues, &Next, Cipher),
    preferred: Cipher,
) -> (RekeyValues, EpochValues, Next) {
    let nth = usize::try_from(e).unwrap();
    let rekey = message(pair, "rekey", nth, (cipher, &epoch.up));
    let rekeyed = message(pair, "rekeyed", nth, (cipher, &epoch.down));
    let (Message::Rekey(asked), Message::Rekeyed(answer)) =
        (Message::parse(&rekey).unwrap(), Message::parse(&rekeyed).unwrap())
    else {
        panic!("a rekey");
    };
    let [client, server] = &mut after.sessions;
    let client_public = Ephemeral::new(client).public();
    let seed = Seed::generate(client);
    let [client_secret, kem_seed] = client.take();
    forget(&mut client.rng);
    let (secret, ek) = seed.key_pair();
    let server_public = Ephemeral::new(server).public();
    let (ct, ss) = ek.encapsulate(server);
    let [server_secret, encapsulation] = server.take();
    forget(&mut server.rng);
    assert_eq!(secret.decapsulate(&ct), ss);
    // The jitter of the repeated request, and that of the next rekey.
    for _ in 0..2 {
        client.rng.next_u32();
    }
    assert_eq!(asked.index, after.peers[0].rng.next_u32());

    let n = e + 1;
    let head = |first, index: u32, public: &[u8; 32]| {
        let cipher = u8::from(preferred == Cipher::Aes256Gcm);
        [
            &[first][..],
            &n.to_be_bytes(),
            &index.to_be_bytes(),
            &[cipher],
            public,
        ]
        .concat()
    };
    assert_eq!(
        rekey,
        [&*head(1, asked.index, &client_public), ek.as_bytes()].concat()
    );
    assert_eq!(rekeyed, [&*head(2, answer.index, &server_public), &*ct].concat());
    let dh = x25519(array(&client_secret), server_public);
    assert_eq!(dh, x25519(array(&server_secret), client_public));
    let transcript = transcript(&[&rekey, &rekeyed]);
    let chain = extract(&bytes(&epoch.next), &[&dh, &*ss, &transcript]);
    let keys = next.chain(&dh, &ss, &transcript);
    let (epoch, next) = epoch_values(n, (&chain, keys), [asked.index, answer.index], preferred);
    let values = RekeyValues {
        client_secret: hex(&client_secret),
        client_public: hex(&client_public),
        kem_seed: hex(&kem_seed),
        ek: hex(ek.as_bytes()),
        server_secret: hex(&server_secret),
        server_public: hex(&server_public),
        encapsulation: hex(&encapsulation),
        ct: hex(&*ct),
        dh: hex(&dh),
        ss: hex(&*ss),
        rekey: hex(&rekey),
        rekeyed: hex(&rekeyed),
        transcript: hex(&transcript),
    };
    (values, epoch, next)
}
