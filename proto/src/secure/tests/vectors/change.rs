//! The password change: a proof of the old password, and the registration of the new one.

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::file::{ChangeValues, EpochValues};
use super::login::After;
use super::pair::{Pair, opened};
use super::{NEW_PASSWORD, PASSWORD, array, hex, login, registration_values, setup};
use crate::aead::Cipher;
use crate::secure::keys::mac;
use crate::secure::keys::tests::hex as bytes;
use crate::secure::message::Message;
use crate::secure::opaque::{ClientLoginState, Registration, change_context, reg_respond, respond};
use crate::secure::{Record, Suite, forget};

/// The values of the password change in the last epoch, compared with the datagrams.
pub(super) fn change_values(
    pair: &Pair,
    after: After,
    record: &Record,
    (epoch, cipher): (&EpochValues, Cipher),
) -> ChangeValues {
    let sent = |kind, key: &str| {
        let body = opened(cipher, &array(&bytes(key)), pair.nth(kind, 0));
        Message::parse(body.trim_ascii_end()).unwrap()
    };
    let [mut client, mut server] = after.peers;
    let (_, ke1) = ClientLoginState::start(&login(), PASSWORD, &mut client).unwrap();
    let [blind, client_keyshare_seed, client_nonce] = client.take();
    // The client checks at once that the new password is not too long.
    Registration::start(&login(), NEW_PASSWORD, &mut client).unwrap();
    client.take::<1>();
    forget(&mut client.rng);
    assert!(sent("prove1", &epoch.up) == Message::Prove1(ke1.into()));

    let [client_index, server_index] = after.indices;
    let setup = setup();
    let fingerprint = &setup.public().fingerprint;
    let context = change_context(Suite::Laboratory, (client_index, server_index), fingerprint);
    let (state, ke2) = respond(
        setup.opaque(),
        Some(record),
        &login(),
        &ke1,
        &context,
        &mut server,
    )
    .unwrap();
    let [_, masking_nonce, server_keyshare_seed, server_nonce] = server.take();
    assert!(sent("prove2", &epoch.down) == Message::Prove2(ke2.into()));

    // The jitter of prove1, and the number of the job.
    client.rng.next_u32();
    client.rng.next_u64();
    let (registration, reg1) = Registration::start(&login(), NEW_PASSWORD, &mut client).unwrap();
    let [new_blind] = client.take();
    forget(&mut client.rng);
    let Message::Prove3 { ke3, reg1: asked } = sent("prove3", &epoch.up) else {
        panic!("prove3");
    };
    assert_eq!(asked, reg1);
    let session_key = state.verify(&ke3).unwrap();
    assert_eq!(session_key, pair.session_keys[1]);

    let reg2 = reg_respond(setup.opaque(), &login(), &reg1).unwrap();
    assert!(sent("reg2", &epoch.down) == Message::Reg2(reg2));
    // The jitter of prove3, and the number of the job.
    client.rng.next_u32();
    client.rng.next_u64();
    let mut seed = [0; 32];
    client.rng.fill_bytes(&mut seed);
    let reg3 = registration.finish(Suite::Laboratory, &reg2, seed).unwrap();
    let tag = array(&mac(&*session_key, &[b"reg3", &reg2, &reg3])[..32]);
    let expected = Message::Reg3 {
        record: reg3.into(),
        mac: tag,
    };
    assert!(sent("reg3", &epoch.up) == expected);
    assert!(sent("reg-ok", &epoch.down) == Message::RegOk);
    let envelope_nonce = ChaCha20Rng::from_seed(seed);
    ChangeValues {
        context: hex(&context),
        blind: hex(&blind),
        client_keyshare_seed: hex(&client_keyshare_seed),
        client_nonce: hex(&client_nonce),
        ke1: hex(&ke1),
        masking_nonce: hex(&masking_nonce),
        server_keyshare_seed: hex(&server_keyshare_seed),
        server_nonce: hex(&server_nonce),
        ke2: hex(&ke2),
        ke3: hex(&*ke3),
        session_key: hex(&*session_key),
        registration: registration_values("tunnel vision", &new_blind, (&reg1, &reg2, &reg3), envelope_nonce),
        mac: hex(&tag),
    }
}
