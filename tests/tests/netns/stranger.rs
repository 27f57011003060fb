//! Third machine that is connected to the server only: its user is not the client's user.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use sandhog_proto::secure::{Client, ClientConfig, Login, Psk, ServerKey, Suite, WallClock, setup_from_text};
use sandhog_proto::{Command, Peer};

use super::namespace::{Namespace, Traffic};
use super::tunnel::Testbed;

/// The server, on its connection to the client.
pub(super) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(198, 18, 0, 1), 40404);
/// Address of the server's end of the connection.
const SERVER_END: &str = "203.0.113.1";
/// Address of the stranger's end.
const OWN_END: &str = "203.0.113.66";
/// Addresses that the stranger also has: 256 networks of 16 bits.
const MORE: &str = "10.0.0.0/8";

/// A machine with very many addresses.
#[derive(Debug)]
pub(super) struct Stranger {
    pub(super) namespace: Namespace,
}

impl Stranger {
    /// Connects a machine to the server of an IPv4 testbed. Neither end asks for hardware addresses, so that every frame on
    /// the connection is a datagram of a program.
    pub(super) fn join(testbed: &Testbed) -> Result<Self, String> {
        let namespace = Namespace::new()?;
        testbed.server.connect("stranger", &namespace, "outer")?;
        testbed
            .server
            .add_address("stranger", &format!("{SERVER_END}/24"))?;
        namespace.add_address("outer", &format!("{OWN_END}/24"))?;
        let ip = |on: &Namespace, command: String| {
            let words: Vec<_> = command.split(' ').collect();
            on.try_run("ip", &words).map(drop)
        };
        let server = &testbed.server;
        ip(server, neighbour(OWN_END, "stranger", 2))?;
        ip(&namespace, neighbour(SERVER_END, "outer", 1))?;
        ip(server, format!("route add {MORE} via {OWN_END} dev stranger"))?;
        ip(
            &namespace,
            format!("route add 198.18.0.1/32 via {SERVER_END} dev outer"),
        )?;
        // All of them are local addresses.
        ip(&namespace, format!("route add local {MORE} dev lo"))?;
        Ok(Self { namespace })
    }

    /// An address in the network with this number.
    pub(super) const fn address(network: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, network, 77, 1)
    }

    /// Sockets in this number of networks.
    pub(super) fn sockets(&self, networks: u16) -> Vec<UdpSocket> {
        let bind = |network| UdpSocket::bind((Self::address(network as u8), 0)).expect("a UDP socket");
        self.namespace.enter(|| (0..networks).map(bind).collect())
    }

    /// Packets and bytes to and from the server.
    pub(super) fn traffic(&self) -> Traffic {
        self.namespace.traffic("outer")
    }
}

fn neighbour(address: &str, device: &str, last: u8) -> String {
    format!("neighbour replace {address} lladdr 02:00:00:00:00:{last:02x} dev {device} nud permanent")
}

/// The keys that every user has: the pre-shared key and the server's key. An account is not part of them.
pub(super) struct SharedKeys {
    psk: Psk,
    server: ServerKey,
}

impl SharedKeys {
    /// The keys of a testbed, from the files of `sandhog init`.
    pub(super) fn of(testbed: &Testbed) -> Self {
        let read = |name| std::fs::read_to_string(testbed.path(name)).expect("a file of the test");
        let setup = setup_from_text(&read("sandhog.setup")).expect("a setup");
        Self {
            psk: Psk::from_base64(read("sandhog.key").trim()).expect("a key"),
            server: setup.server_key(),
        }
    }

    /// A client that begins a login for `login` with a wrong password. `number` makes it different from all others.
    pub(super) fn begin(&self, login: &str, number: u64, now: sandhog_proto::Instant) -> Client {
        let mut seed = [11; 32];
        seed[..8].copy_from_slice(&number.to_be_bytes());
        let mut client = Client::new(ClientConfig {
            psk: self.psk.clone(),
            login: Login::new(login).expect("a login"),
            password: "a guess".to_owned().into(),
            suite: Suite::Standard,
            server: SERVER.into(),
            server_key: self.server,
            ticket: None,
            clock: Some(WallClock::new(now, unix_millis())),
            mtu_search: false,
            seed,
        });
        client.command(now, Command::Start).expect("a new client");
        client
    }
}

/// The time of this machine, in milliseconds since 1970.
pub(super) fn unix_millis() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH
        .elapsed()
        .expect("a time after 1970");
    u64::try_from(since.as_millis()).expect("a plausible time")
}
