//! Tests of the HTTP server with TCP connections over loopback.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use tokio::sync::mpsc;

use super::super::{Exporter, MAX_CONNECTIONS, Timeouts, bind, explain_bind};
use super::{checker, server};
use crate::config::Metrics;
use crate::control::Reply;
use crate::control::handle::{Handle, PendingRequest};

/// A loopback address with a free port.
fn free() -> SocketAddr {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket.local_addr().expect("a bound socket")
}

/// Opens an exporter. Returns it with its address and its requests.
fn open(timeouts: Timeouts) -> (Exporter, SocketAddr, mpsc::Receiver<PendingRequest>) {
    let (sender, requests) = mpsc::channel(1);
    let config = Metrics {
        listen: free(),
        login_names: false,
    };
    let exporter = Exporter::open_with(&config, Handle::new(sender), timeouts).expect("a free port");
    (exporter, config.listen, requests)
}

/// Opens an exporter whose tunnel replies.
fn open_with_tunnel() -> (Exporter, SocketAddr) {
    open_with_tunnel_and(Timeouts::default())
}

fn open_with_tunnel_and(timeouts: Timeouts) -> (Exporter, SocketAddr) {
    let (exporter, address, mut requests) = open(timeouts);
    tokio::spawn(async move {
        while let Some(pending) = requests.recv().await {
            pending.reply_with(|_| Reply::Status(server().into()));
        }
    });
    (exporter, address)
}

/// Sends bytes from another thread and returns the response.
async fn send(address: SocketAddr, bytes: impl Into<Vec<u8>>) -> String {
    let bytes = bytes.into();
    let exchange = move || {
        let mut stream = TcpStream::connect(address).expect("a listener");
        // The server may close before it has read everything.
        let _ = stream.write_all(&bytes);
        let mut response = String::new();
        let _ = stream.read_to_string(&mut response);
        response
    };
    tokio::task::spawn_blocking(exchange).await.expect("no panic")
}

const GET: &str = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n";

#[track_caller]
fn is_page(response: &str) -> bool {
    let (head, page) = response.split_once("\r\n\r\n").expect("a response");
    let len = format!("Content-Length: {}\r\n", page.len());
    head.starts_with("HTTP/1.1 200 OK\r\n") && head.contains(&len) && checker::check(page).is_ok()
}

#[tokio::test]
async fn a_request_gets_the_page_and_the_connection_is_closed() {
    let (_exporter, address) = open_with_tunnel();
    assert!(is_page(&send(address, GET).await));
    let old = send(address, "GET /metrics HTTP/1.0\r\n\r\n").await;
    assert!(is_page(&old), "{old}");
}

#[tokio::test]
async fn a_head_request_gets_the_head_only() {
    let (_exporter, address) = open_with_tunnel();
    let whole = send(address, GET).await;
    let (head, _) = whole.split_once("\r\n\r\n").expect("a response");
    assert_eq!(
        send(address, GET.replace("GET", "HEAD")).await,
        format!("{head}\r\n\r\n")
    );
}

#[tokio::test]
async fn invalid_requests_get_an_error_and_later_requests_succeed() {
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
        let response = send(address, bytes).await;
        assert!(
            response.starts_with(&format!("HTTP/1.1 {status}")),
            "{status}: {response}"
        );
    }
    assert!(is_page(&send(address, GET).await));
}

#[tokio::test]
async fn a_request_may_arrive_byte_by_byte_and_its_body_is_ignored() {
    let (_exporter, address) = open_with_tunnel();
    let exchange = move || {
        let mut stream = TcpStream::connect(address).expect("a listener");
        stream.set_nodelay(true).expect("a socket of ours");
        GET.bytes()
            .for_each(|byte| stream.write_all(&[byte]).expect("an open connection"));
        let _ = stream.write_all(&[b'x'; 10_000]);
        let mut response = String::new();
        stream
            .read_to_string(&mut response)
            .expect("the whole response, and no reset");
        response
    };
    let response = tokio::task::spawn_blocking(exchange).await.expect("no panic");
    assert!(is_page(&response), "{response}");
}

/// Short timeouts.
const SHORT: Timeouts = Timeouts {
    connection: Duration::from_millis(200),
    tunnel: Duration::from_millis(50),
};

#[tokio::test]
async fn silent_connections_time_out_and_make_room_for_waiting_ones() {
    let (_exporter, address) = open_with_tunnel_and(SHORT);
    let silent: Vec<_> = (0..MAX_CONNECTIONS)
        .map(|_| TcpStream::connect(address).expect("a listener"))
        .collect();
    assert!(is_page(&send(address, GET).await));
    for mut stream in silent {
        let mut response = String::new();
        stream.read_to_string(&mut response).expect("the end");
        assert!(response.starts_with("HTTP/1.1 408 "), "{response}");
    }
}

#[tokio::test]
async fn a_scrape_fails_if_the_tunnel_does_not_reply() {
    let (_exporter, address, _requests) = open(SHORT);
    let response = send(address, GET).await;
    assert!(
        response.starts_with("HTTP/1.1 503 ") && response.ends_with("the tunnel does not reply\n"),
        "{response}"
    );
}

#[tokio::test]
async fn a_scrape_fails_if_the_tunnel_has_stopped() {
    let (_exporter, address, requests) = open(Timeouts::default());
    drop(requests);
    assert!(send(address, GET).await.starts_with("HTTP/1.1 503 "));
}

#[tokio::test]
async fn the_address_is_free_again_after_the_tunnel_has_stopped() {
    let (exporter, address) = open_with_tunnel();
    assert!(is_page(&send(address, GET).await));
    drop(exporter);
    while TcpStream::connect(address).is_ok() {
        tokio::task::yield_now().await;
    }
    bind(address).expect("a free address");
}

#[tokio::test]
async fn an_unavailable_address_is_an_error_with_help() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let failure = explain_bind(address, &bind(address).expect_err("a port in use"));
    let text = failure.to_string();
    assert!(
        text.starts_with(&format!("error: cannot listen on TCP {address} for metrics: ")),
        "{text}"
    );
    assert!(text.contains("help: another program uses this port"), "{text}");
    assert_eq!(failure.exit as u8, 1);

    // An address for documentation (RFC 5737).
    let foreign = SocketAddr::from(([192, 0, 2, 1], 9586));
    let failure = explain_bind(foreign, &bind(foreign).expect_err("not a local address"));
    assert!(
        failure
            .to_string()
            .contains("help: this machine does not have that address"),
        "{failure}"
    );
}
