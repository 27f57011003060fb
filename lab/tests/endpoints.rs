//! Endpoints of an adversary: the datagrams that reach them, their number, their end, and wrong setups.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandhog_lab::adversary::{Act, AdversarySpec, MAX_ENDPOINTS, Source, Speak};
use sandhog_lab::record::RecordKind;
use sandhog_lab::setup::{MakePeer, Rules, Setup};
use sandhog_lab::{Detail, Engine, Run, RunOptions, run_setup};
use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, Event, EventKind, Instant, PacketBuf, Peer, Reason,
    StartError,
};

use crate::setups::{error, mallory};
use crate::support::{CLIENT, SERVER, Silent, address, arq, pair};

/// The number of the adversary.
const MALLORY: u16 = 2;

fn speak(make_peer: MakePeer, from: Source, count: u64) -> Speak {
    Speak {
        make_peer,
        first: Instant::from_millis(100),
        spacing: Duration::from_millis(1),
        count,
        from,
        withheld: Vec::new(),
    }
}

fn with(setup: &mut Setup, speak: Speak) {
    setup.adversaries = vec![AdversarySpec {
        budget: 100,
        acts: vec![Act::Speak(speak)],
        ..mallory()
    }];
}

fn silent() -> MakePeer {
    Arc::new(|_| Box::new(Silent))
}

fn run_with(speak: Speak, engine: Engine) -> Run {
    let mut setup = arq();
    with(&mut setup, speak);
    let options = RunOptions {
        engine,
        detail: Detail::Full,
        ..RunOptions::default()
    };
    run_setup(&setup, &options).unwrap()
}

/// Answers each datagram. An endpoint also begins with one to the server, and may fail at once.
struct Answer {
    begins: bool,
    fails: bool,
}

impl Peer for Answer {
    fn turn(&mut self, _: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        let arrived = input.datagrams.drain(..);
        let remotes = arrived.map(|datagram| (datagram.remote, datagram.payload.tag));
        let first = self.begins.then_some((address(SERVER), 0));
        let answers = remotes.chain(first).map(|(remote, tag)| Datagram {
            remote,
            kind: "hello",
            payload: PacketBuf::copied_from(b"hello").with_tag(tag),
        });
        output.datagrams.extend(answers);
        self.begins = false;
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        let kind = EventKind::Started(Err(StartError::ConnectionTimedOut));
        std::mem::take(&mut self.fails).then_some(Event { tag: 0, kind })
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// The datagrams of this host that arrive at `target`: their times, and those of their sending.
fn arrivals(run: &Run, target: u16, source: u16) -> Vec<(Instant, Instant)> {
    let received = run.records.iter().filter_map(|record| match record.kind {
        RecordKind::Received { from, .. } if from == source && record.host == Some(target) => {
            let flight = run.record(record.cause)?;
            Some((record.at, run.record(flight.cause)?.at))
        }
        _ => None,
    });
    received.collect()
}

#[test]
fn an_endpoint_in_place_of_a_host_gets_its_datagrams_when_they_would_arrive() {
    let place = || Speak {
        first: Instant::ZERO,
        ..speak(silent(), Source::Host(SERVER), 1)
    };
    let run = run_with(place(), Engine::Event);
    let diverted = arrivals(&run, MALLORY, CLIENT);
    assert!(!diverted.is_empty());
    assert!(
        arrivals(&run, SERVER, CLIENT)
            .iter()
            .all(|(at, _)| *at > diverted[diverted.len() - 1].0),
        "the server gets none before the adversary stops"
    );
    for (at, sent) in diverted {
        assert_eq!(at.saturating_duration_since(sent), Duration::from_millis(20));
    }
    #[cfg(feature = "turmoil")]
    assert_eq!(run.digest, run_with(place(), Engine::Turmoil).digest);
}

#[test]
fn the_number_of_endpoints_is_limited_and_the_oldest_ends_first() {
    struct Counted(Arc<AtomicUsize>, Silent);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
    impl Peer for Counted {
        fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
            self.1.turn(now, input, output)
        }
        fn poll_event(&mut self) -> Option<Event> {
            None
        }
        fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
            Ok(())
        }
        fn counters(&self) -> Counters {
            Counters::default()
        }
    }
    let (alive, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let highest = Arc::clone(&most);
    let make: MakePeer = Arc::new(move |_| {
        let present = alive.fetch_add(1, Ordering::Relaxed) + 1;
        highest.fetch_max(present, Ordering::Relaxed);
        Box::new(Counted(Arc::clone(&alive), Silent))
    });
    let many = MAX_ENDPOINTS as u64 + 500;
    let run = run_with(
        Speak {
            spacing: Duration::from_micros(1),
            ..speak(make, Source::Own, many)
        },
        Engine::Event,
    );
    assert!(run.passed);
    // A peer is created before the oldest one ends.
    assert_eq!(most.load(Ordering::Relaxed), MAX_ENDPOINTS + 1);
}

#[test]
fn a_failed_endpoint_ends_and_its_address_belongs_to_no_host() {
    let count = |fails: bool| {
        let server: MakePeer = Arc::new(|_| {
            Box::new(Answer {
                begins: false,
                fails: false,
            })
        });
        let make: MakePeer = Arc::new(move |_| Box::new(Answer { begins: true, fails }));
        let mut setup = pair(server, silent(), Rules::plain());
        with(&mut setup, speak(make, Source::Random, 3));
        let run = run_setup(&setup, &RunOptions::default()).unwrap();
        let lost = run.counters.get("lost.no-host").copied().unwrap_or_default();
        (run.counters["mallory.sent"], lost)
    };
    assert_eq!(
        count(true),
        (3, 3),
        "no answer reaches an endpoint that has ended"
    );
    assert_eq!(
        count(false).0,
        100,
        "the others answer until the budget is used up"
    );
}

#[test]
fn wrong_attempts_of_an_adversary_are_rejected() {
    type Row = (&'static str, &'static str, fn(&mut Speak));
    let rows: [Row; 6] = [
        ("from", "there is no host 9", |speak| speak.from = Source::Host(9)),
        ("from", "another host already has", |speak| {
            speak.from = Source::Address(address(SERVER));
        }),
        ("from", "another host already has", |speak| {
            speak.from = Source::Address(address(8));
        }),
        ("first", "before the end of the run", |speak| {
            speak.first = Instant::from_secs(30);
        }),
        ("withheld", "the kind of a withheld datagram is empty", |speak| {
            speak.withheld = vec![String::new()];
        }),
        ("count", "at least 1", |speak| speak.count = 0),
    ];
    for (name, part, change) in rows {
        let mut wrong = speak(silent(), Source::Own, 1);
        change(&mut wrong);
        let (field, problem) = error(|setup| with(setup, wrong));
        assert_eq!(field, format!("adversaries[0].acts[0].{name}"), "{problem}");
        assert!(problem.contains(part), "{problem}");
    }
}

#[test]
fn an_endpoint_in_place_of_a_host_needs_the_link_of_that_host() {
    let (field, problem) = error(|setup| {
        with(setup, speak(silent(), Source::Host(SERVER), 1));
        setup.adversaries[0].on_path = None;
    });
    assert_eq!(field, "adversaries[0].on_path");
    assert!(problem.starts_with("`mallory` sees no datagrams"), "{problem}");
    let (field, problem) = error(|setup| {
        let mut third = setup.hosts[1].clone();
        third.name = "third".into();
        third.address = address(5);
        setup.hosts.push(third);
        with(setup, speak(silent(), Source::Host(2), 1));
    });
    assert_eq!(field, "adversaries[0].acts[0].from");
    assert!(
        problem.contains("observes only the link between 0 and 1"),
        "{problem}"
    );
}
