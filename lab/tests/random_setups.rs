//! Random setups, half of them with mistakes: `run_setup` returns an error or a result, and never panics.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_lab::adversary::{Act, AdversarySpec, Bytes, Inject, Pick, Source};
use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::{Boot, Control, Expected, HostSpec, InnerSpec, Rules, Script, Setup};
use sandhog_lab::{Engine, RunError, RunOptions, derive_seed, report, run_setup};
use sandhog_netstack::{Service, Task};
use sandhog_peer::{Command, Instant, Peer, TunnelStatus};

use crate::protocol::Arq;
use crate::support::address;

/// The bound of all random times, and the shortest run without a mistake.
const LONGEST: Duration = Duration::from_millis(400);

/// Source of random parts of a setup.
struct Dice {
    rng: ChaCha8Rng,
    /// If true, no part contains a mistake on purpose.
    valid: bool,
    /// Number of hosts.
    hosts: u16,
}

impl Dice {
    fn below(&mut self, bound: u32) -> u32 {
        self.rng.next_u32() % bound
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize].clone()
    }

    fn some<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.once_in(2).then(|| make(self))
    }

    /// Up to `most` parts.
    fn list<T>(&mut self, most: u32, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    /// True once in `n` times, but never for a valid setup.
    fn mistake(&mut self, n: u32) -> bool {
        !self.valid && self.once_in(n)
    }

    /// Mostly the number of a host.
    fn host(&mut self) -> u16 {
        match self.mistake(10) || self.hosts == 0 {
            true => self.pick(&[self.hosts, 9, u16::MAX]),
            false => self.below(u32::from(self.hosts)) as u16,
        }
    }

    /// Mostly the numbers of two different hosts.
    fn two_hosts(&mut self) -> (u16, u16) {
        let first = self.host();
        match self.mistake(10) || self.hosts < 2 {
            true => (first, self.host()),
            false => (first, first.wrapping_add(1) % self.hosts),
        }
    }

    fn time(&mut self) -> Duration {
        Duration::from_millis(u64::from(self.below(LONGEST.as_millis() as u32)))
    }

    /// Mostly this port.
    fn port(&mut self, port: u16) -> u16 {
        if self.mistake(4) { 0 } else { port }
    }

    fn instant(&mut self) -> Instant {
        Instant::ZERO + self.time()
    }

    fn socket(&mut self) -> SocketAddr {
        let others = ["0.0.0.0:0", "255.255.255.255:1", "[::1]:9", "192.0.2.200:4000"];
        match self.mistake(4) {
            true => self.pick(&others).parse().expect("an address"),
            false if self.mistake(2) => address(self.pick(&[0, 1, 2, 3])),
            false => address(100 + self.below(100) as u16),
        }
    }
}

/// A random setup.
fn setup(dice: &mut Dice) -> Setup {
    dice.valid = dice.once_in(2);
    dice.hosts = match dice.mistake(4) {
        true => dice.below(2) as u16,
        false => 2 + dice.below(2) as u16,
    };
    let hosts: Vec<_> = (0..dice.hosts).map(|id| host(dice, id)).collect();
    let most = if dice.mistake(4) { 2 } else { 1 };
    let adversaries = dice.list(most, adversary);
    Setup {
        hosts,
        adversaries,
        links: dice.list(most, |dice| {
            let (a, b) = dice.two_hosts();
            (a, b, link(dice))
        }),
        controls: dice.list(2, |dice| (dice.instant(), control(dice))),
        resolution: match dice.mistake(10) {
            true => dice.pick(&[Duration::ZERO, Duration::MAX]),
            false => dice.pick(&[1000, 1000, 1000, 100, 1_000_000].map(Duration::from_micros)),
        },
        duration: match dice.mistake(20) {
            true => dice.pick(&[Duration::ZERO, Duration::MAX]),
            false => LONGEST + dice.time(),
        },
        ends_when_done: dice.once_in(2),
        liveness: dice.some(|dice| Duration::from_millis(u64::from(!dice.mistake(10))) + dice.time()),
        expectations: dice.list(1, |dice| Expected {
            outcomes: match dice.mistake(10) {
                true => Vec::new(),
                false => vec!["connected".into(), "stopped".into()],
            },
            at: dice.some(|dice| match dice.mistake(5) {
                true => dice.instant(),
                false => Instant::ZERO,
            }),
            finally: dice.some(|_| TunnelStatus::Connected),
            ..Expected::connected(if dice.mistake(5) { dice.host() } else { 1 })
        }),
        rules: dice.pick(&[Rules::default(), Rules::plain()]),
        ..Setup::default()
    }
}

fn host(dice: &mut Dice, id: u16) -> HostSpec {
    let make = move |_: &Boot| -> Box<dyn Peer> {
        match id {
            0 => Box::new(Arq::default()),
            _ => Box::new(Arq::client(address(0))),
        }
    };
    let name = match dice.mistake(10) {
        true => dice.pick(&["", "a\tb", "host-0"]).to_owned(),
        false => format!("host-{id}"),
    };
    let place = match dice.mistake(10) {
        true => dice.socket(),
        false => address(id),
    };
    let mut host = HostSpec::new(name, place, Arc::new(make));
    host.inner = (!dice.mistake(5)).then(|| inner(dice, id));
    host.script = (id > 0 && !dice.mistake(5)).then(|| script(dice));
    host.hostile = dice.once_in(5);
    host
}

fn inner(dice: &mut Dice, id: u16) -> InnerSpec {
    let own = ([10, 9, 0, id as u8 + 1].into(), 24);
    InnerSpec {
        addresses: match dice.below(8) {
            0 if !dice.valid => vec![([224, 0, 0, 1].into(), 24)],
            1 if !dice.valid => vec![own; 9],
            2 if !dice.valid => vec![("fd00::1".parse().expect("an address"), 129)],
            3 if dice.mistake(2) => vec![("fd00::1".parse().expect("an address"), 64)],
            3 => vec![(format!("fd00::{}", id + 1).parse().expect("an address"), 64)],
            4 => Vec::new(),
            _ => vec![own],
        },
        limits: sandhog_netstack::Limits::default(),
        mtu: match dice.mistake(10) {
            true => dice.pick(&[0, 576]),
            false => dice.pick(&[1280, 9000, u16::MAX]),
        },
        services: dice.list(if dice.valid { 1 } else { 2 }, |dice| match dice.once_in(2) {
            true => Service::Bulk { port: dice.port(9) },
            false => Service::UdpEcho { port: dice.port(7) },
        }),
    }
}

fn script(dice: &mut Dice) -> Script {
    let mut script = Script::new([10, 9, 0, 1].into());
    script.start = dice.instant();
    script.secret = match dice.mistake(10) {
        true => Some(dice.pick(&["", "short"]).into()),
        false => dice.some(|_| "long enough".into()),
    };
    for _ in 0..dice.below(3) {
        script = script.with_step(task(dice));
    }
    script
}

fn task(dice: &mut Dice) -> Task {
    let to = dice.pick(&[[10, 9, 0, 1], [255, 255, 255, 255], [0, 0, 0, 0]]);
    let count = if dice.mistake(10) { 0 } else { 3 };
    let payload_len = dice.pick(&[0, 56, u16::MAX]);
    let (interval, timeout) = (dice.time(), dice.time());
    match dice.below(4) {
        0 => Task::Download {
            from: (to, 9).into(),
            bytes: u64::from(dice.below(5000)),
        },
        1 => Task::HttpGet {
            from: (to, 80).into(),
            path: dice.pick(&["/", "", "no slash", "/\n"]).into(),
        },
        2 => Task::UdpEcho {
            to: (to, dice.pick(&[0, 7])).into(),
            count,
            interval,
            payload_len,
            timeout,
        },
        _ => Task::Ping {
            to: to.into(),
            count,
            interval,
            payload_len,
            timeout,
        },
    }
}

fn link(dice: &mut Dice) -> LinkConfig {
    let texts = [
        "",
        "loss 30%",
        "delay 20ms 30ms",
        "rate 64kbit limit 1",
        "mtu 29",
        "corrupt 100%",
        "duplicate 50%",
    ];
    let mut link: LinkConfig = dice.pick(&texts).parse().expect("a link");
    // No datagram fits into 28 bytes, so this is a mistake.
    if !dice.valid && dice.below(8) == 0 {
        link.mtu = Some(28);
    }
    link
}

fn control(dice: &mut Dice) -> Control {
    // The last two kinds are mistakes without an earlier partition, or after a crash.
    match dice.below(if dice.valid { 5 } else { 7 }) {
        0 => Control::Crash(dice.host()),
        1 => Control::Restart(dice.host()),
        2 => {
            let (a, b) = dice.two_hosts();
            Control::Partition(a, b)
        }
        3 => Control::Rebind(dice.host(), dice.socket()),
        4 => Control::Note("a note".into()),
        5 => {
            let (a, b) = dice.two_hosts();
            Control::Repair(a, b)
        }
        _ => Control::Command(
            dice.host(),
            dice.pick(&[Command::Start, Command::Stop, Command::Sleep]),
        ),
    }
}

fn adversary(dice: &mut Dice) -> AdversarySpec {
    AdversarySpec {
        name: if dice.mistake(5) { "host-0" } else { "mallory" }.into(),
        address: if dice.mistake(3) {
            dice.socket()
        } else {
            address(50)
        },
        on_path: (!dice.mistake(5)).then(|| dice.two_hosts()),
        budget: u64::from(dice.below(20)) + u64::from(!dice.mistake(2)),
        seed: 0,
        acts: dice.list(2, act),
    }
}

fn act(dice: &mut Dice) -> Act {
    let source = |dice: &mut Dice| match dice.below(4) {
        0 => Source::Own,
        1 => Source::Random,
        2 => Source::Host(dice.host()),
        _ => Source::Address(dice.socket()),
    };
    let pick = Pick {
        kind: if dice.mistake(5) {
            ""
        } else {
            dice.pick(&["hello", "data"])
        }
        .into(),
        nth: dice.some(|dice| u64::from(dice.below(3)) + u64::from(!dice.mistake(2))),
        by: (dice.hosts == 2 || !dice.valid).then(|| dice.host()),
        chance: dice.some(|_| "50%".parse().expect("a chance")),
    };
    match dice.below(4) {
        0 => Act::Inject(Inject {
            name: "inject",
            first: dice.instant(),
            spacing: dice.pick(&[Duration::ZERO, Duration::from_millis(3), Duration::MAX]),
            count: dice.pick(if dice.valid {
                &[5, u64::MAX][..]
            } else {
                &[0, 5][..]
            }),
            to: dice.host(),
            from: source(dice),
            bytes: match dice.below(4) {
                0 if dice.mistake(2) => Bytes::Random(u64::MAX),
                0 => Bytes::Random(u64::from(dice.below(2000))),
                1 => Bytes::Exactly(Vec::new()),
                2 => Bytes::Recorded(pick.kind),
                _ => Bytes::CopiedHeader {
                    header: dice.pick(&[0, 1, usize::MAX]),
                    len: dice.some(|dice| u64::from(dice.below(100))),
                },
            },
        }),
        1 => Act::Replay {
            pick,
            to: dice.some(Dice::host),
            from: dice.some(source),
            after: dice.time(),
            every: dice.pick(&[Duration::ZERO, Duration::MAX]),
            count: dice.pick(if dice.valid {
                &[2, u64::MAX][..]
            } else {
                &[0, 2][..]
            }),
        },
        2 => Act::Alter {
            pick,
            bit: dice.some(|dice| dice.pick(&[0, u64::MAX])),
            drop_original: dice.once_in(2),
        },
        _ => Act::Reflect { pick },
    }
}

/// Runs the setups of these seeds. Returns the numbers of results and of errors.
fn run_all(seeds: std::ops::Range<u64>, engine: Engine) -> (u32, u32) {
    let (mut results, mut errors) = (0, 0);
    for seed in seeds {
        let mut dice = Dice {
            rng: ChaCha8Rng::from_seed(derive_seed(seed, "random setup", &[])),
            valid: false,
            hosts: 0,
        };
        let setup = setup(&mut dice);
        let options = RunOptions {
            seed,
            engine,
            ..RunOptions::default()
        };
        match run_setup(&setup, &options) {
            Err(error @ RunError::Setup(_)) if dice.valid => panic!("seed {seed}: {error}"),
            Ok(run) => {
                results += 1;
                assert_eq!(setup.validate(), Ok(()));
                let p8 = run.checks.iter().find(|check| check.name.starts_with("P8"));
                assert!(p8.is_some_and(|check| check.passed), "seed {seed}: {p8:?}");
                assert_eq!(run.records.len() as u64, run.record_count);
                let reports = [report::story(&run), report::mermaid(&run), report::svg(&run)];
                assert!(reports.iter().skip(1).all(|report| !report.is_empty()));
                let _ = (report::capture(&run), report::page_json(&run));
            }
            Err(RunError::Setup(error)) => {
                errors += 1;
                assert!(
                    !error.field.is_empty() && !error.problem.is_empty(),
                    "seed {seed}"
                );
                assert_eq!(setup.validate(), Err(error));
            }
            Err(RunError::Resolution) => assert_eq!(engine, Engine::Turmoil, "seed {seed}"),
            Err(other) => panic!("seed {seed}: {other}"),
        }
    }
    (results, errors)
}

#[test]
fn random_setups_never_panic_in_the_event_engine() {
    let (results, errors) = run_all(0..4000, Engine::Event);
    assert!(
        results > 1000 && errors > 1000,
        "{results} results, {errors} errors"
    );
}

#[test]
#[cfg(feature = "turmoil")]
fn random_setups_never_panic_in_the_turmoil_engine() {
    let (results, errors) = run_all(0..400, Engine::Turmoil);
    assert!(results > 50 && errors > 100, "{results} results, {errors} errors");
}
