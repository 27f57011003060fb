//! Limits of a session: rekeys, password changes, and the session of a refused login.

use std::time::Duration;

use opaque_ke::ClientRegistration;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{ServerConfig, Suite, User, register};
use sandhog_proto::{DropReason, Peer};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use serde_json::Value;

use crate::attacker::{
    Attempt, Insider, Parts, Session, ask, b64, change_context, elsewhere, from_b64, hmac, logged_in,
};
use crate::support::{Net, PASSWORD, login, packet, server_config, setup, store, user};

/// Number of replies to these messages of a session, all sent at one instant.
fn replies(net: &mut Net, session: &mut Session, messages: impl IntoIterator<Item = Vec<u8>>) -> usize {
    let mut answered = 0;
    for message in messages {
        let sealed = session.seal(&message);
        answered += ask(net, elsewhere(1), &sealed).len();
    }
    answered
}

/// The first message of a password change.
fn prove1(attempt: &Attempt) -> Vec<u8> {
    format!(r#"{{"t":"prove1","ke1":"{}"}}"#, b64(&attempt.ke1)).into_bytes()
}

/// The one reply to a message of a session.
fn reply(net: &mut Net, session: &mut Session, message: &[u8]) -> Option<Value> {
    let sealed = session.seal(message);
    let answers = ask(net, elsewhere(1), &sealed);
    answers.first().map(|seen| session.read(&seen.bytes))
}

fn bytes(of: &Value) -> Vec<u8> {
    from_b64(of)
}

/// The last message of a password change, after the proof of `password`: a new record for the same password.
fn reg3(net: &mut Net, insider: &mut Insider, session: &mut Session, seed: u8) -> Option<Vec<u8>> {
    let attempt = Attempt::new(insider, "kean", PASSWORD);
    let prove2 = reply(net, session, &prove1(&attempt))?;
    let context = change_context(session);
    let (ke3, session_key) = attempt
        .finish(&context, &bytes(&prove2["ke2"]))
        .expect("the password is right");
    let start = ClientRegistration::<Parts>::start(&mut insider.rng, b"x").unwrap();
    let reg1 = start.message.serialize();
    let prove3 = format!(
        r#"{{"t":"prove3","ke3":"{}","reg1":"{}"}}"#,
        b64(&ke3),
        b64(&reg1)
    );
    let reg2 = bytes(&reply(net, session, prove3.as_bytes())?["reg2"]);
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let record = register(&setup(), Suite::Laboratory, &login("kean"), PASSWORD, &mut rng).unwrap();
    let record = record.to_bytes();
    let mac = hmac(&session_key, &[b"reg3", &reg2, &record]);
    Some(reg3_json(&record, &mac[..32]))
}

fn reg3_json(record: &[u8], mac: &[u8]) -> Vec<u8> {
    format!(r#"{{"t":"reg3","reg3":"{}","mac":"{}"}}"#, b64(record), b64(mac)).into_bytes()
}

fn rate_limited(net: &Net) -> u64 {
    net.server.counters().dropped(DropReason::RateLimited)
}

/// Attack 25: rekeys without end.
#[test]
fn a_session_gets_one_new_key_a_second() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let mut requests = |session: &Session| {
        let pk = x25519(insider.random(), X25519_BASEPOINT_BYTES);
        session.rekey_message(7, &pk)
    };
    let many: Vec<_> = (0..50).map(|_| requests(&session)).collect();
    assert_eq!(replies(&mut net, &mut session, many), 1);
    assert_eq!(rate_limited(&net), 49);
    net.run_for(Duration::from_millis(999));
    let next = requests(&session);
    assert_eq!(replies(&mut net, &mut session, [next.clone()]), 0);
    net.run_for(Duration::from_millis(1));
    assert_eq!(replies(&mut net, &mut session, [next]), 1);
}

#[test]
fn a_repeated_rekey_gets_its_answer_again_however_often() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let pk = x25519(insider.random(), X25519_BASEPOINT_BYTES);
    let same = vec![session.rekey_message(7, &pk); 20];
    assert_eq!(replies(&mut net, &mut session, same), 20);
}

/// Attack 25: the server as an oracle for the OPRF.
#[test]
fn a_session_gets_ten_answers_to_prove1_and_then_one_a_minute() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let mut several = |number: usize| {
        let attempts = (0..number).map(|_| Attempt::new(&mut insider, "kean", "a guess"));
        attempts.map(|attempt| prove1(&attempt)).collect::<Vec<_>>()
    };
    assert_eq!(replies(&mut net, &mut session, several(50)), 10);
    assert_eq!(net.server.counters().dropped(DropReason::LoginLimited), 40);
    net.run_for(Duration::from_secs(60));
    assert_eq!(replies(&mut net, &mut session, several(5)), 1);
    let again = several(1);
    net.run_for(Duration::from_secs(60));
    assert_eq!(
        replies(&mut net, &mut session, [again[0].clone(), again[0].clone()]),
        2,
        "a repeated request"
    );
}

/// Attack 25: a new file with all users for each request.
#[test]
fn a_user_changes_the_password_three_times_and_then_every_20_minutes() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let mut change = |net: &mut Net, seed| {
        let (mut session, _) = logged_in(net, &mut insider, "kean");
        // The new record is for the old password, so that the next login works.
        let reg3 = reg3(net, &mut insider, &mut session, seed).expect("the proof is right");
        replies(net, &mut session, [reg3])
    };
    // A new login does not help.
    let changed: usize = (0..5).map(|seed| change(&mut net, seed)).sum();
    assert_eq!((changed, net.saved.len(), rate_limited(&net)), (3, 3, 2));
    net.run_for(Duration::from_secs(20 * 60));
    let changed: usize = (5..8).map(|seed| change(&mut net, seed)).sum();
    assert_eq!((changed, net.saved.len()), (1, 4));
}

/// Attack 27: a thief with the keys of a session, but without the password.
#[test]
fn nobody_changes_the_password_without_the_old_one() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let record = user("kean").record.to_bytes();
    let reg1 = ClientRegistration::<Parts>::start(&mut insider.rng, b"x")
        .unwrap()
        .message
        .serialize();
    let prove3 = format!(
        r#"{{"t":"prove3","ke3":"{}","reg1":"{}"}}"#,
        b64(&[7; 64]),
        b64(&reg1)
    );
    let wrong = [
        format!(r#"{{"t":"reg1","reg1":"{}"}}"#, b64(&reg1)).into_bytes(),
        prove3.clone().into_bytes(),
        reg3_json(&record, &[0; 32]),
    ];
    assert_eq!(replies(&mut net, &mut session, wrong), 0, "without a proof");
    let attempt = Attempt::new(&mut insider, "kean", "a guess");
    let prove2 = reply(&mut net, &mut session, &prove1(&attempt)).unwrap();
    assert!(
        attempt
            .finish(&change_context(&session), &bytes(&prove2["ke2"]))
            .is_none()
    );
    assert_eq!(
        replies(&mut net, &mut session, [prove3.into_bytes()]),
        0,
        "with a wrong proof"
    );
    assert_eq!(replies(&mut net, &mut session, [reg3_json(&record, &[0; 32])]), 0);
    assert!(net.saved.is_empty());
}

/// Attack 27: a thief with the keys of a session, while the user changes the password.
#[test]
fn nobody_swaps_the_record_of_a_password_change() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let genuine = reg3(&mut net, &mut insider, &mut session, 1).unwrap();
    let json: Value = serde_json::from_slice(&genuine).unwrap();
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let other = register(&setup(), Suite::Laboratory, &login("kean"), "stolen", &mut rng).unwrap();
    let swapped = reg3_json(&other.to_bytes(), &bytes(&json["mac"]));
    assert_eq!(replies(&mut net, &mut session, [swapped]), 0);
    assert!(net.saved.is_empty());
    assert_eq!(replies(&mut net, &mut session, [genuine]), 1);
    assert_eq!(net.saved.len(), 1);
}

/// A proof of a minute ago is erased.
#[test]
fn the_proof_of_the_old_password_is_valid_for_60_s() {
    for (wait, is_changed) in [(59, true), (60, false)] {
        let mut net = Net::pair();
        let mut insider = Insider::new(3);
        let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
        let reg3 = reg3(&mut net, &mut insider, &mut session, 1).unwrap();
        net.run_for(Duration::from_secs(wait));
        assert_eq!(
            replies(&mut net, &mut session, [reg3]),
            usize::from(is_changed),
            "{wait} s"
        );
    }
}

/// Attack 26: a user whose account has expired.
#[test]
fn a_refused_login_gets_its_refusal_again_and_nothing_else() {
    let expired = User {
        expires: Some(1_000),
        ..user("kean")
    };
    let mut config: ServerConfig = server_config();
    config.users = store([expired]);
    let mut net = Net::new(config, []);
    let mut insider = Insider::new(3);
    let from = elsewhere(1);
    let attempt = Attempt::new(&mut insider, "kean", PASSWORD);
    let m2 = attempt.begin(&mut insider, &mut net, from).unwrap();
    let (m3, mut session) = attempt.confirm(&mut insider, &m2);
    let m4 = ask(&mut net, from, &m3);
    assert_eq!(session.read(&m4[0].bytes)["error"], "expired");
    let pk = x25519(insider.random(), X25519_BASEPOINT_BYTES);
    let messages = [
        br#"{"t":"ping","n":1}"#.to_vec(),
        session.rekey_message(7, &pk),
        prove1(&attempt),
        reg3_json(&[9; 192], &[9; 32]),
        br#"{"t":"bye","why":"stopped"}"#.to_vec(),
    ];
    assert_eq!(replies(&mut net, &mut session, messages), 0);
    let inner = session.seal(&packet("10.9.0.2", "10.9.0.1", b"x"));
    assert!(ask(&mut net, from, &inner).is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::Unexpected), 6);
    assert!(net.saved.is_empty() && net.server_packets.is_empty());
    net.run_for(Duration::from_millis(250));
    let m3 = insider.again(&m3);
    let again = ask(&mut net, from, &m3);
    assert_eq!(session.read(&again[0].bytes)["error"], "expired");
}
