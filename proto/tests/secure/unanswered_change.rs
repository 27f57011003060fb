//! Password changes without an answer: the client logs in with the password that the server has.

use std::time::Duration;

use sandhog_proto::{EventKind, TunnelStatus};

use crate::support::Net;

const NEW: &str = "battery staple";

/// Results of the password changes.
fn results(net: &Net) -> Vec<bool> {
    let events = net.clients[0].events.iter();
    let results = events.filter_map(|(_, kind)| match kind {
        EventKind::PasswordChanged(result) => Some(result.is_ok()),
        _ => None,
    });
    results.collect()
}

fn change(net: &mut Net, password: &str) {
    let now = net.now;
    let peer = &mut net.clients[0].peer;
    peer.change_password(now, password.to_owned().into()).unwrap();
}

/// A client whose change of the password had no answer. If `is_stored`, the server has stored the new record since.
fn unanswered(is_stored: bool) -> Net {
    let mut net = Net::connected();
    net.disk_is_slow = true;
    change(&mut net, NEW);
    net.run_for(Duration::from_secs(12));
    assert_eq!(results(&net), [false], "no answer for 10 s");
    if is_stored {
        net.disk_is_slow = false;
        net.finish_saves();
    }
    net
}

/// The client loses its session and logs in again. Returns true if it is connected after a second.
fn logs_in_again(net: &mut Net, seed: u8) -> bool {
    let now = net.now;
    net.clients[0].peer.forget_session(now, [seed; 32]);
    net.run_for(Duration::from_secs(1));
    net.status(0) == TunnelStatus::Connected
}

fn retries(net: &Net) -> usize {
    let events = net.clients[0].events.iter();
    events
        .filter(|(_, kind)| matches!(kind, EventKind::Retrying(_)))
        .count()
}

#[test]
fn the_client_logs_in_with_the_new_password_if_the_server_has_stored_it() {
    let mut net = unanswered(true);
    assert!(logs_in_again(&mut net, 10));
    assert_eq!(
        (net.count("ke3"), retries(&net)),
        (2, 0),
        "the old password got no further than KE2"
    );
}

#[test]
fn the_client_logs_in_with_the_old_password_if_the_new_one_was_not_stored() {
    let mut net = unanswered(false);
    assert!(logs_in_again(&mut net, 10));
    assert_eq!((net.count("ke3"), retries(&net)), (2, 0));
}

#[test]
fn a_change_can_be_repeated_after_one_without_an_answer() {
    for is_stored in [true, false] {
        let mut net = unanswered(is_stored);
        net.disk_is_slow = false;
        net.finish_saves();
        change(&mut net, "a third password");
        net.run_for(Duration::from_secs(2));
        assert_eq!(results(&net), [false, true], "stored: {is_stored}");
        assert!(logs_in_again(&mut net, 10), "stored: {is_stored}");
    }
}

#[test]
fn the_client_logs_in_if_the_server_stores_the_new_password_after_another_login() {
    let mut net = unanswered(false);
    assert!(logs_in_again(&mut net, 10), "with the old password");
    net.disk_is_slow = false;
    net.finish_saves();
    assert!(logs_in_again(&mut net, 11), "with the new one");
    assert_eq!(retries(&net), 0);
}
