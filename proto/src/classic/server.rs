//! Server of the classic profile: verifies logins, keeps sessions, and carries packets to and from the inner
//! network.

use alloc::borrow::ToOwned;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::body::{Credentials, Message, auth_response};
use super::codec::{Code, Codec, DecodeError};
use super::outbox::Outbox;
use super::users::{ConfigError, User, UserId, Users};
use super::{Key, stream};
use crate::classic::job::{self, PasswordVerified};
use crate::ip::IpAddresses;
use crate::queues::Queues;
use crate::turn::Steps;
use crate::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Instant, Job, JobDone,
    PacketBuf, Peer, Reason, State, describe,
};

/// Maximum number of logins that are verified at the same time. Further requests are dropped as
/// [`DropReason::Busy`].
pub const MAX_PENDING_JOBS: usize = 64;

/// Maximum number of equal requests from one source that share a verification. Further ones are dropped as
/// [`DropReason::Busy`]. A client sends four per attempt, and the network may duplicate each.
pub const MAX_REQUESTS_PER_JOB: usize = 8;

/// Configuration of a server. Debug does not show key, password hashes or seed.
#[derive(Clone)]
pub struct ServerConfig {
    /// The pre-shared key.
    pub key: Key,
    /// The users that may log in.
    pub users: Vec<User>,
    /// Maximum size of an inner IP packet in bytes, at least 68.
    pub mtu: u16,
    /// Seed of the nonces. In production it must be fresh entropy for every run: the same seed under the same
    /// key gives the same nonces.
    pub seed: [u8; 32],
}

impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("users", &self.users)
            .field("mtu", &self.mtu)
            .finish_non_exhaustive()
    }
}

/// A server of the classic profile.
///
/// # Methods
///
/// - **Input**: [`handle_datagram`](Self::handle_datagram), [`handle_packet`](Self::handle_packet),
///   [`handle_job`](Peer::handle_job). A server has no timers.
/// - **Output**: [`poll_datagram`](Self::poll_datagram), [`poll_packet`](Self::poll_packet),
///   [`poll_event`](Peer::poll_event), [`poll_job`](Peer::poll_job).
/// - **Getters**: [`session_count`](Self::session_count), [`pending_jobs`](Self::pending_jobs),
///   [`counters`](Peer::counters), [`messages_sealed`](Self::messages_sealed).
/// - **Commands**: none. Every [`Command`] returns [`ApiMisuse::NotAClient`].
///
/// # Order of calls
///
/// Call one input. Then poll datagrams, packets, events and jobs until each returns `None`. A datagram or
/// packet before datagrams and packets were polled returns [`ApiMisuse::NotDrained`] and is not handled.
/// Results of jobs may be passed in one after the other. `now` must not go backwards. If it does, the latest
/// known time is used. [`Peer::turn`] does all of this for a whole batch.
///
/// # Logins
///
/// A request becomes a [`Job`], because Argon2 is slow. The server responds when the job is done. Requests
/// with the same credentials from the same source share the running job, and each gets a response. Other
/// requests from that source are dropped until then. For an unknown user, the password is verified against a
/// fake hash that costs as much as the most expensive real one. So response, size and time do not reveal
/// which users exist. This needs hashes of equal cost for all users.
///
/// A valid login creates a session at its source address and ends the user's older session. Sessions do not
/// end otherwise, because the profile has no message for that.
///
/// # Bounds
///
/// The number of sessions is at most the number of users. There are at most [`MAX_PENDING_JOBS`]
/// verifications with [`MAX_REQUESTS_PER_JOB`] requests each, and at most [`MAX_EVENTS`](super::MAX_EVENTS)
/// queued events. Only the events can be caused without the key.
#[derive(Debug)]
pub struct Server {
    users: Users,
    outbox: Outbox,
    /// Sessions by source address, and the address of each user's session. Both are changed together.
    sessions: BTreeMap<SocketAddr, UserId>,
    remotes: BTreeMap<UserId, SocketAddr>,
    pending: BTreeMap<SocketAddr, Pending>,
    jobs: VecDeque<Job>,
    job_ids: ChaCha20Rng,
}

/// A verification in progress for one source.
struct Pending {
    job: u64,
    user: Option<UserId>,
    login: String,
    password: Zeroizing<String>,
    /// Tags of the requests that wait for the response.
    requests: Vec<u64>,
}

impl Pending {
    fn describe(&self, state: &mut State<'_>) {
        let Self {
            job,
            user,
            login,
            password,
            requests,
        } = self;
        describe::job_id(state, *job);
        describe::option(state, *user, |state, user| user.describe(state));
        describe::text(state, login);
        describe::fingerprint(state, password.as_bytes());
        // The tags are numbers of the shell.
        describe::len(state, requests.len());
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("requests", &self.requests.len())
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Creates a server without sessions.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the users contradict each other or the MTU is too small.
    pub fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        const SMALLEST_MTU: u16 = 68;
        if config.mtu < SMALLEST_MTU {
            return Err(ConfigError::MtuTooSmall(config.mtu));
        }
        let mut rng = ChaCha20Rng::from_seed(config.seed);
        rng.set_stream(stream::SERVER_JOBS);
        Ok(Self {
            users: Users::new(config.users, &mut rng)?,
            outbox: Outbox::new(
                Codec::new(&config.key, config.seed, stream::SERVER_NONCES),
                config.mtu,
            ),
            sessions: BTreeMap::new(),
            remotes: BTreeMap::new(),
            pending: BTreeMap::new(),
            jobs: VecDeque::new(),
            job_ids: rng,
        })
    }

    /// Counts messages that others have sealed under the same key towards
    /// [`MAX_MESSAGES`](super::MAX_MESSAGES).
    pub const fn count_earlier_messages(&mut self, messages: u64) {
        self.outbox.codec.count_earlier(messages);
    }

    /// Number of sessions, at most the number of users.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Number of logins being verified, at most [`MAX_PENDING_JOBS`]. Jobs that were polled are included.
    #[must_use]
    pub fn pending_jobs(&self) -> usize {
        self.pending.len()
    }

    /// Number of messages sealed under the key, including those of earlier runs.
    #[must_use]
    pub const fn messages_sealed(&self) -> u64 {
        self.outbox.codec.messages_sealed()
    }

    /// Handles one datagram from the outer network.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the datagram is discarded.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.outbox.queues.check_drained()?;
        self.outbox.queues.advance(now);
        self.outbox.queues.count_datagram_in();
        let tag = datagram.payload.tag;
        if let Err(reason) = self.dispatch(datagram) {
            self.outbox.queues.drop(reason, tag);
        }
        Ok(())
    }

    /// Handles one IP packet from the inner network: seals it in place and queues it for the session that
    /// owns its destination.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the packet is discarded.
    pub fn handle_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.outbox.queues.check_drained()?;
        self.outbox.queues.advance(now);
        let Some(addresses) = IpAddresses::read(&packet) else {
            self.outbox.queues.drop(DropReason::NotIp, packet.tag);
            return Ok(());
        };
        let owner = self.users.owner(addresses.destination);
        match owner.and_then(|user| self.remotes.get(&user)) {
            Some(remote) => self.outbox.send_packet(*remote, packet),
            None => self.outbox.queues.drop(DropReason::NoRoute, packet.tag),
        }
        Ok(())
    }

    /// Returns the next datagram to send, `None` if there is none.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.outbox.queues.poll_datagram()
    }

    /// Returns the next inner packet for the device, `None` if there is none.
    pub fn poll_packet(&mut self) -> Option<PacketBuf> {
        self.outbox.queues.poll_packet()
    }

    fn dispatch(&mut self, datagram: Datagram) -> Result<(), DropReason> {
        let Datagram {
            remote, mut payload, ..
        } = datagram;
        match self
            .outbox
            .codec
            .decode(&mut payload)
            .map_err(DecodeError::reason)?
        {
            Message::Data => {
                let user = self.sessions.get(&remote).ok_or(DropReason::NoSession)?;
                let addresses = IpAddresses::read(&payload).ok_or(DropReason::NotIp)?;
                if self.users.owner(addresses.source) != Some(*user) {
                    return Err(DropReason::SourceNotAllowed);
                }
                self.outbox.deliver(payload);
                Ok(())
            }
            Message::AuthRequest(credentials) => self.on_auth_request(remote, credentials, payload.tag),
            Message::AuthResponse { .. } => Err(DecodeError::Unexpected(Code::AuthResponse).reason()),
        }
    }

    /// Creates a verification job for a request, or adds the request to the running job of the same source.
    fn on_auth_request(
        &mut self,
        remote: SocketAddr,
        request: Credentials,
        tag: u64,
    ) -> Result<(), DropReason> {
        let Credentials { login, password } = request;
        if let Some(pending) = self.pending.get_mut(&remote) {
            let same_login = pending.login.as_bytes().ct_eq(login.as_bytes());
            let same_password = pending.password.as_bytes().ct_eq(password.as_bytes());
            if pending.requests.len() >= MAX_REQUESTS_PER_JOB || !bool::from(same_login & same_password) {
                return Err(DropReason::Busy);
            }
            pending.requests.push(tag);
            return Ok(());
        }
        if self.pending.len() >= MAX_PENDING_JOBS {
            return Err(DropReason::Busy);
        }
        // Job numbers are random, so a result for another server matches no job of this server.
        let job = self.job_ids.next_u64();
        let (user, hash) = self.users.find(&login);
        self.jobs
            .push_back(job::verify_password(job, hash.to_owned(), password.clone()));
        self.pending.insert(
            remote,
            Pending {
                job,
                user,
                login,
                password,
                requests: vec![tag],
            },
        );
        Ok(())
    }

    /// Responds to all requests that shared a verification.
    fn respond(&mut self, remote: SocketAddr, pending: Pending, password_is_right: bool) {
        let accepted = pending.user.filter(|_| password_is_right);
        let first_tag = pending.requests.first().copied().unwrap_or_default();
        if let Some(user) = accepted {
            self.open_session(user, remote);
            self.outbox.queues.network_event(
                first_tag,
                EventKind::LoggedIn {
                    login: pending.login,
                    remote,
                },
            );
        } else {
            self.outbox
                .queues
                .network_event(first_tag, EventKind::LoginRefused { remote });
        }
        for tag in pending.requests {
            let body = auth_response(accepted.is_some()).with_tag(tag);
            if let Err(error) = self.outbox.send(Code::AuthResponse, remote, body) {
                self.outbox.queues.drop(error.reason(), tag);
            }
        }
    }

    /// Gives `user` the session at `remote`. It replaces the user's older session and any other session at
    /// `remote`.
    fn open_session(&mut self, user: UserId, remote: SocketAddr) {
        if let Some(old_remote) = self.remotes.insert(user, remote) {
            self.sessions.remove(&old_remote);
        }
        match self.sessions.insert(remote, user) {
            Some(old_user) if old_user != user => {
                self.remotes.remove(&old_user);
            }
            _ => {}
        }
    }
}

impl Steps for Server {
    fn queues(&mut self) -> &mut Queues {
        &mut self.outbox.queues
    }

    fn on_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.handle_datagram(now, datagram)
    }

    fn on_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.handle_packet(now, packet)
    }

    fn on_timeout(&mut self, _now: Instant) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn next_timeout(&self) -> Option<(Instant, Reason)> {
        None
    }
}

impl Peer for Server {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.run_turn(now, input, output)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.outbox.queues.poll_event()
    }

    fn command(&mut self, _now: Instant, _command: Command) -> Result<(), ApiMisuse> {
        Err(ApiMisuse::NotAClient)
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        self.outbox.queues.advance(now);
        if done.name() != job::VERIFY_PASSWORD {
            return Err(ApiMisuse::UnknownJob);
        }
        let id = done.id();
        let is_right = done.result::<PasswordVerified>().unwrap_or(false);
        let source = self
            .pending
            .iter()
            .find(|(_, pending)| pending.job == id)
            .map(|(source, _)| *source);
        let remote = source.ok_or(ApiMisuse::UnknownJob)?;
        let pending = self.pending.remove(&remote).ok_or(ApiMisuse::UnknownJob)?;
        self.respond(remote, pending, is_right);
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.outbox.queues.counters.clone()
    }

    fn describe(&self, state: &mut State<'_>) -> bool {
        let Self {
            users: _, // do not change
            outbox,
            sessions,
            remotes: _, // the same sessions
            pending,
            jobs,
            job_ids: _, // positions of generators do not count
        } = self;
        outbox.describe(state);
        describe::list(state, sessions.iter(), |state, (remote, user)| {
            describe::socket(state, *remote);
            user.describe(state);
        });
        describe::list(state, pending.iter(), |state, (remote, pending)| {
            describe::socket(state, *remote);
            pending.describe(state);
        });
        describe::jobs(state, jobs);
        true
    }
}
