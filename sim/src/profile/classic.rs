//! Clients and servers of the classic profile, as a scenario describes them.

use std::net::SocketAddr;
use std::sync::Arc;

use sandhog_proto::{NetworkSettings, classic};
use zeroize::Zeroizing;

use super::prefixes;
use crate::draw::derive_seed;
use crate::scenario::{Client, Server, User};
use crate::setup::{MakePeer, Nonce, Rules};

/// The kinds of datagrams that scripted faults can name.
pub(super) const KINDS: &[&str] = &["auth-request", "auth-response", "data"];

/// The key of every classic tunnel in the laboratory. Public, and good for nothing else.
const KEY: [u8; 32] = *b"laboratory key: known to anyone!";

/// What the profile promises.
pub(super) fn rules() -> Rules {
    Rules {
        nonce_of: Some(nonce),
        amplification: Some(3),
        inner_owner: true,
        ..Rules::default()
    }
}

/// One key seals everything.
fn nonce(datagram: &[u8]) -> Option<Nonce> {
    let (code, rest) = datagram.split_first()?;
    (1..=3).contains(code).then_some(Nonce {
        key: 0,
        nonce: *rest.first_chunk()?,
        session: false,
    })
}

pub(super) fn server(server: &Server) -> MakePeer {
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

pub(super) fn client(client: &Client, server: SocketAddr) -> MakePeer {
    let own = prefixes(&client.inner);
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
