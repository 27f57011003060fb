//! Secure client with a user who changes the password while the tunnel is up.

use std::collections::VecDeque;

use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Event, EventKind, Gauges, Instant, Job, JobDone, Peer, Reason, State,
};
use sandhog_proto::secure::Client;
use zeroize::Zeroizing;

/// Name of the event that a change of the password begins.
const BEGINS: EventKind = EventKind::Other("password-change");

/// A client whose user changes the password at given times. A change waits until the tunnel is up.
///
/// The new password is forgotten in a crash, because the configuration of the client has the first one.
pub(super) struct ChangingClient {
    client: Client,
    changes: VecDeque<(Instant, Zeroizing<String>)>,
    /// Begin of a change, before the events of the client.
    begins: Option<Event>,
}

impl ChangingClient {
    /// A client with these changes, in the order of their times.
    pub(super) const fn new(client: Client, changes: VecDeque<(Instant, Zeroizing<String>)>) -> Self {
        Self {
            client,
            changes,
            begins: None,
        }
    }

    /// Begins the next change that is due, if the tunnel is up.
    fn change(&mut self, now: Instant) {
        let Some((_, password)) = self.changes.front().filter(|(at, _)| *at <= now) else {
            return;
        };
        if self.client.change_password(now, password.clone()).is_ok() {
            self.begins = Some(Event { tag: 0, kind: BEGINS });
            self.changes.pop_front();
        }
    }
}

impl Peer for ChangingClient {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.change(now);
        let deadline = self.client.turn(now, input, output);
        let next = self.changes.front().filter(|(at, _)| *at > now);
        let next = next.map(|(at, _)| (*at, Reason::Other("user")));
        deadline.into_iter().chain(next).min()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.begins.take().or_else(|| self.client.poll_event())
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
        self.client.command(now, command)
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.client.poll_job()
    }

    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        self.client.handle_job(now, done)
    }

    fn counters(&self) -> Counters {
        self.client.counters()
    }

    fn gauges(&self) -> Gauges {
        self.client.gauges()
    }

    fn describe(&self, state: &mut State<'_>) -> bool {
        let Self {
            client,
            changes,
            begins: _, // taken in the same turn
        } = self;
        // The changes are part of the scenario, so their number and the time of the next one tell them apart.
        state.number(changes.len() as u64);
        state.deadline(changes.front().map(|(at, _)| *at));
        client.describe(state)
    }
}
