//! Fixtures: peers, packets, and an eavesdropper with the key.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use sandhog_proto::classic::{
    Client, ClientConfig, Code, Codec, HashCost, Key, Server, ServerConfig, User, hash_password,
};
use sandhog_proto::{
    Batch, Datagram, DropReason, EventKind, Instant, NetworkSettings, PacketBuf, Peer, Reason,
};

pub(crate) const KEY: [u8; 32] = [0x5a; 32];
pub(crate) const MTU: u16 = 1400;
pub(crate) const LOGIN: &str = "kean";
pub(crate) const PASSWORD: &str = "123456";

pub(crate) fn key() -> Key {
    Key::new(KEY)
}

pub(crate) fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().unwrap()
}

/// Outer address of the client with this number.
pub(crate) fn client_address(n: u16) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(198, 51, 100, 2).into(), 50_000 + n)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn settings() -> NetworkSettings {
    NetworkSettings {
        tunnel_remote_address: server_address().ip(),
        addresses: vec!["10.9.0.2/24".parse().unwrap(), "fd00::2/64".parse().unwrap()],
        included_routes: vec!["0.0.0.0/0".parse().unwrap()],
        excluded_routes: vec![],
        dns_servers: vec![ip("10.9.0.1")],
        search_domains: vec!["example.org".to_owned()],
        mtu: MTU,
    }
}

pub(crate) fn client_config(seed: u8) -> ClientConfig {
    ClientConfig {
        key: key(),
        login: LOGIN.to_owned(),
        password: PASSWORD.to_owned().into(),
        server: server_address(),
        settings: settings(),
        seed: [seed; 32],
    }
}

pub(crate) fn client() -> Client {
    Client::new(client_config(1))
}

/// A client that logged in at time zero, with empty queues.
pub(crate) fn connected_client() -> Client {
    let mut client = client();
    client.start(Instant::ZERO).unwrap();
    turn(&mut client, Instant::ZERO, vec![auth_response(true)], vec![]);
    events(&mut client);
    client
}

pub(crate) fn user(login: &str, password: &str, addresses: &[&str]) -> User {
    User {
        login: login.to_owned(),
        password_hash: hash_password(password, [7; 16], HashCost::LABORATORY),
        addresses: addresses.iter().map(|address| ip(address)).collect(),
    }
}

/// `kean` has 10.9.0.2 and fd00::2, `anna` has 10.9.0.3.
pub(crate) fn server() -> Server {
    let users = vec![
        user(LOGIN, PASSWORD, &["10.9.0.2", "fd00::2"]),
        user("anna", "secret", &["10.9.0.3"]),
    ];
    Server::new(ServerConfig {
        key: key(),
        users,
        mtu: MTU,
        seed: [2; 32],
    })
    .unwrap()
}

/// Runs the jobs of a server and returns its responses.
pub(crate) fn finish_jobs(server: &mut Server, now: Instant) -> Turn {
    while let Some(job) = server.poll_job() {
        server.handle_job(now, job.run()).unwrap();
    }
    turn(server, now, vec![], vec![])
}

/// Logs `login` in from `remote` at time zero, and empties the queues of the server.
pub(crate) fn log_in(server: &mut Server, remote: SocketAddr, login: &str, password: &str) {
    let request = from(remote, auth_request(login, password));
    turn(server, Instant::ZERO, vec![request], vec![]);
    let answers = finish_jobs(server, Instant::ZERO);
    assert_eq!(
        answers.opened(),
        [(Code::AuthResponse, br#"{"isOK":true}"#.to_vec())]
    );
    events(server);
}

/// Output of one turn.
#[derive(Debug)]
pub(crate) struct Turn {
    pub(crate) datagrams: Vec<Datagram>,
    pub(crate) packets: Vec<PacketBuf>,
    pub(crate) deadline: Option<(Instant, Reason)>,
}

impl Turn {
    /// Code and body of each datagram, opened with the key.
    pub(crate) fn opened(&self) -> Vec<(Code, Vec<u8>)> {
        self.datagrams
            .iter()
            .map(|datagram| open(&datagram.payload))
            .collect()
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.datagrams.is_empty() && self.packets.is_empty()
    }
}

pub(crate) fn turn(
    peer: &mut impl Peer,
    now: Instant,
    datagrams: Vec<Datagram>,
    packets: Vec<PacketBuf>,
) -> Turn {
    let mut input = Batch { datagrams, packets };
    let mut output = Batch::default();
    let deadline = peer.turn(now, &mut input, &mut output);
    assert!(input.is_empty(), "a turn takes everything");
    Turn {
        datagrams: output.datagrams,
        packets: output.packets,
        deadline,
    }
}

pub(crate) fn events(peer: &mut impl Peer) -> Vec<EventKind> {
    core::iter::from_fn(|| peer.poll_event())
        .map(|event| event.kind)
        .collect()
}

/// Drop reasons that occurred, with their numbers.
pub(crate) fn drops(peer: &impl Peer) -> Vec<(DropReason, u64)> {
    peer.counters().drops().collect()
}

/// Seals a datagram with the key. Each has a new nonce.
pub(crate) fn seal(code: Code, body: &[u8]) -> PacketBuf {
    let nonce = core::array::from_fn(|i| body.get(i).copied().unwrap_or(0xee) ^ 0x33);
    let mut buf = PacketBuf::copied_from(body);
    eavesdropper().seal_with_nonce(code, nonce, &mut buf).unwrap();
    buf
}

pub(crate) fn open(datagram: &[u8]) -> (Code, Vec<u8>) {
    let mut buf = PacketBuf::copied_from(datagram);
    let code = eavesdropper().open(&mut buf).expect("sealed under the key");
    (code, buf.to_vec())
}

fn eavesdropper() -> Codec {
    Codec::new(&key(), [0xee; 32], 0)
}

/// A datagram received from `remote`.
pub(crate) fn from(remote: SocketAddr, payload: PacketBuf) -> Datagram {
    Datagram {
        remote,
        kind: "",
        payload,
    }
}

pub(crate) fn auth_request(login: &str, password: &str) -> PacketBuf {
    seal(
        Code::AuthRequest,
        format!(r#"{{"login":"{login}","password":"{password}"}}"#).as_bytes(),
    )
}

/// A response of the server as the client receives it.
pub(crate) fn auth_response(is_ok: bool) -> Datagram {
    from(
        server_address(),
        seal(Code::AuthResponse, format!(r#"{{"isOK":{is_ok}}}"#).as_bytes()),
    )
}

/// An IP packet of `len` bytes. The addresses determine the version.
pub(crate) fn packet(source: &str, destination: &str, len: usize) -> PacketBuf {
    let mut bytes = vec![0xa5; len];
    match (ip(source), ip(destination)) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            bytes[0] = 0x45;
            bytes[12..16].copy_from_slice(&source.octets());
            bytes[16..20].copy_from_slice(&destination.octets());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            bytes[0] = 0x60;
            bytes[8..24].copy_from_slice(&source.octets());
            bytes[24..40].copy_from_slice(&destination.octets());
        }
        _ => panic!("two families in one packet"),
    }
    PacketBuf::copied_from(&bytes)
}
