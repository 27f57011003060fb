//! Profile `secure`: clients and servers of the secure protocol.

mod adversaries;
mod intruder;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use sandhog_lab::derive_seed;
use sandhog_lab::setup::{MakePeer, Nonce, Rules};
use sandhog_peer::Instant;
use sandhog_proto::aead;
use sandhog_proto::secure::{
    self, Login, Psk, Record, ServerSetup, Suite, Ticket, UserStore, WallClock, register,
};
use zeroize::Zeroizing;

use super::operator::{Change, OperatedServer};
use super::user::ChangingClient;
use crate::builtin::{self, Builtin};
use crate::scenario::adversary::{Part, Speak};
use crate::scenario::{Cipher, Client, Clock, Features, Profile, Scenario, Server, TimedEvent, User};

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
            accepted_changes: true,
            first_message_age: Some(Duration::from_secs(60)),
            ..Rules::default()
        }
    }

    /// A client notices a silent server after [`secure::DEAD_AFTER`]. After a failed login it waits for at most
    /// [`secure::MAX_RECONNECT_WAIT`], which is longer. Then it logs in.
    fn liveness(&self) -> Duration {
        secure::DEAD_AFTER.max(secure::MAX_RECONNECT_WAIT) + secure::LOGIN_TIMEOUT
    }

    fn features(&self) -> Features {
        Features {
            login: true,
            assigned_addresses: true,
            mtu_search: true,
            cipher: true,
            accounts: true,
            clock: true,
            retries: true,
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
            .map(|one| user(&SETUP, one))
            .collect::<Result<Vec<_>, String>>()?;
        secure::Server::new(config(server, &store(users), [0; 32]))
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn server(&self, scenario: &Scenario, server: &Server) -> MakePeer {
        make_server(
            server,
            changes(scenario, server),
            clock_changes(scenario, &server.name),
        )
    }

    fn client(&self, scenario: &Scenario, client: &Client, server: SocketAddr) -> MakePeer {
        make_client(
            client,
            server,
            ticket(scenario, client, server),
            clock_changes(scenario, &client.name),
            password_changes(scenario, &client.name),
        )
    }

    fn adversary(&self, _: &Scenario, speak: &Speak, server: &Server) -> Option<MakePeer> {
        Some(adversaries::make(speak, server))
    }

    fn withheld(&self, part: Part) -> &'static [&'static str] {
        match part {
            Part::KeyHolder => &["ke3"],
            Part::FalseServer | Part::RefusedAccount | Part::Insider => &[],
        }
    }

    fn scenarios(&self) -> Vec<Builtin> {
        builtin::of_profile(self.name())
    }
}

/// Length of the unencrypted header: code 1, nonce 12.
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
    "prove1",
    "prove2",
    "prove3",
    "reg2",
    "reg3",
    "reg-ok",
];

/// The pre-shared key of all simulated tunnels. It is public, so never use it for anything else.
const PSK: [u8; 32] = *b"laboratory key: known to anyone!";

/// The suite without password stretching. The simulator protects no secrets, and stretching would only take time.
const SUITE: Suite = Suite::Laboratory;

/// The setup of all simulated servers. It is created once, because that takes as much time as a login.
static SETUP: LazyLock<ServerSetup> =
    LazyLock::new(|| ServerSetup::generate(&mut ChaCha20Rng::from_seed(derive_seed(0, "opaque", &[]))));

/// The nonce and the key of a datagram. Control messages have one key for each code. The nonce of a session starts with the
/// index of the receiver, which identifies the key.
fn nonce(datagram: &[u8]) -> Option<Nonce> {
    let (code, rest) = datagram.split_first()?;
    (1..=3).contains(code).then_some(Nonce {
        key: u64::from(*code),
        nonce: *rest.first_chunk()?,
        session: *code == secure::Code::Session.byte(),
    })
}

/// Largest number of registrations that are kept.
const MAX_RECORDS: usize = 10_000;

/// The registration of a user with `setup`.
///
/// With the setup of all simulated servers, it depends only on the name and the password, and takes as long as half a login. So it
/// is kept for the next server with the same user.
fn record(setup: &ServerSetup, login: &Login, password: &str) -> Result<Record, String> {
    static RECORDS: Mutex<BTreeMap<(String, String), Record>> = Mutex::new(BTreeMap::new());
    let is_common = std::ptr::eq(setup, &raw const *SETUP);
    let key = (login.as_str().to_owned(), password.to_owned());
    let kept = || RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
    let known = kept().get(&key).filter(|_| is_common).cloned();
    if let Some(record) = known {
        return Ok(record);
    }
    let mut rng = ChaCha20Rng::from_seed(derive_seed(0, login.as_str(), &[]));
    let record = register(setup, SUITE, login, password, &mut rng).map_err(|error| error.to_string())?;
    if is_common {
        let mut kept = kept();
        if kept.len() >= MAX_RECORDS {
            kept.clear();
        }
        kept.insert(key, record.clone());
    }
    Ok(record)
}

/// A user that is registered with `setup`.
fn user(setup: &ServerSetup, user: &User) -> Result<secure::User, String> {
    let login = Login::new(&user.login).map_err(|error| error.to_string())?;
    let record = record(setup, &login, &user.password)?;
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
        // The validation has rejected duplicate users.
        let _ = store.add(user);
    }
    store
}

/// The true time.
fn clock(now: Instant) -> WallClock {
    clock_at(Clock::Right, &[], now).unwrap_or_else(|| WallClock::new(now, 0))
}

/// The wall clock of a host that boots at `now`: the latest of its changes, or else the first one.
fn clock_at(first: Clock, changes: &[(Instant, Clock)], now: Instant) -> Option<WallClock> {
    let is_past = |change: &&(Instant, Clock)| change.0 <= now;
    let latest = changes
        .iter()
        .rev()
        .find(is_past)
        .map_or(first, |(_, clock)| *clock);
    latest.shows(now).map(|shown| WallClock::new(now, shown))
}

/// The changes of the wall clock of the host `name`, in the order of their times.
fn clock_changes(scenario: &Scenario, name: &str) -> Vec<(Instant, Clock)> {
    let of_host = |event: &TimedEvent| {
        let change = event.clock.as_ref().filter(|change| change.of == name)?;
        let times = event.occurrences(scenario.duration);
        Some(
            times
                .map(|(_, at)| (Instant::ZERO + at, change.becomes))
                .collect::<Vec<_>>(),
        )
    };
    let mut changes: Vec<_> = scenario.events.iter().filter_map(of_host).flatten().collect();
    changes.sort_by_key(|(at, _)| *at);
    changes
}

fn config(server: &Server, users: &UserStore, seed: [u8; 32]) -> secure::ServerConfig {
    let addresses = server.inner_prefixes();
    secure::ServerConfig {
        psk: Psk::new(PSK).expect("the key is neither zero nor published"),
        second_psk: None,
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
        clock: Some(clock(Instant::ZERO)),
        checks_clock: server.checks_clock,
        seed,
    }
}

fn cipher(cipher: Cipher) -> aead::Cipher {
    match cipher {
        Cipher::ChaCha20Poly1305 => aead::Cipher::ChaCha20Poly1305,
        Cipher::Aes256Gcm => aead::Cipher::Aes256Gcm,
    }
}

/// The account changes of `server`, in the order of their times.
fn changes(scenario: &Scenario, server: &Server) -> VecDeque<(Instant, Change)> {
    let of_server = |event: &TimedEvent| {
        let account = event
            .account
            .clone()
            .filter(|account| account.server == server.name)?;
        let login = Login::new(&account.login).ok()?;
        let change = match (account.becomes, account.password) {
            (Some(state), _) => Change::State(login, state),
            (None, password) => {
                let mut rng = ChaCha20Rng::from_seed(derive_seed(0, "operator", &[]));
                let record = register(&SETUP, SUITE, &login, &password?, &mut rng).ok()?;
                Change::Record(login, Box::new(record))
            }
        };
        Some((Instant::ZERO + event.at.0, change))
    };
    let mut changes: Vec<_> = scenario.events.iter().filter_map(of_server).collect();
    changes.sort_by_key(|(at, _)| *at);
    changes.into()
}

/// The changes of the password by the user of the client `name`, in the order of their times.
fn password_changes(scenario: &Scenario, name: &str) -> VecDeque<(Instant, Zeroizing<String>)> {
    let of_client = |event: &TimedEvent| {
        let change = event.passwd.as_ref().filter(|change| change.client == name)?;
        Some((
            Instant::ZERO + event.at.0,
            Zeroizing::new(change.password.clone()),
        ))
    };
    let mut changes: Vec<_> = scenario.events.iter().filter_map(of_client).collect();
    changes.sort_by_key(|(at, _)| *at);
    changes.into()
}

fn make_server(
    server: &Server,
    changes: VecDeque<(Instant, Change)>,
    clocks: Vec<(Instant, Clock)>,
) -> MakePeer {
    let users = store(
        server
            .users
            .iter()
            .filter_map(|one| user(&SETUP, one).ok())
            .collect(),
    );
    let server = server.clone();
    Arc::new(move |boot| {
        let config = secure::ServerConfig {
            clock: clock_at(server.clock, &clocks, boot.now),
            ..config(&server, &users, boot.seed)
        };
        let mut peer = secure::Server::new(config).expect("the scenario was validated");
        peer.set_cipher(cipher(server.cipher));
        match changes.is_empty() {
            true => Box::new(peer),
            false => Box::new(OperatedServer::new(peer, changes.clone())),
        }
    })
}

/// The ticket in the profile of a client, as the server's operator issues it together with the account.
fn ticket(scenario: &Scenario, client: &Client, server: SocketAddr) -> Option<Ticket> {
    let server = scenario.servers.iter().find(|one| one.address == server)?;
    let is_own = |user: &&User| user.login == client.login && user.password == client.password;
    let account = server.users.iter().find(is_own)?;
    let login = Login::new(&account.login).ok()?;
    let record = record(&SETUP, &login, &account.password).ok()?;
    Some(SETUP.ticket(&login, &record, clock(Instant::ZERO).seconds(Instant::ZERO)))
}

fn make_client(
    client: &Client,
    server: SocketAddr,
    ticket: Option<Ticket>,
    clocks: Vec<(Instant, Clock)>,
    passwords: VecDeque<(Instant, Zeroizing<String>)>,
) -> MakePeer {
    let login = Login::new(&client.login).expect("the scenario was validated");
    let password = Zeroizing::new(client.password.clone());
    let (mtu_search, cipher) = (client.mtu_search, cipher(client.cipher));
    let client = client.clone();
    Arc::new(move |boot| {
        let mut peer = secure::Client::new(secure::ClientConfig {
            psk: Psk::new(PSK).expect("the key is neither zero nor published"),
            login: login.clone(),
            password: password.clone(),
            suite: SUITE,
            server,
            server_key: SETUP.server_key(),
            ticket,
            clock: clock_at(client.clock, &clocks, boot.now),
            mtu_search,
            seed: boot.seed,
        });
        peer.set_cipher(cipher);
        if !client.once {
            peer.retry_start();
        }
        let later: VecDeque<_> = passwords
            .iter()
            .filter(|(at, _)| *at >= boot.now)
            .cloned()
            .collect();
        match later.is_empty() {
            true => Box::new(peer),
            false => Box::new(ChangingClient::new(peer, later)),
        }
    })
}
