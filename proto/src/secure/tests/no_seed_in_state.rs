//! Forward secrecy of a whole peer's memory: the part of row 14 of the table in `SECURITY.md` that datagrams
//! do not show.

use alloc::string::ToString;
use alloc::vec;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::secure::{
    Client, ClientConfig, Login, Psk, Server, ServerConfig, ServerSetup, Suite, UserStore, stream,
};

const SEED: [u8; 32] = [0xa5; 32];

fn setup() -> ServerSetup {
    ServerSetup::generate(&mut ChaCha20Rng::from_seed([2; 32]))
}

fn client() -> Client {
    Client::new(ClientConfig {
        psk: Psk::new([1; 32]).unwrap(),
        login: Login::new("kean").unwrap(),
        password: "123456".to_string().into(),
        suite: Suite::Laboratory,
        server: "203.0.113.1:9999".parse().unwrap(),
        server_key: setup().server_key(),
        ticket: None,
        clock: None,
        mtu_search: false,
        seed: SEED,
    })
}

fn server() -> Server {
    Server::new(ServerConfig {
        psk: Psk::new([1; 32]).unwrap(),
        second_psk: None,
        setup: setup(),
        users: UserStore::new(),
        suite: Suite::Laboratory,
        addresses: vec!["10.9.0.1/24".parse().unwrap()],
        mtu: 1420,
        dns: vec![],
        search: vec![],
        routes: vec![],
        keepalive: 25,
        isolate_clients: false,
        clock: None,
        checks_clock: true,
        seed: SEED,
    })
    .unwrap()
}

/// Attack 14: later theft of a peer's generators. Each is derived from the seed, but does not reveal it.
/// Anyone with the seed could compute all past secrets again, whatever else was erased.
#[test]
fn no_generator_of_a_peer_reveals_its_seed_or_another_generator() {
    let (client, server) = (client(), server());
    let [own, indices, cookies] = server.generators();
    let generators = [client.generator(), own, indices, cookies];
    for (n, generator) in generators.iter().enumerate() {
        assert_ne!(generator.get_seed(), SEED, "generator {n}");
        for other in generators.iter().skip(n + 1) {
            assert_ne!(generator.get_seed(), other.get_seed());
        }
    }
    assert_eq!(
        client.generator().get_seed(),
        crate::secure::generator(&SEED, stream::CLIENT).get_seed(),
        "a generator is a function of the seed"
    );
}
