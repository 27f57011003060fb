//! Lossy network between both sides: a relay that applies a link of the simulator in real time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::namespace::Namespace;
use super::tunnel::{Outer, SERVER_INNER, Testbed};

/// Default size of the download in MiB. `SANDHOG_DOWNLOAD_MIB` overrides it (1024 takes one more minute).
const DOWNLOAD_MIB: usize = 64;

/// Serves one generated file of `mib` MiB over HTTP/1.1. Returns its URL, and a thread that returns the
/// file's hash.
fn serve(namespace: &Namespace, mib: usize) -> (String, std::thread::JoinHandle<Vec<u8>>) {
    let listener = namespace
        .enter(|| TcpListener::bind((SERVER_INNER[0], 0)))
        .expect("listen inside the tunnel");
    let url = format!("http://{}/file", listener.local_addr().expect("a bound socket"));
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream
            .set_write_timeout(Some(Duration::from_secs(20)))
            .expect("a time limit");
        let mut request = [0; 4096];
        let len = stream.read(&mut request).expect("a request");
        assert!(request[..len].starts_with(b"GET /file HTTP/1.1\r\n"));
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", mib << 20);
        stream.write_all(head.as_bytes()).expect("send");
        let mut hash = Sha256::new();
        let mut block: Vec<u8> = (0..1_u32 << 20)
            .map(|at| (at.wrapping_mul(0x9e37_79b9) >> 24) as u8)
            .collect();
        for number in 0..mib {
            block[..8].copy_from_slice(&(number as u64).to_be_bytes());
            hash.update(&block);
            stream.write_all(&block).expect("send");
        }
        hash.finalize().to_vec()
    });
    (url, server)
}

/// Hashes all data from `pipe`, and returns the number of bytes.
fn read_into(hash: &mut Sha256, pipe: &mut impl Read) -> u64 {
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        match pipe.read(&mut buffer).expect("a download") {
            0 => return total,
            len => {
                hash.update(&buffer[..len]);
                total += len as u64;
            }
        }
    }
}

#[test]
fn curl_downloads_a_large_file_over_a_network_that_loses_and_duplicates() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mib = std::env::var("SANDHOG_DOWNLOAD_MIB").map_or(DOWNLOAD_MIB, |mib| mib.parse().expect("MiB"));
    let _server = testbed.start_server();
    let relay = testbed.start_relay("loss 0.2% duplicate 0.1%");
    let _client = testbed.start_client();
    let (url, server) = serve(&testbed.server, mib);
    let (hash, len) = testbed.client.enter(|| {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "300", &url])
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl");
        let mut hash = Sha256::new();
        let len = read_into(&mut hash, &mut curl.stdout.take().expect("a pipe"));
        assert!(curl.wait().expect("a child process").success());
        (hash.finalize().to_vec(), len)
    });
    assert_eq!(len, (mib as u64) << 20);
    assert_eq!(hash, server.join().expect("the server"), "SHA-256");
    let (code, log) = relay.terminate();
    assert_eq!(code, Some(0), "{log}");
    let lost = |line: &str| line.contains("lost: ") && line.contains("random ");
    assert!(
        log.lines().filter(|line| lost(line)).count() == 2,
        "both directions lose datagrams: {log}"
    );
}

#[test]
fn a_login_and_pings_pass_a_network_that_delays_corrupts_and_reorders() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    let mut server = testbed.start_server();
    let _relay = testbed.start_relay("delay 20ms 10ms corrupt 5% duplicate 10%");
    let client = testbed.start_client();
    // Pings are not retransmitted, so corrupted ones are lost.
    let to = SERVER_INNER[0].to_string();
    testbed
        .client
        .run("ping", &["-c", "40", "-i", "0.05", "-W", "2", &to]);
    let (_, log) = client.terminate();
    server.wait_for("session of kean ended: bye");
    let (_, server_log) = server.terminate();
    for log in [log, server_log] {
        assert!(
            log.contains("authentication-failed") && log.contains("replayed"),
            "{log}"
        );
    }
}

/// Sends a ping in one IP packet of `packet` bytes, without fragmentation. Returns true if there is a reply.
fn passes(testbed: &Testbed, packet: u16) -> bool {
    let (to, payload) = (SERVER_INNER[0].to_string(), (packet - 28).to_string());
    let arguments = ["-c", "1", "-W", "2", "-M", "do", "-s", &payload, &to];
    testbed.client.try_run("ping", &arguments).is_ok()
}

#[test]
fn the_device_gets_the_mtu_of_a_path_that_drops_long_datagrams_silently() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V4));
    testbed.edit("client.toml", "mtu-search = false", "mtu-search = true");
    let _server = testbed.start_server();
    // 1400 bytes minus 28 of IP and UDP and 29 of the tunnel, rounded down to a multiple of 16: 1328.
    let _relay = testbed.start_relay("mtu 1400");
    let mut client = testbed.start_client();
    client.wait_for("the tunnel's MTU is now 1328 bytes");
    assert!(passes(&testbed, 1328), "the longest packet that fits the path");
    let refused = testbed.client.run("ip", &["link", "show", "sandhog0"]);
    assert!(refused.contains("mtu 1328"), "{refused}");
    let (status, _) = client.terminate();
    assert_eq!(status, Some(0));
}

#[test]
fn over_a_path_without_limits_the_device_has_the_servers_mtu() {
    let testbed = testbed_or_skip!(Testbed::secure(Outer::V6));
    testbed.edit("client.toml", "mtu-search = false", "mtu-search = true");
    let _server = testbed.start_server();
    let mut client = testbed.start_client();
    client.wait_for("the tunnel's MTU is now 1420 bytes");
    assert!(passes(&testbed, 1420));
    // A local link with a smaller MTU: the kernel rejects longer datagrams.
    let (status, _) = client.terminate();
    assert_eq!(status, Some(0));
    for namespace in [&testbed.client, &testbed.server] {
        namespace.run("ip", &["link", "set", "outer", "mtu", "1400"]);
    }
    let mut client = testbed.start_client();
    client.wait_for("the tunnel's MTU is now 1312 bytes");
    assert!(passes(&testbed, 1312));
}
