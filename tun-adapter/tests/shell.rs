//! Main loop between a real UDP socket on loopback and a device in memory: a pair of datagram sockets. The
//! test uses the other end as the kernel would.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog::shell::{Device, Direct, Shell, TURN_LIMIT};
use sandhog_proto::classic::{
    Client, ClientConfig, HashCost, Key, Server, ServerConfig, User, hash_password,
};
use sandhog_proto::{Command, DropReason, EventKind, NetworkSettings, Peer, StartError, TunnelStatus};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::timeout;

use crate::support::Wire;

/// A device that was removed.
struct Removed;

impl Device for Removed {
    async fn readable(&self) -> io::Result<()> {
        Ok(())
    }

    async fn writable(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_read(&self, _packet: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }

    fn try_write(&self, _packet: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::NotConnected.into())
    }
}

const KEY: [u8; 32] = [7; 32];

/// The shell of a server with `device`, and its address.
async fn server_with<D: Device>(device: D) -> (Shell<Server, Direct<D>>, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let user = User {
        login: "kean".to_owned(),
        password_hash: hash_password("correct horse", [1; 16], HashCost::LABORATORY),
        addresses: vec!["10.9.0.2".parse().expect("an address")],
    };
    let config = ServerConfig {
        key: Key::new(KEY),
        users: vec![user],
        mtu: 1420,
        seed: [1; 32],
    };
    let server = Server::new(config).expect("a valid configuration");
    (Shell::new(server, socket, device).expect("a timer"), address)
}

/// The same, with the kernel's end of its device.
async fn server() -> (Shell<Server, Direct<Wire>>, UnixDatagram, SocketAddr) {
    let (device, kernel) = UnixDatagram::pair().expect("a pair of sockets");
    let (shell, address) = server_with(Wire(device)).await;
    (shell, kernel, address)
}

async fn client(server: SocketAddr, password: &str) -> (Shell<Client, Direct<Wire>>, UnixDatagram) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let (device, kernel) = UnixDatagram::pair().expect("a pair of sockets");
    let settings = NetworkSettings {
        tunnel_remote_address: server.ip(),
        addresses: vec!["10.9.0.2/24".parse().expect("a prefix")],
        included_routes: Vec::new(),
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: 1420,
    };
    let config = ClientConfig {
        key: Key::new(KEY),
        login: "kean".to_owned(),
        password: password.to_owned().into(),
        server,
        settings,
        seed: [2; 32],
    };
    let mut shell = Shell::new(Client::new(config), socket, Wire(device)).expect("a timer");
    shell.command(Command::Start);
    (shell, kernel)
}

/// Runs a shell until the wanted event, and returns all events.
pub(crate) async fn until<P: Peer>(
    shell: &mut Shell<P, Direct<Wire>>,
    wanted: impl Fn(&EventKind) -> bool,
) -> Vec<EventKind> {
    let mut events = Vec::new();
    loop {
        events.push(shell.next_event().await.expect("the device stays").kind);
        if events.last().is_some_and(&wanted) {
            return events;
        }
    }
}

/// Runs a shell for as long as `work` takes.
pub(crate) async fn while_running<P: Peer, T>(
    shell: &mut Shell<P, Direct<Wire>>,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        _ = until(shell, |_| false) => unreachable!("it never ends by itself"),
        result = timeout(Duration::from_secs(5), work) => result.expect("done in time"),
    }
}

/// An IPv4 packet with only addresses and a length (RFC 791, section 3.1).
fn packet(from: [u8; 4], to: [u8; 4], len: u8) -> Vec<u8> {
    let mut packet = vec![0; len.into()];
    (packet[0], packet[3], packet[8], packet[9]) = (0x45, len, 64, 253);
    packet[12..16].copy_from_slice(&from);
    packet[16..20].copy_from_slice(&to);
    packet
}

const CLIENT: [u8; 4] = [10, 9, 0, 2];
const SERVER: [u8; 4] = [10, 9, 0, 1];

fn is_up(event: &EventKind) -> bool {
    matches!(event, EventKind::Status(TunnelStatus::Connected))
}

#[tokio::test]
async fn packets_pass_in_both_directions_after_a_login() {
    let (mut server, server_kernel, address) = server().await;
    let (mut client, client_kernel) = client(address, "correct horse").await;
    while_running(&mut server, until(&mut client, is_up)).await;

    let (up, down) = (packet(CLIENT, SERVER, 60), packet(SERVER, CLIENT, 80));
    let crossing = async {
        let mut buffer = [0; 2000];
        client_kernel.send(&up).await.expect("an open device");
        let len = server_kernel.recv(&mut buffer).await.expect("an open device");
        assert_eq!(buffer[..len], up);
        server_kernel.send(&down).await.expect("an open device");
        let len = client_kernel.recv(&mut buffer).await.expect("an open device");
        assert_eq!(buffer[..len], down);
    };
    while_running(&mut server, while_running(&mut client, crossing)).await;
    let counters = client.counters();
    assert_eq!((counters.packets_out, counters.bytes_out), (1, 60));
    assert_eq!((counters.packets_in, counters.bytes_in), (1, 80));
}

#[tokio::test]
async fn a_device_that_blocks_for_a_while_gets_all_packets_in_order_afterwards() {
    // More than the limit of one turn, and more than the pair of sockets can hold. The buffer of the UDP
    // socket holds the rest.
    const COUNT: usize = 2 * TURN_LIMIT;
    let (mut server, server_kernel, address) = server().await;
    let (mut client, client_kernel) = client(address, "correct horse").await;
    while_running(&mut server, until(&mut client, is_up)).await;

    let crossing = async {
        for number in 0..COUNT {
            let mut packet = packet(CLIENT, SERVER, 60);
            packet[20..28].copy_from_slice(&number.to_be_bytes());
            client_kernel.send(&packet).await.expect("an open device");
        }
        let mut buffer = [0; 2000];
        for number in 0..COUNT {
            server_kernel.recv(&mut buffer).await.expect("an open device");
            assert_eq!(buffer[20..28], number.to_be_bytes());
        }
    };
    while_running(&mut server, while_running(&mut client, crossing)).await;
}

#[tokio::test]
async fn a_wrong_password_is_rejected() {
    let (mut server, _server_kernel, address) = server().await;
    let (mut client, _client_kernel) = client(address, "battery staple").await;
    let started = |event: &EventKind| matches!(event, EventKind::Started(_));
    let events = while_running(&mut server, until(&mut client, started)).await;
    assert_eq!(
        events.last(),
        Some(&EventKind::Started(Err(StartError::AuthenticationRejected)))
    );
}

#[tokio::test]
async fn an_unanswered_request_is_retransmitted_after_its_timeout() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let (mut client, _kernel) = client(silent.local_addr().expect("a bound socket"), "correct horse").await;
    let mut buffer = [0; 2000];
    while_running(&mut client, silent.recv_from(&mut buffer))
        .await
        .expect("the request");
    while_running(&mut client, silent.recv_from(&mut buffer))
        .await
        .expect("the repeat after one second");
}

#[tokio::test]
async fn garbage_is_dropped_and_reported_and_the_next_login_succeeds() {
    let (mut server, _server_kernel, address) = server().await;
    let stranger = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    for garbage in [&b""[..], &[0xff; 60_000]] {
        stranger
            .send_to(garbage, address)
            .await
            .expect("loopback accepts it");
        let dropped = until(&mut server, |event| matches!(event, EventKind::Dropped(_)));
        timeout(Duration::from_secs(5), dropped)
            .await
            .expect("reported in time");
    }
    assert_eq!(server.counters().dropped(DropReason::NotEnoughData), 1);
    assert_eq!(server.counters().dropped(DropReason::InvalidCode), 1);
    let (mut client, _client_kernel) = client(address, "correct horse").await;
    while_running(&mut server, until(&mut client, is_up)).await;
}

#[tokio::test]
async fn a_removed_device_ends_the_loop() {
    let (mut server, _address) = server_with(Removed).await;
    let ended = timeout(Duration::from_secs(5), server.next_event())
        .await
        .expect("reported in time");
    let message = ended.expect_err("the device is gone").to_string();
    assert!(
        message.starts_with("error: cannot read from the tunnel device"),
        "{message}"
    );
}

#[tokio::test]
async fn stopping_reports_disconnecting_and_disconnected() {
    let (mut server, _server_kernel, address) = server().await;
    let (mut client, _client_kernel) = client(address, "correct horse").await;
    while_running(&mut server, until(&mut client, is_up)).await;
    let down = [TunnelStatus::Disconnecting, TunnelStatus::Disconnected].map(EventKind::Status);
    assert_eq!(client.stop(), down);
}
