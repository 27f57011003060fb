//! Description of a server, for a search of equal states.

use super::Server;
use super::config::Pools;
use crate::{State, describe};

impl Server {
    /// Describes logins, sessions, users and limits.
    pub(super) fn describe_state(&self, state: &mut State<'_>) {
        let Self {
            keys: _,  // made from the pre-shared key, which does not change
            setup: _, // does not change
            users,
            suite: _,    // does not change
            settings: _, // do not change
            unix_origin,
            pools,
            queues,
            rng: _, // positions of generators do not count
            registry,
            cookies,
            sources,
            logins,
            ke1_rate,
            caps,
            half_opens,
            sessions,
            jobs,
            saving,
            password_changes,
            isolates_clients: _, // does not change
            cipher,
        } = self;
        queues.describe(state);
        users.describe(state, *unix_origin);
        pools.describe(state);
        registry.describe(state);
        cookies.describe(state);
        sources.describe(state);
        logins.describe(state);
        ke1_rate.describe(state);
        caps.describe(state);
        half_opens.describe(state);
        sessions.describe(state);
        describe::jobs(state, jobs);
        describe::option(state, saving.as_ref(), |state, saving| {
            saving.describe(state, sessions);
        });
        password_changes.describe(state);
        describe::text(state, cipher.name());
    }
}

impl Pools {
    fn describe(&self, state: &mut State<'_>) {
        let Self { v4, v6 } = self;
        for pool in [v4, v6] {
            describe::option(state, pool.as_ref(), |state, pool| pool.describe(state));
        }
    }
}
