//! Validation of the events of a scenario.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::{Checked, Mistake, PathPart, host_names, known, mistake, validate_pair};
use crate::scenario::{
    AccountChange, AccountState, Clock, ClockChange, PasswordChange, Scenario, TimedEvent,
};

/// Largest number of repetitions of an event.
const MAX_TIMES: u16 = 10_000;

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    let servers = scenario
        .servers
        .iter()
        .map(|host| (host.address, host.name.as_str()));
    let clients = scenario
        .clients
        .iter()
        .map(|host| (host.address, host.name.as_str()));
    let adversaries = scenario
        .adversaries
        .iter()
        .map(|host| (host.address, host.name.as_str()));
    let mut addresses: BTreeMap<SocketAddr, &str> = servers.chain(clients).chain(adversaries).collect();
    for (index, event) in scenario.events.iter().enumerate() {
        validate_event(scenario, index, event)?;
        validate_times(scenario, index, event)?;
        validate_rebind(scenario, index, event, &mut addresses)?;
    }
    Ok(())
}

fn validate_event<'a>(scenario: &'a Scenario, index: usize, event: &'a TimedEvent) -> Checked<'a> {
    let at = |key| [PathPart::Key("event"), PathPart::Index(index), PathPart::Key(key)];
    let hosts = host_names(scenario);
    let clients: Vec<&str> = scenario
        .clients
        .iter()
        .map(|client| client.name.as_str())
        .collect();
    let mut count = 0;
    for (key, kind, name, valid) in [
        ("crash", "host", &event.crash, &hosts),
        ("restart", "host", &event.restart, &hosts),
        ("stop", "client", &event.stop, &clients),
        ("start", "client", &event.start, &clients),
        ("sleep", "client", &event.sleep, &clients),
        ("wake", "client", &event.wake, &clients),
        ("network-changed", "client", &event.network_changed, &clients),
        ("rebind", "client", &event.rebind, &clients),
    ] {
        let Some(name) = name else { continue };
        count += 1;
        known(kind, name, valid, &at(key))?;
    }
    for (key, pair) in [("partition", &event.partition), ("repair", &event.repair)] {
        let Some(pair) = pair else { continue };
        count += 1;
        validate_pair(&hosts, pair, &at(key))?;
    }
    if let Some(change) = &event.account {
        count += 1;
        validate_account(scenario, index, event, change)?;
    }
    if let Some(change) = &event.passwd {
        count += 1;
        validate_passwd(scenario, index, event, change)?;
    }
    if let Some(change) = &event.clock {
        count += 1;
        validate_clock(scenario, index, change)?;
    }
    match count {
        1 if event.at.0 >= scenario.duration.0 => Err(mistake(
            &at("at"),
            format!(
                "this event never happens, because the run ends after {}",
                scenario.duration
            ),
        )),
        1 => Ok(()),
        _ => Err(mistake(
            &at("at"),
            "an event needs exactly one of crash, restart, partition, repair, stop, start, sleep, wake, network-changed, \
             rebind, account, passwd, clock",
        )),
    }
}

/// The place of a key in a table of an event.
const fn inside(index: usize, table: &'static str, key: &'static str) -> [PathPart<'static>; 4] {
    [
        PathPart::Key("event"),
        PathPart::Index(index),
        PathPart::Key(table),
        PathPart::Key(key),
    ]
}

/// Checks `account`: the server must have the user at that time.
fn validate_account<'a>(
    scenario: &'a Scenario,
    index: usize,
    event: &'a TimedEvent,
    change: &'a AccountChange,
) -> Checked<'a> {
    let at = |key| inside(index, "account", key);
    let table = &at("server")[..3];
    if !scenario.profile.features().accounts {
        let name = scenario.profile.name();
        return Err(mistake(
            table,
            format!("profile `{name}` has no account changes; remove this event"),
        ));
    }
    let servers: Vec<&str> = scenario
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    known("server", &change.server, &servers, &at("server"))?;
    let server = scenario
        .servers
        .iter()
        .filter(|server| server.name == change.server);
    let users: Vec<&str> = server
        .flat_map(|server| &server.users)
        .map(|user| user.login.as_str())
        .collect();
    known("user", &change.login, &users, &at("login"))?;
    let removed = |other: &TimedEvent| {
        let change = other.account.as_ref().map(|other| {
            (&other.server, &other.login) == (&change.server, &change.login)
                && other.becomes == Some(AccountState::Removed)
        });
        change == Some(true) && !std::ptr::eq(other, event) && other.at <= event.at
    };
    if let Some(earlier) = scenario.events.iter().find(|other| removed(other)) {
        return Err(mistake(
            &at("login"),
            format!("an earlier event removes `{}` at {}", change.login, earlier.at),
        ));
    }
    if event.every.is_some() {
        return Err(mistake(
            table,
            "an `account` event cannot be repeated; remove `every`, or write one [[event]] for each change",
        ));
    }
    match (change.becomes, &change.password) {
        (Some(_), None) | (None, Some(_)) => Ok(()),
        _ => Err(mistake(
            table,
            "`account` needs exactly one of becomes and password",
        )),
    }
}

/// Checks `passwd`: a client with a user, and a password.
fn validate_passwd<'a>(
    scenario: &'a Scenario,
    index: usize,
    event: &'a TimedEvent,
    change: &'a PasswordChange,
) -> Checked<'a> {
    let at = |key| inside(index, "passwd", key);
    let table = &at("client")[..3];
    if !scenario.profile.features().accounts {
        let profile = scenario.profile.name();
        let message = format!("profile `{profile}` has no changes of passwords; remove this event");
        return Err(mistake(table, message));
    }
    let clients = scenario.clients.iter().map(|client| client.name.as_str());
    known(
        "client",
        &change.client,
        &clients.collect::<Vec<_>>(),
        &at("client"),
    )?;
    if change.password.is_empty() {
        return Err(mistake(&at("password"), "the new password is empty"));
    }
    if event.every.is_some() {
        return Err(mistake(
            table,
            "a `passwd` event cannot be repeated; remove `every`, or write one [[event]] for each change",
        ));
    }
    Ok(())
}

/// Checks `clock`: a host has a clock of its own, and can be told a time.
fn validate_clock<'a>(scenario: &'a Scenario, index: usize, change: &'a ClockChange) -> Checked<'a> {
    let at = |key| inside(index, "clock", key);
    if !scenario.profile.features().clock {
        let profile = scenario.profile.name();
        let message = format!("profile `{profile}` has no wall clocks; remove this event");
        return Err(mistake(&at("of")[..3], message));
    }
    known("host", &change.of, &host_names(scenario), &at("of"))?;
    match change.becomes {
        Clock::None => Err(mistake(
            &at("becomes"),
            "a clock cannot disappear; expected `right`, or a difference to the true time, like `+25s` or `-1h`",
        )),
        _ => Ok(()),
    }
}

/// Checks `every` and `times`.
fn validate_times<'a>(scenario: &'a Scenario, index: usize, event: &'a TimedEvent) -> Checked<'a> {
    let at = |key| [PathPart::Key("event"), PathPart::Index(index), PathPart::Key(key)];
    if event.times.is_some() && event.every.is_none() {
        return Err(mistake(
            &at("times"),
            "`times` needs `every`, the interval of repetitions",
        ));
    }
    if event.times == Some(0) {
        return Err(mistake(&at("times"), "`times` must be at least 1"));
    }
    if event.every.is_some_and(|every| every.0 < scenario.resolution.0) {
        return Err(mistake(&at("every"), "`every` must be at least the resolution"));
    }
    if event
        .occurrences(scenario.duration)
        .nth(usize::from(MAX_TIMES))
        .is_some()
    {
        return Err(mistake(
            &at("every"),
            format!(
                "this event happens more than {MAX_TIMES} times; use a longer `every`, or limit it with `times`"
            ),
        ));
    }
    Ok(())
}

/// Checks `rebind` and `to`: each new address has the IP version of the client's address, and no other host has it.
fn validate_rebind<'a>(
    scenario: &'a Scenario,
    index: usize,
    event: &'a TimedEvent,
    addresses: &mut BTreeMap<SocketAddr, &'a str>,
) -> Checked<'a> {
    let at = |key| [PathPart::Key("event"), PathPart::Index(index), PathPart::Key(key)];
    let (name, to) = match (&event.rebind, event.to) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return Err(mistake(&at("to"), "`to` is only for `rebind`; remove this key")),
        (Some(_), None) => return Err(mistake(&at("rebind"), "`rebind` needs `to`, the new address")),
        (Some(name), Some(to)) => (name, to),
    };
    let wrong = |message: String| -> Mistake<'a> { mistake(&at("to"), message) };
    if to.port() == 0 {
        return Err(wrong("port 0 is not valid; choose a port from 1 to 65535".into()));
    }
    let client = scenario.clients.iter().find(|client| client.name == *name);
    if client.is_some_and(|client| client.address.is_ipv4() != to.is_ipv4()) {
        return Err(wrong(format!(
            "`{name}` has an address of the other IP version; `to` must have the same version"
        )));
    }
    for (number, _) in event.occurrences(scenario.duration) {
        let Some(address) = event.rebound_to(number) else {
            return Err(wrong(format!(
                "the port increases by one each time and exceeds 65535 at repetition {number}"
            )));
        };
        let owner = addresses.entry(address).or_insert(name);
        if *owner != name {
            return Err(wrong(format!("{address} is an address of `{owner}`")));
        }
    }
    Ok(())
}
