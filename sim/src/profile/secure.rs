//! Profile `secure`: clients and servers of the secure protocol, as a scenario describes them.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_lab::derive_seed;
use sandhog_lab::setup::{MakePeer, Nonce, Rules};
use sandhog_peer::Instant;
use sandhog_proto::secure::{self, Login, Psk, ServerSetup, Suite, UserStore, register};
use zeroize::Zeroizing;

use super::operator::{Change, Operated};
use super::{Features, Profile};
use crate::builtin::{self, Builtin};
use crate::scenario::{Client, Scenario, Server, TimedEvent, User};
use crate::setup::{origin, prefixes};

/// The secure profile.
#[derive(Clone, Copy, Debug)]
pub struct Secure;

impl Profile for Secure {
    fn name(&self) -> &'static str {
        "secure"
    }

    fn kinds(&self) -> &'static [&'static str] {
        KINDS
    }

    fn counted_kinds(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn rules(&self) -> Rules {
        Rules {
            nonce_of: Some(nonce),
            at_most_once: true,
            amplification: Some(1),
            unauthenticated: Some(1024),
            fresh_roaming: true,
            key_age: Some(secure::REJECT_AFTER),
            inner_owner: true,
            ..Rules::default()
        }
    }

    fn features(&self) -> Features {
        Features {
            login: true,
            assigned_addresses: true,
            mtu_search: true,
            cipher: true,
            accounts: true,
        }
    }

    fn header_len(&self) -> usize {
        HEADER_LEN
    }

    fn check_login(&self, login: &str) -> Result<(), String> {
        Login::new(login).map(|_| ()).map_err(|error| error.to_string())
    }

    fn check_server(&self, server: &Server) -> Result<(), String> {
        let users = server
            .users
            .iter()
            .map(user)
            .collect::<Result<Vec<_>, String>>()?;
        secure::Server::new(config(server, &store(users), [0; 32]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn server(&self, scenario: &Scenario, server: &Server) -> MakePeer {
        make_server(server, changes(scenario, server))
    }

    fn client(&self, _: &Scenario, client: &Client, server: SocketAddr) -> MakePeer {
        make_client(client, server)
    }

    fn scenarios(&self) -> Vec<Builtin> {
        builtin::of_profile(self.name())
    }
}

/// Bytes of a datagram that are not encrypted: code 1, nonce 12.
const HEADER_LEN: usize = 13;

/// The kinds of datagrams.
const KINDS: &[&str] = &[
    "login",
    "login-cookie",
    "cookie",
    "ke2",
    "ke3",
    "settings",
    "refused",
    "data",
    "ping",
    "probe",
    "pong",
    "rekey",
    "rekeyed",
    "bye",
    "reg1",
    "reg2",
    "reg3",
    "reg-ok",
];

/// The pre-shared key of every tunnel in the laboratory. Public, and good for nothing else.
const PSK: [u8; 32] = *b"laboratory key: known to anyone!";

/// Passwords are stretched in no time: a laboratory has no secrets.
const SUITE: Suite = Suite::Laboratory;

/// The server's part of all passwords, the same in every laboratory. Made once: it costs as much as a login.
static SETUP: LazyLock<ServerSetup> =
    LazyLock::new(|| ServerSetup::generate(&mut ChaCha20Rng::from_seed(derive_seed(0, "opaque", &[]))));

/// Each control key seals under random nonces; a session's nonce begins with the receiver's index, which tells one key
/// from another.
fn nonce(datagram: &[u8]) -> Option<Nonce> {
    let (code, rest) = datagram.split_first()?;
    (1..=3).contains(code).then_some(Nonce {
        key: u64::from(*code),
        nonce: *rest.first_chunk()?,
        session: *code == secure::Code::Session.byte(),
    })
}

fn user(user: &User) -> Result<secure::User, String> {
    let login = Login::new(&user.login).map_err(|error| error.to_string())?;
    let mut rng = ChaCha20Rng::from_seed(derive_seed(0, &user.login, &[]));
    let record =
        register(&SETUP, SUITE, &login, &user.password, &mut rng).map_err(|error| error.to_string())?;
    let v4 = |address: &IpAddr| match address {
        IpAddr::V4(v4) => Some(*v4),
        IpAddr::V6(_) => None,
    };
    let v6 = |address: &IpAddr| match address {
        IpAddr::V6(v6) => Some(*v6),
        IpAddr::V4(_) => None,
    };
    Ok(secure::User {
        login,
        record,
        suite: SUITE,
        disabled: false,
        expires: None,
        address4: user.addresses.iter().find_map(v4),
        address6: user.addresses.iter().find_map(v6),
        max_sessions: 1,
    })
}

fn store(users: Vec<secure::User>) -> UserStore {
    let mut store = UserStore::default();
    for user in users {
        // Doubles were found when the scenario was read.
        let _ = store.add(user);
    }
    store
}

fn config(server: &Server, users: &UserStore, seed: [u8; 32]) -> secure::ServerConfig {
    let addresses = prefixes(&server.inner);
    secure::ServerConfig {
        psk: Psk::new(PSK).expect("it is neither zero nor published"),
        setup: SETUP.clone(),
        users: users.clone(),
        suite: SUITE,
        routes: addresses.clone(),
        addresses,
        mtu: server.mtu,
        dns: Vec::new(),
        search: Vec::new(),
        keepalive: 25,
        isolate_clients: false,
        unix_origin: None,
        seed,
    }
}

/// What the operator of `server` does to its accounts, in the order of time.
fn changes(scenario: &Scenario, server: &Server) -> VecDeque<(Instant, Change)> {
    let of_server = |event: &TimedEvent| {
        let account = event
            .account
            .clone()
            .filter(|account| account.server == server.name)?;
        let login = Login::new(&account.login).ok()?;
        let change = match (account.becomes, account.password) {
            (Some(state), _) => Change::Becomes(login, state),
            (None, password) => {
                let mut rng = ChaCha20Rng::from_seed(derive_seed(0, "operator", &[]));
                let record = register(&SETUP, SUITE, &login, &password?, &mut rng).ok()?;
                Change::Record(login, Box::new(record))
            }
        };
        Some((origin(event.at.0), change))
    };
    let mut changes: Vec<_> = scenario.events.iter().filter_map(of_server).collect();
    changes.sort_by_key(|(at, _)| *at);
    changes.into()
}

fn make_server(server: &Server, changes: VecDeque<(Instant, Change)>) -> MakePeer {
    let users = store(server.users.iter().filter_map(|one| user(one).ok()).collect());
    let server = server.clone();
    Arc::new(move |boot| {
        let config = config(&server, &users, boot.seed);
        let mut peer = secure::Server::new(config).expect("the scenario was validated");
        peer.set_cipher(server.cipher.into());
        match changes.is_empty() {
            true => Box::new(peer),
            false => Box::new(Operated::new(peer, users.clone(), changes.clone())),
        }
    })
}

fn make_client(client: &Client, server: SocketAddr) -> MakePeer {
    let login = Login::new(&client.login).expect("the scenario was validated");
    let password = Zeroizing::new(client.password.clone());
    let (mtu_search, cipher) = (client.mtu_search, client.cipher);
    Arc::new(move |boot| {
        let mut peer = secure::Client::new(secure::ClientConfig {
            psk: Psk::new(PSK).expect("it is neither zero nor published"),
            login: login.clone(),
            password: password.clone(),
            suite: SUITE,
            server,
            mtu_search,
            seed: boot.seed,
        });
        peer.set_cipher(cipher.into());
        Box::new(peer)
    })
}
