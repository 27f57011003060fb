//! Bulk transfers over TCP: sizes, bad networks, several at a time, and what goes over the wire.

use std::time::Duration;

use sandhog_netstack::{EventKind, MAX_CONNECTIONS, Task};

use crate::world::{ALICE, BOB, BULK_PORT, CANARY, Fate, World, dice, download, ms, segment, upload, world};

const SIZES: [u64; 4] = [0, 1, 65_536, 5 << 20];

#[test]
fn a_download_of_any_size_arrives_whole() {
    for bytes in SIZES {
        let mut world = world();
        let task = world.start(ALICE, download(bytes));
        let summary = world.finish(ALICE, task).unwrap();
        assert_eq!((summary.bytes, summary.sha256.is_some()), (bytes, true));
        assert_eq!(world.kinds(ALICE, task)[0], EventKind::Connected);
    }
}

#[test]
fn an_upload_of_any_size_arrives_whole() {
    for bytes in SIZES {
        let mut world = world();
        let task = world.start(ALICE, upload(bytes));
        let summary = world.finish(ALICE, task).unwrap();
        assert_eq!((summary.bytes, summary.sha256.is_some()), (bytes, true));
    }
}

#[test]
fn transfers_work_over_ipv6() {
    let mut world = world();
    let bob = ([0xfd00, 0, 0, 0, 0, 0, 0, 1], BULK_PORT).into();
    let down = world.start(
        ALICE,
        Task::Download {
            from: bob,
            bytes: 100_000,
        },
    );
    let up = world.start(
        ALICE,
        Task::Upload {
            to: bob,
            bytes: 100_000,
        },
    );
    world.finish(ALICE, down).unwrap();
    world.finish(ALICE, up).unwrap();
    assert!(world.tap.iter().all(|(_, _, packet)| packet[0] >> 4 == 6));
}

/// Loses `loss` of 1000 packets and delays each by up to `jitter`.
fn rough(seed: u64, loss: u64, jitter: Duration) -> World {
    let mut dice = dice(seed);
    world().with_fate(move |_| match dice() % 1000 {
        roll if roll < loss => Fate::Lost,
        roll if roll < loss + 10 => Fate::Twice,
        _ => Fate::Late(Duration::from_nanos(dice() % (jitter.as_nanos() as u64 + 1))),
    })
}

#[test]
fn a_transfer_survives_loss() {
    for (seed, task) in [download(300_000), upload(300_000)]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let mut world = rough(seed as u64, 50, Duration::ZERO);
        let task = world.start(ALICE, task);
        let elapsed = world.finish(ALICE, task).unwrap().elapsed;
        assert!(elapsed < ms(60_000), "{elapsed:?} with seed {seed}");
    }
}

#[test]
fn a_transfer_survives_heavy_reordering() {
    for (seed, task) in [download(300_000), upload(300_000)]
        .into_iter()
        .cycle()
        .take(6)
        .enumerate()
    {
        let mut world = rough(seed as u64, 0, ms(20));
        let task = world.start(ALICE, task);
        let elapsed = world.finish(ALICE, task).unwrap().elapsed;
        assert!(elapsed < ms(10_000), "{elapsed:?} with seed {seed}");
    }
}

#[test]
fn corrupted_packets_are_rejected_by_their_checksum() {
    let mut dice = dice(1);
    let mut world = world().with_fate(move |_| match dice() {
        roll if roll % 20 == 0 => Fate::Corrupt((roll >> 8) as usize),
        _ => Fate::Arrive,
    });
    for task in [download(300_000), upload(300_000)] {
        let task = world.start(ALICE, task);
        world.finish(ALICE, task).unwrap();
    }
}

#[test]
fn two_downloads_at_a_time_both_arrive() {
    let mut world = world();
    let first = world.start(ALICE, download(400_000));
    let second = world.start(ALICE, download(300_000));
    let (first, second) = (
        world.finish(ALICE, first).unwrap(),
        world.finish(ALICE, second).unwrap(),
    );
    assert_eq!((first.bytes, second.bytes), (400_000, 300_000));
    assert!(
        first.elapsed < ms(400),
        "side by side, not one after the other: {first:?}"
    );
}

#[test]
fn a_service_takes_more_connections_in_a_row_than_it_can_hold() {
    let mut world = world();
    for _ in 0..2 * MAX_CONNECTIONS {
        let task = world.start(ALICE, download(100));
        world.finish(ALICE, task).unwrap();
    }
    assert!(
        world.now < ms(10_000),
        "the first connections are still in TIME-WAIT"
    );
}

#[test]
fn a_connection_ends_in_order_and_leaves_nothing_to_do() {
    let mut world = world();
    let task = world.start(ALICE, download(10_000));
    world.finish(ALICE, task).unwrap();
    world.run(ms(30_000));
    let segments = || {
        world
            .tap
            .iter()
            .filter_map(|(from, _, packet)| Some((*from, segment(packet)?)))
    };
    for host in [ALICE, BOB] {
        assert_eq!(
            segments()
                .filter(|(from, segment)| *from == host && segment.fin())
                .count(),
            1
        );
    }
    assert!(!segments().any(|(_, segment)| segment.rst()));
    assert_eq!(
        world.hosts.each_mut().map(|host| host.poll_timeout(world.now)),
        [None, None]
    );
}

#[test]
fn ten_mebibytes_over_100_mbits_and_40_ms_run_near_line_rate() {
    for task in [download(10 << 20), upload(10 << 20)] {
        let mut world = world();
        (world.keep_tap, world.delay, world.rate) = (false, ms(20), 100_000_000);
        let task = world.start(ALICE, task);
        let elapsed = world.finish(ALICE, task).unwrap().elapsed;
        // 870 ms on the wire; the rest is round trips, most of them of slow start, which delayed ACKs slow down.
        assert!(elapsed < ms(1600), "{elapsed:?}");
    }
}

#[test]
fn any_512_bytes_of_content_hold_the_canary() {
    for (task, sender) in [(download(50_000), BOB), (upload(50_000), ALICE)] {
        let mut world = world();
        let task = world.start(ALICE, task);
        world.finish(ALICE, task).unwrap();
        let mut stream = Vec::new();
        for (from, _, packet) in &world.tap {
            if *from == sender {
                stream.extend_from_slice(segment(packet).unwrap().payload());
            }
        }
        // The request stands before an upload, the SHA-256 after both.
        let start = stream.windows(16).position(|window| window == CANARY).unwrap();
        assert_eq!(start, if sender == ALICE { 21 } else { 0 });
        for window in stream[start..start + 50_000].windows(512) {
            assert!(window.windows(16).any(|window| window == CANARY));
        }
    }
}

#[test]
fn content_differs_from_seed_to_seed_and_from_transfer_to_transfer() {
    let mut world = world();
    let mut hash = |task| {
        let task = world.start(ALICE, task);
        world.finish(ALICE, task).unwrap().sha256.unwrap()
    };
    let hashes = [download(1000), download(1000), upload(1000), upload(1000)].map(&mut hash);
    assert_eq!(std::collections::BTreeSet::from(hashes).len(), 4);
}
