//! Properties that compare a run with a second one: P10 and P12.

use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sandhog_lab::compare::Second;
use sandhog_lab::replay::replay_compared;
use sandhog_lab::search::{Failure, Sweep, SweepOptions, shrink, shrink_until, sweep};
use sandhog_lab::setup::{Boot, HostSpec, Rules, Setup};
use sandhog_lab::tape::Tape;
use sandhog_lab::{Engine, RunOptions};
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};

use crate::support::{CLIENT, SERVER, Silent, address};

/// Number of peers that this process has created.
static CREATED: AtomicUsize = AtomicUsize::new(0);

/// A peer that sends one datagram of this length each second.
struct Beacon {
    len: usize,
    next: Instant,
}

impl Peer for Beacon {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        input.clear();
        if self.next <= now {
            output.datagrams.push(Datagram {
                remote: address(SERVER),
                kind: "beacon",
                payload: PacketBuf::copied_from(&vec![0; self.len]),
            });
            self.next = now + Duration::from_secs(1);
        }
        Some((self.next, Reason::Other("beacon")))
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

/// A setup with a beacon, whose datagrams have the length that `len` returns at its boot.
fn beacon(name: &str, len: fn() -> usize) -> Setup {
    let make = move |_: &Boot| -> Box<dyn Peer> {
        Box::new(Beacon {
            len: len(),
            next: Instant::ZERO,
        })
    };
    Setup {
        name: name.into(),
        hosts: vec![
            HostSpec::new("server", address(SERVER), Arc::new(|_| Box::new(Silent))),
            HostSpec::new("beacon", address(CLIENT), Arc::new(make)),
        ],
        links: vec![(CLIENT, SERVER, "delay 20ms".parse().unwrap())],
        duration: Duration::from_secs(3),
        ends_when_done: false,
        rules: Rules::plain(),
        ..Setup::default()
    }
}

/// A beacon whose length depends on earlier runs of the process.
fn dependent() -> Setup {
    beacon("dependent", || 100 + CREATED.fetch_add(1, Ordering::Relaxed))
}

fn swept(setup: &Setup, second: Second) -> Sweep {
    let options = SweepOptions {
        seeds: 1..3,
        jobs: NonZeroUsize::MIN,
        engine: Engine::Event,
        swarm: None,
        second: Some(second),
    };
    sweep(std::slice::from_ref(setup), &options, |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

/// A tape with a fault that changes nothing.
fn tape(setup: &Setup) -> Tape {
    Tape {
        setup: setup.name.clone(),
        seed: 1,
        entries: vec!["beacon→server beacon #1: late 5ms".parse().unwrap()],
    }
}

#[test]
fn a_peer_that_depends_on_earlier_runs_violates_p12() {
    let found = swept(&dependent(), Second::Repeat);
    assert_eq!(found.failing.len(), 2);
    assert_eq!(found.failing[0].failure.primary, "P12 same seed, same digest");
    assert!(swept(&beacon("same", || 100), Second::Repeat).failing.is_empty());
}

#[test]
fn a_violation_of_p12_shrinks_to_the_tape_without_faults() {
    let setup = dependent();
    assert_eq!(
        shrink(&setup, &tape(&setup)).unwrap(),
        None,
        "one run shows nothing"
    );
    let shrunk = shrink_until(&setup, &tape(&setup), Some(&Second::Repeat), &mut || {
        ControlFlow::Continue(())
    })
    .unwrap();
    let shrunk = shrunk.expect("the digests differ");
    assert_eq!(shrunk.failure.primary, "P12 same seed, same digest");
    assert!(shrunk.tape.entries.is_empty(), "{}", shrunk.tape);
}

#[test]
fn setups_with_other_lengths_on_the_wire_violate_p10() {
    let (short, long) = (beacon("short", || 100), beacon("long", || 101));
    let found = swept(&short, Second::Twin(Box::new(long)));
    let Failure { primary, detail, .. } = &found.failing[0].failure;
    assert_eq!(primary, "P10 looks like long");
    assert_eq!(
        detail,
        "in short, but not in long, beacon sends 100 bytes at 0.000 s"
    );
}

#[test]
fn setups_that_differ_only_in_their_names_keep_p10() {
    let (one, other) = (beacon("one", || 100), beacon("other", || 100));
    assert!(swept(&one, Second::Twin(Box::new(other))).failing.is_empty());
}

#[test]
fn a_replay_gives_both_runs_the_faults_of_the_tape() {
    let (one, other) = (beacon("one", || 100), beacon("other", || 100));
    let second = Second::Twin(Box::new(other));
    let replay = replay_compared(&one, &tape(&one), &RunOptions::default(), &second).unwrap();
    let check = replay.run.checks.last().unwrap();
    assert_eq!(
        (&*check.name, check.passed),
        ("P10 looks like other", true),
        "{}",
        check.detail
    );
    assert_eq!(check.detail, "6 sightings equal those of other");
}
