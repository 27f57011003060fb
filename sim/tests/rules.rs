//! Rules of a protocol in complete runs: checks find a peer that breaks a rule, and honest peers pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::report::sightings;
use sandhog_lab::setup::{HostSpec, Nonce, Rules, Setup};
use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, Event, EventKind, Gauges, Instant, PacketBuf, Peer, Reason,
};
use sandhog_sim::builtin;

use crate::support::{failed, parse, run_any, run_both_any, source};

/// Behaviour of a peer, which may break rules.
#[derive(Clone, Copy, Default)]
struct Behaviour {
    /// The address to which it sends four datagrams.
    target: Option<SocketAddr>,
    /// Bytes of a reply for each byte received.
    amplification: usize,
    /// True if all its datagrams have the same nonce.
    same_nonce: bool,
    /// Reported state for unauthenticated peers, for each datagram received.
    state: usize,
    /// True if it reports a move of a session for each datagram received.
    moves: bool,
}

struct TestPeer {
    behaviour: Behaviour,
    sent: u8,
    received: usize,
    events: Vec<Event>,
}

impl TestPeer {
    /// Sends `len` bytes. The second byte is the nonce.
    fn send(&mut self, remote: SocketAddr, len: usize, output: &mut Batch) {
        let mut bytes = vec![self.sent; len];
        bytes[1] = if self.behaviour.same_nonce { 0 } else { self.sent };
        self.sent += 1;
        output.datagrams.push(Datagram {
            remote,
            kind: "test",
            payload: PacketBuf::copied_from(&bytes),
        });
    }
}

impl Peer for TestPeer {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        for datagram in std::mem::take(&mut input.datagrams) {
            self.received += 1;
            if self.behaviour.moves {
                self.events.push(Event {
                    tag: datagram.payload.tag,
                    kind: EventKind::Roamed {
                        from: datagram.remote,
                        to: datagram.remote,
                    },
                });
            }
            if self.behaviour.amplification > 0 {
                self.send(
                    datagram.remote,
                    datagram.payload.len() * self.behaviour.amplification,
                    output,
                );
            }
        }
        let remote = self.behaviour.target?;
        let due = Instant::from_millis(10 * u64::from(self.sent));
        if now >= due && self.sent < 4 {
            self.send(remote, 10, output);
        }
        (self.sent < 4).then_some((
            Instant::from_millis(10 * u64::from(self.sent)),
            Reason::Other("test"),
        ))
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            unauthenticated: self.received * self.behaviour.state,
            ..Gauges::default()
        }
    }
}

fn nonce_of(datagram: &[u8]) -> Option<Nonce> {
    Some(Nonce {
        key: 0,
        nonce: [*datagram.get(1)?; 12],
        session: false,
    })
}

/// The names of the checks that fail if a server behaves like this. A client sends it four datagrams.
fn failed_checks(behaviour: Behaviour) -> Vec<String> {
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 4000));
    let host = |name: &str, last: u8, behaviour: Behaviour, hostile: bool| HostSpec {
        name: name.into(),
        address: address(last),
        make_peer: Arc::new(move |_| {
            Box::new(TestPeer {
                behaviour,
                sent: 0,
                received: 0,
                events: Vec::new(),
            })
        }),
        inner: None,
        script: None,
        hostile,
    };
    let client = Behaviour {
        target: Some(address(1)),
        ..Behaviour::default()
    };
    let setup = Setup {
        hosts: vec![
            host("server", 1, behaviour, false),
            host("client", 2, client, true),
        ],
        duration: Duration::from_secs(1),
        ends_when_done: false,
        rules: Rules {
            nonce_of: Some(nonce_of),
            amplification: Some(3),
            unauthenticated: Some(3),
            fresh_roaming: true,
            ..Rules::default()
        },
        ..Setup::default()
    };
    let run = run_both_any(&setup, 7);
    assert_eq!(
        run.counters["datagrams.made"],
        if behaviour.amplification > 0 { 8 } else { 4 }
    );
    failed(&run).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_server_that_breaks_one_rule_fails_one_check() {
    let honest = Behaviour {
        amplification: 3,
        ..Behaviour::default()
    };
    assert!(failed_checks(honest).is_empty());
    let cases = [
        (
            Behaviour {
                amplification: 4,
                ..honest
            },
            "P4 no amplification",
        ),
        (
            Behaviour {
                same_nonce: true,
                ..honest
            },
            "P2 no nonce reused under a key",
        ),
        (
            Behaviour { state: 1, ..honest },
            "P5 bounded state for unauthenticated peers",
        ),
        (
            Behaviour {
                moves: true,
                amplification: 0,
                ..honest
            },
            "P6 sessions move only after fresh datagrams",
        ),
    ];
    for (behaviour, check) in cases {
        assert_eq!(failed_checks(behaviour), [check]);
    }
}

#[test]
fn every_builtin_scenario_keeps_the_rules_of_its_profile() {
    for builtin in builtin::ALL {
        let run = run_any(&builtin.scenario().unwrap().setup(), 7);
        for rule in ["P2 ", "P4 ", "P11 "] {
            let check = run.checks.iter().find(|check| check.name.starts_with(rule));
            let check = check.unwrap_or_else(|| panic!("{}: {rule}", builtin.name));
            assert!(check.passed, "{}: {}: {}", builtin.name, check.name, check.detail);
        }
    }
}

/// P10: a client tries the same name and password with a server that does not know the name, and with a server that has
/// another password of the same length.
#[test]
fn an_unknown_user_and_a_wrong_password_give_the_same_sightings() {
    let known = source("wrong-password");
    let unknown = known.replacen("login = \"alice\"", "login = \"carol\"", 1);
    assert_ne!(known, unknown);
    let [known, unknown] = [known, &unknown].map(|source| run_any(&parse(source).unwrap().setup(), 7));
    assert_eq!(known.outcome, "authentication-rejected");
    assert_eq!(unknown.outcome, "authentication-rejected");
    let seen = sightings(&known, 0);
    assert!(seen.len() >= 2, "a request and its reply");
    assert_eq!(seen, sightings(&unknown, 0));
}
