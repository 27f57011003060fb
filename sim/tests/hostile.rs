//! Hosts that send garbage: no panic, every datagram is counted with a reason, and honest clients log in.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::{HostSpec, Setup};
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};
use sandhog_sim::{Run, Scenario};

use crate::support::{ALICE, MALLORY, SERVER, run, run_any};

/// Number of datagrams that a hostile host sends to each of its victims.
const DATAGRAMS: u32 = 10_000;
const BATCH: u32 = 5;
const INTERVAL: Duration = Duration::from_millis(1);

/// Sends random bytes, and received datagrams with flipped bits, missing bytes or additional bytes.
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

fn builtin(name: &str) -> Setup {
    Scenario::builtin(name).unwrap().setup()
}

/// Every datagram of a run without hostile hosts. An eavesdropper could have recorded them earlier.
fn recorded(setup: &Setup) -> Vec<Vec<u8>> {
    let run = run_any(setup, 7);
    let sent = run
        .records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::Sent { .. }));
    sent.map(|record| run.packet(record.id).unwrap().to_vec())
        .collect()
}

/// Number of datagrams that `host` received from `source`.
fn received(run: &Run, host: HostId, source: HostId) -> u64 {
    let theirs = run.records.iter().filter(|record| {
        record.host == Some(host)
            && matches!(record.kind, RecordKind::Received { from, .. } if from == source)
    });
    theirs.count() as u64
}

/// Number of datagrams from `source` that `host` rejected. Each arrival has caused one record with the reason.
fn rejected(run: &Run, host: HostId, source: HostId) -> u64 {
    let drops = run.records.iter().filter(|record| {
        let cause = run.record(record.cause).map(|cause| &cause.kind);
        let hostile = matches!(cause, Some(RecordKind::Received { from, .. }) if *from == source);
        let is_rejection = matches!(
            record.kind,
            RecordKind::Dropped { .. } | RecordKind::LoginRefused { .. }
        );
        record.host == Some(host) && hostile && is_rejection
    });
    drops.count() as u64
}

#[test]
fn each_of_10000_hostile_datagrams_is_counted_and_an_honest_login_succeeds() {
    let mut setup = builtin("classic-clean-login");
    let (server, alice) = (setup.hosts[0].address, setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup
        .hosts
        .push(mallory("203.0.113.66:666", &[server, alice], &recorded));
    // The attack starts before the login of alice, and ends after her last step.
    setup.hosts[1].script.as_mut().unwrap().start = Instant::from_millis(1000);
    setup.ends_when_done = false;
    setup.duration = Duration::from_secs(3);
    let run = run(&setup, 7);
    assert_eq!(run.outcome, "connected");
    for victim in [SERVER, ALICE] {
        assert_eq!(received(&run, victim, MALLORY), u64::from(DATAGRAMS));
        assert_eq!(
            rejected(&run, victim, MALLORY),
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
    let dropped: u64 = run
        .counters
        .iter()
        .filter(|(name, _)| name.starts_with("server.dropped."))
        .map(|(_, count)| count)
        .sum();
    assert_eq!(dropped, u64::from(DATAGRAMS), "the counters of the server agree");
}

#[test]
fn a_secure_server_answers_only_recorded_logins_and_only_with_cookies() {
    let mut setup = builtin("clean-login");
    let (server, alice) = (setup.hosts[0].address, setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup
        .hosts
        .push(mallory("203.0.113.66:666", &[server, alice], &recorded));
    setup.hosts[1].script.as_mut().unwrap().start = Instant::from_millis(1000);
    setup.ends_when_done = false;
    setup.duration = Duration::from_secs(3);
    let run = run(&setup, 7);
    assert_eq!(run.outcome, "connected");
    let replies: Vec<_> = run
        .records
        .iter()
        .filter_map(|record| match record.kind {
            RecordKind::Sent {
                to: Some(MALLORY),
                kind,
                ..
            } if record.host == Some(SERVER) => Some(kind),
            _ => None,
        })
        .collect();
    assert!(replies.iter().all(|kind| *kind == "cookie"), "{replies:?}");
    assert!(
        replies.len() < 100,
        "{} cookies in three seconds; the limit is 5, and 20 per second",
        replies.len()
    );
    assert_eq!(rejected(&run, ALICE, MALLORY), u64::from(DATAGRAMS));
    assert_eq!(
        rejected(&run, SERVER, MALLORY) + replies.len() as u64,
        u64::from(DATAGRAMS)
    );
}

#[test]
fn a_login_to_a_server_that_sends_garbage_times_out_after_exactly_10_s() {
    let mut setup = builtin("classic-clean-login");
    let (server, alice) = (setup.hosts[0].address.to_string(), setup.hosts[1].address);
    let recorded = recorded(&setup);
    setup.hosts[0] = mallory(&server, &[alice], &recorded);
    setup.expectations[0].outcomes = vec!["connection-timed-out".into()];
    setup.expectations[0].at = Some(Instant::from_secs(10));
    setup.duration = Duration::from_secs(11);
    let run = run(&setup, 7);
    assert_eq!(received(&run, ALICE, SERVER), u64::from(DATAGRAMS));
    assert_eq!(
        rejected(&run, ALICE, SERVER),
        u64::from(DATAGRAMS),
        "each has its reason"
    );
    for reason in ["not-enough-data", "invalid-code", "authentication-failed"] {
        assert!(
            run.counters[&format!("alice.dropped.{reason}")] > 100,
            "{:?}",
            run.counters
        );
    }
}
