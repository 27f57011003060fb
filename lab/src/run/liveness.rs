//! P9: after all faults were switched off, a ping of each client that must be alive passes in time.

use std::time::Duration;

use sandhog_peer::TunnelStatus;

use crate::checks::CheckResult;
use crate::progress::Liveness;
use crate::record::format_duration;
use crate::world::{HostState, World};

/// The result of P9.
pub(super) fn check(world: &World, within: Duration) -> CheckResult {
    let answers = world.hosts.iter().filter_map(|host| answer(world, host, within));
    let (passed, details): (Vec<bool>, Vec<String>) = answers.unzip();
    let detail = match details.is_empty() {
        true => format!("nothing to examine, {}", reason(world)),
        false => details.join("; "),
    };
    CheckResult {
        name: "P9 ping passes with faults off".into(),
        passed: passed.iter().all(|passed| *passed),
        tested: !details.is_empty(),
        detail,
    }
}

/// The result of one client, and its sentence. `None` if the client was not asked.
fn answer(world: &World, host: &HostState, within: Duration) -> Option<(bool, String)> {
    let (name, within) = (&host.spec.name, format_duration(within));
    match host.progress.liveness() {
        Liveness::NotRequested => None,
        Liveness::Passed { at } => {
            let after = at.saturating_duration_since(world.faults_off_at?);
            Some((
                true,
                format!("{name}: a ping passed after {}", format_duration(after)),
            ))
        }
        Liveness::Requested | Liveness::Running if host.status == Some(TunnelStatus::Connected) => {
            Some((false, format!("{name}: no ping passed within {within}")))
        }
        Liveness::Requested | Liveness::Running => {
            let status = host.status.unwrap_or(TunnelStatus::Disconnected).name();
            let error = host
                .progress
                .error()
                .map_or_else(String::new, |error| format!(" ({error})"));
            Some((
                false,
                format!("{name}: {status}{error}, no ping passed within {within}"),
            ))
        }
    }
}

/// The reason why no client was asked.
fn reason(world: &World) -> &'static str {
    match world.hosts.iter().any(|host| host.spec.script.is_some()) {
        true => "no client had to be connected",
        false => "no clients",
    }
}
