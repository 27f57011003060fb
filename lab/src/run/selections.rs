//! Scripted faults and attacks that selected no datagram, because too few datagrams of their kind were sent.

use crate::adversary::{Act, AdversarySpec, Bytes};
use crate::checks::CheckResult;
use crate::record::HostId;
use crate::setup::Setup;
use crate::world::World;

/// A check for each selection without a datagram. It passes, but it is not tested.
pub(super) fn unused(setup: &Setup, world: &World) -> Vec<CheckResult> {
    let mut names = Vec::new();
    for (from, to, config) in &setup.links {
        let lists = [
            ("drop", &config.drop),
            ("late", &config.late),
            ("double", &config.double),
            ("damage", &config.damage),
        ];
        for (list, pick) in lists
            .iter()
            .flat_map(|(list, picks)| picks.iter().map(move |pick| (list, pick)))
        {
            if world.net.sent(*from, *to, pick.kind.as_deref()) < pick.nth.unwrap_or(1) {
                let [from, to] = [from, to].map(|host| setup.name_of(usize::from(*host)));
                names.push(format!("{from} → {to}: {list} {pick}"));
            }
        }
    }
    for adversary in &setup.adversaries {
        names.extend(unused_acts(world, adversary));
    }
    let check = |name| CheckResult {
        name,
        passed: true,
        tested: false,
        detail: "not tested, it selected no datagram".into(),
    };
    names.into_iter().map(check).collect()
}

/// The names of the acts of an adversary that found no datagram.
fn unused_acts(world: &World, adversary: &AdversarySpec) -> Vec<String> {
    let Some((a, b)) = adversary.on_path else {
        return Vec::new();
    };
    let is_missing = |kind: &str, nth: Option<u64>, by: Option<HostId>| {
        let mut directions = [(a, b), (b, a)].into_iter();
        directions.all(|(from, to)| {
            by.is_some_and(|by| by != from) || world.net.sent(from, to, Some(kind)) < nth.unwrap_or(1)
        })
    };
    let unused = adversary.acts.iter().filter_map(|act| {
        let (name, kind, missing) = match act {
            Act::Inject(inject) => match &inject.bytes {
                Bytes::Recorded(kind) => (inject.name, kind, is_missing(kind, None, None)),
                _ => return None,
            },
            Act::Replay { pick, .. } => ("replay", &pick.kind, is_missing(&pick.kind, pick.nth, pick.by)),
            Act::Alter { pick, .. } => ("alter", &pick.kind, is_missing(&pick.kind, pick.nth, pick.by)),
            Act::Reflect { pick } => ("reflect", &pick.kind, is_missing(&pick.kind, pick.nth, pick.by)),
            Act::Speak(_) => return None,
        };
        missing.then(|| format!("{}: {name} {kind}", adversary.name))
    });
    unused.collect()
}
