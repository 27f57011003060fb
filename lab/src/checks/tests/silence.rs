//! Unit tests of P14: the datagrams that a server may answer, and those that it may not.

use super::*;

const LIMIT: Duration = Duration::from_secs(60);

/// Time in seconds, and a step of the server or of a stranger.
#[derive(Clone, Copy)]
enum Step {
    /// Alice makes a datagram with this fingerprint.
    Made(u64, u64),
    /// A datagram with this fingerprint arrives at the server from this host, as record 10 or later.
    Arrives(u64, HostId),
    /// The server answers the record with the number 10 + the first value, to this host.
    Answers(u64, u64, HostId),
    Restarts,
}

fn outgoing(at: u64, cause: RecordId, host: HostId, to: HostId, fingerprint: u64) -> Outgoing<'static> {
    Outgoing {
        record: 99,
        now: Instant::from_secs(at),
        cause,
        host,
        remote: address(to),
        payload: b"",
        fingerprint,
    }
}

/// Returns true if P14 holds for these steps.
fn holds(steps: &[Step]) -> bool {
    let mut checks = checks(Rules {
        first_message_age: Some(LIMIT),
        ..Rules::default()
    });
    let mut arrivals = 10;
    for step in steps {
        match *step {
            Step::Made(fingerprint, at) => checks.on_sent(outgoing(at, 1, ALICE, SERVER, fingerprint)),
            Step::Arrives(fingerprint, from) => {
                checks.on_received(arrivals, SERVER, address(from), 1200, fingerprint);
                arrivals += 1;
            }
            Step::Answers(arrival, at, to) => {
                checks.on_sent(outgoing(at, 10 + arrival, SERVER, to, 1000));
            }
            Step::Restarts => checks.on_boot(SERVER),
        }
    }
    let failed = failed(&checks);
    assert!(failed.iter().all(|name| name.starts_with("P14 ")), "{failed:?}");
    failed.is_empty()
}

#[test]
fn a_fresh_datagram_of_a_participant_may_be_answered() {
    use Step::{Answers, Arrives, Made};
    assert!(holds(&[Made(7, 0), Arrives(7, ALICE), Answers(0, 60, ALICE)]));
    let delayed_over_another_path = [Made(7, 0), Arrives(7, MALLORY), Answers(0, 1, MALLORY)];
    assert!(holds(&delayed_over_another_path));
}

#[test]
fn an_answer_to_invented_old_or_repeated_bytes_is_found() {
    use Step::{Answers, Arrives, Made, Restarts};
    assert!(!holds(&[Arrives(7, MALLORY), Answers(0, 1, MALLORY)]), "invented");
    assert!(
        !holds(&[Made(7, 0), Arrives(7, ALICE), Answers(0, 61, ALICE)]),
        "old"
    );
    let twice = [
        Made(7, 0),
        Arrives(7, ALICE),
        Arrives(7, MALLORY),
        Answers(1, 1, MALLORY),
    ];
    assert!(!holds(&twice));
    let after_a_restart = [
        Made(7, 0),
        Arrives(7, ALICE),
        Restarts,
        Arrives(7, ALICE),
        Answers(1, 1, ALICE),
    ];
    assert!(!holds(&after_a_restart));
}

#[test]
fn an_answer_in_a_later_turn_is_found_because_no_arrival_is_kept() {
    let mut checks = checks(Rules {
        first_message_age: Some(LIMIT),
        ..Rules::default()
    });
    checks.on_sent(outgoing(0, 1, ALICE, SERVER, 7));
    checks.on_received(10, SERVER, address(ALICE), 1200, 7);
    checks.on_turn_end(11, SERVER, Gauges::default());
    checks.on_sent(outgoing(1, 10, SERVER, ALICE, 1000));
    assert_eq!(
        failed(&checks),
        ["P14 strangers get answers only to fresh messages"]
    );
}

#[test]
fn a_datagram_that_nobody_asked_for_is_found() {
    use Step::{Answers, Arrives, Made};
    assert!(!holds(&[Answers(0, 1, ALICE)]));
    assert!(
        !holds(&[Made(7, 0), Arrives(7, ALICE), Answers(0, 1, MALLORY)]),
        "to another address"
    );
}

#[test]
fn the_peer_of_a_session_is_no_stranger_until_the_session_ends() {
    let answer = |after_the_end: bool| {
        let mut checks = checks(Rules {
            first_message_age: Some(LIMIT),
            ..Rules::default()
        });
        checks.on_session(SERVER, "alice", address(ALICE));
        checks.on_session_ended(SERVER, "alice");
        if after_the_end {
            checks.on_turn_end(1, SERVER, Gauges::default());
        }
        checks.on_sent(outgoing(1, 1, SERVER, ALICE, 1000));
        failed(&checks)
    };
    assert!(
        answer(false).is_empty(),
        "the last datagrams of the session follow its end"
    );
    assert_eq!(answer(true), ["P14 strangers get answers only to fresh messages"]);
}
