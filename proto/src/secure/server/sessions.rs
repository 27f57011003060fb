//! Sessions of a server by number, user and inner address, and their timers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::password::Proving;
use super::registry::{Registry, SessionId};
use crate::secure::Login;
use crate::secure::data_path::DataPath;
use crate::secure::message::Message;
use crate::secure::session::Session;
use crate::{DropReason, Instant, Reason, describe};

/// State of a session.
#[derive(Debug)]
pub(super) enum State {
    /// KE3 was valid, but no datagram under the session keys has arrived yet.
    Unconfirmed(Box<Unconfirmed>),
    Live,
}

/// Data that is kept until the client has used the session.
#[derive(Debug)]
pub(super) struct Unconfirmed {
    /// The valid KE3, to recognise its retransmission.
    pub(super) ke3: [u8; 64],
    /// The settings, or the refusal.
    pub(super) answer: Message,
    pub(super) answered_at: Instant,
    pub(super) until: Instant,
}

/// Minimum interval between two replies to a retransmitted M3.
pub(super) const ANSWER_INTERVAL: Duration = Duration::from_millis(250);

/// A session with its user and addresses.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) login: Login,
    pub(super) session: Session,
    pub(super) state: State,
    /// Inner addresses of the session. Until it is live, they are only reserved: they may still belong to the session that it
    /// will replace. Empty if the login was refused. The session then only repeats the
    /// refusal.
    pub(super) addresses: Vec<IpAddr>,
    /// Receiver indices of the client and of the server when the session began. They identify it in a password change.
    pub(super) session_id: (u32, u32),
    /// Proof of the old password, while the client changes it.
    pub(super) proving: Option<Box<Proving>>,
    /// Time at which the server has asked the silent session for an answer, because another user needs an address.
    pub(super) asked_at: Option<Instant>,
    /// Time of the next check, never later than the next timer.
    wake: Instant,
}

impl State {
    fn describe(&self, state: &mut crate::State<'_>) {
        match self {
            Self::Unconfirmed(unconfirmed) => {
                state.number(0);
                unconfirmed.describe(state);
            }
            Self::Live => state.number(1),
        }
    }
}

impl Unconfirmed {
    fn describe(&self, state: &mut crate::State<'_>) {
        let Self {
            ke3,
            answer,
            answered_at,
            until,
        } = self;
        state.secret(ke3);
        state.bytes(&answer.to_bytes());
        state.deadline(Some(answered_at.saturating_add(ANSWER_INTERVAL)));
        state.deadline(Some(*until));
    }
}

impl Entry {
    pub(super) const fn new(
        login: Login,
        session: Session,
        session_id: (u32, u32),
        state: State,
        addresses: Vec<IpAddr>,
    ) -> Self {
        Self {
            login,
            session,
            state,
            addresses,
            session_id,
            proving: None,
            asked_at: None,
            wake: Instant::FAR_FUTURE,
        }
    }

    /// Returns the next timer.
    fn next_timeout(&self) -> (Instant, Reason) {
        let timer = self.session.poll_timeout();
        let proof = self
            .proving
            .as_ref()
            .map(|proving| (proving.until, Reason::ForgetKey));
        let answer = self.answer_until().map(|until| (until, Reason::Dead));
        let timer = proof.into_iter().chain(answer).fold(timer, Ord::min);
        match &self.state {
            State::Unconfirmed(unconfirmed) => timer.min((unconfirmed.until, Reason::HalfOpen)),
            State::Live => timer,
        }
    }

    /// Returns true if the login was accepted.
    pub(super) const fn is_accepted(&self) -> bool {
        !self.addresses.is_empty()
    }

    fn describe(&self, state: &mut crate::State<'_>) {
        let Self {
            login,
            session,
            state: progress,
            addresses,
            session_id: _, // the indices of epoch 0
            proving,
            asked_at: _, // read as the time of the answer
            wake,
        } = self;
        describe::text(state, login.as_str());
        session.describe(state);
        progress.describe(state);
        describe::list(state, addresses.iter().copied(), describe::ip);
        describe::option(state, proving.as_ref(), |state, proving| proving.describe(state));
        state.deadline(self.answer_until());
        describe::timer(state, *wake);
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// Boxed, because the nodes of a tree have room for nearly twice as many entries as they hold.
    entries: BTreeMap<SessionId, Box<Entry>>,
    by_address: BTreeMap<IpAddr, SessionId>,
    /// In the order of creation, because numbers only grow.
    by_user: BTreeSet<(Login, SessionId)>,
    wakes: BTreeSet<(Instant, SessionId)>,
    last_id: SessionId,
}

impl Sessions {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Number of the session that is inserted next.
    pub(super) const fn next_id(&self) -> SessionId {
        self.last_id.saturating_add(1)
    }

    pub(super) fn get(&self, id: SessionId) -> Option<&Entry> {
        self.entries.get(&id).map(Box::as_ref)
    }

    pub(super) fn get_mut(&mut self, id: SessionId) -> Option<&mut Entry> {
        self.entries.get_mut(&id).map(Box::as_mut)
    }

    /// Returns a session that may receive datagrams. A refused login has a session only to repeat the refusal. Whatever
    /// its client sends in it is dropped unopened.
    pub(super) fn accepted(&mut self, id: SessionId) -> Result<&mut Entry, DropReason> {
        let entry = self.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        if entry.is_accepted() {
            Ok(entry)
        } else {
            Err(DropReason::Unexpected)
        }
    }

    /// Returns the session that owns an inner address.
    pub(super) fn at_address(&mut self, address: IpAddr) -> Option<(SessionId, &mut Entry)> {
        let id = *self.by_address.get(&address)?;
        Some((id, self.entries.get_mut(&id).map(Box::as_mut)?))
    }

    /// Number of the session that owns an inner address.
    pub(super) fn owner(&self, address: IpAddr) -> Option<SessionId> {
        self.by_address.get(&address).copied()
    }

    /// The data paths of all sessions.
    pub(super) fn data_paths(&mut self) -> Vec<Arc<DataPath>> {
        self.entries
            .iter_mut()
            .filter(|(_, entry)| entry.is_accepted())
            .map(|(id, entry)| {
                let is_live = matches!(entry.state, State::Live);
                // Addresses that a login only reserves belong to another session.
                let is_own = |address: &&IpAddr| self.by_address.get(*address) == Some(id);
                let own: Vec<IpAddr> = entry.addresses.iter().filter(is_own).copied().collect();
                entry.session.data_path(is_live, &own)
            })
            .collect()
    }

    /// Sessions of a user, oldest first.
    pub(super) fn of_user(&self, login: &Login) -> Vec<SessionId> {
        let all = (login.clone(), 0)..=(login.clone(), SessionId::MAX);
        self.by_user.range(all).map(|(_, id)| *id).collect()
    }

    /// All sessions with their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (SessionId, &Entry)> {
        self.entries.iter().map(|(id, entry)| (*id, &**entry))
    }

    pub(super) fn insert(&mut self, entry: Entry, registry: &mut Registry) -> SessionId {
        let id = self.next_id();
        self.last_id = id;
        for address in &entry.addresses {
            self.by_address.entry(*address).or_insert(id);
        }
        if entry.is_accepted() {
            self.by_user.insert((entry.login.clone(), id));
        }
        registry.replace(id, &[], &entry.session.open_indices());
        self.entries.insert(id, Box::new(entry));
        self.rearm(id);
        id
    }

    /// Removes a session and all references to it.
    pub(super) fn remove(&mut self, id: SessionId, registry: &mut Registry) -> Option<Entry> {
        let entry = self.entries.remove(&id)?;
        registry.replace(id, &entry.session.open_indices(), &[]);
        self.by_user.remove(&(entry.login.clone(), id));
        for address in &entry.addresses {
            if self.owner(*address) != Some(id) {
                continue;
            }
            match self.holder(&entry.login, *address) {
                Some(other) => self.by_address.insert(*address, other),
                None => self.by_address.remove(address),
            };
        }
        self.wakes.remove(&(entry.wake, id));
        Some(*entry)
    }

    /// Returns a session of a user that has or reserves an inner address.
    pub(super) fn holder(&self, login: &Login, address: IpAddr) -> Option<SessionId> {
        self.of_user(login).into_iter().find(|id| {
            self.get(*id)
                .is_some_and(|entry| entry.addresses.contains(&address))
        })
    }

    /// Returns true if the client has used the session.
    pub(super) fn is_live(&self, id: SessionId) -> bool {
        self.get(id)
            .is_some_and(|entry| matches!(entry.state, State::Live))
    }

    /// Records that the client has used the session. From now on its addresses belong to it. Returns true the first time.
    pub(super) fn confirm(&mut self, id: SessionId) -> bool {
        let Some(entry) = self.entries.get_mut(&id) else {
            return false;
        };
        if matches!(entry.state, State::Live) || !entry.is_accepted() {
            return false;
        }
        entry.state = State::Live;
        for address in &entry.addresses {
            self.by_address.insert(*address, id);
        }
        true
    }

    /// Makes sure that a session is checked in time. If its timer was postponed, the check stays and finds
    /// nothing to do.
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

    /// Time and reason of the next check.
    pub(super) fn next_wake(&self) -> Option<(Instant, Reason)> {
        let (wake, id) = self.wakes.first()?;
        let (_, reason) = self.entries.get(id)?.next_timeout();
        Some((*wake, reason))
    }

    /// Returns a session that must be checked now. The caller must call [`rearm`](Self::rearm) for it.
    pub(super) fn pop_wake(&mut self, now: Instant) -> Option<SessionId> {
        let (_, id) = self.wakes.first().filter(|(wake, _)| now >= *wake)?;
        let id = *id;
        self.wakes.pop_first();
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.wake = Instant::FAR_FUTURE;
        }
        Some(id)
    }

    /// User name and outer address of each session.
    pub(super) fn remotes(&self) -> impl Iterator<Item = (&Login, SocketAddr)> {
        self.entries
            .values()
            .filter(|entry| entry.is_accepted())
            .map(|entry| (&entry.login, entry.session.remote()))
    }

    /// Describes the sessions in the order of their numbers.
    pub(super) fn describe(&self, state: &mut crate::State<'_>) {
        let Self {
            entries,
            by_address: _, // follows from the entries
            by_user: _,    // follows from the entries
            wakes: _,      // follows from the entries
            last_id: _,    // only the order of the numbers counts
        } = self;
        describe::list(state, entries.values(), |state, entry| entry.describe(state));
    }

    /// The place of a session in the order of the numbers.
    pub(super) fn place(&self, id: SessionId) -> Option<usize> {
        self.entries.keys().position(|key| *key == id)
    }
}
