//! The password change: a proof of the old password, and the registration of the new one.

use alloc::string::String;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use super::file::{ChangeValues, EpochValues, RegistrationValues};
use super::login::After;
use super::pair::{Pair, opened};
use super::{NEW_PASSWORD, PASSWORD, Recorder, UNIX_MILLIS, account, array, hex, registration_values, setup};
use crate::aead::Cipher;
use crate::secret::Secret;
use crate::secure::keys::mac;
use crate::secure::keys::tests::hex as bytes;
use crate::secure::message::Message;
use crate::secure::opaque::{
    ClientLoginState, Registration, ServerLoginState, change_context, reg_respond, respond,
};
use crate::secure::{Record, Suite, Ticket, forget};

/// The proof of the old password.
struct Proof {
    /// Blind, seeds and nonces as they were drawn, and KE1 and KE2, in the order of [`ChangeValues`].
    values: [String; 9],
    state: ServerLoginState,
    client: Recorder,
}

/// The first two messages, compared with those that were sent.
fn proof(after: After, record: &Record, [prove1, prove2]: [Message; 2]) -> Proof {
    let [mut client, mut server] = after.peers;
    let (_, ke1) = ClientLoginState::start(&account(), PASSWORD, &mut client).unwrap();
    let [blind, client_keyshare_seed, client_nonce] = client.take();
    // The client checks at once that the new password is not too long.
    Registration::start(&account(), NEW_PASSWORD, &mut client).unwrap();
    client.take::<1>();
    forget(&mut client.rng);
    assert!(prove1 == Message::Prove1(ke1.into()));

    let [client_index, server_index] = after.indices;
    let setup = setup();
    let fingerprint = &setup.public().fingerprint;
    let context = change_context(Suite::Laboratory, (client_index, server_index), fingerprint);
    let (state, ke2) = respond(
        setup.opaque(),
        Some(record),
        &account(),
        &ke1,
        &context,
        &mut server,
    )
    .unwrap();
    let [_, masking_nonce, server_keyshare_seed, server_nonce] = server.take();
    assert!(prove2 == Message::Prove2(ke2.into()));
    // The jitter of prove1, and the number of the job.
    client.rng.next_u32();
    client.rng.next_u64();
    let values = [
        &context[..],
        &blind,
        &client_keyshare_seed,
        &client_nonce,
        &ke1,
        &masking_nonce,
        &server_keyshare_seed,
        &server_nonce,
        &ke2,
    ];
    Proof {
        values: values.map(hex),
        state,
        client,
    }
}

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
    let (up, down) = (&epoch.up, &epoch.down);
    let Proof {
        values,
        state,
        mut client,
    } = proof(after, record, [sent("prove1", up), sent("prove2", down)]);
    let (registration, reg1) = Registration::start(&account(), NEW_PASSWORD, &mut client).unwrap();
    let [new_blind] = client.take();
    forget(&mut client.rng);
    let Message::Prove3 {
        ke3,
        reg1: asked,
        mac: reg1_mac,
    } = sent("prove3", up)
    else {
        panic!("prove3");
    };
    let session_key = state.verify(&ke3).unwrap();
    assert_eq!((asked, &session_key), (reg1, &pair.session_keys[1]));
    let tag = |parts: &[&[u8]]| -> [u8; 32] { array(&mac(&*session_key, parts)[..32]) };
    assert_eq!(reg1_mac, tag(&[b"reg1", &reg1]));

    let reg2 = reg_respond(setup().opaque(), &account(), &reg1).unwrap();
    let reg2_mac = tag(&[b"reg2", &reg1, &reg2]);
    let expected = Message::Reg2 {
        reg2: reg2.into(),
        mac: reg2_mac,
    };
    assert!(sent("reg2", down) == expected);
    // The jitter of prove3, and the number of the job.
    client.rng.next_u32();
    client.rng.next_u64();
    let mut seed = [0; 32];
    client.rng.fill_bytes(&mut seed);
    let reg3 = registration
        .finish(Suite::Laboratory, &reg2, &Secret::copied_from(&seed))
        .unwrap();
    let reg3_mac = tag(&[b"reg3", &reg2, &reg3]);
    let expected = Message::Reg3 {
        record: reg3.into(),
        mac: reg3_mac,
    };
    assert!(sent("reg3", up) == expected);
    let registration = registration_values(
        "tunnel vision",
        &new_blind,
        (&reg1, &reg2, &reg3),
        ChaCha20Rng::from_seed(seed),
    );
    let last = [
        &ke3[..],
        &*session_key,
        &reg1_mac,
        &reg2_mac,
        &reg3_mac,
        &new_ticket(&sent("reg-ok", down), &reg3),
    ];
    collected(values, registration, last.map(hex))
}

fn collected(proof: [String; 9], registration: RegistrationValues, last: [String; 6]) -> ChangeValues {
    let [
        context,
        blind,
        client_keyshare_seed,
        client_nonce,
        ke1,
        masking_nonce,
        server_keyshare_seed,
        server_nonce,
        ke2,
    ] = proof;
    let [ke3, session_key, reg1_mac, reg2_mac, reg3_mac, ticket] = last;
    ChangeValues {
        context,
        blind,
        client_keyshare_seed,
        client_nonce,
        ke1,
        masking_nonce,
        server_keyshare_seed,
        server_nonce,
        ke2,
        ke3,
        session_key,
        registration,
        reg1_mac,
        reg2_mac,
        reg3_mac,
        ticket,
    }
}

/// The ticket in regOk, which is valid for the new record.
fn new_ticket(reg_ok: &Message, reg3: &[u8; 192]) -> Ticket {
    let Message::RegOk(Some(ticket)) = reg_ok else {
        panic!("regOk with a ticket");
    };
    let record = Record::from_bytes(reg3).unwrap();
    assert!(setup().accepts_ticket(ticket, &account(), Some(&record), Some(UNIX_MILLIS / 1000)));
    *ticket
}
