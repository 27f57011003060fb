//! A bad network between both sides: a relay that applies a link of the laboratory in real time.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::namespace::Namespace;
use super::tunnel::{Outer, SERVER_INNER, World};

/// How much is downloaded, in MiB, unless `SANDHOG_DOWNLOAD_MIB` says otherwise (1024 takes a minute more).
const DOWNLOAD_MIB: usize = 64;

/// Serves one file of so many MiB over HTTP/1.1, made as it goes; gives its hash.
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

/// Hashes all that comes; how many bytes.
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
fn curl_downloads_a_large_file_whole_over_a_network_that_loses_and_doubles() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let mib = std::env::var("SANDHOG_DOWNLOAD_MIB").map_or(DOWNLOAD_MIB, |mib| mib.parse().expect("MiB"));
    let _server = world.start_server();
    let relay = world.start_relay("loss 0.2% duplicate 0.1%");
    let _client = world.start_client();
    let (url, server) = serve(&world.server, mib);
    let (hash, len) = world.client.enter(|| {
        let mut curl = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "300", &url])
            .stdout(Stdio::piped())
            .spawn()
            .expect("curl");
        let mut hash = Sha256::new();
        let len = read_into(&mut hash, &mut curl.stdout.take().expect("a pipe"));
        assert!(curl.wait().expect("a child of ours").success());
        (hash.finalize().to_vec(), len)
    });
    assert_eq!(len, (mib as u64) << 20);
    assert_eq!(hash, server.join().expect("the server"), "SHA-256");
    let (code, told) = relay.terminate();
    assert_eq!(code, Some(0), "{told}");
    let lost = |line: &str| line.contains("lost: ") && line.contains("random ");
    assert!(
        told.lines().filter(|line| lost(line)).count() == 2,
        "both ways lose: {told}"
    );
}

#[test]
fn a_login_and_small_packets_cross_a_network_that_delays_damages_and_reorders() {
    let world = world_or_skip!(World::secure(Outer::V4));
    let mut server = world.start_server();
    let _relay = world.start_relay("delay 20ms 10ms corrupt 5% duplicate 10%");
    let client = world.start_client();
    // Nothing is repeated inside, so only links that lose nothing let all of it through; what is damaged is lost.
    let to = SERVER_INNER[0].to_string();
    world
        .client
        .run("ping", &["-c", "40", "-i", "0.05", "-W", "2", &to]);
    let (_, log) = client.terminate();
    server.wait_for("a session of kean has ended: bye");
    let (_, server_log) = server.terminate();
    for log in [log, server_log] {
        assert!(
            log.contains("authentication-failed") && log.contains("replayed"),
            "{log}"
        );
    }
}

/// A ping with so many bytes in one IP packet, which the device may not cut.
fn passes(world: &World, packet: u16) -> bool {
    let (to, payload) = (SERVER_INNER[0].to_string(), (packet - 28).to_string());
    let arguments = ["-c", "1", "-W", "2", "-M", "do", "-s", &payload, &to];
    world.client.try_run("ping", &arguments).is_ok()
}

#[test]
fn the_device_has_the_mtu_of_a_path_that_swallows_long_datagrams_without_a_word() {
    let world = world_or_skip!(World::secure(Outer::V4));
    world.edit("client.toml", "mtu-search = false", "mtu-search = true");
    let _server = world.start_server();
    // 28 bytes of IP and UDP and 29 of the tunnel round a packet of a multiple of 16 bytes: 1328 and no more.
    let _relay = world.start_relay("mtu 1400");
    let mut client = world.start_client();
    client.wait_for("the tunnel's MTU is 1328 bytes now");
    assert!(passes(&world, 1328), "the longest packet that the path carries");
    let refused = world.client.run("ip", &["link", "show", "sandhog0"]);
    assert!(refused.contains("mtu 1328"), "{refused}");
    let (status, _) = client.terminate();
    assert_eq!(status, Some(0));
}

#[test]
fn over_a_path_that_carries_everything_the_device_has_the_servers_mtu() {
    let world = world_or_skip!(World::secure(Outer::V6));
    world.edit("client.toml", "mtu-search = false", "mtu-search = true");
    let _server = world.start_server();
    let mut client = world.start_client();
    client.wait_for("the tunnel's MTU is 1420 bytes now");
    assert!(passes(&world, 1420));
    // A link that takes less than the server's MTU needs: the kernel says so, and the search hears nothing else.
    let (status, _) = client.terminate();
    assert_eq!(status, Some(0));
    for namespace in [&world.client, &world.server] {
        namespace.run("ip", &["link", "set", "outer", "mtu", "1400"]);
    }
    let mut client = world.start_client();
    client.wait_for("the tunnel's MTU is 1312 bytes now");
    assert!(passes(&world, 1312));
}
