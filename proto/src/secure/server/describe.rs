//! Description of a server, for a search of equal states.

use super::Server;
use super::config::Pools;
use crate::{Instant, State, describe};

impl Server {
    /// Describes logins, sessions, users and limits.
    pub(super) fn describe_state(&self, state: &mut State<'_>) {
        let Self {
            keys: _,   // made from the pre-shared keys, which do not change
            nonces: _, // positions of generators do not count
            setup: _,  // does not change
            users,
            suite: _,    // does not change
            settings: _, // do not change
            clock,
            checks_clock: _, // does not change
            freshness,
            pools,
            queues,
            rng: _, // positions of generators do not count
            registry,
            cookies,
            dh_sources,
            dh_rate,
            sources,
            ke1_rate,
            ticket_rate,
            logins,
            places,
            half_opens,
            sessions,
            jobs,
            saving,
            password_changes,
            isolates_clients: _, // does not change
            cipher,
        } = self;
        queues.describe(state);
        let wall = self.checked_clock().read(state.now());
        freshness.describe(state, wall);
        users.describe(state, clock.map(|clock| clock.read(Instant::ZERO) / 1000));
        pools.describe(state);
        registry.describe(state);
        cookies.describe(state);
        dh_sources.describe(state);
        dh_rate.describe(state);
        sources.describe(state);
        ke1_rate.describe(state);
        ticket_rate.describe(state);
        logins.describe(state);
        places.describe(state);
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
