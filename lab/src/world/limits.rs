//! Hard limits of a run: the run ends when a host, an adversary or the trace exceeds one.

use super::{Phase, World};
use crate::limits::MAX_ATTACKS;

impl World {
    /// Ends the run, because a limit was exceeded. Only the first reason counts.
    pub(crate) fn exceed(&mut self, problem: &str) {
        let detail = || format!("{problem}, at {}", self.now);
        self.exceeded.get_or_insert_with(detail);
        self.phase = Phase::Over;
    }

    /// Returns true while no limit is exceeded.
    pub(crate) fn is_within_limits(&mut self) -> bool {
        if self.trace.len() > self.max_records && self.exceeded.is_none() {
            let problem = format!(
                "the run has more than {} records, the limit `max_records`",
                self.max_records
            );
            self.exceed(&problem);
        }
        self.exceeded.is_none()
    }

    /// Counts an attack of this tick. Returns false if it exceeds the limit.
    pub(crate) fn count_attack(&mut self, agent: usize) -> bool {
        self.attacks += 1;
        if self.attacks > MAX_ATTACKS {
            let name = &self.adversaries.agents[agent].spec.name;
            let problem =
                format!("{name}: more than {MAX_ATTACKS} injected and replayed datagrams in one tick");
            self.exceed(&problem);
        }
        self.is_within_limits()
    }
}
