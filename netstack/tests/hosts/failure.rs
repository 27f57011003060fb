//! How transfers fail: each with its own error, and always in the end.

use std::time::Duration;

use sandhog_netstack::{Host, Service, TCP_TIMEOUT, Task, TaskError};

use crate::world::{
    ALICE, BOB, BULK_PORT, Fate, World, bob, config, download, forge, ms, segment, upload, world,
};

#[test]
fn a_port_without_a_service_refuses() {
    let mut world = world();
    let task = world.start(
        ALICE,
        Task::Download {
            from: bob(9),
            bytes: 1,
        },
    );
    assert_eq!(world.finish(ALICE, task), Err(TaskError::Refused));
    assert_eq!(world.now, ms(20));
}

#[test]
fn a_server_that_has_forgotten_the_connection_resets_it() {
    let mut world = world();
    let task = world.start(ALICE, download(5 << 20));
    world.run(ms(100));
    world.hosts[BOB] = Host::new(config(1));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::Reset));
}

#[test]
fn a_server_that_never_answers_is_given_up_at_the_timeout() {
    let mut world = world().with_fate(|_| Fate::Lost);
    let task = world.start(ALICE, download(1));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::TimedOut));
    assert_eq!(world.now, TCP_TIMEOUT);
}

/// Cuts the line at `at`, and returns when the task failed after that and how.
fn vanish(task: Task, at: Duration) -> (Duration, TaskError) {
    let mut world = world().with_fate(move |sent| if sent.at < at { Fate::Arrive } else { Fate::Lost });
    let task = world.start(ALICE, task);
    let error = world.finish(ALICE, task).unwrap_err();
    let since = world.now - at;
    world.run(world.now + 3 * TCP_TIMEOUT);
    let idle = world.hosts.each_mut().map(|host| host.poll_timeout(world.now));
    assert_eq!(idle, [None, None], "both sides forget the connection");
    (since, error)
}

#[test]
fn a_server_that_vanishes_fails_its_transfers_by_the_timeout() {
    for task in [download(5 << 20), upload(5 << 20)] {
        let (since, error) = vanish(task, ms(100));
        assert_eq!(error, TaskError::TimedOut);
        assert!(since <= TCP_TIMEOUT + ms(10), "{since:?}");
    }
}

/// Changes the payload of the first segment from `from` that has one.
fn meddler(from: usize, change: impl Fn(&mut [u8]) + 'static) -> World {
    let mut done = false;
    world().with_fate(move |sent| {
        let has_payload = segment(sent.bytes).is_some_and(|segment| !segment.payload().is_empty());
        if sent.from != from || !has_payload || done {
            return Fate::Arrive;
        }
        done = true;
        Fate::Forged(forge(sent.bytes, &change))
    })
}

#[test]
fn content_that_was_changed_on_the_way_is_found_out() {
    for (task, sender) in [(download(50_000), BOB), (upload(50_000), ALICE)] {
        let mut world = meddler(sender, |payload| *payload.last_mut().unwrap() ^= 1);
        if sender == ALICE {
            // The first payload is the request, too short to hold content.
            world = world.with_fate(|sent| match segment(sent.bytes) {
                Some(segment) if segment.payload().len() > 100 => {
                    Fate::Forged(forge(sent.bytes, |payload| payload[99] ^= 1))
                }
                _ => Fate::Arrive,
            });
        }
        let task = world.start(ALICE, task);
        let error = world.finish(ALICE, task).unwrap_err();
        assert!(matches!(error, TaskError::DigestMismatch { .. }), "{error}");
    }
}

#[test]
fn a_server_that_closes_too_early_is_noticed() {
    // The request for 1000 bytes becomes one for 232; with the SHA-256 that is 264 bytes of what should be content.
    let mut world = meddler(ALICE, |request| request[19] = 0);
    let task = world.start(ALICE, download(1000));
    assert_eq!(
        world.finish(ALICE, task),
        Err(TaskError::ClosedEarly { received: 264 })
    );
}

#[test]
fn a_client_that_speaks_something_else_is_reset() {
    let mut world = meddler(ALICE, |request| request[0] ^= 1);
    let task = world.start(ALICE, download(1000));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::Reset));
    let task = world.start(
        ALICE,
        Task::HttpGet {
            from: bob(BULK_PORT),
            path: "/".into(),
        },
    );
    assert_eq!(world.finish(ALICE, task), Err(TaskError::Reset));
}

#[test]
fn connections_beyond_the_limit_are_refused_and_do_not_disturb_the_others() {
    let mut world = world();
    let tasks: Vec<_> = (0..70).map(|_| world.start(ALICE, download(20_000))).collect();
    let results: Vec<_> = tasks.into_iter().map(|task| world.finish(ALICE, task)).collect();
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        sandhog_netstack::MAX_CONNECTIONS
    );
    assert_eq!(
        results
            .iter()
            .filter(|result| **result == Err(TaskError::Refused))
            .count(),
        6
    );
}

#[test]
fn a_destination_that_cannot_be_sent_to_fails_at_once() {
    let mut world = world();
    for (task, error) in [
        (
            Task::Download {
                from: bob(0),
                bytes: 1,
            },
            TaskError::BadDestination,
        ),
        (
            Task::Upload {
                to: ([0, 0, 0, 0], 1).into(),
                bytes: 1,
            },
            TaskError::BadDestination,
        ),
        (
            Task::HttpGet {
                from: bob(80),
                path: "no-slash".into(),
            },
            TaskError::BadPath,
        ),
        (
            Task::HttpGet {
                from: bob(80),
                path: "/a b".into(),
            },
            TaskError::BadPath,
        ),
    ] {
        let task = world.start(ALICE, task);
        assert_eq!(world.result(ALICE, task), Some(Err(error)));
    }
    assert!(world.tap.is_empty());
}

#[test]
fn every_error_says_what_happened_in_one_line() {
    for error in [
        TaskError::BadDestination,
        TaskError::PayloadLength {
            given: 9,
            min: 24,
            max: 1372,
        },
        TaskError::TimedOut,
        TaskError::ClosedEarly { received: 3 },
        TaskError::DigestMismatch {
            announced: [0; 32],
            computed: [1; 32],
        },
        TaskError::HttpStatus(404),
        TaskError::BadResponse(sandhog_netstack::HttpFault::NoDigest),
    ] {
        let text = error.to_string();
        assert!(!text.is_empty() && !text.contains('\n'));
    }
    assert_eq!(
        TaskError::TimedOut.to_string(),
        "nothing came from the other side for 60 s"
    );
}

#[test]
fn a_service_that_is_added_later_is_reached() {
    let mut world = world();
    world.hosts[BOB].serve(Service::Bulk { port: 9 });
    let task = world.start(
        ALICE,
        Task::Upload {
            to: bob(9),
            bytes: 10,
        },
    );
    world.finish(ALICE, task).unwrap();
    let task = world.start(ALICE, upload(10));
    world.finish(ALICE, task).unwrap();
}
