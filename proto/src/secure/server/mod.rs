//! Server of the secure profile: logins, inner addresses, and packets between sessions and the inner network.

mod config;
mod data;
mod describe;
mod half_open;
mod login;
mod password;
mod proving;
mod registry;
mod sessions;
mod silent;
mod users;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

use zeroize::Zeroize;

use config::Pools;
pub use config::{ConfigError, ServerConfig};
use half_open::HalfOpens;
pub use half_open::{HALF_OPEN_FOR, MAX_BAD_KE3};
use password::Saving;
use registry::{Owner, Registry, SessionId};
use sessions::{Sessions, State};
pub use silent::ANSWER_WITHIN;

use super::clock::WallClock;
use super::control::{ControlKeys, Nonces};
use super::cookie::Cookies;
use super::data_path::may_enter;
use super::frame::session_header;
use super::guard::{
    DhRate, Freshness, Ke1Rate, LoginBuckets, PasswordChanges, Places, SourceBuckets, SourceLimit,
};
use super::message::{Message, TunnelSettings};
use super::session::Input;
use super::{Code, Login, Psk, ServerSetup, Suite, UserStore};
use super::{Generator, generator, stream};
use crate::aead::Cipher;
use crate::ip::IpAddresses;
use crate::queues::Queues;
use crate::secure::job::{self, UsersSaved};
use crate::turn::Steps;
use crate::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Gauges, Instant, Job,
    JobDone, PacketBuf, Peer, Reason,
};

/// A server of the secure profile.
///
/// # Order of calls
///
/// Call one input ([`handle_datagram`](Self::handle_datagram), [`handle_packet`](Self::handle_packet),
/// [`handle_timeout`](Self::handle_timeout)). Then poll datagrams, packets, events and jobs until each
/// returns `None`. Then sleep until [`poll_timeout`](Self::poll_timeout). An input before datagrams and
/// packets were polled returns [`ApiMisuse::NotDrained`] and is not handled. `now` must not go backwards. If
/// it does, the latest known time is used. [`Peer::turn`] does all of this for a whole batch.
///
/// # Order of checks
///
/// The cheapest checks come first. A datagram passes them in this order:
///
/// 1. Length and code.
/// 2. Authentication under a pre-shared key. Without the key there is no reply.
/// 3. Form, and freshness: an old datagram or a copy gets no reply, also after a restart.
/// 4. The cookie, which proves the source address. Without a cookie the server keeps no state.
/// 5. The table of half-open logins. Retransmissions are answered without cryptography.
/// 6. The limits of X25519, for the source and for all sources. Then the server reads the user name and the ticket.
/// 7. Without a ticket: the token bucket of the source, and the rate limit of all sources. With a ticket: a rate limit of its own.
/// 8. The token bucket of the user name, for known and unknown users alike.
/// 9. OPAQUE.
///
/// No reply is longer than the datagram that it answers.
///
/// # Bounds
///
/// State for peers that have not authenticated: at most 1024 half-open logins, shared fairly among networks, for 10 s; the
/// tables of the token buckets; 65,536 times and nonces of control datagrams; and at most [`MAX_EVENTS`](crate::classic::MAX_EVENTS) queued events.
pub struct Server {
    /// One for each pre-shared key.
    keys: Vec<ControlKeys>,
    nonces: Nonces,
    setup: ServerSetup,
    users: UserStore,
    suite: Suite,
    /// Settings of all clients, without addresses.
    settings: TunnelSettings,
    clock: Option<WallClock>,
    checks_clock: bool,
    freshness: Freshness,
    pools: Pools,
    queues: Queues,
    rng: Generator,
    registry: Registry,
    cookies: Cookies,
    dh_sources: SourceBuckets,
    dh_rate: DhRate,
    sources: SourceBuckets,
    ke1_rate: Ke1Rate,
    ticket_rate: Ke1Rate,
    logins: LoginBuckets,
    places: Places,
    half_opens: HalfOpens,
    sessions: Sessions,
    jobs: VecDeque<Job>,
    /// The changed password that is being stored.
    saving: Option<Box<Saving>>,
    password_changes: PasswordChanges,
    /// Clients cannot reach each other.
    isolates_clients: bool,
    cipher: Cipher,
}

impl Server {
    /// Creates a server without sessions. It keeps neither the seed nor the pre-shared key, only values
    /// derived from them.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the configuration contradicts itself.
    pub fn new(mut config: ServerConfig) -> Result<Self, ConfigError> {
        let (pools, settings) = (config.pools()?, config.settings()?);
        users::check(&config.users, config.suite, &pools)?;
        let rng = |stream| generator(&config.seed, stream);
        let keys = config::control_keys(&config.psk, config.second_psk.as_ref())?;
        let mut secrets = rng(stream::SERVER);
        let start = config.clock.map_or(0, WallClock::set_to);
        let server = Self {
            keys,
            nonces: Nonces::new(&mut secrets),
            pools,
            settings,
            queues: Queues::default(),
            rng: secrets,
            registry: Registry::new(rng(stream::INDICES)),
            cookies: Cookies::new(rng(stream::COOKIES)),
            dh_sources: SourceBuckets::new(SourceLimit::Dh),
            dh_rate: DhRate::new(),
            sources: SourceBuckets::new(SourceLimit::Ke1),
            ke1_rate: Ke1Rate::new(),
            ticket_rate: Ke1Rate::new(),
            logins: LoginBuckets::new(),
            places: Places::default(),
            half_opens: HalfOpens::default(),
            sessions: Sessions::default(),
            jobs: VecDeque::new(),
            saving: None,
            password_changes: PasswordChanges::default(),
            setup: config.setup,
            users: config.users,
            suite: config.suite,
            clock: config.clock,
            checks_clock: config.checks_clock,
            freshness: Freshness::new(start),
            isolates_clients: config.isolate_clients,
            cipher: Cipher::default(),
        };
        config.seed.zeroize();
        Ok(server)
    }

    /// Generators of secrets, indices and cookies.
    #[cfg(test)]
    pub(super) fn generators(&self) -> [&rand_chacha::ChaCha20Rng; 3] {
        [&*self.rng, self.registry.generator(), self.cookies.generator()]
    }

    /// Number of sessions.
    #[must_use]
    pub fn session_count(&self) -> usize {
        self.sessions.len()
    }

    /// Number of logins between KE2 and KE3, at most 1024.
    #[must_use]
    pub fn half_open_count(&self) -> usize {
        self.half_opens.len()
    }

    /// User name and outer address of each session.
    pub fn remotes(&self) -> impl Iterator<Item = (&Login, SocketAddr)> {
        self.sessions.remotes()
    }

    /// Sets the preferred cipher of later sessions. It is used if the client prefers it too. Otherwise the
    /// cipher is [`Cipher::ChaCha20Poly1305`]. AES is never used if packets may be longer than
    /// [`AES_MAX_MTU`](super::AES_MAX_MTU).
    pub const fn set_cipher(&mut self, cipher: Cipher) {
        self.cipher = cipher;
    }

    /// Sets the wall clock: it shows `unix_millis` (milliseconds since 1970) at `now`.
    pub fn set_clock(&mut self, now: Instant, unix_millis: u64) {
        let now = self.queues.advance(now);
        self.clock = Some(WallClock::new(now, unix_millis));
    }

    /// Replaces the pre-shared keys. Sessions stay. A login that has begun under a key that is not there any more begins again.
    ///
    /// # Errors
    ///
    /// [`ConfigError::EqualKeys`]; nothing has changed.
    pub fn set_keys(&mut self, psk: &Psk, second: Option<&Psk>) -> Result<(), ConfigError> {
        self.keys = config::control_keys(psk, second)?;
        let all: Vec<u32> = self.half_opens.indices().collect();
        for index in all {
            if let Some(ended) = self.half_opens.remove(index) {
                self.forget_half_open(&ended);
            }
        }
        Ok(())
    }

    /// Resets the failed logins of a user.
    pub fn unlock(&mut self, login: &Login) {
        self.logins.unlock(login);
    }

    /// Ends all sessions and tells the clients. Poll the datagrams afterwards.
    pub fn shut_down(&mut self, now: Instant) {
        let now = self.queues.advance(now);
        let all: Vec<SessionId> = self.sessions.iter().map(|(id, _)| id).collect();
        for id in all {
            self.end_with_bye(now, id, super::BYE_SHUTDOWN, 0);
        }
    }

    /// Handles one datagram from the outer network.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the datagram is discarded.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.queues.check_drained()?;
        let now = self.queues.advance(now);
        self.queues.count_datagram_in();
        // After the machine has slept, a datagram may be handled before due timers. So expired logins and
        // sessions end first.
        self.end_expired(now);
        let tag = datagram.payload.tag;
        if let Err(reason) = self.dispatch(now, datagram) {
            self.queues.drop(reason, tag);
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
        self.queues.check_drained()?;
        let now = self.queues.advance(now);
        let Some(addresses) = IpAddresses::read(&packet) else {
            self.queues.drop(DropReason::NotIp, packet.tag);
            return Ok(());
        };
        match self.sessions.at_address(addresses.destination) {
            Some((_, entry)) if matches!(entry.state, State::Live) => {
                entry.session.send_packet(now, packet, &mut self.queues);
            }
            Some(_) => self.queues.drop(DropReason::NotConnected, packet.tag),
            None => self.queues.drop(DropReason::NoRoute, packet.tag),
        }
        Ok(())
    }

    /// Acts on due timers.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the timers stay due.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.queues.check_drained()?;
        let now = self.queues.advance(now);
        self.end_expired(now);
        Ok(())
    }

    fn end_expired(&mut self, now: Instant) {
        self.freshness.advance(self.checked_clock().read(now));
        while let Some(ended) = self.half_opens.pop_ended(now) {
            self.forget_half_open(&ended);
            let remote = ended.source;
            self.queues.network_event(0, EventKind::LoginRefused { remote });
        }
        while let Some(id) = self.sessions.pop_wake(now) {
            self.on_session_timeout(now, id);
        }
    }

    fn on_session_timeout(&mut self, now: Instant, id: SessionId) {
        let Some(entry) = self.sessions.get_mut(id) else {
            return;
        };
        entry.proving.take_if(|proving| now >= proving.until);
        let before = entry.session.open_indices();
        let registry = &mut self.registry;
        let answer_until = entry.answer_until();
        entry.asked_at.take_if(|_| answer_until.is_none());
        let end = match &entry.state {
            State::Unconfirmed(unconfirmed) if now >= unconfirmed.until => Some("unconfirmed"),
            _ if answer_until.is_some_and(|until| now >= until) => Some("silent"),
            _ => entry
                .session
                .handle_timeout(now, &mut || registry.fresh(), &mut self.queues)
                .err()
                .map(super::session::End::name),
        };
        let indices = entry.session.open_indices();
        self.registry.replace(id, &before, &indices);
        match end {
            Some(reason) => self.end(id, reason, 0),
            None => self.sessions.rearm(id),
        }
    }

    /// Returns the next datagram to send, `None` if there is none.
    pub fn poll_datagram(&mut self) -> Option<Datagram> {
        self.queues.poll_datagram()
    }

    /// Returns the next inner packet for the device, `None` if there is none.
    pub fn poll_packet(&mut self) -> Option<PacketBuf> {
        self.queues.poll_packet()
    }

    /// Returns the next time to call [`handle_timeout`](Self::handle_timeout) and its reason, `None` if no
    /// timer runs. It may be earlier than the first due timer, never later.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        let half_open = self.half_opens.next_end().map(|end| (end, Reason::HalfOpen));
        half_open.into_iter().chain(self.sessions.next_wake()).min()
    }

    fn dispatch(&mut self, now: Instant, datagram: Datagram) -> Result<(), DropReason> {
        let Datagram { remote, payload, .. } = datagram;
        match payload.first() {
            Some(code) if *code == Code::Session.byte() => self.on_session_datagram(now, remote, payload),
            Some(code) if *code == Code::Up.byte() => self.on_control_datagram(now, remote, payload),
            Some(_) => Err(DropReason::InvalidCode),
            None => Err(DropReason::NotEnoughData),
        }
    }

    fn on_session_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        mut payload: PacketBuf,
    ) -> Result<(), DropReason> {
        let (index, _) = session_header(&payload).ok_or(DropReason::NotEnoughData)?;
        let Some(Owner::Session(id)) = self.registry.owner(index) else {
            return Err(DropReason::UnknownIndex);
        };
        let entry = self.sessions.accepted(id)?;
        let before = entry.session.open_indices();
        let registry = &mut self.registry;
        let input = entry.session.open(
            now,
            remote,
            &mut payload,
            &mut || registry.fresh(),
            &mut self.queues,
        );
        let indices = entry.session.open_indices();
        if before != indices {
            self.registry.replace(id, &before, &indices);
        }
        self.on_session_input(now, id, input?, payload)
    }

    /// Handles an input of a session. The first one confirms the session.
    fn on_session_input(
        &mut self,
        now: Instant,
        id: SessionId,
        input: Input,
        payload: PacketBuf,
    ) -> Result<(), DropReason> {
        if self.sessions.confirm(id) {
            self.replace_others(now, id, payload.tag);
            self.queues.note_change();
            self.announce(id, payload.tag);
        }
        self.sessions.rearm(id);
        self.on_input(now, id, input, payload)
    }

    /// Acts on an input of a session.
    fn on_input(
        &mut self,
        now: Instant,
        id: SessionId,
        input: Input,
        payload: PacketBuf,
    ) -> Result<(), DropReason> {
        match input {
            Input::Packet(addresses) => {
                let entry = self.sessions.get(id).ok_or(DropReason::UnknownIndex)?;
                let belongs_to_other_session =
                    |address| self.sessions.owner(address).is_some_and(|owner| owner != id);
                may_enter(&entry.addresses, addresses, |address| {
                    self.isolates_clients && belongs_to_other_session(address)
                })?;
                entry.session.count_delivered(payload.len());
                self.queues.deliver(payload);
                Ok(())
            }
            Input::Done => Ok(()),
            Input::Message(Message::Bye { .. }) => {
                self.end(id, "bye", payload.tag);
                Ok(())
            }
            Input::Message(Message::Prove1(ke1)) => self.on_prove1(now, id, &ke1, payload.tag),
            Input::Message(Message::Prove3 { ke3, reg1, mac }) => {
                self.on_prove3(now, id, (&ke3, &reg1, &mac), payload.tag)
            }
            Input::Message(Message::Reg3 { record, mac }) => {
                self.on_reg3(now, id, (&record, &mac), payload.tag)
            }
            Input::Message(_) => Err(DropReason::Unexpected),
        }
    }

    /// Reports a complete login.
    fn announce(&mut self, id: SessionId, tag: u64) {
        if let Some(entry) = self.sessions.get(id) {
            let (login, remote) = (entry.login.as_str().into(), entry.session.remote());
            self.queues
                .network_event(tag, EventKind::LoggedIn { login, remote });
        }
    }

    /// Ends a session and tells its client the reason.
    fn end_with_bye(&mut self, now: Instant, id: SessionId, why: &'static str, tag: u64) {
        if let Some(entry) = self.sessions.get_mut(id) {
            let bye = Message::Bye { why: why.into() };
            entry.session.send_message(now, &bye, tag, &mut self.queues);
        }
        self.end(id, why, tag);
    }

    /// Makes an inner address of a user free, unless another session of the user has or reserves it.
    fn release(&mut self, login: &Login, address: IpAddr) {
        if self.sessions.holder(login, address).is_none()
            && let Some(pool) = self.pools.of_mut(address)
        {
            pool.release(address);
        }
    }

    fn end(&mut self, id: SessionId, reason: &'static str, tag: u64) {
        let Some(entry) = self.sessions.remove(id, &mut self.registry) else {
            return;
        };
        self.queues.note_change();
        for address in &entry.addresses {
            self.release(&entry.login, *address);
        }
        match entry.state {
            State::Live => {
                let login = entry.login.as_str().into();
                self.queues
                    .network_event(tag, EventKind::SessionEnded { login, reason });
            }
            // No `LoggedIn` was reported for it.
            State::Unconfirmed(_) if entry.is_accepted() => {
                self.queues
                    .network_event(tag, EventKind::Other("login-unconfirmed"));
            }
            State::Unconfirmed(_) => {}
        }
    }
}

impl Steps for Server {
    fn queues(&mut self) -> &mut Queues {
        &mut self.queues
    }

    fn on_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.handle_datagram(now, datagram)
    }

    fn on_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.handle_packet(now, packet)
    }

    fn on_timeout(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.handle_timeout(now)
    }

    fn next_timeout(&self) -> Option<(Instant, Reason)> {
        self.poll_timeout()
    }
}

impl Peer for Server {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.run_turn(now, input, output)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.queues.poll_event()
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
        match command {
            Command::ClockSet { unix_millis } => {
                self.set_clock(now, unix_millis);
                Ok(())
            }
            _ => Err(ApiMisuse::NotAClient),
        }
    }

    fn poll_job(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    fn handle_job(&mut self, now: Instant, done: JobDone) -> Result<(), ApiMisuse> {
        let now = self.queues.advance(now);
        if done.name() != job::SAVE_USERS {
            return Err(ApiMisuse::UnknownJob);
        }
        let id = done.id();
        let is_saved = done.result::<UsersSaved>().unwrap_or(false);
        self.on_users_saved(now, id, is_saved)
    }

    fn counters(&self) -> Counters {
        self.queues.counters.clone()
    }

    fn gauges(&self) -> Gauges {
        Gauges {
            unauthenticated: self.half_opens.len(),
            sessions: self.sessions.len(),
        }
    }

    fn describe(&self, state: &mut crate::State<'_>) -> bool {
        self.describe_state(state);
        true
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("users", &self.users.len())
            .field("sessions", &self.sessions.len())
            .field("half_open", &self.half_opens.len())
            .finish_non_exhaustive()
    }
}
