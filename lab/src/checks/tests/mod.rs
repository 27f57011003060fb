//! Unit tests of the checks: each finds its violation, and no other.

use std::sync::Arc;
use std::time::Duration;

use sandhog_peer::{Batch, Command, Counters, Event, Peer, Reason};

use super::*;
use crate::setup::{InnerSpec, Nonce, Script};

mod silence;

// A server, two clients with one inner address each, and a hostile host.
const SERVER: HostId = 0;
const ALICE: HostId = 1;
const BOB: HostId = 2;
const MALLORY: HostId = 3;

/// Does nothing.
struct Silent;

impl Peer for Silent {
    fn turn(&mut self, _: Instant, _: &mut Batch, _: &mut Batch) -> Option<(Instant, Reason)> {
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), sandhog_peer::ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

fn address(host: HostId) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host as u8 + 1], 4000))
}

fn host(id: HostId) -> HostSpec {
    let script = Script {
        start: Instant::ZERO,
        steps: Vec::new(),
        liveness_target: [10, 9, 0, 1].into(),
        server: None,
        secret: None,
    };
    HostSpec {
        name: format!("host-{id}"),
        address: address(id),
        make_peer: Arc::new(|_| Box::new(Silent)),
        inner: Some(InnerSpec {
            addresses: vec![([10, 9, 0, id as u8 + 1].into(), 24)],
            mtu: 1420,
            services: Vec::new(),
            limits: sandhog_netstack::Limits::default(),
        }),
        script: [ALICE, BOB].contains(&id).then_some(script),
        hostile: id == MALLORY,
    }
}

fn checks(rules: Rules) -> Checks {
    let hosts: Vec<HostSpec> = [SERVER, ALICE, BOB, MALLORY].map(host).into();
    Checks::new(&rules, &hosts, &[])
}

/// Key and nonce are the first two bytes. Key 3 belongs to a session.
fn nonce_of(datagram: &[u8]) -> Option<Nonce> {
    let [key, number, ..] = datagram else { return None };
    Some(Nonce {
        key: u64::from(*key),
        nonce: [*number; 12],
        session: *key == 3,
    })
}

fn send(checks: &mut Checks, host: HostId, remote: SocketAddr, millis: u64, payload: &[u8]) {
    checks.on_sent(Outgoing {
        record: 1,
        now: Instant::from_millis(millis),
        cause: 1,
        host,
        remote,
        payload,
        fingerprint: crate::trace::fingerprint(payload),
    });
}

/// The first 20 bytes of an IPv4 packet from this host's inner address.
fn packet_from(host: HostId) -> Vec<u8> {
    let mut packet = vec![0; 20];
    packet[0] = 0x45;
    packet[12..16].copy_from_slice(&[10, 9, 0, host as u8 + 1]);
    packet
}

fn failed(checks: &Checks) -> Vec<String> {
    checks
        .results()
        .into_iter()
        .filter(|result| !result.passed)
        .map(|result| result.name)
        .collect()
}

#[test]
fn a_secret_in_an_outer_datagram_is_found() {
    let mut checks = Checks::new(&Rules::default(), &[], &[b"canary-canary-16"]);
    checks.on_public_bytes(1, b"nothing here");
    assert!(failed(&checks).is_empty());
    checks.on_public_bytes(2, b"...canary-canary-16...");
    assert_eq!(failed(&checks), ["P1 no plaintext in outer datagrams"]);
}

#[test]
fn a_delivered_packet_that_was_not_sent_is_found() {
    let mut checks = checks(Rules::default());
    checks.on_authenticated(0, 1);
    checks.on_inner_out(42, 1);
    checks.on_inner_in(1, &[], 42, 0, Some(1));
    assert!(failed(&checks).is_empty());
    checks.on_inner_in(2, &[], 43, 0, Some(1));
    assert_eq!(failed(&checks), ["P3 inner packets unchanged, authenticated"]);
}

#[test]
fn a_packet_from_an_unauthenticated_host_is_found() {
    let mut checks = checks(Rules::default());
    checks.on_inner_out(42, 2);
    checks.on_inner_in(1, &[], 42, 0, Some(2));
    assert_eq!(failed(&checks), ["P3 inner packets unchanged, authenticated"]);
}

#[test]
fn a_datagram_that_is_neither_delivered_nor_lost_is_found() {
    let mut checks = checks(Rules::default());
    checks.on_conservation(
        1,
        Conservation {
            made: 3,
            delivered: 1,
            lost: 1,
        },
        1,
    );
    assert!(failed(&checks).is_empty());
    checks.on_conservation(
        2,
        Conservation {
            made: 3,
            delivered: 1,
            lost: 1,
        },
        0,
    );
    assert_eq!(failed(&checks), ["P8 every datagram accounted for"]);
}

#[test]
fn a_reused_nonce_is_found_and_a_retransmission_is_allowed() {
    let rules = || Rules {
        nonce_of: Some(nonce_of),
        ..Rules::default()
    };
    let mut checks = checks(rules());
    send(&mut checks, ALICE, address(SERVER), 0, &[1, 7, 1]);
    send(&mut checks, ALICE, address(SERVER), 1, &[1, 7, 1]);
    send(&mut checks, ALICE, address(SERVER), 1, &[2, 7, 2]);
    send(&mut checks, MALLORY, address(SERVER), 1, &[1, 7, 3]);
    assert!(failed(&checks).is_empty());
    send(&mut checks, BOB, address(SERVER), 2, &[1, 7, 2]);
    assert_eq!(failed(&checks), ["P2 no nonce reused under a key"]);
}

#[test]
fn a_retransmission_under_a_session_key_is_found() {
    let mut checks = checks(Rules {
        nonce_of: Some(nonce_of),
        ..Rules::default()
    });
    send(&mut checks, ALICE, address(SERVER), 0, &[3, 7, 1]);
    assert!(failed(&checks).is_empty());
    send(&mut checks, ALICE, address(SERVER), 1, &[3, 7, 1]);
    assert_eq!(failed(&checks), ["P2 no nonce reused under a key"]);
}

#[test]
fn a_second_delivery_is_found_with_the_rule_at_most_once() {
    for at_most_once in [false, true] {
        let mut checks = checks(Rules {
            at_most_once,
            ..Rules::default()
        });
        checks.on_authenticated(SERVER, ALICE);
        for _ in 0..2 {
            checks.on_inner_out(42, ALICE);
            checks.on_inner_in(1, &[], 42, SERVER, Some(ALICE));
        }
        assert!(failed(&checks).is_empty(), "as often as it was sent");
        checks.on_inner_in(2, &[], 42, SERVER, Some(ALICE));
        assert_eq!(failed(&checks).len(), usize::from(at_most_once));
    }
}

#[test]
fn a_delivery_after_a_reboot_without_a_new_login_is_found() {
    let mut checks = checks(Rules::default());
    checks.on_authenticated(SERVER, ALICE);
    checks.on_boot(SERVER);
    checks.on_inner_out(42, ALICE);
    checks.on_inner_in(1, &[], 42, SERVER, Some(ALICE));
    assert_eq!(failed(&checks), ["P3 inner packets unchanged, authenticated"]);
}

#[test]
fn amplification_is_found_until_the_address_is_validated() {
    let rules = || Rules {
        amplification: Some(3),
        ..Rules::default()
    };
    let mut checks = checks(rules());
    checks.on_received(1, SERVER, address(ALICE), 100, 0);
    send(&mut checks, SERVER, address(ALICE), 0, &[0; 200]);
    send(&mut checks, SERVER, address(ALICE), 1, &[0; 100]);
    assert!(
        failed(&checks).is_empty(),
        "three sent bytes for one received byte"
    );
    checks.on_validated(SERVER, address(ALICE));
    send(&mut checks, SERVER, address(ALICE), 2, &[0; 5000]);
    send(&mut checks, BOB, address(SERVER), 2, &[0; 5000]);
    assert!(
        failed(&checks).is_empty(),
        "the address is validated, and a client may begin"
    );
    checks.on_boot(SERVER);
    checks.on_received(1, SERVER, address(ALICE), 100, 0);
    send(&mut checks, SERVER, address(ALICE), 3, &[0; 301]);
    assert_eq!(failed(&checks), ["P4 no amplification"]);
}

#[test]
fn state_above_its_limit_is_found() {
    let mut checks = checks(Rules {
        unauthenticated: Some(1024),
        ..Rules::default()
    });
    let gauges = |unauthenticated| Gauges {
        unauthenticated,
        ..Gauges::default()
    };
    checks.on_turn_end(1, SERVER, gauges(1024));
    assert!(failed(&checks).is_empty());
    checks.on_turn_end(2, SERVER, gauges(1025));
    assert_eq!(failed(&checks), ["P5 bounded state for unauthenticated peers"]);
}

#[test]
fn only_the_first_copy_of_an_authentic_datagram_may_move_a_session() {
    let (old, new) = (address(ALICE), address(9));
    let moved_by = |from: Option<HostId>, second: bool| {
        let mut checks = checks(Rules {
            fresh_roaming: true,
            ..Rules::default()
        });
        checks.on_authenticated(SERVER, ALICE);
        checks.on_received(1, SERVER, old, 100, 42);
        checks.on_received(2, SERVER, new, 100, if second { 42 } else { 43 });
        checks.on_roamed(3, SERVER, [old, new], 2, from);
        checks.on_turn_end(3, SERVER, Gauges::default());
        failed(&checks)
    };
    let name = "P6 sessions move only after fresh datagrams";
    assert!(moved_by(Some(ALICE), false).is_empty());
    assert_eq!(moved_by(Some(ALICE), true), [name], "a copy");
    assert_eq!(moved_by(Some(BOB), false), [name], "never logged in");
    assert_eq!(moved_by(Some(MALLORY), false), [name]);
    assert_eq!(moved_by(None, false), [name]);
}

#[test]
fn a_move_that_is_reported_before_its_login_is_judged_at_the_end_of_the_turn() {
    let (old, new) = (address(ALICE), address(9));
    let moved = |logs_in: bool| {
        let mut checks = checks(Rules {
            fresh_roaming: true,
            ..Rules::default()
        });
        checks.on_received(1, SERVER, new, 100, 42);
        checks.on_roamed(2, SERVER, [old, new], 1, Some(ALICE));
        if logs_in {
            checks.on_authenticated(SERVER, ALICE);
        }
        checks.on_turn_end(3, SERVER, Gauges::default());
        // A login in a later turn does not count.
        checks.on_authenticated(SERVER, ALICE);
        checks.on_turn_end(4, SERVER, Gauges::default());
        failed(&checks)
    };
    assert!(moved(true).is_empty());
    assert_eq!(moved(false), ["P6 sessions move only after fresh datagrams"]);
}

#[test]
fn a_session_datagram_under_an_old_key_is_found() {
    let rules = || Rules {
        nonce_of: Some(nonce_of),
        key_age: Some(Duration::from_secs(180)),
        ..Rules::default()
    };
    let name = "P7 no key older than its limit";
    let mut alice = checks(rules());
    alice.on_new_key(ALICE, None, Instant::ZERO);
    send(&mut alice, ALICE, address(SERVER), 180_000, &[3, 1]);
    send(&mut alice, ALICE, address(SERVER), 180_001, &[1, 2]);
    assert!(failed(&alice).is_empty(), "young enough, and not a session key");
    send(&mut alice, ALICE, address(SERVER), 180_001, &[3, 3]);
    assert_eq!(failed(&alice), [name]);

    let mut server = checks(rules());
    server.on_new_key(SERVER, Some(address(ALICE)), Instant::ZERO);
    server.on_new_key(SERVER, Some(address(BOB)), Instant::from_secs(100));
    server.on_roamed(1, SERVER, [address(ALICE), address(9)], 1, Some(ALICE));
    send(&mut server, SERVER, address(BOB), 200_000, &[3, 1]);
    assert!(failed(&server).is_empty(), "each session has its own key");
    send(&mut server, SERVER, address(9), 200_000, &[3, 2]);
    assert_eq!(failed(&server), [name], "a move does not change the age of a key");
}

#[test]
fn an_inner_source_address_of_another_host_is_found() {
    let rules = || Rules {
        inner_owner: true,
        ..Rules::default()
    };
    let delivered = |received: &[IpAddr], from: HostId| {
        let mut checks = checks(rules());
        checks.on_authenticated(SERVER, ALICE);
        for address in received {
            checks.on_addresses(ALICE, vec![*address]);
        }
        checks.on_inner_out(42, ALICE);
        checks.on_inner_in(1, &packet_from(from), 42, SERVER, Some(ALICE));
        failed(&checks)
    };
    let (next, after_next) = ([10, 9, 0, 77].into(), [10, 9, 0, 78].into());
    let name = "P11 inner source addresses belong to the sender";
    assert!(delivered(&[], ALICE).is_empty());
    assert_eq!(delivered(&[], BOB), [name]);
    assert!(delivered(&[next], ALICE).is_empty(), "a late packet");
    assert_eq!(delivered(&[next, after_next], ALICE), [name]);
}

#[test]
fn an_account_that_changes_without_an_accepted_session_is_found() {
    let rules = || Rules {
        accepted_changes: true,
        ..Rules::default()
    };
    let name = "P13 accounts change only in accepted sessions";
    let changed = |prepare: &dyn Fn(&mut Checks), remote: Option<SocketAddr>| {
        let mut checks = checks(rules());
        prepare(&mut checks);
        checks.on_account_changed(1, SERVER, "alice", remote);
        failed(&checks)
    };
    let accepted = |checks: &mut Checks| checks.on_session(SERVER, "alice", address(ALICE));
    let from_alice = Some(address(ALICE));
    assert_eq!(changed(&|_| {}, from_alice), [name]);
    assert!(changed(&accepted, from_alice).is_empty());
    assert_eq!(changed(&accepted, Some(address(MALLORY))), [name]);
    let of_another_user = |checks: &mut Checks| checks.on_session(SERVER, "bob", address(ALICE));
    assert_eq!(changed(&of_another_user, from_alice), [name]);
    let ended = |checks: &mut Checks| {
        accepted(checks);
        checks.on_session_ended(SERVER, "alice");
        checks.on_turn_end(1, SERVER, Gauges::default());
    };
    assert_eq!(changed(&ended, from_alice), [name]);
    let rebooted = |checks: &mut Checks| {
        accepted(checks);
        checks.on_boot(SERVER);
    };
    assert_eq!(changed(&rebooted, from_alice), [name]);
}

#[test]
fn an_account_may_change_in_a_session_that_has_moved_or_is_one_of_two() {
    let rules = Rules {
        accepted_changes: true,
        ..Rules::default()
    };
    let mut checks = checks(rules);
    checks.on_session(SERVER, "alice", address(ALICE));
    checks.on_session(SERVER, "alice", address(BOB));
    checks.on_session_ended(SERVER, "alice");
    checks.on_turn_end(1, SERVER, Gauges::default());
    checks.on_account_changed(1, SERVER, "alice", Some(address(BOB)));
    checks.on_roamed(1, SERVER, [address(BOB), address(9)], 1, Some(BOB));
    checks.on_account_changed(2, SERVER, "alice", Some(address(9)));
    assert!(failed(&checks).is_empty());
}
