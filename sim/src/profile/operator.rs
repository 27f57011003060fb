//! Secure server with an operator who changes accounts while the server runs.

use std::collections::VecDeque;

use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Event, Gauges, Instant, Job, JobDone, Peer, Reason, State,
};
use sandhog_proto::secure::{Login, Record, Server, StoreOpError, User, UserStore};

use crate::scenario::AccountState;

/// A date before each run, in seconds since 1970-01-01. Simulated time begins at that date.
const EXPIRED: u64 = 0;

/// A change of an account.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// A new state.
    State(Login, AccountState),
    /// A new password, as its OPAQUE record.
    Record(Login, Box<Record>),
}

/// A server whose users change at given times.
///
/// The user store survives crashes of the server. A restarted server makes all changes up to that time at once.
pub(super) struct OperatedServer {
    server: Server,
    changes: VecDeque<(Instant, Change)>,
}

impl OperatedServer {
    /// A server with these changes, in the order of their times.
    pub(super) const fn new(server: Server, changes: VecDeque<(Instant, Change)>) -> Self {
        Self { server, changes }
    }

    /// Makes all changes up to `now`.
    fn apply_changes(&mut self, now: Instant) {
        let before = self.changes.len();
        // A user may have changed the password meanwhile.
        let mut users = self.server.users().clone();
        while let Some((_, change)) = self.changes.pop_front_if(|(at, _)| *at <= now) {
            let result = match change {
                Change::State(login, AccountState::Disabled) => users.disable(&login),
                Change::State(login, AccountState::Expired) => set_expiry(&mut users, &login, Some(EXPIRED)),
                Change::State(login, AccountState::Enabled) => users
                    .enable(&login)
                    .and_then(|()| set_expiry(&mut users, &login, None)),
                Change::State(login, AccountState::Removed) => users.remove(&login).map(|_| ()),
                Change::Record(login, record) => users.change(&login, *record),
            };
            result.expect("the scenario was validated");
        }
        if self.changes.len() < before {
            let result = self.server.set_users(now, users);
            result.expect("the scenario was validated");
        }
    }
}

/// Changes the date from which on the logins of a user are refused.
fn set_expiry(users: &mut UserStore, login: &Login, expires: Option<u64>) -> Result<(), StoreOpError> {
    let user = users.remove(login)?;
    users.add(User { expires, ..user })
}

impl Peer for OperatedServer {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.apply_changes(now);
        let deadline = self.server.turn(now, input, output);
        let next = self
            .changes
            .front()
            .map(|(at, _)| (*at, Reason::Other("operator")));
        deadline.into_iter().chain(next).min()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.server.poll_event()
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
        self.server.command(now, command)
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.server.poll_job()
    }

    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        self.server.handle_job(now, done)
    }

    fn counters(&self) -> Counters {
        self.server.counters()
    }

    fn gauges(&self) -> Gauges {
        self.server.gauges()
    }

    fn describe(&self, state: &mut State<'_>) -> bool {
        let Self { server, changes } = self;
        // The changes are part of the scenario, so their number and the time of the next one tell them apart.
        state.number(changes.len() as u64);
        state.deadline(changes.front().map(|(at, _)| *at));
        server.describe(state)
    }
}
