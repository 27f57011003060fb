//! Properties of a login. `vectors` compares the bytes with RFC 9807.

use alloc::format;
use alloc::string::String;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::secure::opaque::*;

const LAB: Suite = Suite::Laboratory;

/// A server with the user `kean`, whose password is `correct horse`.
struct Fixture {
    rng: ChaCha20Rng,
    setup: OpaqueSetup,
    login: Login,
    record: Record,
}

impl Fixture {
    fn new() -> Self {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let setup = OpaqueSetup::generate(&mut rng);
        let login = Login::new("kean").unwrap();
        let record = register(&setup, LAB, &login, "correct horse", &mut rng).unwrap();
        Self {
            rng,
            setup,
            login,
            record,
        }
    }

    fn start(&mut self, password: &str) -> (ClientLoginState, [u8; KE1_LEN]) {
        ClientLoginState::start(&self.login, password, &mut self.rng).unwrap()
    }

    fn respond(
        &mut self,
        ke1: &[u8; KE1_LEN],
        context: &[u8; CONTEXT_LEN],
    ) -> (ServerLoginState, [u8; KE2_LEN]) {
        respond(
            &self.setup,
            Some(&self.record),
            &self.login,
            ke1,
            context,
            &mut self.rng,
        )
        .unwrap()
    }

    /// Runs a whole login and compares the session keys of both sides.
    fn log_in(&mut self, password: &str) -> Result<(), LoginFailed> {
        let context = context(LAB, 1, 2, &[4; 32]);
        let (client, ke1) = self.start(password);
        let (server, ke2) = self.respond(&ke1, &context);
        let finished = client.finish(LAB, &context, &ke2)?;
        assert_eq!(server.verify(&finished.ke3).unwrap(), finished.session_key);
        Ok(())
    }
}

#[test]
fn the_right_password_gives_both_sides_the_same_session_key() {
    Fixture::new().log_in("correct horse").unwrap();
}

#[test]
fn a_wrong_password_fails_at_the_client() {
    assert_eq!(Fixture::new().log_in("correct house"), Err(LoginFailed));
    assert_eq!(Fixture::new().log_in(""), Err(LoginFailed));
}

#[test]
fn each_login_has_its_own_session_key() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let mut key = || {
        let (client, ke1) = world.start("correct horse");
        let (_, ke2) = world.respond(&ke1, &context);
        client.finish(LAB, &context, &ke2).unwrap().session_key
    };
    assert_ne!(key(), key());
}

#[test]
fn equivalent_unicode_forms_of_a_password_are_equal() {
    let mut world = Fixture::new();
    world.record = register(&world.setup, LAB, &world.login, "caf\u{e9}", &mut world.rng).unwrap();
    world.log_in("cafe\u{301}").unwrap();
    assert_eq!(world.log_in("cafe"), Err(LoginFailed));
}

#[test]
fn the_password_input_names_protocol_and_user() {
    let login = Login::new("kean").unwrap();
    let input = password_input(&login, "cafe\u{301}").unwrap();
    assert_eq!(input.as_slice(), "sandhog/3\0kean\0caf\u{e9}".as_bytes());
}

#[test]
fn the_password_input_never_moves_in_memory() {
    let login = Login::new(&"a".repeat(64)).unwrap();
    // NFC expands composition exclusions most: U+1D160 has 4 bytes and becomes 12.
    let password: String = core::iter::repeat_n('\u{1d160}', 500).collect();
    let input = password_input(&login, &password).unwrap();
    assert_eq!(input.len(), 9 + 1 + 64 + 1 + 12 * 500);
    assert!(input.capacity() >= input.len());
    assert!(
        input.capacity() <= 3 * password.len() + 64 + 16,
        "the buffer was allocated once and never grew"
    );
}

#[test]
fn normalisation_makes_no_character_more_than_three_times_as_long() {
    for char in char::MIN..=char::MAX {
        let normal: usize = core::iter::once(char).nfc().map(char::len_utf8).sum();
        assert!(normal <= 3 * char.len_utf8(), "{char:?}");
    }
}

#[test]
fn a_password_too_long_for_the_oprf_is_rejected() {
    let world = Fixture::new();
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let longest = "x".repeat(usize::from(u16::MAX) - 15);
    let record = register(&world.setup, LAB, &world.login, &longest, &mut rng);
    assert!(record.is_ok());
    let too_long = longest + "x";
    assert!(ClientLoginState::start(&world.login, &too_long, &mut rng).is_err());
    let refused = register(&world.setup, LAB, &world.login, &too_long, &mut rng);
    assert_eq!(refused.unwrap_err(), RegisterError::PasswordTooLong);
}

#[test]
fn the_context_is_protocol_suite_both_indices_and_fingerprint() {
    let standard = context(Suite::Standard, 0x0102_0304, 0x0506_0708, &[9; 32]);
    let expected = [&b"sandhog/3\x01\x01\x02\x03\x04\x05\x06\x07\x08"[..], &[9; 32]].concat();
    assert_eq!(standard[..], expected);
    assert_eq!(context(LAB, 0, 0, &[0; 32])[9], 0);
    let change = change_context(Suite::Standard, (0x0102_0304, 0x0506_0708), &[9; 32]);
    assert_eq!((&change[..9], &change[9..]), (&b"sandhog/c"[..], &standard[9..]));
}

#[test]
fn a_flipped_bit_of_the_context_fails_the_login() {
    let mut world = Fixture::new();
    let good = context(LAB, 0x0102_0304, 0x0506_0708, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    let (_, ke2) = world.respond(&ke1, &good);
    assert!(client.finish(LAB, &good, &ke2).is_ok());
    for bit in 0..CONTEXT_LEN * 8 {
        let mut flipped = good;
        flipped[bit / 8] ^= 1 << (bit % 8);
        let finished = client.clone().finish(LAB, &flipped, &ke2);
        assert_eq!(finished.unwrap_err(), LoginFailed, "bit {bit}");
    }
}

#[test]
fn a_changed_byte_of_any_message_fails_the_login() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    for byte in 0..KE1_LEN {
        let mut changed = ke1;
        changed[byte] ^= 1;
        let answer = respond(
            &world.setup,
            Some(&world.record),
            &world.login,
            &changed,
            &context,
            &mut world.rng,
        );
        let failed = answer.map_or(true, |(_, ke2)| {
            client.clone().finish(LAB, &context, &ke2).is_err()
        });
        assert!(failed, "KE1, byte {byte}");
    }
    let (server, ke2) = world.respond(&ke1, &context);
    for byte in 0..KE2_LEN {
        let mut changed = ke2;
        changed[byte] ^= 1;
        assert!(
            client.clone().finish(LAB, &context, &changed).is_err(),
            "KE2, byte {byte}"
        );
    }
    let ke3 = client.finish(LAB, &context, &ke2).unwrap().ke3;
    for byte in 0..KE3_LEN {
        let mut changed = ke3;
        changed[byte] ^= 1;
        assert!(server.verify(&changed).is_none(), "KE3, byte {byte}");
    }
    assert!(server.verify(&ke3).is_some(), "earlier wrong KE3 do no harm");
}

#[test]
fn a_client_with_another_suite_than_the_registration_fails() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    let (_, ke2) = world.respond(&ke1, &context);
    assert_eq!(
        client.finish(Suite::Standard, &context, &ke2).unwrap_err(),
        LoginFailed
    );
}

#[test]
fn a_server_with_the_record_but_another_setup_is_rejected() {
    let mut world = Fixture::new();
    world.setup = OpaqueSetup::generate(&mut world.rng);
    assert_eq!(world.log_in("correct horse"), Err(LoginFailed));
}

#[test]
fn a_record_is_valid_only_for_its_user_name() {
    let mut world = Fixture::new();
    world.login = Login::new("mallory").unwrap();
    assert_eq!(world.log_in("correct horse"), Err(LoginFailed));
}

#[test]
fn an_unknown_user_looks_like_a_wrong_password() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    let mut answer =
        |record| respond(&world.setup, record, &world.login, &ke1, &context, &mut world.rng).unwrap();
    let known = [answer(Some(&world.record)).1, answer(Some(&world.record)).1];
    let unknown = [answer(None).1, answer(None).1];
    for [first, second] in [&known, &unknown] {
        assert_eq!(
            first[..32],
            second[..32],
            "the OPRF's element depends on the login alone"
        );
        for field in [32..64, 64..96, 96..192, 192..224, 224..256, 256..320] {
            assert_ne!(
                first[field.clone()],
                second[field.clone()],
                "bytes {field:?} are fresh"
            );
        }
    }
    assert_eq!(
        known[0][..32],
        unknown[0][..32],
        "the element reveals nothing about a record"
    );
    for ke2 in unknown {
        assert_eq!(
            client.clone().finish(LAB, &context, &ke2).unwrap_err(),
            LoginFailed
        );
    }
}

#[test]
fn a_fake_login_accepts_no_ke3() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    let (_, ke2) = world.respond(&ke1, &context);
    let ke3 = client.finish(LAB, &context, &ke2).unwrap().ke3;
    let (fake, _) = respond(&world.setup, None, &world.login, &ke1, &context, &mut world.rng).unwrap();
    assert!(fake.verify(&ke3).is_none());
    assert!(fake.verify(&[0; KE3_LEN]).is_none());
}

#[test]
fn a_ke1_with_invalid_curve_points_is_rejected() {
    let mut world = Fixture::new();
    let (_, ke1) = world.start("correct horse");
    // The identity, and a field element that is not canonical (RFC 9496, section 4.3.1).
    for bad in [[0; 32], [0xff; 32]] {
        for at in [0, 64] {
            let mut changed = ke1;
            changed[at..at + 32].copy_from_slice(&bad);
            for record in [Some(&world.record), None] {
                let answer = respond(
                    &world.setup,
                    record,
                    &world.login,
                    &changed,
                    &context(LAB, 1, 2, &[4; 32]),
                    &mut world.rng,
                );
                assert_eq!(answer.unwrap_err(), Ke1Invalid);
            }
        }
    }
}

#[test]
fn a_changed_password_replaces_the_old_one() {
    let mut world = Fixture::new();
    let (client, reg1) = Registration::start(&world.login, "battery staple", &mut world.rng).unwrap();
    let reg2 = reg_respond(&world.setup, &world.login, &reg1).unwrap();
    let reg3 = client.finish(LAB, &reg2, &Secret::copied_from(&[3; 32])).unwrap();
    world.record = Record::from_bytes(&reg3).unwrap();
    world.log_in("battery staple").unwrap();
    assert_eq!(world.log_in("correct horse"), Err(LoginFailed));
}

#[test]
fn invalid_messages_of_a_registration_are_refused() {
    let mut world = Fixture::new();
    assert_eq!(
        reg_respond(&world.setup, &world.login, &[0xff; REG1_LEN]),
        Err(BadMessage)
    );
    assert_eq!(
        reg_respond(&world.setup, &world.login, &[0; REG1_LEN]),
        Err(BadMessage)
    );
    let (client, reg1) = Registration::start(&world.login, "battery staple", &mut world.rng).unwrap();
    let mut reflected = reg_respond(&world.setup, &world.login, &reg1).unwrap();
    reflected[..32].copy_from_slice(&reg1);
    for reg2 in [[0; REG2_LEN], [0xff; REG2_LEN], reflected] {
        let refused = client.clone().finish(LAB, &reg2, &Secret::copied_from(&[3; 32]));
        assert_eq!(refused, Err(RegisterError::InvalidMessage));
    }
}

#[test]
fn setup_and_record_can_be_stored_and_read_back() {
    let mut world = Fixture::new();
    world.setup = OpaqueSetup::from_bytes(&world.setup.to_bytes()).unwrap();
    world.record = Record::from_bytes(&world.record.to_bytes()).unwrap();
    world.log_in("correct horse").unwrap();
}

#[test]
fn damaged_setups_and_records_are_refused() {
    let world = Fixture::new();
    let (setup, record) = (world.setup.to_bytes(), world.record.to_bytes());
    for len in [0, 1, RECORD_LEN - 1] {
        assert_eq!(Record::from_bytes(&record[..len]).unwrap_err(), BadRecord);
    }
    assert!(Record::from_bytes(&[record.as_slice(), &[0]].concat()).is_err());
    // A private key of zero, and public keys that are the identity.
    let mut damaged = setup.clone();
    damaged[64..96].fill(0);
    assert!(OpaqueSetup::from_bytes(&damaged).is_none());
    damaged = setup;
    damaged[96..].fill(0);
    assert!(OpaqueSetup::from_bytes(&damaged).is_none());
    let mut damaged = record;
    damaged[..32].fill(0);
    assert!(Record::from_bytes(&damaged).is_err());
}

#[test]
fn nothing_secret_is_printed() {
    let mut world = Fixture::new();
    let context = context(LAB, 1, 2, &[4; 32]);
    let (client, ke1) = world.start("correct horse");
    let (server, ke2) = world.respond(&ke1, &context);
    assert_eq!(format!("{:?}", world.record), "Record([hidden])");
    assert_eq!(format!("{client:?}"), "ClientLoginState([hidden])");
    assert_eq!(format!("{server:?}"), "ServerLoginState([hidden])");
    let finished = client.finish(LAB, &context, &ke2).unwrap();
    assert_eq!(format!("{finished:?}"), "Finished([hidden])");
}

#[test]
fn states_used_by_jobs_are_send() {
    const fn is_send<T: Send>() {}
    const { is_send::<ClientLoginState>() };
    const { is_send::<Registration>() };
    const { is_send::<Finished>() };
}
