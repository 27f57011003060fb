//! Validation of adversaries that speak the protocol.

use sandhog_lab::suggest::suggestion;

use super::super::{Checked, PathPart, known, mistake};
use super::{validate_begin, validate_count};
use crate::scenario::Scenario;
use crate::scenario::adversary::{Adversary, Part, Speak};

pub(super) fn validate<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    speak: &'a Speak,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    let servers = scenario.servers.iter();
    let names: Vec<&str> = servers.map(|server| server.name.as_str()).collect();
    known("server", &speak.to, &names, &at("to"))?;
    let found = scenario.servers.iter().find(|server| server.name == speak.to);
    let Some(server) = found else { return Ok(()) };
    validate_account(scenario, speak, path)?;
    match speak.part {
        Part::FalseServer => validate_false_server(adversary, speak, path)?,
        Part::KeyHolder | Part::RefusedAccount | Part::Insider => {
            validate_source(adversary, speak, server.address.is_ipv4(), path)?;
        }
    }
    for (number, kind) in speak.withhold.iter().flatten().enumerate() {
        let path = [path, &[PathPart::Key("withhold"), PathPart::Index(number)]].concat();
        known("kind of datagram", kind, scenario.profile.kinds(), &path)?;
    }
    validate_begin(scenario, speak.at, path)?;
    validate_count(scenario, speak.count, speak.every, path)?;
    match scenario.profile.adversary(scenario, speak, server) {
        Some(_) => Ok(()),
        None => Err(mistake(
            path,
            format!(
                "profile `{}` has no adversary that speaks the protocol as `{}`; remove this action",
                scenario.profile.name(),
                speak.part.name()
            ),
        )),
    }
}

/// Checks the user name and the password.
fn validate_account<'a>(scenario: &'a Scenario, speak: &'a Speak, path: &[PathPart<'a>]) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    let part = speak.part.name();
    if let Some(login) = &speak.login {
        let checked = scenario.profile.check_login(login);
        checked.map_err(|message| mistake(&at("login"), message))?;
    }
    match (speak.part, &speak.login, &speak.password) {
        (Part::RefusedAccount | Part::Insider, None, _) => Err(mistake(
            path,
            format!(
                "missing key `login`; `{part}` needs the name of a user of `{}`",
                speak.to
            ),
        )),
        (Part::RefusedAccount | Part::Insider, Some(_), None) => Err(mistake(
            path,
            format!("missing key `password`; `{part}` needs the password of its user"),
        )),
        (Part::RefusedAccount | Part::Insider, Some(login), Some(_)) => {
            let server = scenario.servers.iter().filter(|server| server.name == speak.to);
            let users = server.flat_map(|server| &server.users);
            let users: Vec<&str> = users.map(|user| user.login.as_str()).collect();
            known("user", login, &users, &at("login"))
        }
        (Part::KeyHolder | Part::FalseServer, None, Some(_)) => Err(mistake(
            &at("password"),
            "`password` needs `login`, the name of its user; add it, or remove this key",
        )),
        (Part::FalseServer, Some(_), None) => Err(mistake(
            path,
            "missing key `password`; the user of a false server needs one; add it, or remove `login`",
        )),
        _ => Ok(()),
    }
}

/// Checks that a false server sees the datagrams to the server in whose place it answers.
fn validate_false_server<'a>(
    adversary: &'a Adversary,
    speak: &'a Speak,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    let is_on_path = adversary
        .on_path
        .as_ref()
        .is_some_and(|pair| pair.contains(&speak.to));
    if !is_on_path {
        let message = format!(
            "`{}` does not see the datagrams to `{}`; put it on a link of `{}` with `on-path`",
            adversary.name, speak.to, speak.to
        );
        return Err(mistake(path, message));
    }
    if speak.from.is_some() {
        let message = "a false server has the address of the server; remove `from`";
        return Err(mistake(&at("from"), message));
    }
    match speak.count {
        1 => Ok(()),
        _ => Err(mistake(
            &at("count"),
            "there is only one false server; remove `count`",
        )),
    }
}

/// Checks the source address of attempts: `own` or `random`, with the IP version of the server.
fn validate_source<'a>(
    adversary: &'a Adversary,
    speak: &'a Speak,
    server_is_ipv4: bool,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    let words = ["own", "random"];
    if let Some(from) = speak.from.as_deref().filter(|from| !words.contains(from)) {
        let hint = suggestion(from, &words);
        let message =
            format!("`{from}`: expected `own` or `random`, because replies must reach the adversary{hint}");
        return Err(mistake(&at("from"), message));
    }
    if adversary.address.is_ipv4() != server_is_ipv4 {
        let message = format!(
            "`{}` and `{}` have addresses of different IP versions; change the address of `{}`",
            adversary.name, speak.to, adversary.name
        );
        return Err(mistake(&at("to"), message));
    }
    Ok(())
}
