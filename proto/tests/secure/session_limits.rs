//! Limits of a session: rekeys, password changes, and the session of a refused login.

use std::time::Duration;

use opaque_ke::ClientRegistration;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_proto::secure::{ServerConfig, Suite, User, register};
use sandhog_proto::{DropReason, Peer};
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};

use crate::attacker::{Attempt, Insider, Parts, Session, ask, b64, elsewhere, logged_in};
use crate::support::{Net, PASSWORD, login, packet, server_config, setup, store, user};

/// Number of replies to these messages of a session, all sent at one instant.
fn replies(net: &mut Net, session: &mut Session, messages: impl IntoIterator<Item = String>) -> usize {
    let mut answered = 0;
    for message in messages {
        let sealed = session.seal(message.as_bytes());
        answered += ask(net, elsewhere(1), &sealed).len();
    }
    answered
}

/// The first message of a password change.
fn reg1(insider: &mut Insider) -> String {
    let start = ClientRegistration::<Parts>::start(&mut insider.rng, b"x").unwrap();
    format!(r#"{{"t":"reg1","reg1":"{}"}}"#, b64(&start.message.serialize()))
}

/// The last message of a password change: a new record for the same password.
fn reg3(seed: u8) -> String {
    let mut rng = ChaCha20Rng::from_seed([seed; 32]);
    let record = register(&setup(), Suite::Laboratory, &login("kean"), PASSWORD, &mut rng).unwrap();
    format!(r#"{{"t":"reg3","reg3":"{}"}}"#, b64(&record.to_bytes()))
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
        session.rekey_json(7, &pk)
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
    let same = vec![session.rekey_json(7, &pk); 20];
    assert_eq!(replies(&mut net, &mut session, same), 20);
}

/// Attack 25: the server as an oracle for the OPRF.
#[test]
fn a_session_gets_three_answers_to_reg1_and_then_one_a_second() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let (mut session, _) = logged_in(&mut net, &mut insider, "kean");
    let mut several = |number: usize| (0..number).map(|_| reg1(&mut insider)).collect::<Vec<_>>();
    assert_eq!(replies(&mut net, &mut session, several(50)), 3);
    assert_eq!(rate_limited(&net), 47);
    net.run_for(Duration::from_secs(1));
    assert_eq!(replies(&mut net, &mut session, several(5)), 1);
}

/// Attack 25: a new file with all users for each request.
#[test]
fn a_user_changes_the_password_three_times_and_then_every_20_minutes() {
    let mut net = Net::pair();
    let mut insider = Insider::new(3);
    let mut change = |net: &mut Net, seed| {
        let (mut session, _) = logged_in(net, &mut insider, "kean");
        replies(net, &mut session, [reg3(seed)])
    };
    // A new login does not help.
    let changed: usize = (0..5).map(|seed| change(&mut net, seed)).sum();
    assert_eq!((changed, net.saved.len(), rate_limited(&net)), (3, 3, 2));
    net.run_for(Duration::from_secs(20 * 60));
    let changed: usize = (5..8).map(|seed| change(&mut net, seed)).sum();
    assert_eq!((changed, net.saved.len()), (1, 4));
}

/// Attack 26: a user whose account has expired.
#[test]
fn a_refused_login_gets_its_refusal_again_and_nothing_else() {
    let expired = User {
        expires: Some(1_000),
        ..user("kean")
    };
    let mut config: ServerConfig = server_config();
    (config.users, config.unix_origin) = (store([expired]), Some(1_000_000));
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
        r#"{"t":"ping","n":1}"#.to_owned(),
        session.rekey_json(7, &pk),
        reg1(&mut insider),
        reg3(1),
        r#"{"t":"bye","why":"stopped"}"#.to_owned(),
    ];
    assert_eq!(replies(&mut net, &mut session, messages), 0);
    let inner = session.seal(&packet("10.9.0.2", "10.9.0.1", b"x"));
    assert!(ask(&mut net, from, &inner).is_empty());
    assert_eq!(net.server.counters().dropped(DropReason::Unexpected), 6);
    assert!(net.saved.is_empty() && net.server_packets.is_empty());
    net.run_for(Duration::from_millis(250));
    let again = ask(&mut net, from, &m3);
    assert_eq!(session.read(&again[0].bytes)["error"], "expired");
}
