//! The test that bites: four hosts that all send to all in the same millisecond, over lossy links with jitter, while
//! hosts crash and restart and pairs are cut off. One client without jitter hides most disagreements of two engines;
//! this hides none that we know of. It also shows that the laboratory takes a protocol it has never heard of.

mod peer;

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::link::LinkConfig;
use sandhog_lab::setup::{Control, HostSpec, Setup};
use sandhog_lab::{Detail, Engine, Run, RunOptions, derive_seed, report, run_setup};
use sandhog_peer::Instant;

use peer::MeshPeer;

const HOSTS: u16 = 4;
const DURATION: Duration = Duration::from_secs(2);

/// loss, delay, duplication: from a quiet network to one that reorders, doubles and loses.
const NETWORKS: [(&str, &str, &str); 6] = [
    ("0%", "1ms", "0%"),
    ("10%", "1ms", "0%"),
    ("30%", "1ms", "0%"),
    ("0%", "20ms 20ms", "3%"),
    ("10%", "20ms 20ms", "3%"),
    ("30%", "20ms 20ms", "3%"),
];

fn address(host: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host as u8 + 1], 4000))
}

/// A seeded plan of crashes, restarts (some without a crash before), cuts and repairs, at any millisecond.
fn faults(seed: u64) -> Vec<(Instant, Control)> {
    let mut controls = Vec::new();
    for number in 0..6 {
        let draw = derive_seed(seed, "mesh faults", &[number]);
        let millis = |at: usize, below: u64| u64::from(u16::from_be_bytes([draw[at], draw[at + 1]])) % below;
        let begin = millis(0, 1600);
        let end = begin + millis(2, 300);
        let (a, b) = (u16::from(draw[4]) % HOSTS, u16::from(draw[5]) % (HOSTS - 1));
        let b = if b >= a { b + 1 } else { b };
        let (first, second) = match draw[6] % 3 {
            0 => (Some(Control::Crash(a)), Control::Restart(a)),
            1 => (None, Control::Restart(a)),
            _ => (Some(Control::Partition(a, b)), Control::Repair(a, b)),
        };
        controls.extend(first.map(|control| (Instant::from_millis(begin), control)));
        controls.push((Instant::from_millis(end), second));
    }
    controls.sort_by_key(|(at, _)| *at);
    controls
}

fn mesh((loss, delay, duplicate): (&str, &str, &str), fault_seed: u64) -> Setup {
    let config = LinkConfig {
        loss: loss.parse().unwrap(),
        delay: delay.parse().unwrap(),
        duplicate: duplicate.parse().unwrap(),
        ..LinkConfig::default()
    };
    let host = |host: u16| {
        let others: Vec<SocketAddr> = (0..HOSTS).filter(|other| *other != host).map(address).collect();
        HostSpec {
            name: format!("host-{host}"),
            address: address(host),
            make_peer: Arc::new(move |boot| Box::new(MeshPeer::new(others.clone(), boot.seed))),
            inner: None,
            script: None,
            hostile: false,
        }
    };
    let pairs = (0..HOSTS).flat_map(|a| (0..HOSTS).filter(move |b| a != *b).map(move |b| (a, b)));
    Setup {
        hosts: (0..HOSTS).map(host).collect(),
        links: pairs.map(|(a, b)| (a, b, config.clone())).collect(),
        controls: faults(fault_seed),
        duration: DURATION,
        ends_when_done: false,
        ..Setup::default()
    }
}

fn run(setup: &Setup, seed: u64, engine: Engine, detail: Detail) -> Run {
    let options = RunOptions {
        seed,
        engine,
        detail,
        ..RunOptions::default()
    };
    run_setup(setup, &options).unwrap_or_else(|error| panic!("{error}"))
}

/// The first record in which two runs differ, which is where to look for the rule that was broken.
fn first_difference(setup: &Setup, seed: u64) -> String {
    let [event, turmoil] = [Engine::Event, Engine::Turmoil].map(|engine| {
        let run = run(setup, seed, engine, Detail::Full);
        report::trace_jsonl(&run)
            .lines()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    });
    let both = event
        .iter()
        .zip(&turmoil)
        .find(|(event, turmoil)| event != turmoil);
    both.map_or_else(
        || {
            format!(
                "{} records and {} records, equal as far as they go",
                event.len(),
                turmoil.len()
            )
        },
        |(event, turmoil)| format!("event:   {event}\nturmoil: {turmoil}"),
    )
}

#[test]
fn both_engines_give_one_trace_while_hosts_crash_and_links_are_cut() {
    for (index, network) in NETWORKS.into_iter().enumerate() {
        for seed in 0..4 {
            let setup = mesh(network, seed);
            let event = run(&setup, seed, Engine::Event, Detail::Digest);
            let turmoil = run(&setup, seed, Engine::Turmoil, Detail::Digest);
            assert!(event.passed, "network {index} seed {seed}: {:?}", event.checks);
            assert!(
                event.digest == turmoil.digest,
                "network {index} {network:?} seed {seed} differs\n{}",
                first_difference(&setup, seed)
            );
        }
    }
}

#[test]
fn the_mesh_is_as_busy_and_as_troubled_as_it_is_meant_to_be() {
    let mut lost_to_down_hosts = 0;
    for seed in 0..4 {
        let run = run(&mesh(NETWORKS[4], seed), seed, Engine::Event, Detail::Digest);
        let count = |name: &str| run.counters.get(name).copied().unwrap_or_default();
        assert!(count("datagrams.made") > 4000, "{:?}", run.counters);
        assert!(
            count("lost.random") > 300 && count("datagrams.delivered") > 2000,
            "{:?}",
            run.counters
        );
        lost_to_down_hosts += count("lost.host-down");
    }
    assert!(lost_to_down_hosts > 0, "no crash ever met a datagram");
}

/// Native and WebAssembly share this snapshot: it is the demand that they agree.
#[test]
fn the_mesh_has_the_same_digests_on_every_target() {
    let mut digests = String::new();
    for (index, network) in NETWORKS.into_iter().enumerate() {
        for seed in 0..4 {
            let run = run(&mesh(network, seed), seed, Engine::Event, Detail::Digest);
            let _ = writeln!(digests, "network {index} seed {seed} {}", run.digest);
        }
    }
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!("mesh-digests", digests));
}
