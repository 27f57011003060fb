//! Description of the state of a run outside its hosts, for the search of equal states.

use sandhog_peer::State;

use super::{Due, HostState, Phase, World};

impl World {
    /// Describes the state. Returns false if an adversary or a random fault takes part, because their state is not described.
    ///
    /// The end of the work is not part of the description, because it only limits a run. The time until it differs between
    /// states that are equal otherwise.
    pub(crate) fn describe(&self, state: &mut State<'_>) -> bool {
        state.number(match self.phase {
            Phase::Work => 0,
            Phase::Liveness { .. } => 1,
            Phase::Over => 2,
        });
        state.number(self.checks.violations());
        for ((at, _), due) in &self.due {
            if !matches!(due, Due::WorkEnd) {
                state.deadline(Some(*at));
                state.number(due.number());
            }
        }
        state.number(self.wake_requests.len() as u64);
        for host in &self.wake_requests {
            state.number(u64::from(*host));
        }
        self.hosts.iter().for_each(|host| host.describe(state));
        self.net.describe(state) && self.adversaries.agents.is_empty()
    }
}

impl Due {
    /// Number of the variant. Controls of a setup happen at fixed times, so their number and time identify them.
    fn number(&self) -> u64 {
        match self {
            Self::Control(_) => 0,
            Self::WorkEnd => 1,
            Self::FaultsOff => 2,
            Self::LivenessEnd => 3,
            Self::Crash(host) => 4 + 2 * u64::from(*host),
            Self::Restart(host) => 5 + 2 * u64::from(*host),
        }
    }
}

impl HostState {
    fn describe(&self, state: &mut State<'_>) {
        state.flag(self.up);
        state.bytes(self.status.map_or("", |status| status.name()).as_bytes());
        state.bytes(self.started.map_or("", |(result, _)| result).as_bytes());
        state.bytes(self.final_status.unwrap_or_default().as_bytes());
        state.flag(self.address_mismatch.is_some());
        state.number(self.commands.len() as u64);
        self.progress.describe(state);
    }
}
