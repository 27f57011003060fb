//! Tests of failed tasks: each failure has its own error, and each task ends.

use std::time::Duration;

use sandhog_netstack::{Host, Service, TCP_TIMEOUT, Task, TaskError};

use crate::network::{
    ALICE, BOB, BULK_PORT, Delivery, Network, bob, config, download, ms, network, segment, upload,
    with_payload,
};

const TIMED_OUT: TaskError = TaskError::TimedOut { after: TCP_TIMEOUT };

#[test]
fn connections_to_a_closed_port_are_refused() {
    let mut network = network();
    let task = network.start(
        ALICE,
        Task::Download {
            from: bob(9),
            bytes: 1,
        },
    );
    assert_eq!(network.finish(ALICE, task), Err(TaskError::Refused));
    assert_eq!(network.now, ms(20));
}

#[test]
fn a_restarted_server_resets_old_connections() {
    let mut network = network();
    let task = network.start(ALICE, download(5 << 20));
    network.run(ms(100));
    network.hosts[BOB] = Host::new(config(1));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::Reset));
}

#[test]
fn connection_attempts_without_a_reply_fail_at_the_timeout() {
    let mut network = network().with_delivery(|_| Delivery::Lost);
    let task = network.start(ALICE, download(1));
    assert_eq!(network.finish(ALICE, task), Err(TIMED_OUT));
    assert_eq!(network.now, TCP_TIMEOUT);
}

/// Cuts the link at `at`. Returns the time from the cut to the failure of the task, and the error.
fn cut_link(task: Task, at: Duration) -> (Duration, TaskError) {
    let mut network = network().with_delivery(move |sent| {
        if sent.at < at {
            Delivery::Normal
        } else {
            Delivery::Lost
        }
    });
    let task = network.start(ALICE, task);
    let error = network.finish(ALICE, task).unwrap_err();
    let since = network.now - at;
    network.run(network.now + 3 * TCP_TIMEOUT);
    let idle = network
        .hosts
        .each_mut()
        .map(|host| host.poll_timeout(network.now));
    assert_eq!(idle, [None, None], "both sides must remove the connection");
    (since, error)
}

#[test]
fn transfers_fail_at_the_timeout_when_the_link_is_cut() {
    for task in [download(5 << 20), upload(5 << 20)] {
        let (since, error) = cut_link(task, ms(100));
        assert_eq!(error, TIMED_OUT);
        assert!(since <= TCP_TIMEOUT + ms(10), "{since:?}");
    }
}

/// A network that changes the first non-empty TCP payload from `from`.
fn with_changed_payload(from: usize, change: impl Fn(&mut [u8]) + 'static) -> Network {
    let mut done = false;
    network().with_delivery(move |sent| {
        let has_payload = segment(sent.bytes).is_some_and(|segment| !segment.payload().is_empty());
        if sent.from != from || !has_payload || done {
            return Delivery::Normal;
        }
        done = true;
        Delivery::Replaced(with_payload(sent.bytes, &change))
    })
}

#[test]
fn modified_content_is_detected() {
    for (task, sender) in [(download(50_000), BOB), (upload(50_000), ALICE)] {
        let mut network = with_changed_payload(sender, |payload| *payload.last_mut().unwrap() ^= 1);
        if sender == ALICE {
            // The first payload is the request. It is too short to contain content.
            network = network.with_delivery(|sent| match segment(sent.bytes) {
                Some(segment) if segment.payload().len() > 100 => {
                    Delivery::Replaced(with_payload(sent.bytes, |payload| payload[99] ^= 1))
                }
                _ => Delivery::Normal,
            });
        }
        let task = network.start(ALICE, task);
        let error = network.finish(ALICE, task).unwrap_err();
        assert!(matches!(error, TaskError::DigestMismatch { .. }), "{error}");
    }
}

#[test]
fn an_early_close_by_the_server_is_an_error() {
    // The request for 1000 bytes becomes a request for 232. With the SHA-256 that is 264 bytes, which the client takes for
    // content.
    let mut network = with_changed_payload(ALICE, |request| request[19] = 0);
    let task = network.start(ALICE, download(1000));
    assert_eq!(
        network.finish(ALICE, task),
        Err(TaskError::ClosedEarly { received: 264 })
    );
}

#[test]
fn a_client_with_another_protocol_is_reset() {
    let mut network = with_changed_payload(ALICE, |request| request[0] ^= 1);
    let task = network.start(ALICE, download(1000));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::Reset));
    let task = network.start(
        ALICE,
        Task::HttpGet {
            from: bob(BULK_PORT),
            path: "/".into(),
        },
    );
    assert_eq!(network.finish(ALICE, task), Err(TaskError::Reset));
}

#[test]
fn connections_beyond_the_limit_are_refused_and_the_others_continue() {
    let mut network = network();
    let tasks: Vec<_> = (0..70).map(|_| network.start(ALICE, download(20_000))).collect();
    let results: Vec<_> = tasks
        .into_iter()
        .map(|task| network.finish(ALICE, task))
        .collect();
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
fn tasks_with_an_invalid_destination_or_path_fail_at_once() {
    let mut network = network();
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
        let task = network.start(ALICE, task);
        assert_eq!(network.result(ALICE, task), Some(Err(error)));
    }
    assert!(network.tap.is_empty());
}

#[test]
fn every_error_has_a_message_of_one_line() {
    for error in [
        TaskError::BadDestination,
        TaskError::PayloadLength {
            given: 9,
            min: 24,
            max: 1372,
        },
        TIMED_OUT,
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
        TIMED_OUT.to_string(),
        "nothing came from the other side for 600 s"
    );
}

#[test]
fn services_that_are_added_later_are_reachable() {
    let mut network = network();
    network.hosts[BOB].serve(Service::Bulk { port: 9 });
    let task = network.start(
        ALICE,
        Task::Upload {
            to: bob(9),
            bytes: 10,
        },
    );
    network.finish(ALICE, task).unwrap();
    let task = network.start(ALICE, upload(10));
    network.finish(ALICE, task).unwrap();
}
