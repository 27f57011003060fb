//! Tests of bulk transfers over TCP: sizes, impaired links, simultaneous transfers, content.

use std::time::Duration;

use sandhog_netstack::{EventKind, MAX_CONNECTIONS, Task};

use crate::network::{
    ALICE, BOB, BULK_PORT, CANARY, Delivery, Network, download, ms, network, random, segment, upload,
};

const SIZES: [u64; 4] = [0, 1, 65_536, 5 << 20];

#[test]
fn downloads_of_any_size_arrive_complete() {
    for bytes in SIZES {
        let mut network = network();
        let task = network.start(ALICE, download(bytes));
        let summary = network.finish(ALICE, task).unwrap();
        assert_eq!((summary.bytes, summary.sha256.is_some()), (bytes, true));
        assert_eq!(network.kinds(ALICE, task)[0], EventKind::Connected);
    }
}

#[test]
fn uploads_of_any_size_arrive_complete() {
    for bytes in SIZES {
        let mut network = network();
        let task = network.start(ALICE, upload(bytes));
        let summary = network.finish(ALICE, task).unwrap();
        assert_eq!((summary.bytes, summary.sha256.is_some()), (bytes, true));
    }
}

#[test]
fn transfers_work_over_ipv6() {
    let mut network = network();
    let bob = ([0xfd00, 0, 0, 0, 0, 0, 0, 1], BULK_PORT).into();
    let down = network.start(
        ALICE,
        Task::Download {
            from: bob,
            bytes: 100_000,
        },
    );
    let up = network.start(
        ALICE,
        Task::Upload {
            to: bob,
            bytes: 100_000,
        },
    );
    network.finish(ALICE, down).unwrap();
    network.finish(ALICE, up).unwrap();
    assert!(network.tap.iter().all(|(_, _, packet)| packet[0] >> 4 == 6));
}

/// A network that loses `loss` of 1000 packets, duplicates 10 of 1000, and delays each other packet by up to `jitter`.
fn impaired(seed: u64, loss: u64, jitter: Duration) -> Network {
    let mut random = random(seed);
    network().with_delivery(move |_| match random() % 1000 {
        number if number < loss => Delivery::Lost,
        number if number < loss + 10 => Delivery::Duplicated,
        _ => Delivery::Delayed(Duration::from_nanos(random() % (jitter.as_nanos() as u64 + 1))),
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
        let mut network = impaired(seed as u64, 50, Duration::ZERO);
        let task = network.start(ALICE, task);
        let elapsed = network.finish(ALICE, task).unwrap().elapsed;
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
        let mut network = impaired(seed as u64, 0, ms(20));
        let task = network.start(ALICE, task);
        let elapsed = network.finish(ALICE, task).unwrap().elapsed;
        assert!(elapsed < ms(10_000), "{elapsed:?} with seed {seed}");
    }
}

#[test]
fn corrupted_packets_are_rejected_by_their_checksum() {
    let mut random = random(1);
    let mut network = network().with_delivery(move |_| match random() {
        number if number % 20 == 0 => Delivery::Corrupted((number >> 8) as usize),
        _ => Delivery::Normal,
    });
    for task in [download(300_000), upload(300_000)] {
        let task = network.start(ALICE, task);
        network.finish(ALICE, task).unwrap();
    }
}

#[test]
fn two_simultaneous_downloads_both_arrive() {
    let mut network = network();
    let first = network.start(ALICE, download(400_000));
    let second = network.start(ALICE, download(300_000));
    let (first, second) = (
        network.finish(ALICE, first).unwrap(),
        network.finish(ALICE, second).unwrap(),
    );
    assert_eq!((first.bytes, second.bytes), (400_000, 300_000));
    assert!(
        first.elapsed < ms(400),
        "the downloads must run at the same time: {first:?}"
    );
}

#[test]
fn a_service_accepts_more_connections_in_sequence_than_its_limit() {
    let mut network = network();
    for _ in 0..2 * MAX_CONNECTIONS {
        let task = network.start(ALICE, download(100));
        network.finish(ALICE, task).unwrap();
    }
    assert!(
        network.now < ms(10_000),
        "the first connections are still in TIME-WAIT"
    );
}

#[test]
fn finished_connections_close_in_order_and_leave_no_deadline() {
    let mut network = network();
    let task = network.start(ALICE, download(10_000));
    network.finish(ALICE, task).unwrap();
    network.run(ms(30_000));
    let segments = || {
        network
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
        network
            .hosts
            .each_mut()
            .map(|host| host.poll_timeout(network.now)),
        [None, None]
    );
}

#[test]
fn ten_mebibytes_over_100_mbits_and_40_ms_run_near_line_rate() {
    for task in [download(10 << 20), upload(10 << 20)] {
        let mut network = network();
        (network.keep_tap, network.delay, network.rate) = (false, ms(20), 100_000_000);
        let task = network.start(ALICE, task);
        let elapsed = network.finish(ALICE, task).unwrap().elapsed;
        // Serialization takes 870 ms. The rest is round trips, mostly of slow start, which delayed ACKs slow down.
        assert!(elapsed < ms(1600), "{elapsed:?}");
    }
}

#[test]
fn any_512_bytes_of_content_contain_the_canary() {
    for (task, sender) in [(download(50_000), BOB), (upload(50_000), ALICE)] {
        let mut network = network();
        let task = network.start(ALICE, task);
        network.finish(ALICE, task).unwrap();
        let mut stream = Vec::new();
        for (from, _, packet) in &network.tap {
            if *from == sender {
                stream.extend_from_slice(segment(packet).unwrap().payload());
            }
        }
        // An upload starts with the request of 21 bytes. The SHA-256 follows both.
        let start = stream.windows(16).position(|window| window == CANARY).unwrap();
        assert_eq!(start, if sender == ALICE { 21 } else { 0 });
        for window in stream[start..start + 50_000].windows(512) {
            assert!(window.windows(16).any(|window| window == CANARY));
        }
    }
}

#[test]
fn content_differs_between_transfers() {
    let mut network = network();
    let mut hash = |task| {
        let task = network.start(ALICE, task);
        network.finish(ALICE, task).unwrap().sha256.unwrap()
    };
    let hashes = [download(1000), download(1000), upload(1000), upload(1000)].map(&mut hash);
    assert_eq!(std::collections::BTreeSet::from(hashes).len(), 4);
}
