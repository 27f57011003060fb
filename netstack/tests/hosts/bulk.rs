//! Bulk transfers over TCP.

use sandhog_netstack::{EventKind, Task};

use crate::world::{ALICE, BULK_PORT, ms, world};

#[test]
fn a_download_of_any_size_arrives_whole() {
    for bytes in [0, 1, 65_536, 5 << 20] {
        let mut world = world();
        let task = world.start(
            ALICE,
            Task::Download {
                from: ([10, 9, 0, 1], BULK_PORT).into(),
                bytes,
            },
        );
        let summary = world.finish(ALICE, task).unwrap();
        assert_eq!(summary.bytes, bytes);
        assert_eq!(world.kinds(ALICE, task)[0], EventKind::Connected);
        eprintln!("{bytes}: {:?} {}", summary.elapsed, world.sent);
    }
}

#[test]
fn ten_mebibytes_over_100_mbits_and_40_ms_run_near_line_rate() {
    let mut world = world();
    world.keep_tap = false;
    world.delay = ms(20);
    world.rate = 100_000_000;
    let task = world.start(
        ALICE,
        Task::Download {
            from: ([10, 9, 0, 1], BULK_PORT).into(),
            bytes: 10 << 20,
        },
    );
    let summary = world.finish(ALICE, task).unwrap();
    eprintln!("{:?} {}", summary.elapsed, world.sent);
}
