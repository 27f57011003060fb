//! The server behind the page, over real connections on loopback: what it gives to whom, and what it survives.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::{CONNECTIONS, Exporter, Patience, bind, explain_bind};
use super::{checker, server};
use crate::config::Metrics;
use crate::control::Answer;
use crate::control::desk::{Call, Line};

/// A free address at this moment.
fn free() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("a bound socket")
}

/// An exporter and where it is. What asks comes out of the receiver.
fn open(patience: Patience) -> (Exporter, SocketAddr, mpsc::Receiver<Call>) {
    let (sender, calls) = mpsc::channel(1);
    let config = Metrics {
        listen: free(),
        login_names: false,
    };
    let exporter = Exporter::open_with(&config, Line::new(sender), patience).expect("a free port");
    (exporter, config.listen, calls)
}

/// The same with a tunnel that answers.
fn open_with_tunnel() -> (Exporter, SocketAddr) {
    open_with_tunnel_and(Patience::default())
}

fn open_with_tunnel_and(patience: Patience) -> (Exporter, SocketAddr) {
    let (exporter, address, mut calls) = open(patience);
    tokio::spawn(async move {
        while let Some(call) = calls.recv().await {
            call.answer_with(|_| Answer::Status(server().into()));
        }
    });
    (exporter, address)
}

/// Sends bytes from another thread and gives all that comes back.
async fn say(address: SocketAddr, bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    let talk = move || {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        // Who has heard enough closes.
        let _ = stream.write_all(&bytes);
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    };
    tokio::task::spawn_blocking(talk).await.expect("no panic")
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[track_caller]
fn is_page(answer: &str) -> bool {
    let (head, page) = answer.split_once("\r\n\r\n").expect("an answer");
    let len = format!("Content-Length: {}\r\n", page.len());
    head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&len) && checker::check(page).is_ok()
}

#[tokio::test]
async fn a_request_brings_the_page_and_the_end() {
    let (_exporter, address) = open_with_tunnel();
    assert!(is_page(&say(address, GET).await));
    let old = say(address, "GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(is_page(&old), "{old}");
}

#[tokio::test]
async fn head_brings_the_head_alone() {
    let (_exporter, address) = open_with_tunnel();
    let whole = say(address, GET).await;
    let (head, _) = whole.split_once("\r\n\r\n").expect("an answer");
    assert_eq!(
        say(address, GET.replace("GET", "HEAD")).await,
        format!("{head}\r\n\r\n")
    );
}

#[tokio::test]
async fn bad_requests_are_refused_and_harm_nobody() {
    let (_exporter, address) = open_with_tunnel();
    let long_target = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(100_000));
    let long_field = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", "a".repeat(100_000));
    let endless = b"GET /metrics HTTP/1.1\r\nHost: x\r\n"
        .iter()
        .copied()
        .chain(b"A: b\r\n".repeat(100_000));
    let cases: [(Vec<u8>, &str); 9] = [
        (GET.replace("GET", "POST").into(), "405 "),
        (GET.replace("/metrics", "/").into(), "404 "),
        (GET.replace("/1.1", "/3.0").into(), "505 "),
        (b"\r\n\r\n\r\nhello\r\n\r\n".into(), "400 "),
        (b"\xff\xfe\n".into(), "400 "),
        (vec![0; 100_000], "431 "),
        (long_target.into(), "431 "),
        (long_field.into(), "431 "),
        (endless.collect(), "431 "),
    ];
    for (bytes, status) in cases {
        let answer = say(address, bytes).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {answer}"
        );
    }
    assert!(is_page(&say(address, GET).await));
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte_and_with_a_body_that_nobody_reads() {
    let (_exporter, address) = open_with_tunnel();
    let talk = move || {
        let mut stream = TcpStream::connect(address).expect("somebody listens");
        stream.set_nodelay(true).expect("a socket of ours");
        GET.bytes()
            .for_each(|byte| stream.write_all(&[byte]).expect("still read"));
        let _ = stream.write_all(&[b'x'; 10_000]);
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("the whole answer, and no reset");
        answer
    };
    let answer = tokio::task::spawn_blocking(talk).await.expect("no panic");
    assert!(is_page(&answer), "{answer}");
}

/// Hardly any.
const SHORT: Patience = Patience {
    connection: Duration::from_millis(200),
    tunnel: Duration::from_millis(50),
};

#[tokio::test]
async fn who_sends_nothing_loses_the_seat_to_those_who_wait() {
    let (_exporter, address) = open_with_tunnel_and(SHORT);
    let silent: Vec<_> = (0..CONNECTIONS)
        .map(|_| TcpStream::connect(address).expect("somebody listens"))
        .collect();
    assert!(is_page(&say(address, GET).await));
    for mut stream in silent {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the end");
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
}

#[tokio::test]
async fn a_tunnel_that_does_not_answer_is_a_failed_scrape() {
    let (_exporter, address, _calls) = open(SHORT);
    let answer = say(address, GET).await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("the tunnel does not answer\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_tunnel_that_has_ended_is_a_failed_scrape() {
    let (_exporter, address, calls) = open(Patience::default());
    drop(calls);
    assert!(say(address, GET).await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn the_address_is_free_again_once_the_tunnel_has_ended() {
    let (exporter, address) = open_with_tunnel();
    assert!(is_page(&say(address, GET).await));
    drop(exporter);
    while TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
    bind(address).expect("a free address");
}

#[tokio::test]
async fn an_address_that_cannot_be_had_is_an_error_with_advice() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let taken = taken.local_addr().map(|address| (taken, address));
    let (_socket, address) = taken.expect("a bound socket");
    let failure = explain_bind(address, &bind(address).expect_err("a taken port"));
    let text = failure.to_string();
    assert!(
        text.starts_with(&format!("error: cannot listen on TCP {address} for metrics: ")),
        "{text}"
    );
    assert!(text.contains("help: another program has this port"), "{text}");
    assert_eq!(failure.exit as u8, 1);

    // RFC 5737 keeps this address for examples.
    let elsewhere = SocketAddr::from(([192, 0, 2, 1], 9586));
    let failure = explain_bind(elsewhere, &bind(elsewhere).expect_err("not ours"));
    assert!(
        failure
            .to_string()
            .contains("help: this machine does not have that address"),
        "{failure}"
    );
}
