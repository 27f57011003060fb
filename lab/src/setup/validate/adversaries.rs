//! Validation of the adversaries of a setup.

use super::{Checked, ensure, since_start, validate_socket};
use crate::adversary::{Act, AdversarySpec, Bytes, Inject, Pick, Source, Speak};
use crate::limits::MAX_PAYLOAD;
use crate::setup::Setup;

pub(super) fn validate(setup: &Setup) -> Checked {
    for (index, adversary) in setup.adversaries.iter().enumerate() {
        let field = format!("adversaries[{index}]");
        if let Some((a, b)) = adversary.on_path {
            setup.known(&format!("{field}.on_path"), a)?;
            setup.known(&format!("{field}.on_path"), b)?;
            let problem = "a path needs two different hosts";
            ensure(a != b, format!("{field}.on_path"), problem)?;
        }
        let problem = "the adversary sends nothing; the budget must be at least 1";
        ensure(adversary.budget > 0, format!("{field}.budget"), problem)?;
        for (number, act) in adversary.acts.iter().enumerate() {
            validate_act(setup, adversary, &format!("{field}.acts[{number}]"), act)?;
            let problem = format!(
                "`{}` sees no datagrams, and `acts[{number}]` needs some; give it the two ends of a link",
                adversary.name
            );
            let possible = adversary.on_path.is_some() || !needs_datagrams(act);
            ensure(possible, format!("{field}.on_path"), problem)?;
        }
    }
    Ok(())
}

/// Returns true for an act with datagrams that the adversary has seen.
fn needs_datagrams(act: &Act) -> bool {
    match act {
        Act::Inject(inject) => matches!(inject.bytes, Bytes::CopiedHeader { .. } | Bytes::Recorded(_)),
        Act::Speak(speak) => matches!(speak.from, Source::Host(_)),
        Act::Replay { .. } | Act::Alter { .. } | Act::Reflect { .. } => true,
    }
}

fn validate_act(setup: &Setup, adversary: &AdversarySpec, field: &str, act: &Act) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    let pick = |pick| validate_pick(setup, adversary, &at("pick"), pick);
    match act {
        Act::Inject(inject) => validate_inject(setup, field, inject),
        Act::Replay {
            pick: picked,
            to,
            from,
            after,
            count,
            ..
        } => {
            pick(picked)?;
            to.map_or(Ok(()), |host| setup.known(&at("to"), host))?;
            let source = |source| validate_source(setup, &at("from"), source);
            from.as_ref().map_or(Ok(()), source)?;
            setup.before_the_end(&at("after"), *after)?;
            ensure(*count > 0, at("count"), "the count must be at least 1")
        }
        Act::Alter { pick: picked, .. } | Act::Reflect { pick: picked } => pick(picked),
        Act::Speak(speak) => validate_speak(setup, adversary, field, speak),
    }
}

fn validate_speak(setup: &Setup, adversary: &AdversarySpec, field: &str, speak: &Speak) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    validate_source(setup, &at("from"), &speak.from)?;
    if let (Source::Host(host), Some((a, b))) = (&speak.from, adversary.on_path) {
        let problem = format!(
            "`{}` cannot answer in place of host {host}; it observes only the link between {a} and {b}",
            adversary.name
        );
        ensure([a, b].contains(host), at("from"), problem)?;
    }
    if let Source::Address(address) = speak.from {
        let hosts = setup.hosts.iter().map(|host| host.address);
        let mut taken = hosts.chain(setup.adversaries.iter().map(|other| other.address));
        let problem = format!("another host already has {address}; choose an address that no host has");
        ensure(!taken.any(|other| other == address), at("from"), problem)?;
    }
    setup.before_the_end(&at("first"), since_start(speak.first))?;
    let problem = "the kind of a withheld datagram is empty";
    ensure(
        speak.withheld.iter().all(|kind| !kind.is_empty()),
        at("withheld"),
        problem,
    )?;
    ensure(speak.count > 0, at("count"), "the count must be at least 1")
}

fn validate_inject(setup: &Setup, field: &str, inject: &Inject) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    setup.known(&at("to"), inject.to)?;
    validate_bytes(&at("bytes"), &inject.bytes)?;
    validate_source(setup, &at("from"), &inject.from)?;
    setup.before_the_end(&at("first"), since_start(inject.first))?;
    ensure(inject.count > 0, at("count"), "the count must be at least 1")
}

fn validate_bytes(field: &str, bytes: &Bytes) -> Checked {
    let length = match bytes {
        Bytes::Random(length) => *length,
        Bytes::CopiedHeader { len, .. } => len.unwrap_or_default(),
        Bytes::Exactly(bytes) => bytes.len() as u64,
        Bytes::Recorded(kind) => {
            let problem = "the kind of the recorded datagrams is empty";
            return ensure(!kind.is_empty(), field, problem);
        }
    };
    let problem =
        format!("{length} bytes are too long for a datagram; the largest UDP payload is {MAX_PAYLOAD}");
    ensure(length <= MAX_PAYLOAD as u64, field, problem)
}

fn validate_source(setup: &Setup, field: &str, source: &Source) -> Checked {
    match source {
        Source::Host(host) => setup.known(field, *host),
        Source::Address(address) => validate_socket(field, *address),
        Source::Own | Source::Random => Ok(()),
    }
}

fn validate_pick(setup: &Setup, adversary: &AdversarySpec, field: &str, pick: &Pick) -> Checked {
    let at = |name: &str| format!("{field}.{name}");
    ensure(
        !pick.kind.is_empty(),
        at("kind"),
        "the kind of the datagrams is empty",
    )?;
    ensure(pick.nth != Some(0), at("nth"), "the number counts from 1")?;
    let Some(by) = pick.by else { return Ok(()) };
    setup.known(&at("by"), by)?;
    let problem = format!("`{}` does not see the datagrams of host {by}", adversary.name);
    let seen = adversary.on_path.is_none_or(|(a, b)| [a, b].contains(&by));
    ensure(seen, at("by"), problem)
}
