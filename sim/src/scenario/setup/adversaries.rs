//! Translation of the adversaries of a scenario to those of a setup.

use std::time::Duration;

use sandhog_lab::adversary::{Act, AdversarySpec, Bytes, Inject, Pick, Source, Speak};
use sandhog_lab::record::HostId;
use sandhog_lab::values::Chance;
use sandhog_peer::Instant;

use crate::scenario::Scenario;
use crate::scenario::adversary as file;

/// Length of a created datagram without the key `size`.
const DEFAULT_SIZE: u64 = 100;

/// The adversary of a valid scenario. `id` returns the number of a host.
pub(super) fn adversary_spec(
    scenario: &Scenario,
    adversary: &file::Adversary,
    id: &dyn Fn(&str) -> HostId,
) -> AdversarySpec {
    let on_path = adversary.on_path.as_ref();
    AdversarySpec {
        name: adversary.name.clone(),
        address: adversary.address,
        on_path: on_path.map(|[a, b]| (id(a), id(b))),
        budget: adversary.budget,
        seed: adversary.seed,
        acts: adversary
            .acts
            .iter()
            .filter_map(|act| act_of(scenario, act, id))
            .collect(),
    }
}

fn act_of(scenario: &Scenario, act: &file::Act, id: &dyn Fn(&str) -> HostId) -> Option<Act> {
    let pick = |kind: &str, nth: Option<u64>, by: &Option<String>, chance: Option<Chance>| Pick {
        kind: kind.into(),
        nth,
        by: by.as_deref().map(id),
        chance,
    };
    if let Some(inject) = &act.inject {
        let header = scenario.profile.header_len();
        return Some(Act::Inject(inject_of(inject, header, id)));
    }
    if let Some(speak) = &act.speak {
        return speak_of(scenario, speak, id).map(Act::Speak);
    }
    if let Some(replay) = &act.replay {
        return Some(Act::Replay {
            pick: pick(&replay.kind, replay.nth, &replay.by, None),
            to: replay.to.as_deref().map(id),
            from: replay.from.as_deref().map(|from| source(from, id)),
            after: replay.after.0,
            every: replay.every.0,
            count: replay.count,
        });
    }
    if let Some(alter) = &act.alter {
        return Some(Act::Alter {
            pick: pick(&alter.kind, alter.nth, &alter.by, alter.chance),
            bit: alter.bit,
            drop_original: alter.drop_original,
        });
    }
    if let Some(reflect) = &act.reflect {
        return Some(Act::Reflect {
            pick: pick(&reflect.kind, reflect.nth, &reflect.by, reflect.chance),
        });
    }
    act.flood.as_ref().map(|flood| Act::Inject(flood_of(flood, id)))
}

fn inject_of(inject: &file::Inject, header: usize, id: &dyn Fn(&str) -> HostId) -> Inject {
    let size = inject.size.map(u64::from);
    let bytes = match inject.bytes.as_str() {
        "copied-header" => Bytes::CopiedHeader { header, len: size },
        hex => match file::unhex(hex) {
            Some(bytes) => Bytes::Exactly(bytes),
            None => Bytes::Random(size.unwrap_or(DEFAULT_SIZE)),
        },
    };
    Inject {
        name: "inject",
        first: Instant::ZERO + inject.at.0,
        spacing: inject.every.0,
        count: inject.count,
        to: id(&inject.to),
        from: source(&inject.from, id),
        bytes,
    }
}

fn flood_of(flood: &file::Flood, id: &dyn Fn(&str) -> HostId) -> Inject {
    let size = flood.size.map_or(DEFAULT_SIZE, u64::from);
    let count = flood.lasts.0.as_nanos() * u128::from(flood.rate);
    Inject {
        name: "flood",
        first: Instant::ZERO + flood.at.0,
        spacing: Duration::from_secs(1) / flood.rate.max(1),
        count: u64::try_from(count.div_ceil(1_000_000_000)).unwrap_or(u64::MAX),
        to: id(&flood.to),
        from: source(&flood.from, id),
        bytes: flood
            .kind
            .as_ref()
            .map_or(Bytes::Random(size), |kind| Bytes::Recorded(kind.clone())),
    }
}

/// The attempts of an adversary. `None` if the profile has no such adversary, which the validation rejects.
fn speak_of(scenario: &Scenario, speak: &file::Speak, id: &dyn Fn(&str) -> HostId) -> Option<Speak> {
    let server = scenario.servers.iter().find(|server| server.name == speak.to)?;
    let from = match (speak.part, &speak.from) {
        (file::Part::FalseServer, _) => Source::Host(id(&speak.to)),
        (_, Some(from)) => source(from, id),
        (file::Part::KeyHolder, None) => Source::Random,
        (file::Part::RefusedAccount | file::Part::Insider, None) => Source::Own,
    };
    let withheld = match &speak.withhold {
        Some(kinds) => kinds.clone(),
        None => {
            let kinds = scenario.profile.withheld(speak.part).iter();
            kinds.map(|kind| (*kind).to_owned()).collect()
        }
    };
    Some(Speak {
        make_peer: scenario.profile.adversary(scenario, speak, server)?,
        first: Instant::ZERO + speak.at.0,
        spacing: speak.every.0,
        count: speak.count,
        from,
        withheld,
    })
}

fn source(from: &str, id: &dyn Fn(&str) -> HostId) -> Source {
    match from {
        "own" => Source::Own,
        "random" => Source::Random,
        other => match other.parse() {
            Ok(address) => Source::Address(address),
            Err(_) => Source::Host(id(other)),
        },
    }
}
