//! The sessions of a server: found by number, by user and by inner address, and woken when their time comes.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::registry::{Registry, SessionId};
use crate::secure::Login;
use crate::secure::data_path::DataPath;
use crate::secure::message::Message;
use crate::secure::session::Session;
use crate::{Instant, Reason};

/// How far a session is.
#[derive(Debug)]
pub(super) enum State {
    /// KE3 was right, and nothing has come under the session's keys yet.
    Unconfirmed(Box<Unconfirmed>),
    Live,
}

/// What is kept until the client has shown that it has its settings.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    /// What proved it, to tell a repeat.
    pub(super) ke3: [u8; 64],
    /// The settings, or the refusal.
    pub(super) answer: Message,
    pub(super) answered_at: Instant,
    pub(super) until: Instant,
}

/// How often a repeated M3 is answered.
pub(super) const ANSWER_INTERVAL: Duration = Duration::from_millis(250);

/// A session and what the server knows of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) login: Login,
    pub(super) session: Session,
    pub(super) state: State,
    /// The inner addresses that are its own. Empty: it was refused, and only stands to repeat that.
    pub(super) addresses: Vec<IpAddr>,
    /// When it is looked at next; never later than its next timer.
    wake: Instant,
}

impl Entry {
    pub(super) const fn new(login: Login, session: Session, state: State, addresses: Vec<IpAddr>) -> Self {
        Self {
            login,
            session,
            state,
            addresses,
            wake: Instant::FAR_FUTURE,
        }
    }

    /// Its next timer.
    fn next_timeout(&self) -> (Instant, Reason) {
        let timer = self.session.poll_timeout();
        match &self.state {
            State::Unconfirmed(unconfirmed) => timer.min((unconfirmed.until, Reason::HalfOpen)),
            State::Live => timer,
        }
    }

    /// Whether it was let in.
    pub(super) const fn is_accepted(&self) -> bool {
        !self.addresses.is_empty()
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// In boxes, for a tree has room for nearly twice as many as it holds.
    entries: BTreeMap<SessionId, Box<Entry>>,
    by_address: BTreeMap<IpAddr, SessionId>,
    /// In the order in which they were made: numbers only grow.
    by_user: BTreeSet<(Login, SessionId)>,
    wakes: BTreeSet<(Instant, SessionId)>,
    last_id: SessionId,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The number of the session that is inserted next.
    pub(super) const fn next_id(&self) -> SessionId {
        self.last_id.saturating_add(1)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.entries.get_mut(&id).map(Box::as_mut)
    }

    /// The session that owns an inner address.
    pub(super) fn at_address(&mut self, address: IpAddr) -> Option<(SessionId, &mut Entry)> {
        let id = *self.by_address.get(&address)?;
        Some((id, self.entries.get_mut(&id).map(Box::as_mut)?))
    }

    /// Who owns an inner address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<SessionId> {
        self.by_address.get(&address).copied()
    }

    /// Every session as a data plane needs it.
    pub(super) fn data_paths(&mut self) -> Vec<Arc<DataPath>> {
        self.entries
            .values_mut()
            .map(|entry| {
                let is_live = matches!(entry.state, State::Live);
                entry.session.data_path(is_live, &entry.addresses)
            })
            .collect()
    }

    /// The sessions of a user, oldest first.
    pub(super) fn of_user(&self, login: &Login) -> Vec<SessionId> {
        let all = (login.clone(), 0)..=(login.clone(), SessionId::MAX);
        self.by_user.range(all).map(|(_, id)| *id).collect()
    }

    /// Every session with its user.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, &**entry))
    }

    pub(super) fn insert(&mut self, entry: Entry, registry: &mut Registry) -> SessionId {
        let id = self.next_id();
        self.last_id = id;
        for address in &entry.addresses {
            self.by_address.insert(*address, id);
        }
        if entry.is_accepted() {
            self.by_user.insert((entry.login.clone(), id));
        }
        registry.replace(id, &[], &entry.session.open_indices());
        self.entries.insert(id, Box::new(entry));
        self.rearm(id);
        id
    }

    /// Takes a session out, with all that leads to it.
    pub(super) fn remove(&mut self, id: SessionId, registry: &mut Registry) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        registry.replace(id, &entry.session.open_indices(), &[]);
        for address in &entry.addresses {
            self.by_address.remove(address);
        }
        self.by_user.remove(&(entry.login.clone(), id));
        self.wakes.remove(&(entry.wake, id));
        Some(*entry)
    }

    /// Notes that the client has shown itself under the session's keys; whether that is new.
    pub(super) fn confirm(&mut self, id: SessionId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if matches!(entry.state, State::Live) || !entry.is_accepted() {
            return false;
        }
        entry.state = State::Live;
        true
    }

    /// Sees to it that a session is woken in time. A wake that has become later stays: it will find nothing to do.
    pub(super) fn rearm(&mut self, id: SessionId) {
        let Some(entry) = self.entries.get_mut(&id) else {
            return;
        };
        let (due, _) = entry.next_timeout();
        if due < entry.wake {
            self.wakes.remove(&(entry.wake, id));
            entry.wake = due;
            self.wakes.insert((due, id));
        }
    }

    /// When the next session is woken, and what for.
    pub(super) fn next_wake(&self) -> Option<(Instant, Reason)> {
        let (wake, id) = self.wakes.first()?;
        let (_, reason) = self.entries.get(id)?.next_timeout();
        Some((*wake, reason))
    }

    /// A session that is to be woken; it must be armed again.
    pub(super) fn pop_wake(&mut self, now: Instant) -> Option<SessionId> {
        let (_, id) = self.wakes.first().filter(|(wake, _)| now >= *wake)?;
        let id = *id;
        self.wakes.pop_first();
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.wake = Instant::FAR_FUTURE;
        }
        Some(id)
    }

    /// Where the sessions are, for a server that wants to tell.
    pub(super) fn remotes(&self) -> impl Iterator<Item = (&Login, SocketAddr)> {
        self.entries
            .values()
            .filter(|entry| entry.is_accepted())
            .map(|entry| (&entry.login, entry.session.remote()))
    }
}
