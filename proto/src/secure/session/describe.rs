//! Description of a session, for a search of equal states.

use super::{PROBE_AFTER, PROBE_INTERVAL, Session};
use crate::secure::epochs::Role;
use crate::{State, describe};

impl Session {
    /// Describes keys, timers and the address of the peer.
    pub(in crate::secure) fn describe(&self, state: &mut State<'_>) {
        let Self {
            role,
            epochs,
            remote,
            mtu,
            keepalive,
            since: _,      // for display
            activity: _,   // read as times of timers
            last_probe: _, // read as the time of the next probe
            awaits_pong,
            cipher,
            rekey_after: _,    // described if the session is a client's
            next_rekey: _,     // described if the session is a client's
            earliest_rekey: _, // described if the session is a client's
            pings,
            path_mtu,
            rng: _, // positions of generators do not count
            limits,
            path: _, // follows from the others
            revision,
        } = self;
        let is_client = *role == Role::Client;
        epochs.describe(state);
        describe::socket(state, *remote);
        describe::len(state, *mtu);
        state.duration(*keepalive);
        describe::text(state, cipher.name());
        if is_client {
            state.deadline(self.dead_at());
            state.deadline(self.keepalive_at());
            state.flag(*awaits_pong);
            state.deadline(self.probe_at());
            // From this time on, the last probe cannot delay the next one.
            let after_last = PROBE_INTERVAL.saturating_sub(PROBE_AFTER);
            state.deadline(Some(self.last_probe.saturating_add(after_last)));
            self.describe_rekey(state);
        } else {
            state.deadline(Some(self.idle_at()));
            limits.describe(state);
        }
        describe::option(state, path_mtu.as_ref(), |state, search| {
            search.describe(state, *pings);
        });
        state.flag(*revision != epochs.revision());
    }

    /// Describes the timer of the next rekey. Its jitter is a random number. Until the earliest time that the jitter allows,
    /// nothing depends on it.
    fn describe_rekey(&self, state: &mut State<'_>) {
        let is_jitter_near = state.now() >= self.earliest_rekey;
        state.duration(self.rekey_after);
        state.flag(is_jitter_near);
        state.deadline(Some(if is_jitter_near {
            self.next_rekey
        } else {
            self.earliest_rekey
        }));
    }
}
