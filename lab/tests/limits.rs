//! Hard limits: peers and adversaries without an end fail a check that names them, and datagrams have a largest length.

use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::adversary::{Act, AdversarySpec, Bytes, Inject, Source};
use sandhog_lab::setup::{HostSpec, MakePeer, Setup};
use sandhog_lab::{Detail, Engine, Run, RunOptions, report, run_setup};
use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, Event, EventKind, Instant, Job, JobDone, PacketBuf, Peer,
    Reason,
};

use crate::setups::mallory;
use crate::support::{SERVER, Silent, address, failed};

/// The thing that a peer does without an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    Events,
    Jobs,
    /// One job for each turn of the peer.
    Rounds,
    Datagrams,
    Packets,
    /// One datagram at each time, with this length.
    Busy(usize),
}

struct Greedy {
    habit: Habit,
    turns: u64,
    jobs: u64,
}

impl Peer for Greedy {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        input.clear();
        self.turns += 1;
        let (datagrams, len) = match self.habit {
            Habit::Datagrams => (300_000, 1),
            Habit::Busy(len) => (1, len),
            _ => (0, 0),
        };
        for _ in 0..datagrams {
            output.datagrams.push(Datagram {
                remote: address(SERVER),
                kind: "data",
                payload: PacketBuf::copied_from(&vec![7; len]),
            });
        }
        if self.habit == Habit::Packets {
            let packet = PacketBuf::copied_from(&[0; 20]);
            output.packets.extend(vec![packet; 300_000]);
        }
        matches!(self.habit, Habit::Busy(_)).then_some((now, Reason::Other("busy")))
    }

    fn poll_event(&mut self) -> Option<Event> {
        let kind = EventKind::Other("again");
        (self.habit == Habit::Events).then_some(Event { tag: 0, kind })
    }

    fn poll_job(&mut self) -> Option<Job> {
        let wanted = self.habit == Habit::Jobs || (self.habit == Habit::Rounds && self.jobs < self.turns);
        self.jobs += u64::from(wanted);
        wanted.then(|| Job::new(self.jobs, "again", || ()))
    }

    fn handle_job(&mut self, _: Instant, _: JobDone) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}

/// A silent server, a greedy host and one more silent host.
fn greedy(habit: Habit) -> Setup {
    let make: MakePeer = Arc::new(move |_| {
        Box::new(Greedy {
            habit,
            turns: 0,
            jobs: 0,
        })
    });
    let silent: MakePeer = Arc::new(|_| Box::new(Silent));
    Setup {
        hosts: vec![
            HostSpec::new("server", address(0), silent.clone()),
            HostSpec::new("greedy", address(1), make),
            HostSpec::new("other", address(2), silent),
        ],
        duration: Duration::from_secs(3),
        ends_when_done: false,
        rules: sandhog_lab::setup::Rules::plain(),
        ..Setup::default()
    }
}

/// The text of the failed check about limits. Both engines must end with the same records.
#[track_caller]
fn exceeded(setup: &Setup, options: &RunOptions) -> String {
    let run = run_setup(setup, options).unwrap();
    #[cfg(feature = "turmoil")]
    {
        let engine = Engine::Turmoil;
        let turmoil = run_setup(setup, &RunOptions { engine, ..*options }).unwrap();
        assert_eq!((run.digest, &run.checks), (turmoil.digest, &turmoil.checks));
    }
    assert_eq!(run.engine, Engine::Event);
    let [check] = failed(&run)[..] else {
        panic!("{:?}", run.checks)
    };
    assert_eq!(check.name, "run stays within its limits");
    assert!(!run.passed && check.tested);
    check.detail.clone()
}

/// Options of a run without stored records.
fn short() -> RunOptions {
    RunOptions {
        detail: Detail::Digest,
        ..RunOptions::default()
    }
}

#[test]
fn a_peer_without_an_end_fails_a_check_that_names_the_host_and_the_limit() {
    let rows = [
        (Habit::Events, "more than 200000 events from `poll_event`"),
        (Habit::Jobs, "more than 100000 jobs from `poll_job`"),
        (
            Habit::Rounds,
            "more than 10000 exchanges between the peer and its inner host",
        ),
        (Habit::Datagrams, "more than 200000 datagrams"),
        (Habit::Packets, "more than 200000 inner packets to its own host"),
    ];
    for (habit, text) in rows {
        let mut setup = greedy(habit);
        setup.rules.delivers_unchanged = habit != Habit::Packets;
        let detail = exceeded(&setup, &short());
        assert_eq!(detail, format!("greedy: {text} in one turn, at 0.000 s"));
    }
}

#[test]
fn a_run_with_too_many_records_ends_with_a_failed_check() {
    let mut setup = greedy(Habit::Busy(1));
    setup.duration = Duration::from_secs(100 * 365 * 86_400);
    let options = RunOptions {
        max_records: 5000,
        ..RunOptions::default()
    };
    let detail = exceeded(&setup, &options);
    let text = "the run has more than 5000 records, the limit `max_records`, at ";
    assert!(detail.starts_with(text), "{detail}");
    let run = run_setup(&setup, &options).unwrap();
    assert!((5001..5010).contains(&run.record_count), "{}", run.record_count);
}

#[test]
fn a_run_with_as_many_records_as_allowed_passes() {
    let setup = greedy(Habit::Busy(1));
    let records = run_setup(&setup, &short()).unwrap().record_count;
    let run = |max_records| {
        run_setup(
            &setup,
            &RunOptions {
                max_records,
                ..short()
            },
        )
        .unwrap()
    };
    assert!(run(records).passed);
    assert!(!run(records - 10).passed);
}

#[test]
fn an_adversary_without_an_end_fails_a_check_that_names_it() {
    let inject = |spacing, bytes| {
        Act::Inject(Inject {
            name: "flood",
            first: Instant::from_millis(5),
            spacing,
            count: u64::MAX,
            to: SERVER,
            from: Source::Own,
            bytes,
        })
    };
    let rows = [
        inject(Duration::ZERO, Bytes::Random(9)),
        inject(Duration::from_nanos(1), Bytes::Recorded("never".into())),
    ];
    for act in rows {
        let mut setup = greedy(Habit::Busy(1));
        setup.adversaries = vec![AdversarySpec {
            budget: u64::MAX,
            acts: vec![act],
            ..mallory()
        }];
        let detail = exceeded(&setup, &short());
        let text = "mallory: more than 100000 injected and replayed datagrams in one tick, at ";
        assert!(detail.starts_with(text), "{detail}");
    }
}

#[test]
fn replays_without_an_end_exceed_the_largest_number_of_records() {
    let mut replay = crate::setups::replay(None, None, None);
    if let Act::Replay { count, .. } = &mut replay {
        *count = u64::MAX;
    }
    let mut setup = greedy(Habit::Busy(1));
    setup.adversaries = vec![AdversarySpec {
        budget: u64::MAX,
        acts: vec![replay],
        ..mallory()
    }];
    let options = RunOptions {
        max_records: 20_000,
        ..short()
    };
    let detail = exceeded(&setup, &options);
    assert!(
        detail.starts_with("the run has more than 20000 records"),
        "{detail}"
    );
}

/// A run with one datagram of this length in each millisecond, for 3 ms.
fn sends(len: usize) -> Run {
    let mut setup = greedy(Habit::Busy(len));
    setup.duration = Duration::from_millis(3);
    run_setup(&setup, &RunOptions::default()).unwrap()
}

#[test]
fn a_datagram_that_is_too_long_for_udp_is_lost_with_a_reason() {
    let lost = |run: &Run| run.counters.get("lost.too-long").copied();
    let longest = sends(65_507);
    assert!(longest.passed && longest.counters["datagrams.delivered"] > 0);
    assert_eq!(lost(&longest), None);
    for len in [65_508, 200_000] {
        let run = sends(len);
        assert!(run.passed, "{:?}", run.checks);
        assert_eq!(lost(&run), Some(run.counters["datagrams.made"]));
    }
}

#[test]
fn a_capture_cuts_off_the_end_of_a_datagram_that_is_too_long_for_ip() {
    let capture = report::capture(&sends(200_000));
    let count = sends(200_000).counters["datagrams.made"] as usize;
    assert!(
        (count * 65_535..count * 65_535 + 2000).contains(&capture.len()),
        "{}",
        capture.len()
    );
    // The original length of the pcapng block: payload, UDP header 8, IP header 20.
    let original = 200_028_u32.to_le_bytes();
    assert!(
        capture
            .windows(4)
            .any(|bytes| bytes == original || bytes == 200_028_u32.to_be_bytes())
    );
}
