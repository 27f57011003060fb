//! Adversaries that speak the secure protocol: holders of the pre-shared key, false servers, and users of refused accounts.

use std::sync::{Arc, LazyLock};

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_lab::derive_seed;
use sandhog_lab::setup::MakePeer;
use sandhog_proto::secure::{self, Login, Psk, ServerSetup, UserStore};
use zeroize::Zeroizing;

use super::intruder::{Account, Aim, Intruder, wire};
use super::{PSK, SETUP, SUITE, clock, config, store, user};
use crate::scenario::adversary::{Part, Speak};
use crate::scenario::{Server, User};

/// The password of logins that need none, because they end before their last message.
const ANY_PASSWORD: &str = "any password";

/// The setup of all false servers.
static FALSE_SETUP: LazyLock<ServerSetup> =
    LazyLock::new(|| ServerSetup::generate(&mut ChaCha20Rng::from_seed(derive_seed(0, "false opaque", &[]))));

/// The function that creates the endpoints of an adversary.
pub(super) fn make(speak: &Speak, server: &Server) -> MakePeer {
    match speak.part {
        Part::KeyHolder => key_holder(speak, server),
        Part::FalseServer => false_server(speak, server),
        Part::RefusedAccount => account_holder(speak, server, Aim::Continue),
        Part::Insider => account_holder(speak, server, Aim::Flood),
    }
}

/// A client of our own. It needs no account, because the adversary withholds its last message.
fn key_holder(speak: &Speak, server: &Server) -> MakePeer {
    let (given, address) = (speak.login.clone(), server.address);
    let password = speak.password.clone().unwrap_or_else(|| ANY_PASSWORD.into());
    Arc::new(move |boot| {
        let name = given
            .clone()
            .unwrap_or_else(|| format!("stranger-{}", boot.number));
        Box::new(secure::Client::new(secure::ClientConfig {
            psk: Psk::new(PSK).expect("the key is neither zero nor published"),
            login: Login::new(&name).expect("the scenario was validated"),
            password: Zeroizing::new(password.clone()),
            suite: SUITE,
            server: address,
            server_key: SETUP.server_key(),
            ticket: None,
            clock: Some(clock(boot.now)),
            mtu_search: false,
            seed: boot.seed,
        }))
    })
}

/// A server of our own, with another setup and other users.
fn false_server(speak: &Speak, server: &Server) -> MakePeer {
    let account = speak.login.as_ref().zip(speak.password.as_ref());
    let guessed = account.map(|(login, password)| User {
        login: login.clone(),
        password: password.clone(),
        addresses: Vec::new(),
    });
    let users: UserStore = store(
        guessed
            .iter()
            .filter_map(|guessed| user(&FALSE_SETUP, guessed).ok())
            .collect(),
    );
    let server = server.clone();
    Arc::new(move |boot| {
        let config = secure::ServerConfig {
            setup: FALSE_SETUP.clone(),
            clock: Some(clock(boot.now)),
            ..config(&server, &users, boot.seed)
        };
        Box::new(secure::Server::new(config).expect("the scenario was validated"))
    })
}

/// A client that has an account and does not follow the protocol.
fn account_holder(speak: &Speak, server: &Server, aim: Aim) -> MakePeer {
    let account = Account {
        login: speak.login.clone().unwrap_or_default(),
        password: speak.password.clone().unwrap_or_default(),
    };
    let address = server.address;
    Arc::new(move |boot| {
        let keys = wire::ServerKeys::of_setup(&SETUP.to_bytes());
        let clock = clock(boot.now);
        Box::new(Intruder::new(
            (&PSK, keys, clock),
            account.clone(),
            address,
            aim,
            boot.seed,
        ))
    })
}
