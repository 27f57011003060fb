//! A secure server together with its operator, who changes accounts while it runs.

use std::collections::VecDeque;
use std::fmt;

use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Event, Gauges, Instant, Job, JobDone, Peer, Reason};
use sandhog_proto::secure::{Login, Record, Server, UserStore};

use crate::scenario::{AccountChange, AccountState};

/// What an operator does to an account.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Becomes(Login, AccountState),
    Record(Login, Box<Record>),
}

/// A server that is handed other users at given times. The user store is the operator's and survives the server: after
/// a restart all changes up to then are made at once.
pub(super) struct Operated {
    server: Server,
    users: UserStore,
    changes: VecDeque<(Instant, Change)>,
}

impl Operated {
    /// `changes` are in the order of their times.
    pub(super) const fn new(server: Server, users: UserStore, changes: VecDeque<(Instant, Change)>) -> Self {
        Self {
            server,
            users,
            changes,
        }
    }

    fn change_what_is_due(&mut self, now: Instant) {
        let before = self.changes.len();
        while let Some((_, change)) = self.changes.pop_front_if(|(at, _)| *at <= now) {
            let done = match change {
                Change::Becomes(login, AccountState::Disabled) => self.users.disable(&login),
                Change::Becomes(login, AccountState::Enabled) => self.users.enable(&login),
                Change::Becomes(login, AccountState::Removed) => self.users.remove(&login).map(|_| ()),
                Change::Record(login, record) => self.users.change(&login, *record),
            };
            done.expect("the scenario was validated");
        }
        if self.changes.len() < before {
            let taken = self.server.set_users(now, self.users.clone());
            taken.expect("the scenario was validated");
        }
    }
}

impl Peer for Operated {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.change_what_is_due(now);
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
}

/// The sentence of the story; it never says a password.
impl fmt::Display for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.becomes {
            Some(AccountState::Disabled) => "disables the account of",
            Some(AccountState::Enabled) => "enables the account of",
            Some(AccountState::Removed) => "removes the account of",
            None => "sets another password for",
        };
        write!(f, "the operator of {} {does} \"{}\"", self.server, self.login)
    }
}
