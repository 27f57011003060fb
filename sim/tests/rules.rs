//! What a protocol is held to by the setup's rules, on whole runs: a peer that breaks one is found, honest ones pass.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::report::sightings;
use sandhog_lab::setup::{HostSpec, Nonce, Rules, Setup};
use sandhog_proto::{
    ApiMisuse, Batch, Command, Counters, Datagram, Event, EventKind, Gauges, Instant, PacketBuf, Peer, Reason,
};
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, builtin, run_setup};

fn options(engine: Engine) -> RunOptions {
    RunOptions {
        seed: 7,
        engine,
        detail: Detail::Full,
    }
}

fn run(scenario: &Scenario) -> Run {
    sandhog_sim::run(scenario, &options(Engine::Event)).unwrap()
}

/// Begins a talk or answers in one, and breaks rules on the way.
#[derive(Clone, Copy, Default)]
struct Habits {
    /// Whom it talks to first, if to anybody.
    calls: Option<SocketAddr>,
    /// Bytes of an answer for each byte received.
    answer: usize,
    /// Whether all its datagrams have one nonce.
    one_nonce: bool,
    /// What it says that it keeps for strangers, for each datagram received.
    keeps: usize,
    /// Whether it says that a session moves with each datagram.
    moves: bool,
}

struct Talker {
    habits: Habits,
    sent: u8,
    received: usize,
    events: Vec<Event>,
}

impl Talker {
    /// The second byte stands for the nonce.
    fn say(&mut self, remote: SocketAddr, len: usize, output: &mut Batch) {
        let mut bytes = vec![self.sent; len];
        bytes[1] = if self.habits.one_nonce { 0 } else { self.sent };
        self.sent += 1;
        output.datagrams.push(Datagram {
            remote,
            kind: "talk",
            payload: PacketBuf::copied_from(&bytes),
        });
    }
}

impl Peer for Talker {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        for datagram in std::mem::take(&mut input.datagrams) {
            self.received += 1;
            if self.habits.moves {
                self.events.push(Event {
                    tag: datagram.payload.tag,
                    kind: EventKind::Roamed {
                        from: datagram.remote,
                        to: datagram.remote,
                    },
                });
            }
            if self.habits.answer > 0 {
                self.say(
                    datagram.remote,
                    datagram.payload.len() * self.habits.answer,
                    output,
                );
            }
        }
        let remote = self.habits.calls?;
        let due = Instant::from_millis(10 * u64::from(self.sent));
        if now >= due && self.sent < 4 {
            self.say(remote, 10, output);
        }
        (self.sent < 4).then_some((
            Instant::from_millis(10 * u64::from(self.sent)),
            Reason::Other("talk"),
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
            unauthenticated: self.received * self.habits.keeps,
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

/// The names of the checks that fail when a server with these habits is called four times, by both engines.
fn broken(habits: Habits) -> Vec<String> {
    let address = |last: u8| SocketAddr::from(([192, 0, 2, last], 4000));
    let host = |name: &str, last: u8, habits: Habits, hostile: bool| HostSpec {
        name: name.into(),
        address: address(last),
        make_peer: Arc::new(move |_| {
            Box::new(Talker {
                habits,
                sent: 0,
                received: 0,
                events: Vec::new(),
            })
        }),
        inner: None,
        script: None,
        hostile,
    };
    let caller = Habits {
        calls: Some(address(1)),
        ..Habits::default()
    };
    let setup = Setup {
        hosts: vec![host("server", 1, habits, false), host("caller", 2, caller, true)],
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
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| {
        let run = run_setup(&setup, &options(engine)).unwrap();
        assert_eq!(
            run.counters["datagrams.made"],
            if habits.answer > 0 { 8 } else { 4 }
        );
        run
    });
    assert_eq!((event.digest, &event.checks), (turmoil.digest, &turmoil.checks));
    let failed = event.checks.into_iter().filter(|check| !check.passed);
    failed.map(|check| check.name).collect()
}

#[test]
fn a_server_that_breaks_one_rule_fails_one_check() {
    let honest = Habits {
        answer: 3,
        ..Habits::default()
    };
    assert!(broken(honest).is_empty());
    let cases = [
        (Habits { answer: 4, ..honest }, "P4 no amplification"),
        (
            Habits {
                one_nonce: true,
                ..honest
            },
            "P2 no nonce twice under a key",
        ),
        (Habits { keeps: 1, ..honest }, "P5 bounded state for strangers"),
        (
            Habits {
                moves: true,
                answer: 0,
                ..honest
            },
            "P6 only fresh datagrams move a session",
        ),
    ];
    for (habits, check) in cases {
        assert_eq!(broken(habits), [check]);
    }
}

#[test]
fn the_classic_profile_keeps_the_rules_that_it_is_held_to() {
    for builtin in builtin::ALL {
        let run = run(&builtin.scenario().unwrap());
        for rule in ["P2 ", "P4 ", "P11 "] {
            let check = run.checks.iter().find(|check| check.name.starts_with(rule));
            let check = check.unwrap_or_else(|| panic!("{}: {rule}", builtin.name));
            assert!(check.passed, "{}: {}: {}", builtin.name, check.name, check.detail);
        }
    }
}

/// P10: the same name and password are tried against a server that does not know the name, and against one that
/// knows it with another password of the same length.
#[test]
fn an_unknown_user_and_a_wrong_password_look_the_same_beside_the_server() {
    let source = builtin::ALL
        .iter()
        .find(|builtin| builtin.name == "wrong-password");
    let source = source.unwrap().source;
    let known = source.replace("title = ", "seed = 7\ntitle = ");
    let unknown = known.replacen("login = \"alice\"", "login = \"carol\"", 1);
    assert_ne!(known, unknown);
    let [known, unknown] = [known, unknown].map(|source| {
        let scenario = Scenario::parse("test.toml", &source, &|_| Err("no files here".into()));
        run(&scenario.unwrap_or_else(|error| panic!("{error}")))
    });
    assert_eq!(known.outcome, "authentication-rejected");
    assert_eq!(unknown.outcome, "authentication-rejected");
    let seen = sightings(&known, 0);
    assert!(seen.len() >= 2, "a request and its answer");
    assert_eq!(seen, sightings(&unknown, 0));
}
