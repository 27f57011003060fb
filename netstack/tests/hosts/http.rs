//! HTTP: files that arrive and are checked, and answers that are not files.

use sandhog_netstack::{HttpFault, Task, TaskError};

use crate::world::{ALICE, BOB, Fate, HTTP_PORT, World, bob, files, forge, segment, world};

fn get(path: &str) -> Task {
    Task::HttpGet {
        from: bob(HTTP_PORT),
        path: path.into(),
    }
}

/// All that `host` said over TCP, retransmissions aside.
fn said(world: &World, host: usize) -> Vec<u8> {
    let from_host = world.tap.iter().filter(|(from, ..)| *from == host);
    from_host
        .flat_map(|(_, _, packet)| segment(packet).unwrap().payload().to_vec())
        .collect()
}

fn said_text(world: &World, host: usize) -> String {
    String::from_utf8_lossy(&said(world, host)).into_owned()
}

#[test]
fn a_file_arrives_with_its_length_and_digest() {
    let mut world = world();
    let task = world.start(ALICE, get("/index.html"));
    let summary = world.finish(ALICE, task).unwrap();
    assert_eq!(summary.bytes, 12);
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\
        Content-Digest: sha-256=:pWUr4cqGTTbSXPtUpB84Ti3hs6z3UTqSXXLtclj9wK4=:\r\n\
        Connection: close\r\n\r\n<p>hello</p>";
    assert_eq!(said_text(&world, BOB), expected);
    assert!(said_text(&world, ALICE).starts_with("GET /index.html HTTP/1.1\r\nHost: 10.9.0.1:80\r\n"));
}

#[test]
fn a_binary_file_arrives_byte_for_byte() {
    let mut world = world();
    let task = world.start(ALICE, get("/every-byte"));
    let summary = world.finish(ALICE, task).unwrap();
    let file = files()["/every-byte"].clone();
    assert_eq!(summary.bytes, file.len() as u64);
    assert!(said(&world, BOB).ends_with(&file));
}

#[test]
fn an_empty_file_and_a_name_without_a_slash_work() {
    let mut world = world();
    let task = world.start(ALICE, get("/empty"));
    assert_eq!(world.finish(ALICE, task).unwrap().bytes, 0);
}

#[test]
fn a_file_that_does_not_exist_fails_with_404() {
    let mut world = world();
    let task = world.start(ALICE, get("/nothing"));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::HttpStatus(404)));
    assert!(said_text(&world, BOB).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

/// Changes the request, or the response, on its way.
fn meddler(from: usize, change: impl Fn(&mut [u8]) + 'static) -> World {
    world().with_fate(move |sent| match segment(sent.bytes) {
        Some(segment) if sent.from == from && !segment.payload().is_empty() => {
            Fate::Forged(forge(sent.bytes, &change))
        }
        _ => Fate::Arrive,
    })
}

/// Writes `new` where `old` is.
fn replace(payload: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let place = payload
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .unwrap();
    payload[place..place + new.len()].copy_from_slice(new.as_bytes());
}

#[test]
fn methods_other_than_get_fail_with_405_and_say_what_is_allowed() {
    let mut world = meddler(ALICE, |request| replace(request, "GET ", "PUT "));
    let task = world.start(ALICE, get("/index.html"));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::HttpStatus(405)));
    assert!(said_text(&world, BOB).starts_with("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"));
}

#[test]
fn head_is_answered_with_405_and_no_body() {
    let mut world = meddler(ALICE, |request| replace(request, "GET /", "HEAD "));
    let task = world.start(ALICE, get("/index.html"));
    assert_eq!(
        world.finish(ALICE, task),
        Err(TaskError::ClosedEarly { received: 0 })
    );
    assert!(said_text(&world, BOB).starts_with("HTTP/1.1 405 "));
    assert!(said_text(&world, BOB).ends_with("\r\n\r\n"));
}

#[test]
fn what_is_not_http_fails_with_400() {
    let mut world = meddler(ALICE, |request| replace(request, "HTTP/1.1", "HTTP/one"));
    let task = world.start(ALICE, get("/index.html"));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::HttpStatus(400)));
}

#[test]
fn an_endless_request_fails_with_431() {
    let mut world = world();
    let task = world.start(ALICE, get(&format!("/{}", "x".repeat(9000))));
    assert_eq!(world.finish(ALICE, task), Err(TaskError::HttpStatus(431)));
}

#[test]
fn a_body_that_was_changed_on_the_way_is_found_out() {
    let mut world = meddler(BOB, |response| replace(response, "hello", "jello"));
    let task = world.start(ALICE, get("/index.html"));
    assert!(matches!(
        world.finish(ALICE, task),
        Err(TaskError::DigestMismatch { .. })
    ));
}

#[test]
fn a_response_that_cannot_be_checked_is_an_error_of_its_own() {
    for (old, new, fault) in [
        ("HTTP/1.1", "FTP/11.1", HttpFault::Malformed),
        ("Content-Length: 12", "Content-Length: +2", HttpFault::NoLength),
        ("Content-Length:", "Content-Lengths", HttpFault::Malformed),
        ("Connection: close", "Transfer-Encoding", HttpFault::Malformed),
        ("sha-256=:", "sha-512=:", HttpFault::NoDigest),
        ("Content-Digest:", "Content-Riddle:", HttpFault::NoDigest),
    ] {
        let mut world = meddler(BOB, move |response| replace(response, old, new));
        let task = world.start(ALICE, get("/index.html"));
        assert_eq!(
            world.finish(ALICE, task),
            Err(TaskError::BadResponse(fault)),
            "{new}"
        );
    }
}

#[test]
fn a_digest_among_others_is_found() {
    let digest = "sha-256=:pWUr4cqGTTbSXPtUpB84Ti3hs6z3UTqSXXLtclj9wK4=:\r\n";
    let (old, new) = (
        format!("{digest}Connection: close"),
        format!("a=:AA==:, {digest}Conn: x"),
    );
    let mut world = meddler(BOB, move |response| replace(response, &old, &new));
    let task = world.start(ALICE, get("/index.html"));
    world.finish(ALICE, task).unwrap();
}
