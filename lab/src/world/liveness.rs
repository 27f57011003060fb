//! The clients whose tunnels must work once all faults are switched off (P9).

use super::{HostState, World};
use crate::record::HostId;
use crate::setup::Script;

impl World {
    /// Returns true if the client must work once the faults are off: it and its server are up, and its tunnel has no expected
    /// reason to be down.
    pub(super) fn must_be_alive(&self, host: &HostState) -> bool {
        let is_up = |id: HostId| self.hosts.get(usize::from(id)).is_some_and(|host| host.up);
        let server_is_up = |script: &Script| match script.server {
            Some(server) => is_up(server),
            None => self
                .hosts
                .iter()
                .any(|host| host.up && host.spec.script.is_none()),
        };
        host.up && host.progress.must_be_alive() && host.spec.script.as_ref().is_some_and(server_is_up)
    }

    /// Requests a ping of each client that must be alive.
    pub(super) fn request_liveness(&mut self) {
        let asked: Vec<bool> = self.hosts.iter().map(|host| self.must_be_alive(host)).collect();
        for ((id, host), _) in (0..).zip(&mut self.hosts).zip(asked).filter(|(_, asked)| *asked) {
            host.progress.request_liveness();
            self.wake_requests.insert(id);
        }
    }
}
