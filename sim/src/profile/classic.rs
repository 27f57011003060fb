//! Profile `classic`: clients and servers of the classic protocol.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::derive_seed;
use sandhog_lab::setup::{MakePeer, Nonce, Rules};
use sandhog_proto::{NetworkSettings, classic};
use zeroize::Zeroizing;

use crate::builtin::{self, Builtin};
use crate::scenario::{Client, Features, Profile, Scenario, Server, User};

/// The classic profile.
#[derive(Clone, Copy, Debug)]
pub struct Classic;

impl Profile for Classic {
    fn name(&self) -> &'static str {
        "classic"
    }

    fn kinds(&self) -> &'static [&'static str] {
        &["auth-request", "auth-response", "data"]
    }

    fn counted_kinds(&self) -> &'static [&'static str] {
        &["data"]
    }

    fn rules(&self) -> Rules {
        Rules {
            nonce_of: Some(nonce),
            amplification: Some(3),
            inner_owner: true,
            ..Rules::default()
        }
    }

    /// The time of a login. A client does not notice that its server is silent.
    fn liveness(&self) -> Duration {
        classic::LOGIN_TIMEOUT
    }

    fn features(&self) -> Features {
        Features {
            login: true,
            ..Features::default()
        }
    }

    fn header_len(&self) -> usize {
        HEADER_LEN
    }

    fn server(&self, _: &Scenario, server: &Server) -> MakePeer {
        make_server(server)
    }

    fn client(&self, _: &Scenario, client: &Client, server: SocketAddr) -> MakePeer {
        make_client(client, server)
    }

    fn scenarios(&self) -> Vec<Builtin> {
        builtin::of_profile(self.name())
    }
}

/// Length of the unencrypted header: code 1, nonce 12.
const HEADER_LEN: usize = 13;

/// The key of all simulated tunnels. It is public, so never use it for anything else.
const KEY: [u8; 32] = *b"laboratory key: known to anyone!";

/// The nonce of a datagram. There is only one key.
fn nonce(datagram: &[u8]) -> Option<Nonce> {
    let (code, rest) = datagram.split_first()?;
    (1..=3).contains(code).then_some(Nonce {
        key: 0,
        nonce: *rest.first_chunk()?,
        session: false,
    })
}

fn make_server(server: &Server) -> MakePeer {
    let user = |user: &User| {
        let mut salt = [0; 16];
        salt.copy_from_slice(&derive_seed(0, &user.login, &[])[..16]);
        classic::User {
            login: user.login.clone(),
            password_hash: classic::hash_password(&user.password, salt, classic::HashCost::LABORATORY),
            addresses: user.addresses.clone(),
        }
    };
    let users: Vec<classic::User> = server.users.iter().map(user).collect();
    let mtu = server.mtu;
    Arc::new(move |boot| {
        let key = classic::Key::new(KEY);
        let config = classic::ServerConfig {
            key,
            users: users.clone(),
            mtu,
            seed: boot.seed,
        };
        Box::new(classic::Server::new(config).expect("the scenario was validated"))
    })
}

fn make_client(client: &Client, server: SocketAddr) -> MakePeer {
    let own = client.inner_prefixes();
    let settings = NetworkSettings {
        tunnel_remote_address: server.ip(),
        included_routes: own.clone(),
        addresses: own,
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: client.mtu,
    };
    let (login, password) = (client.login.clone(), client.password.clone());
    Arc::new(move |boot| {
        Box::new(classic::Client::new(classic::ClientConfig {
            key: classic::Key::new(KEY),
            login: login.clone(),
            password: Zeroizing::new(password.clone()),
            server,
            settings: settings.clone(),
            seed: boot.seed,
        }))
    })
}
