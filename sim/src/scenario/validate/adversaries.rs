//! Validation of the adversaries of a scenario.

mod speak;

use std::net::SocketAddr;

use sandhog_lab::suggest::{nearest, suggestion};

use super::{Checked, PathPart, host_names, is_plain_name, known, mistake, validate_pair};
use crate::scenario::Scenario;
use crate::scenario::adversary::{Act, Adversary, Flood, Inject, Replay, unhex};
use crate::scenario::values::{Chance, Span};

/// Length of the longest datagram that an adversary creates.
const MAX_BYTES: u16 = 9000;

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    for (index, adversary) in scenario.adversaries.iter().enumerate() {
        let table = [PathPart::Key("adversary"), PathPart::Index(index)];
        validate_one(scenario, index, adversary)?;
        for (number, act) in adversary.acts.iter().enumerate() {
            let path = [table[0], table[1], PathPart::Key("do"), PathPart::Index(number)];
            validate_act(scenario, adversary, act, &path)?;
        }
    }
    Ok(())
}

/// Checks the name, the address and the path of an adversary.
fn validate_one<'a>(scenario: &'a Scenario, index: usize, adversary: &'a Adversary) -> Checked<'a> {
    let at = |key| {
        [
            PathPart::Key("adversary"),
            PathPart::Index(index),
            PathPart::Key(key),
        ]
    };
    let name = &adversary.name;
    if !is_plain_name(name) {
        return Err(mistake(
            &at("name"),
            "a name has 1 to 32 letters, digits, `-` and `_`",
        ));
    }
    let earlier = &scenario.adversaries[..index];
    if host_names(scenario).contains(&name.as_str()) || earlier.iter().any(|other| other.name == *name) {
        return Err(mistake(&at("name"), format!("there is already a host `{name}`")));
    }
    let address = adversary.address;
    if address.port() == 0 {
        return Err(mistake(
            &at("address"),
            "port 0 is not valid; choose a port from 1 to 65535",
        ));
    }
    let hosts = scenario.servers.iter().map(|host| host.address);
    let mut taken = hosts
        .chain(scenario.clients.iter().map(|host| host.address))
        .chain(earlier.iter().map(|other| other.address));
    if taken.any(|other| other == address) {
        return Err(mistake(
            &at("address"),
            format!("another host already has {address}"),
        ));
    }
    match &adversary.on_path {
        Some(pair) => validate_pair(&host_names(scenario), pair, &at("on-path")),
        None => Ok(()),
    }
}

fn validate_act<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    act: &'a Act,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let acts = [
        act.inject.is_some(),
        act.replay.is_some(),
        act.alter.is_some(),
        act.reflect.is_some(),
        act.flood.is_some(),
        act.speak.is_some(),
    ];
    match acts.iter().filter(|act| **act).count() {
        1 => {}
        0 => {
            return Err(mistake(
                path,
                "an action needs one of inject, replay, alter, reflect, flood and speak",
            ));
        }
        _ => {
            return Err(mistake(
                path,
                "this table has more than one action; write an [[adversary.do]] for each",
            ));
        }
    }
    let within = |key| [path, &[PathPart::Key(key)]].concat();
    let pick = |key, kind, nth, by, chance| {
        let picked = Picked {
            kind,
            nth,
            by,
            chance,
        };
        validate_pick(scenario, adversary, &picked, &within(key))
    };
    if let Some(inject) = &act.inject {
        validate_inject(scenario, adversary, inject, &within("inject"))?;
    }
    if let Some(replay) = &act.replay {
        pick("replay", &replay.kind, replay.nth, &replay.by, None)?;
        validate_replay(scenario, replay, &within("replay"))?;
    }
    if let Some(alter) = &act.alter {
        pick("alter", &alter.kind, alter.nth, &alter.by, alter.chance)?;
    }
    if let Some(reflect) = &act.reflect {
        pick("reflect", &reflect.kind, reflect.nth, &reflect.by, reflect.chance)?;
    }
    if let Some(flood) = &act.flood {
        validate_flood(scenario, adversary, flood, &within("flood"))?;
    }
    if let Some(speak) = &act.speak {
        speak::validate(scenario, adversary, speak, &within("speak"))?;
    }
    Ok(())
}

/// The datagrams that an action selects.
struct Picked<'a> {
    kind: &'a str,
    nth: Option<u64>,
    by: &'a Option<String>,
    chance: Option<Chance>,
}

fn validate_pick<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    picked: &Picked<'a>,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    seen_kind(scenario, adversary, picked.kind, path)?;
    if picked.nth == Some(0) {
        return Err(mistake(&at("nth"), "`nth` counts from 1"));
    }
    if picked.nth.is_some() && picked.chance.is_some() {
        return Err(mistake(
            &at("chance"),
            "`nth` and `chance` exclude each other; remove one of the two",
        ));
    }
    match (picked.by, &adversary.on_path) {
        (Some(by), Some(pair)) => known("host on its link", by, &[&pair[0], &pair[1]], &at("by")),
        _ => Ok(()),
    }
}

/// Checks that the kind of datagram exists and that the adversary can see datagrams.
fn seen_kind<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    kind: &str,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    known(
        "kind of datagram",
        kind,
        scenario.profile.kinds(),
        &[path, &[PathPart::Key("kind")]].concat(),
    )?;
    match adversary.on_path {
        Some(_) => Ok(()),
        None => Err(mistake(
            path,
            format!(
                "`{}` sees no datagrams; put it on a link with `on-path`",
                adversary.name
            ),
        )),
    }
}

fn validate_replay<'a>(scenario: &'a Scenario, replay: &'a Replay, path: &[PathPart<'a>]) -> Checked<'a> {
    if let Some(to) = &replay.to {
        known(
            "host",
            to,
            &host_names(scenario),
            &[path, &[PathPart::Key("to")]].concat(),
        )?;
    }
    if let Some(from) = &replay.from {
        let to = replay.to.as_deref();
        validate_source(scenario, from, to, &[path, &[PathPart::Key("from")]].concat())?;
    }
    validate_count(scenario, replay.count, replay.every, path)
}

fn validate_inject<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    inject: &'a Inject,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    validate_created(
        scenario,
        (&inject.to, &inject.from),
        (inject.at, inject.size),
        path,
    )?;
    validate_count(scenario, inject.count, inject.every, path)?;
    match inject.bytes.as_str() {
        "random" => Ok(()),
        "copied-header" if adversary.on_path.is_none() => Err(mistake(
            &at("bytes"),
            format!(
                "`{}` sees no headers; put it on a link with `on-path`",
                adversary.name
            ),
        )),
        "copied-header" => Ok(()),
        hex => match unhex(hex) {
            Some(_) if inject.size.is_some() => Err(mistake(
                &at("size"),
                "`bytes` already determines the length; remove `size`",
            )),
            Some(bytes) if bytes.len() > usize::from(MAX_BYTES) => {
                Err(mistake(&at("bytes"), format!("at most {MAX_BYTES} bytes")))
            }
            Some(_) => Ok(()),
            None => Err(mistake(
                &at("bytes"),
                format!(
                    "`{hex}`: expected `random`, `copied-header` or pairs of hex digits{}",
                    match nearest(hex, ["random", "copied-header"]) {
                        Some(word) => format!("; did you mean `{word}`?"),
                        None => String::new(),
                    }
                ),
            )),
        },
    }
}

fn validate_flood<'a>(
    scenario: &'a Scenario,
    adversary: &'a Adversary,
    flood: &'a Flood,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    validate_created(scenario, (&flood.to, &flood.from), (flood.at, flood.size), path)?;
    if let Some(kind) = &flood.kind {
        seen_kind(scenario, adversary, kind, path)?;
        if flood.size.is_some() {
            return Err(mistake(
                &at("size"),
                "copies have the length of the original; remove `size`",
            ));
        }
    }
    if flood.rate == 0 {
        return Err(mistake(
            &at("rate"),
            "`rate` must be at least 1 datagram per second",
        ));
    }
    if flood.lasts.0.is_zero() {
        return Err(mistake(&at("for"), "`for` must be longer than 0"));
    }
    Ok(())
}

/// Checks victim, source, time and size of datagrams that an adversary creates.
fn validate_created<'a>(
    scenario: &'a Scenario,
    (to, from): (&'a str, &'a str),
    (begin, size): (Span, Option<u16>),
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    known("host", to, &host_names(scenario), &at("to"))?;
    validate_source(scenario, from, Some(to), &at("from"))?;
    validate_begin(scenario, begin, path)?;
    match size {
        Some(size) if size > MAX_BYTES => Err(mistake(&at("size"), format!("at most {MAX_BYTES} bytes"))),
        _ => Ok(()),
    }
}

/// Checks the time of the first datagram or attempt.
fn validate_begin<'a>(scenario: &'a Scenario, begin: Span, path: &[PathPart<'a>]) -> Checked<'a> {
    if begin.0 < scenario.duration.0 {
        return Ok(());
    }
    Err(mistake(
        &[path, &[PathPart::Key("at")]].concat(),
        format!(
            "this action never happens, because the run ends after {}",
            scenario.duration
        ),
    ))
}

fn validate_count<'a>(scenario: &'a Scenario, count: u64, every: Span, path: &[PathPart<'a>]) -> Checked<'a> {
    let at = |key| [path, &[PathPart::Key(key)]].concat();
    if count == 0 {
        return Err(mistake(&at("count"), "`count` must be at least 1"));
    }
    if count > 1 && every.0 < scenario.resolution.0 {
        return Err(mistake(&at("every"), "`every` must be at least the resolution"));
    }
    Ok(())
}

/// Checks a source address: `own`, `random`, a host, or an address with the same IP version as the host `to`.
fn validate_source<'a>(
    scenario: &'a Scenario,
    from: &'a str,
    to: Option<&str>,
    path: &[PathPart<'a>],
) -> Checked<'a> {
    let hosts = host_names(scenario);
    if let Ok(address) = from.parse::<SocketAddr>() {
        let victim = to.and_then(|to| scenario.address_of(to));
        return match victim {
            Some(victim) if victim.is_ipv4() != address.is_ipv4() => Err(mistake(
                path,
                format!("a datagram to {victim} cannot come from {address}: the IP versions differ"),
            )),
            _ => Ok(()),
        };
    }
    let words: Vec<&str> = ["own", "random"].into_iter().chain(hosts).collect();
    if words.contains(&from) {
        return Ok(());
    }
    Err(mistake(
        path,
        format!(
            "`{from}` is neither an address with a port nor a valid name{}",
            suggestion(from, &words)
        ),
    ))
}
