//! Half-open logins: the state between KE2 and KE3, limited in number, time and KE3 failures.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::time::Duration;

use crate::secure::Login;
use crate::secure::guard::Debit;
use crate::secure::keys::LoginTranscript;
use crate::secure::message::Ke2Reply;
use crate::secure::opaque::ServerLoginState;
use crate::{Instant, State, describe};

/// Maximum time of a login between KE2 and KE3.
pub const HALF_OPEN_FOR: Duration = Duration::from_secs(10);

/// Number of wrong KE3 after which a login ends.
pub const MAX_BAD_KE3: u8 = 3;

/// Maximum time for which a used cookie may still be accepted.
const COOKIE_FOR: Duration = Duration::from_secs(30);

/// A client without a session: source address and receiver index of its login.
type Client = (SocketAddr, u32);

/// A login between KE2 and KE3.
pub(super) struct HalfOpen {
    /// The server's receiver index.
    pub(super) index: u32,
    /// Receiver index of the client.
    pub(super) client_index: u32,
    pub(super) source: SocketAddr,
    pub(super) login: Login,
    /// Ephemeral key of the client. It identifies the login when M1 arrives again.
    pub(super) ephemeral: [u8; 32],
    pub(super) state: ServerLoginState,
    /// M2, which is sent again if M1 arrives again.
    pub(super) reply: Ke2Reply,
    /// Hash of M1, M2 and the server's encapsulation key.
    pub(super) transcript: LoginTranscript,
    /// Number of the pre-shared key that has opened M1. All answers use it.
    pub(super) key: usize,
    pub(super) debit: Debit,
    pub(super) bad_ke3: u8,
}

impl HalfOpen {
    fn describe(&self, state: &mut State<'_>) {
        let Self {
            index,
            client_index,
            source,
            login,
            ephemeral,
            state: _, // `ephemeral` and `index` stand for it
            reply,
            transcript: _, // `reply` stands for it
            key,
            debit,
            bad_ke3,
        } = self;
        describe::random(state, *index);
        describe::random(state, *client_index);
        describe::socket(state, *source);
        describe::text(state, login.as_str());
        state.secret(ephemeral);
        state.secret(&*reply.sealed);
        describe::len(state, *key);
        debit.describe(state);
        state.number((*bad_ke3).into());
    }
}

impl fmt::Debug for HalfOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HalfOpen")
            .field("source", &self.source)
            .field("bad_ke3", &self.bad_ke3)
            .finish_non_exhaustive()
    }
}

/// All half-open logins.
#[derive(Debug, Default)]
pub(super) struct HalfOpens {
    by_index: BTreeMap<u32, HalfOpen>,
    by_client: BTreeMap<Client, u32>,
    /// Deadlines in order. Entries of logins that have ended earlier are skipped.
    deadlines: VecDeque<(Instant, u32)>,
    /// Clients that got a KE2 and whose cookie may still be accepted. `spent` has them in the order in which
    /// the cookies expire. The rate limit of KE1 bounds both.
    answered: BTreeSet<Client>,
    spent: VecDeque<(Instant, Client)>,
}

impl HalfOpens {
    pub(super) fn len(&self) -> usize {
        self.by_index.len()
    }

    /// Returns the half-open login of a client.
    pub(super) fn of_client(&self, source: SocketAddr, client_index: u32) -> Option<&HalfOpen> {
        let index = self.by_client.get(&(source, client_index))?;
        self.by_index.get(index)
    }

    /// Returns true if this client already got its KE2. Its message is then a replay of a login that is over.
    pub(super) fn is_spent(&mut self, now: Instant, source: SocketAddr, client_index: u32) -> bool {
        while let Some((_, client)) = self.spent.pop_front_if(|(end, _)| now >= *end) {
            self.answered.remove(&client);
        }
        self.answered.contains(&(source, client_index))
    }

    pub(super) fn get_mut(&mut self, index: u32) -> Option<&mut HalfOpen> {
        self.by_index.get_mut(&index)
    }

    pub(super) fn insert(&mut self, now: Instant, half_open: HalfOpen) {
        let (index, client) = (half_open.index, (half_open.source, half_open.client_index));
        self.by_client.insert(client, index);
        self.answered.insert(client);
        self.spent.push_back((now.saturating_add(COOKIE_FOR), client));
        self.by_index.insert(index, half_open);
        self.deadlines
            .push_back((now.saturating_add(HALF_OPEN_FOR), index));
    }

    pub(super) fn remove(&mut self, index: u32) -> Option<HalfOpen> {
        let half_open = self.by_index.remove(&index)?;
        self.by_client.remove(&(half_open.source, half_open.client_index));
        Some(half_open)
    }

    /// Deadline of the oldest login.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.deadlines.front().map(|(end, _)| *end)
    }

    /// Removes and returns a login whose deadline has passed.
    pub(super) fn pop_ended(&mut self, now: Instant) -> Option<HalfOpen> {
        while let Some((_, index)) = self.deadlines.front().copied().filter(|(end, _)| now >= *end) {
            self.deadlines.pop_front();
            if let Some(ended) = self.remove(index) {
                return Some(ended);
            }
        }
        None
    }

    /// Describes the half-open logins in the order of their ends, and the answered clients.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            by_index,
            by_client: _, // the same logins
            deadlines,
            answered: _, // the same clients as `spent`
            spent,
        } = self;
        // The entry of a removed login wakes the server once more.
        describe::list(state, deadlines.iter(), |state, (end, index)| {
            state.deadline(Some(*end));
            describe::option(state, by_index.get(index), |state, half_open| {
                half_open.describe(state);
            });
        });
        let now = state.now();
        let spent: Vec<_> = spent.iter().filter(|(end, _)| now < *end).collect();
        describe::list(
            state,
            spent.into_iter(),
            |state, (end, (source, client_index))| {
                state.deadline(Some(*end));
                describe::socket(state, *source);
                describe::random(state, *client_index);
            },
        );
    }
}
