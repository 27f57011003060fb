//! Validation of a scenario beyond its types: existing names, unique addresses, keys that exclude each other.

mod adversaries;
mod events;
mod expect;
mod links;
mod picks;
mod steps;
mod texts;

use std::collections::BTreeSet;
use std::time::Duration;

use sandhog_lab::record::HostId;
use sandhog_lab::suggest::suggestion;
use sandhog_peer::IpPrefix;

use super::error::PathPart;
use super::profile::Profile;
use super::values::Span;
use super::{Cipher, Client, Clock, Scenario, Server};

/// A mistake, and the path to the wrong value.
pub(super) struct Mistake<'a> {
    pub(super) path: Vec<PathPart<'a>>,
    pub(super) message: String,
}

type Checked<'a> = Result<(), Mistake<'a>>;

fn mistake<'a>(path: &[PathPart<'a>], message: impl Into<String>) -> Mistake<'a> {
    Mistake {
        path: path.to_vec(),
        message: message.into(),
    }
}

/// The message for port 0.
const PORT_ZERO: &str = "port 0 is not valid; choose a port from 1 to 65535";

/// The longest run. Twice this time in nanoseconds is below 2^53, so JSON readers keep it exactly (RFC 8259, section 6).
const MAX_DURATION: Duration = Duration::from_secs(50 * 24 * 3600);

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    texts::validate(scenario)?;
    if scenario.resolution.0.is_zero() || scenario.resolution.0.as_secs() > 1 {
        return Err(mistake(
            &[PathPart::Key("resolution")],
            "the resolution must be between 1ns and 1s",
        ));
    }
    if scenario.duration.0 < scenario.resolution.0 {
        return Err(mistake(
            &[PathPart::Key("duration")],
            "the duration is shorter than the resolution",
        ));
    }
    for (key, span) in [
        ("duration", Some(scenario.duration)),
        ("liveness", scenario.liveness),
    ] {
        if span.is_some_and(|span| span.0 > MAX_DURATION) {
            return Err(mistake(
                &[PathPart::Key(key)],
                "at most 1200h (50 days); longer times do not fit into the numbers of JSON",
            ));
        }
    }
    validate_count(scenario)?;
    validate_hosts(scenario)?;
    for (index, client) in scenario.clients.iter().enumerate() {
        validate_client(scenario, index, client)?;
    }
    steps::validate_servers(scenario)?;
    links::validate(scenario)?;
    events::validate(scenario)?;
    adversaries::validate(scenario)?;
    expect::validate(scenario)?;
    validate_starts(scenario)
}

/// Checks that each tunnel and each step starts before the end of the run.
fn validate_starts(scenario: &Scenario) -> Checked<'_> {
    let late = |path: &[PathPart<'static>], subject: &str, time: Span| match time.0 < scenario.duration.0 {
        true => Ok(()),
        false => Err(mistake(
            path,
            format!(
                "{subject} never starts, because the run ends after {}; increase `duration`",
                scenario.duration
            ),
        )),
    };
    for (index, client) in scenario.clients.iter().enumerate() {
        let table = [PathPart::Key("client"), PathPart::Index(index)];
        let path = [&table[..], &[PathPart::Key("start")]].concat();
        late(&path, "this tunnel", client.start)?;
        for (number, step) in client.steps.iter().enumerate() {
            let step_path = [PathPart::Key("do"), PathPart::Index(number), PathPart::Key("at")];
            late(&[&table[..], &step_path].concat(), "this step", step.at)?;
        }
    }
    Ok(())
}

/// Checks that each host can have a number of its own.
fn validate_count(scenario: &Scenario) -> Checked<'_> {
    let count = scenario.servers.len() + scenario.clients.len() + scenario.adversaries.len();
    if count > usize::from(HostId::MAX) {
        let problem = format!(
            "there are {count} hosts and adversaries; at most {} are possible, so remove some",
            HostId::MAX
        );
        return Err(mistake(&[PathPart::Key("client")], problem));
    }
    Ok(())
}

/// Checks the names and addresses of servers and clients.
fn validate_hosts(scenario: &Scenario) -> Checked<'_> {
    if scenario.servers.is_empty() {
        return Err(mistake(
            &[PathPart::Key("server")],
            "a scenario needs at least one [[server]]",
        ));
    }
    let servers = scenario
        .servers
        .iter()
        .map(|host| ("server", &host.name, host.address, &host.inner, host.mtu));
    let clients = scenario
        .clients
        .iter()
        .map(|host| ("client", &host.name, host.address, &host.inner, host.mtu));
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (number, (table, name, address, inner, mtu)) in servers.chain(clients).enumerate() {
        let index = if table == "server" {
            number
        } else {
            number - scenario.servers.len()
        };
        let host = [PathPart::Key(table), PathPart::Index(index)];
        let at = |key| [host[0], host[1], PathPart::Key(key)];
        if !is_plain_name(name) {
            return Err(mistake(
                &at("name"),
                "a name has 1 to 32 letters, digits, `-` and `_`",
            ));
        }
        if !names.insert(name) {
            return Err(mistake(&at("name"), format!("there is already a host `{name}`")));
        }
        if !addresses.insert(address) {
            return Err(mistake(
                &at("address"),
                format!("another host already has {address}"),
            ));
        }
        if address.port() == 0 {
            return Err(mistake(&at("address"), PORT_ZERO));
        }
        if !(576..=9000).contains(&mtu) {
            return Err(mistake(&at("mtu"), "the MTU must be between 576 and 9000"));
        }
        let is_assigned = table == "client" && inner.is_empty();
        if !is_assigned {
            validate_inner(&host, inner)?;
        }
    }
    for (index, server) in scenario.servers.iter().enumerate() {
        validate_server(scenario.profile, index, server)?;
    }
    Ok(())
}

/// Checks the keys that only servers have.
fn validate_server<'a>(profile: &'static dyn Profile, index: usize, server: &'a Server) -> Checked<'a> {
    validate_users(profile, index, server)?;
    validate_files(index, server)?;
    validate_cipher(profile, "server", index, server.cipher)?;
    validate_clock(profile, "server", index, server.clock, server.checks_clock)?;
    profile.check_server(server).map_err(|message| {
        mistake(
            &[
                PathPart::Key("server"),
                PathPart::Index(index),
                PathPart::Key("inner"),
            ],
            message,
        )
    })?;
    Ok(())
}

fn is_plain_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    !name.is_empty() && name.len() <= 32 && name.chars().all(plain)
}

/// Checks the addresses of a host inside the tunnel.
fn validate_inner<'a>(host: &[PathPart<'a>; 2], inner: &[String]) -> Checked<'a> {
    for (number, prefix) in inner.iter().enumerate() {
        if let Err(error) = prefix.parse::<IpPrefix>() {
            let path = [host[0], host[1], PathPart::Key("inner"), PathPart::Index(number)];
            return Err(mistake(
                &path,
                format!("`{prefix}`: {error}; expected an address like `10.9.0.2/24`"),
            ));
        }
    }
    if inner.is_empty() || inner.len() > 4 {
        let path = [host[0], host[1], PathPart::Key("inner")];
        return Err(mistake(&path, "a host has 1 to 4 inner addresses"));
    }
    Ok(())
}

/// Checks that the profile supports the cipher.
fn validate_cipher<'a>(
    profile: &dyn Profile,
    table: &'static str,
    index: usize,
    cipher: Cipher,
) -> Checked<'a> {
    if !profile.features().cipher && cipher != Cipher::default() {
        return Err(mistake(
            &[
                PathPart::Key(table),
                PathPart::Index(index),
                PathPart::Key("cipher"),
            ],
            format!(
                "profile `{}` has no choice of cipher; remove this key",
                profile.name()
            ),
        ));
    }
    Ok(())
}

/// Checks that the served files are in the folder of the scenario.
fn validate_files(index: usize, server: &Server) -> Checked<'_> {
    for (number, file) in server.serve.files.iter().enumerate() {
        if file.is_empty() || file.contains("..") || file.starts_with('/') || file.contains('\\') {
            let path = [
                PathPart::Key("server"),
                PathPart::Index(index),
                PathPart::Key("serve"),
                PathPart::Key("files"),
                PathPart::Index(number),
            ];
            return Err(mistake(
                &path,
                format!("`{file}`: a server serves only files in the folder of the scenario"),
            ));
        }
    }
    Ok(())
}

/// Checks the users of a server.
fn validate_users<'a>(profile: &dyn Profile, index: usize, server: &'a Server) -> Checked<'a> {
    if !profile.features().login && !server.users.is_empty() {
        return Err(mistake(
            &[
                PathPart::Key("server"),
                PathPart::Index(index),
                PathPart::Key("user"),
            ],
            format!("profile `{}` has no login; remove the users", profile.name()),
        ));
    }
    let (mut logins, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for (number, user) in server.users.iter().enumerate() {
        let table = [
            PathPart::Key("server"),
            PathPart::Index(index),
            PathPart::Key("user"),
            PathPart::Index(number),
        ];
        if let Err(message) = profile.check_login(&user.login) {
            return Err(mistake(
                &[&table[..], &[PathPart::Key("login")]].concat(),
                message,
            ));
        }
        if !logins.insert(&user.login) {
            let path = [&table[..], &[PathPart::Key("login")]].concat();
            return Err(mistake(
                &path,
                format!("there is already a user `{}`", user.login),
            ));
        }
        for (index, address) in user.addresses.iter().enumerate() {
            if !addresses.insert(address) {
                let path = [&table[..], &[PathPart::Key("addresses"), PathPart::Index(index)]].concat();
                return Err(mistake(&path, format!("another user already has {address}")));
            }
        }
    }
    Ok(())
}

/// Checks the user name and password of a client. A profile with a login requires both; any other rejects them.
fn validate_login<'a>(profile: &dyn Profile, index: usize, client: &'a Client) -> Checked<'a> {
    let at = |key| {
        [
            PathPart::Key("client"),
            PathPart::Index(index),
            PathPart::Key(key),
        ]
    };
    for (key, value) in [("login", &client.login), ("password", &client.password)] {
        match (profile.features().login, value.is_empty()) {
            (true, true) => {
                return Err(mistake(
                    &at(key),
                    format!("missing key `{key}`; add it to this table"),
                ));
            }
            (false, false) => {
                let message = format!("profile `{}` has no login; remove this key", profile.name());
                return Err(mistake(&at(key), message));
            }
            _ => {}
        }
    }
    match profile.features().login {
        true => profile
            .check_login(&client.login)
            .map_err(|message| mistake(&at("login"), message)),
        false => Ok(()),
    }
}

fn validate_client<'a>(scenario: &'a Scenario, index: usize, client: &'a Client) -> Checked<'a> {
    let servers: Vec<&str> = scenario
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    validate_login(scenario.profile, index, client)?;
    known(
        "server",
        &client.server,
        &servers,
        &[
            PathPart::Key("client"),
            PathPart::Index(index),
            PathPart::Key("server"),
        ],
    )?;
    let (profile, features) = (scenario.profile.name(), scenario.profile.features());
    if !features.assigned_addresses && client.inner.is_empty() {
        return Err(mistake(
            &[
                PathPart::Key("client"),
                PathPart::Index(index),
                PathPart::Key("inner"),
            ],
            format!("missing key `inner`; servers of profile `{profile}` assign no addresses"),
        ));
    }
    if !features.mtu_search && client.mtu_search {
        return Err(mistake(
            &[
                PathPart::Key("client"),
                PathPart::Index(index),
                PathPart::Key("mtu-search"),
            ],
            format!("profile `{profile}` has no path MTU discovery; remove this key"),
        ));
    }
    validate_clock(scenario.profile, "client", index, client.clock, true)?;
    validate_cipher(scenario.profile, "client", index, client.cipher)?;
    for (number, step) in client.steps.iter().enumerate() {
        let path = [
            PathPart::Key("client"),
            PathPart::Index(index),
            PathPart::Key("do"),
            PathPart::Index(number),
        ];
        steps::validate(step, &path)?;
    }
    Ok(())
}

/// Checks that the profile has wall clocks, if a host has another one than the right one, or does not check that of others.
fn validate_clock(
    profile: &dyn Profile,
    table: &'static str,
    index: usize,
    clock: Clock,
    checks_clock: bool,
) -> Checked<'static> {
    let key = match (clock, checks_clock) {
        (Clock::Right, true) => return Ok(()),
        (Clock::Right, false) => "checks-clock",
        _ => "clock",
    };
    if profile.features().clock {
        return Ok(());
    }
    Err(mistake(
        &[PathPart::Key(table), PathPart::Index(index), PathPart::Key(key)],
        format!("profile `{}` has no wall clocks; remove this key", profile.name()),
    ))
}

fn validate_pair<'a>(hosts: &[&str], pair: &'a [String; 2], path: &[PathPart<'a>]) -> Checked<'a> {
    for (index, name) in pair.iter().enumerate() {
        known("host", name, hosts, &[path, &[PathPart::Index(index)]].concat())?;
    }
    if pair[0] == pair[1] {
        return Err(mistake(path, "expected two different hosts"));
    }
    Ok(())
}

fn host_names(scenario: &Scenario) -> Vec<&str> {
    let servers = scenario.servers.iter().map(|server| server.name.as_str());
    servers
        .chain(scenario.clients.iter().map(|client| client.name.as_str()))
        .collect()
}

/// Checks that `name` is one of the valid names of this `kind`.
fn known<'a>(kind: &str, name: &str, valid: &[&str], path: &[PathPart<'a>]) -> Checked<'a> {
    if valid.contains(&name) {
        return Ok(());
    }
    Err(mistake(
        path,
        format!("there is no {kind} `{name}`{}", suggestion(name, valid)),
    ))
}
