//! Tests of HTTP: verified files, and error responses.

use sandhog_netstack::{HttpFault, Task, TaskError};

use crate::network::{ALICE, BOB, Delivery, HTTP_PORT, Network, bob, files, network, segment, with_payload};

fn get(path: &str) -> Task {
    Task::HttpGet {
        from: bob(HTTP_PORT),
        path: path.into(),
    }
}

/// All TCP payload that `host` has sent, including retransmissions.
fn sent_bytes(network: &Network, host: usize) -> Vec<u8> {
    let from_host = network.tap.iter().filter(|(from, ..)| *from == host);
    from_host
        .flat_map(|(_, _, packet)| segment(packet).unwrap().payload().to_vec())
        .collect()
}

fn sent_text(network: &Network, host: usize) -> String {
    String::from_utf8_lossy(&sent_bytes(network, host)).into_owned()
}

#[test]
fn a_file_arrives_with_its_length_and_digest() {
    let mut network = network();
    let task = network.start(ALICE, get("/index.html"));
    let summary = network.finish(ALICE, task).unwrap();
    assert_eq!(summary.bytes, 12);
    let expected = "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\
        Content-Digest: sha-256=:pWUr4cqGTTbSXPtUpB84Ti3hs6z3UTqSXXLtclj9wK4=:\r\n\
        Connection: close\r\n\r\n<p>hello</p>";
    assert_eq!(sent_text(&network, BOB), expected);
    assert!(sent_text(&network, ALICE).starts_with("GET /index.html HTTP/1.1\r\nHost: 10.9.0.1:80\r\n"));
}

#[test]
fn a_binary_file_arrives_byte_for_byte() {
    let mut network = network();
    let task = network.start(ALICE, get("/every-byte"));
    let summary = network.finish(ALICE, task).unwrap();
    let file = files()["/every-byte"].clone();
    assert_eq!(summary.bytes, file.len() as u64);
    assert!(sent_bytes(&network, BOB).ends_with(&file));
}

#[test]
fn an_empty_file_and_a_name_without_a_slash_work() {
    let mut network = network();
    let task = network.start(ALICE, get("/empty"));
    assert_eq!(network.finish(ALICE, task).unwrap().bytes, 0);
}

#[test]
fn requests_for_missing_files_fail_with_404() {
    let mut network = network();
    let task = network.start(ALICE, get("/nothing"));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::HttpStatus(404)));
    assert!(sent_text(&network, BOB).starts_with("HTTP/1.1 404 Not Found\r\n"));
}

/// A network that changes each non-empty TCP payload from `from`.
fn with_changed_payload(from: usize, change: impl Fn(&mut [u8]) + 'static) -> Network {
    network().with_delivery(move |sent| match segment(sent.bytes) {
        Some(segment) if sent.from == from && !segment.payload().is_empty() => {
            Delivery::Replaced(with_payload(sent.bytes, &change))
        }
        _ => Delivery::Normal,
    })
}

/// Replaces `old` by `new`, which has the same length.
fn replace(payload: &mut [u8], old: &str, new: &str) {
    assert_eq!(old.len(), new.len());
    let place = payload
        .windows(old.len())
        .position(|window| window == old.as_bytes())
        .unwrap();
    payload[place..place + new.len()].copy_from_slice(new.as_bytes());
}

#[test]
fn methods_other_than_get_fail_with_405_and_an_allow_field() {
    let mut network = with_changed_payload(ALICE, |request| replace(request, "GET ", "PUT "));
    let task = network.start(ALICE, get("/index.html"));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::HttpStatus(405)));
    assert!(sent_text(&network, BOB).starts_with("HTTP/1.1 405 Method Not Allowed\r\nAllow: GET\r\n"));
}

#[test]
fn head_is_answered_with_405_and_no_body() {
    let mut network = with_changed_payload(ALICE, |request| replace(request, "GET /", "HEAD "));
    let task = network.start(ALICE, get("/index.html"));
    assert_eq!(
        network.finish(ALICE, task),
        Err(TaskError::ClosedEarly { received: 0 })
    );
    assert!(sent_text(&network, BOB).starts_with("HTTP/1.1 405 "));
    assert!(sent_text(&network, BOB).ends_with("\r\n\r\n"));
}

#[test]
fn requests_that_are_not_http_fail_with_400() {
    let mut network = with_changed_payload(ALICE, |request| replace(request, "HTTP/1.1", "HTTP/one"));
    let task = network.start(ALICE, get("/index.html"));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::HttpStatus(400)));
}

#[test]
fn requests_that_are_too_long_fail_with_431() {
    let mut network = network();
    let task = network.start(ALICE, get(&format!("/{}", "x".repeat(9000))));
    assert_eq!(network.finish(ALICE, task), Err(TaskError::HttpStatus(431)));
}

#[test]
fn a_modified_body_is_detected() {
    let mut network = with_changed_payload(BOB, |response| replace(response, "hello", "jello"));
    let task = network.start(ALICE, get("/index.html"));
    assert!(matches!(
        network.finish(ALICE, task),
        Err(TaskError::DigestMismatch { .. })
    ));
}

#[test]
fn responses_that_cannot_be_verified_are_errors() {
    for (old, new, fault) in [
        ("HTTP/1.1", "FTP/11.1", HttpFault::Malformed),
        ("Content-Length: 12", "Content-Length: +2", HttpFault::NoLength),
        ("Content-Length:", "Content-Lengths", HttpFault::Malformed),
        ("Connection: close", "Transfer-Encoding", HttpFault::Malformed),
        ("sha-256=:", "sha-512=:", HttpFault::NoDigest),
        ("Content-Digest:", "Content-Riddle:", HttpFault::NoDigest),
    ] {
        let mut network = with_changed_payload(BOB, move |response| replace(response, old, new));
        let task = network.start(ALICE, get("/index.html"));
        assert_eq!(
            network.finish(ALICE, task),
            Err(TaskError::BadResponse(fault)),
            "{new}"
        );
    }
}

#[test]
fn the_sha_256_is_found_among_other_digests() {
    let digest = "sha-256=:pWUr4cqGTTbSXPtUpB84Ti3hs6z3UTqSXXLtclj9wK4=:\r\n";
    let (old, new) = (
        format!("{digest}Connection: close"),
        format!("a=:AA==:, {digest}Conn: x"),
    );
    let mut network = with_changed_payload(BOB, move |response| replace(response, &old, &new));
    let task = network.start(ALICE, get("/index.html"));
    network.finish(ALICE, task).unwrap();
}
