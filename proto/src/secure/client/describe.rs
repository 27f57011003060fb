//! Description of a client, for a search of equal states.

use super::Client;
use super::config::Account;
use crate::{Instant, State, describe};

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
            clock,
            server_clock,
            doubts_server_clock,
            skips_ticket,
            session_id: _, // the indices with which the session began
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
        // The time goes on in the same way for all states.
        for clock in [clock, server_clock] {
            describe::option(state, *clock, |state, clock| {
                state.number(clock.read(Instant::ZERO));
            });
        }
        state.flag(*doubts_server_clock);
        state.flag(*skips_ticket);
    }
}

impl Account {
    fn describe(&self, state: &mut State<'_>) {
        let Self {
            login: _, // does not change
            password,
            other_password,
            suite: _, // does not change
            stretching,
            server,
            server_key: _, // does not change
            ticket,
            mtu_search: _, // does not change
            cipher,
            rekey_after,
            retries_start: _, // does not change
        } = self;
        describe::fingerprint(state, password.as_bytes());
        describe::fingerprint(
            state,
            other_password
                .as_ref()
                .map_or(b"", |password| password.as_bytes()),
        );
        state.number(stretching.byte().into());
        describe::socket(state, *server);
        // The server never compares two tickets. It only accepts them until they expire.
        state.flag(ticket.is_some());
        describe::text(state, cipher.name());
        state.duration(*rekey_after);
    }
}
