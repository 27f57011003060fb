//! Description of a client, for a search of equal states.

use super::Client;
use super::config::Account;
use crate::{State, describe};

impl Client {
    /// Describes status, login, session and timers.
    pub(super) fn describe_state(&self, state: &mut State<'_>) {
        let Self {
            config,
            keys: _, // made from the pre-shared key, which does not change
            queues,
            rng: _, // positions of generators do not count
            status,
            session,
            is_session_dead,
            settings,
            login,
            retry,
            is_starting,
            asleep_since,
            jobs,
            change,
            has_data_plane,
        } = self;
        config.describe(state);
        queues.describe(state);
        describe::text(state, status.name());
        describe::option(state, session.as_ref(), |state, session| session.describe(state));
        state.flag(*is_session_dead);
        describe::option(state, settings.as_ref(), describe::settings);
        describe::option(state, login.as_ref(), |state, login| login.describe(state));
        retry.describe(state);
        state.flag(*is_starting);
        state.age(*asleep_since);
        describe::jobs(state, jobs);
        describe::option(state, change.as_ref(), |state, change| change.describe(state));
        state.flag(*has_data_plane);
    }
}

impl Account {
    fn describe(&self, state: &mut State<'_>) {
        let Self {
            login: _, // does not change
            password,
            suite: _, // does not change
            stretching,
            server,
            mtu_search: _, // does not change
            cipher,
            rekey_after,
        } = self;
        describe::fingerprint(state, password.as_bytes());
        state.number(stretching.byte().into());
        describe::socket(state, *server);
        describe::text(state, cipher.name());
        state.duration(*rekey_after);
    }
}
