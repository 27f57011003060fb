//! A client and a server that are connected, for the models in `tests/`.
//!
//! Loom runs a model again and again, in every order of its steps, and with every value that a load may return. A model may have at
//! most four threads and few steps.

#![cfg(loom)]

use std::net::SocketAddr;

use loom::sync::{Arc, Mutex};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::secure::{
    Client, ClientConfig, DataPaths, DataPeer, Login, Psk, Server, ServerConfig, ServerSetup, Suite, User,
    UserStore, register,
};
use sandhog_proto::{Batch, Datagram, Instant, PacketBuf, Peer};

/// The time of everything in a model.
pub const NOW: Instant = Instant::from_secs(1);

/// A cell with the newest snapshot of the sessions.
///
/// The program uses the crate `arc-swap`, which does not run under loom. This cell has the same contract: a reader gets the old
/// snapshot or the new one, and keeps it alive.
#[derive(Clone)]
pub struct Table(Arc<Mutex<std::sync::Arc<DataPaths>>>);

impl Table {
    /// A cell with the present snapshot of `peer`.
    pub fn of(peer: &mut impl DataPeer) -> Self {
        Self(Arc::new(Mutex::new(peer.data_paths().into())))
    }

    /// The newest snapshot.
    pub fn load(&self) -> std::sync::Arc<DataPaths> {
        self.0.lock().expect("no thread panics").clone()
    }

    /// Replaces the snapshot by the present one of `peer`.
    pub fn publish(&self, peer: &mut impl DataPeer) {
        *self.0.lock().expect("no thread panics") = peer.data_paths().into();
    }
}

/// A client and a server, directly connected.
pub struct Pair {
    /// The client.
    pub client: Client,
    /// The server.
    pub server: Server,
}

fn client_address() -> SocketAddr {
    "198.51.100.2:50000".parse().expect("an address")
}

fn server_address() -> SocketAddr {
    "203.0.113.1:9999".parse().expect("an address")
}

fn server(setup: ServerSetup, login: &Login) -> Server {
    let mut rng = ChaCha20Rng::from_seed([1; 32]);
    let record = register(&setup, Suite::Laboratory, login, "123456", &mut rng).expect("a short password");
    let mut users = UserStore::new();
    let user = User {
        login: login.clone(),
        record,
        suite: Suite::Laboratory,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    };
    users.add(user).expect("the first user");
    let config = ServerConfig {
        psk: Psk::new([1; 32]).expect("a key"),
        second_psk: None,
        setup,
        users,
        suite: Suite::Laboratory,
        addresses: vec!["10.9.0.1/24".parse().expect("a prefix")],
        mtu: 1420,
        dns: vec![],
        search: vec![],
        routes: vec![],
        keepalive: 0,
        isolate_clients: false,
        clock: None,
        checks_clock: true,
        seed: [2; 32],
    };
    Server::new(config).expect("a valid configuration")
}

impl Pair {
    /// A pair that has logged in, and that has not rekeyed yet: its datagrams wait in the second value.
    pub fn logged_in() -> (Self, Vec<Datagram>) {
        let setup = ServerSetup::generate(&mut ChaCha20Rng::from_seed([0; 32]));
        let login = Login::new("kean").expect("a name");
        let client = Client::new(ClientConfig {
            psk: Psk::new([1; 32]).expect("a key"),
            login: login.clone(),
            password: "123456".to_owned().into(),
            suite: Suite::Laboratory,
            server: server_address(),
            server_key: setup.server_key(),
            ticket: None,
            clock: None,
            mtu_search: false,
            seed: [3; 32],
        });
        let server = server(setup, &login);
        let mut pair = Self { client, server };
        pair.client.start(NOW).expect("the first start");
        let mut up = turn(&mut pair.client, vec![], client_address());
        // M0, M1 and M3, with their answers.
        for _ in 0..3 {
            let down = turn(&mut pair.server, up, server_address());
            up = turn(&mut pair.client, down, client_address());
        }
        assert!(pair.client.settings().is_some(), "the login is complete");
        (pair, up)
    }

    /// Gives datagrams of the client to the server, and returns the answers.
    pub fn to_server(&mut self, datagrams: Vec<Datagram>) -> Vec<Datagram> {
        turn(&mut self.server, datagrams, server_address())
    }

    /// Gives datagrams of the server to the client, and returns the answers.
    pub fn to_client(&mut self, datagrams: Vec<Datagram>) -> Vec<Datagram> {
        turn(&mut self.client, datagrams, client_address())
    }
}

/// A turn of a peer, and of its jobs. The datagrams are from `source` afterwards.
fn turn(peer: &mut dyn Peer, datagrams: Vec<Datagram>, source: SocketAddr) -> Vec<Datagram> {
    let (mut input, mut output) = (Batch::default(), Batch::default());
    input.datagrams = datagrams;
    peer.turn(NOW, &mut input, &mut output);
    while let Some(job) = peer.poll_job() {
        peer.handle_job(NOW, job.run()).expect("a job of this peer");
    }
    peer.turn(NOW, &mut Batch::default(), &mut output);
    for datagram in &mut output.datagrams {
        datagram.remote = source;
    }
    output.datagrams
}

/// A datagram of the client.
pub fn from_client(bytes: &[u8]) -> Datagram {
    Datagram {
        remote: client_address(),
        kind: "data",
        payload: PacketBuf::copied_from(bytes),
    }
}
