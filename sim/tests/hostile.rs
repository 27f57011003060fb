//! Hosts that send garbage: nobody panics, everything is counted by reason, and honest people still log in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::{HostSpec, Setup};
use sandhog_proto::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};
use sandhog_sim::scenario::Outcome;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, run_setup};

/// How many datagrams a hostile host sends to each of its victims.
const DATAGRAMS: u32 = 10_000;
const BATCH: u32 = 5;
const INTERVAL: Duration = Duration::from_millis(1);

/// Sends random bytes, and what it has received with bits flipped, bytes cut off or added.
struct Mallory {
    victims: Vec<SocketAddr>,
    rng: ChaCha8Rng,
    /// Real datagrams to mutate, the newest last.
    seen: Vec<Vec<u8>>,
    left: u32,
    next: Instant,
}

impl Mallory {
    fn make(&mut self) -> Vec<u8> {
        let choice = self.rng.next_u32() % 4;
        let model = usize::try_from(self.rng.next_u32()).unwrap() % self.seen.len().max(1);
        let Some(mut bytes) = self.seen.get(model).filter(|_| choice > 0).cloned() else {
            let mut bytes = vec![0; usize::try_from(self.rng.next_u32() % 1500).unwrap()];
            self.rng.fill_bytes(&mut bytes);
            if let Some(code) = bytes
                .first_mut()
                .filter(|_| self.rng.next_u32().is_multiple_of(2))
            {
                *code %= 6;
            }
            return bytes;
        };
        let at = usize::try_from(self.rng.next_u32()).unwrap() % bytes.len().max(1);
        match choice {
            1 => bytes.truncate(at),
            2 => bytes.extend([0; 7]),
            _ => bytes[at] ^= 1 << (self.rng.next_u32() % 8),
        }
        bytes
    }
}

impl Peer for Mallory {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        let seen = input
            .datagrams
            .drain(..)
            .map(|datagram| datagram.payload.to_vec());
        self.seen.extend(seen.filter(|bytes| !bytes.is_empty()));
        self.seen.truncate(64);
        input.clear();
        if now >= self.next {
            for _ in 0..BATCH.min(self.left) {
                for victim in self.victims.clone() {
                    let payload = PacketBuf::copied_from(&self.make());
                    output.datagrams.push(Datagram {
                        remote: victim,
                        kind: "hostile",
                        payload,
                    });
                }
                self.left -= 1;
            }
            self.next = now + INTERVAL;
        }
        (self.left > 0).then_some((self.next, Reason::Other("hostility")))
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

fn mallory(address: &str, victims: &[SocketAddr], models: &[Vec<u8>]) -> HostSpec {
    let (victims, models) = (victims.to_vec(), models.to_vec());
    HostSpec {
        name: "mallory".into(),
        address: address.parse().unwrap(),
        make_peer: Arc::new(move |boot| {
            Box::new(Mallory {
                victims: victims.clone(),
                rng: ChaCha8Rng::from_seed(boot.seed),
                seen: models.clone(),
                left: DATAGRAMS,
                next: Instant::ZERO,
            })
        }),
        inner: None,
        script: None,
        hostile: true,
    }
}

fn honest() -> Setup {
    Setup::of(&Scenario::builtin("classic-clean-login").unwrap())
}

fn run(setup: &Setup) -> Run {
    let options = RunOptions {
        seed: 7,
        engine: Engine::Event,
        detail: Detail::Full,
    };
    run_setup(setup, &options).unwrap()
}

/// Every datagram of an honest run: what an eavesdropper could have recorded the day before.
fn recorded(setup: &Setup) -> Vec<Vec<u8>> {
    let run = run(setup);
    let sent = run
        .records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::Sent { .. }));
    sent.map(|record| run.packet(record.id).unwrap().to_vec())
        .collect()
}

/// How many datagrams `host` received from `source`.
fn received(run: &Run, host: HostId, source: HostId) -> u64 {
    let theirs = run.records.iter().filter(|record| {
        record.host == Some(host)
            && matches!(record.kind, RecordKind::Received { from, .. } if from == source)
    });
    theirs.count() as u64
}

/// How many of them `host` refused, each with its reason: one record caused by the arrival.
fn refused(run: &Run, host: HostId, source: HostId) -> u64 {
    let drops = run.records.iter().filter(|record| {
        let cause = run.record(record.cause).map(|cause| &cause.kind);
        let hostile = matches!(cause, Some(RecordKind::Received { from, .. }) if *from == source);
        let refusal = matches!(
            record.kind,
            RecordKind::Dropped { .. } | RecordKind::LoginRefused { .. }
        );
        record.host == Some(host) && hostile && refusal
    });
    drops.count() as u64
}

#[test]
fn ten_thousand_hostile_datagrams_are_each_counted_and_an_honest_login_still_works() {
    let mut setup = honest();
    let (server, alice) = (setup.hosts[0].address, setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup
        .hosts
        .push(mallory("203.0.113.66:666", &[server, alice], &recorded));
    // The attack is well under way when Alice comes, and is not over when she is done.
    setup.hosts[1].script.as_mut().unwrap().start = Instant::from_millis(1000);
    setup.ends_when_done = false;
    setup.duration = Duration::from_secs(3);
    let run = run(&setup);
    for check in &run.checks {
        assert!(check.passed, "{}: {}", check.name, check.detail);
    }
    assert_eq!(run.outcome, "connected");
    for victim in [0, 1] {
        assert_eq!(received(&run, victim, 2), u64::from(DATAGRAMS));
        assert_eq!(
            refused(&run, victim, 2),
            u64::from(DATAGRAMS),
            "each has its reason"
        );
    }
    assert_eq!(run.counters["alice.dropped.unknown-remote"], u64::from(DATAGRAMS));
    for reason in ["not-enough-data", "invalid-code", "authentication-failed"] {
        assert!(
            run.counters[&format!("server.dropped.{reason}")] > 100,
            "{:?}",
            run.counters
        );
    }
    let refused: u64 = run
        .counters
        .iter()
        .filter(|(name, _)| name.starts_with("server.dropped."))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(refused, u64::from(DATAGRAMS), "the server's own counters agree");
}

#[test]
fn of_ten_thousand_hostile_datagrams_a_secure_server_answers_only_recorded_logins_with_a_cookie() {
    let mut setup = Setup::of(&Scenario::builtin("clean-login").unwrap());
    let (server, alice) = (setup.hosts[0].address, setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup
        .hosts
        .push(mallory("203.0.113.66:666", &[server, alice], &recorded));
    setup.hosts[1].script.as_mut().unwrap().start = Instant::from_millis(1000);
    setup.ends_when_done = false;
    setup.duration = Duration::from_secs(3);
    let run = run(&setup);
    for check in &run.checks {
        assert!(check.passed, "{}: {}", check.name, check.detail);
    }
    assert_eq!(run.outcome, "connected");
    let answers: Vec<_> = run
        .records
        .iter()
        .filter_map(|record| match record.kind {
            RecordKind::Sent {
                to: Some(2), kind, ..
            } if record.host == Some(0) => Some(kind),
            _ => None,
        })
        .collect();
    assert!(answers.iter().all(|kind| *kind == "cookie"), "{answers:?}");
    assert!(
        answers.len() < 100,
        "{} cookies in three seconds: 20 a second, and 5",
        answers.len()
    );
    assert_eq!(refused(&run, 1, 2), u64::from(DATAGRAMS));
    assert_eq!(refused(&run, 0, 2) + answers.len() as u64, u64::from(DATAGRAMS));
}

#[test]
fn a_server_that_only_sends_garbage_is_a_timeout_after_exactly_ten_seconds() {
    let mut setup = honest();
    let (server, alice) = (setup.hosts[0].address.to_string(), setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup.hosts[0] = mallory(&server, &[alice], &recorded);
    setup.expectations[0].outcomes = vec![Outcome::ConnectionTimedOut];
    setup.expectations[0].at = Some(Instant::from_secs(10));
    setup.duration = Duration::from_secs(11);
    let run = run(&setup);
    for check in &run.checks {
        assert!(check.passed, "{}: {}", check.name, check.detail);
    }
    assert_eq!(received(&run, 1, 0), u64::from(DATAGRAMS));
    assert_eq!(refused(&run, 1, 0), u64::from(DATAGRAMS), "each has its reason");
    for reason in ["not-enough-data", "invalid-code", "authentication-failed"] {
        assert!(
            run.counters[&format!("alice.dropped.{reason}")] > 100,
            "{:?}",
            run.counters
        );
    }
}
