//! Client of the secure profile: login, session, repeated login, packets.

mod config;
mod data;
mod describe;
mod login;
mod login_attempt;
mod password;
mod peer;
mod retry;

use alloc::collections::VecDeque;
use core::net::SocketAddr;
use core::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_core::RngCore;
use zeroize::{Zeroize, Zeroizing};

use config::Account;
pub use config::ClientConfig;
use login_attempt::LoginAttempt;
pub use login_attempt::{MAX_COOKIES, REPEAT_AFTER, REPEAT_JITTER, RESTART_AFTER, RESTART_ROUND_TRIPS};
use password::Change;
use retry::Retry;
pub use retry::{MAX_RECONNECT_WAIT, MAX_REJECTED_WAIT, MIN_REJECTED_WAIT};

use super::clock::WallClock;
use super::control::ControlKeys;
use super::frame::session_header;
use super::message::Message;
use super::session::{DEAD_AFTER, Input, REKEY_AFTER, Session};
use super::ticket::Ticket;
use super::{Code, Generator, generator, stream};
use crate::aead::Cipher;
use crate::ip::{IpAddresses, is_own_datagram};
use crate::queues::Queues;
use crate::{
    ApiMisuse, Datagram, DropReason, EventKind, Instant, Job, NetworkSettings, PacketBuf, Reason, StartError,
    TunnelStatus,
};

/// A client of the secure profile.
///
/// # Order of calls
///
/// Call one input ([`handle_datagram`](Self::handle_datagram), [`handle_packet`](Self::handle_packet),
/// [`handle_timeout`](Self::handle_timeout)) or command. Then poll datagrams, packets, events and jobs until
/// each returns `None`. Then sleep until [`poll_timeout`](Self::poll_timeout). An input before datagrams and
/// packets were polled returns [`ApiMisuse::NotDrained`] and is not handled. `now` must not go backwards. If
/// it does, the latest known time is used. [`Peer::turn`](crate::Peer::turn) does all of this for a whole batch.
///
/// # Life cycle
///
/// ```text
/// Disconnected ── start ──> Connecting ── settings ──> Connected ── nothing authentic for 15 s ──> Reasserting
///       ^                       │                      │   ^                                          │
///       └── rejected, 10 s, stop               stop ───┘   └───────────────── settings ───────────────┤
///       └────────────────────────────────────────────────────────────────── stop, session replaced ───┘
/// ```
///
/// - `start` completes exactly once. If its login fails, the client does not try again, unless the server has not
///   answered and [`retry_start`](Self::retry_start) was called. A tunnel that was up before logs in again without
///   limit, at growing intervals, and reports each failure with [`EventKind::Retrying`].
/// - A [`Job`] stretches the password, at most once per attempt.
/// - During a repeated login the old session still carries packets both ways, if it can.
/// - Between `sleep` and `wake` nothing is sent or accepted. After a sleep of at least
///   [`DEAD_AFTER`] the client logs in again. After a shorter one it sends a ping.
///   `network_changed` also sends a ping, which shows the server the new address.
#[derive(Debug)]
pub struct Client {
    config: Account,
    keys: ControlKeys,
    queues: Queues,
    rng: Generator,
    status: TunnelStatus,
    session: Option<Session>,
    /// The session has been silent for too long. It carries packets until there is a new session.
    is_session_dead: bool,
    settings: Option<NetworkSettings>,
    login: Option<LoginAttempt>,
    retry: Retry,
    /// `start` has not completed yet.
    is_starting: bool,
    asleep_since: Option<Instant>,
    jobs: VecDeque<Job>,
    /// The current change of the password.
    change: Option<Change>,
    /// A data plane seals and opens the packets.
    has_data_plane: bool,
    /// The wall clock of this machine.
    clock: Option<WallClock>,
    /// The wall clock of the server, from the last M4.
    server_clock: Option<WallClock>,
    /// The next login uses the clock of this machine, because the last one with the server's clock has failed.
    doubts_server_clock: bool,
    /// The next login shows no ticket, because the last one with the ticket has got no KE2.
    skips_ticket: bool,
    /// Receiver indices of the client and of the server when the session began. They identify it in a password change.
    session_id: (u32, u32),
}

impl Client {
    /// Creates a client that does nothing until [`start`](Self::start). It keeps neither the seed nor the
    /// pre-shared key, only values derived from them.
    #[must_use]
    pub fn new(mut config: ClientConfig) -> Self {
        let rng = generator(&config.seed, stream::CLIENT);
        config.seed.zeroize();
        Self {
            keys: ControlKeys::new(&config.psk),
            config: Account {
                login: config.login,
                password: config.password,
                other_password: None,
                suite: config.suite,
                stretching: config.suite,
                server: config.server,
                server_key: config.server_key,
                ticket: config.ticket,
                mtu_search: config.mtu_search,
                cipher: Cipher::default(),
                rekey_after: REKEY_AFTER,
                retries_start: false,
            },
            queues: Queues::default(),
            rng,
            status: TunnelStatus::Disconnected,
            session: None,
            is_session_dead: false,
            settings: None,
            login: None,
            retry: Retry::default(),
            is_starting: false,
            asleep_since: None,
            jobs: VecDeque::new(),
            change: None,
            has_data_plane: false,
            clock: config.clock,
            server_clock: None,
            doubts_server_clock: false,
            skips_ticket: false,
            session_id: (0, 0),
        }
    }

    /// Stretches the password of a login at the cost of `suite`, whatever suite the login itself names.
    ///
    /// A load test with thousands of clients uses it with [`Suite::Laboratory`](super::Suite::Laboratory) and records that
    /// [`register`](crate::secure::register) made for that suite: the server stretches nothing, so it sees no difference. A
    /// login against any other record fails.
    pub const fn set_stretching(&mut self, suite: super::Suite) {
        self.config.stretching = suite;
    }

    /// State of the tunnel.
    #[must_use]
    pub const fn status(&self) -> TunnelStatus {
        self.status
    }

    /// Settings of the tunnel, `None` while it is down.
    #[must_use]
    pub const fn settings(&self) -> Option<&NetworkSettings> {
        self.settings.as_ref()
    }

    /// Sets the address for the next login, after the name of the server has resolved to a new address.
    pub const fn set_server(&mut self, server: SocketAddr) {
        self.config.server = server;
    }

    /// Sets the wall clock: it shows `unix_millis` (milliseconds since 1970) at `now`.
    pub fn set_clock(&mut self, now: Instant, unix_millis: u64) {
        let now = self.queues.advance(now);
        self.clock = Some(WallClock::new(now, unix_millis));
    }

    /// Ticket for the next login, the latest one from the server.
    #[must_use]
    pub const fn ticket(&self) -> Option<&Ticket> {
        self.config.ticket.as_ref()
    }

    /// Sets the maximum age of keys in later sessions, between [`MIN_REKEY_AFTER`] and [`REKEY_AFTER`]. The
    /// default is [`REKEY_AFTER`].
    ///
    /// [`MIN_REKEY_AFTER`]: super::MIN_REKEY_AFTER
    pub const fn set_rekey_after(&mut self, after: Duration) {
        self.config.rekey_after = after;
    }

    /// Sets the preferred cipher of later sessions. It is used if the server prefers it too. Until then, and
    /// otherwise, the cipher is [`Cipher::ChaCha20Poly1305`]. AES is never used if packets may be longer than
    /// [`AES_MAX_MTU`](super::AES_MAX_MTU).
    pub const fn set_cipher(&mut self, cipher: Cipher) {
        self.config.cipher = cipher;
    }

    /// Lets a [`start`](Self::start) go on if the server does not answer. The client then logs in again without limit, at
    /// growing intervals, and reports each failure with [`EventKind::Retrying`]. The start still ends if the server
    /// rejects the login, or if another server answers.
    ///
    /// Without this, a start ends after [`LOGIN_TIMEOUT`](super::LOGIN_TIMEOUT) without an answer.
    pub const fn retry_start(&mut self) {
        self.config.retries_start = true;
    }

    /// Brings the tunnel up. Poll the first datagram afterwards.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::AlreadyStarted`] if the tunnel is up or coming up.
    pub fn start(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.queues.advance(now);
        if self.status != TunnelStatus::Disconnected {
            return Err(ApiMisuse::AlreadyStarted);
        }
        (self.is_starting, self.asleep_since) = (true, None);
        self.retry = Retry::default();
        self.set_status(TunnelStatus::Connecting, 0);
        self.log_in(now);
        Ok(())
    }

    /// Takes the tunnel down and tells the server.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn stop(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        self.set_status(TunnelStatus::Disconnecting, 0);
        if let Some(session) = self.session.as_mut().filter(|_| self.asleep_since.is_none()) {
            let bye = Message::Bye {
                why: "stopped".into(),
            };
            session.send_message(now, &bye, 0, &mut self.queues);
        }
        if self.is_starting {
            self.is_starting = false;
            self.queues.event(0, EventKind::Started(Err(StartError::Stopped)));
        }
        self.go_down(0);
        Ok(())
    }

    /// Sends and accepts nothing until [`wake`](Self::wake). Does nothing if the client is already asleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn sleep(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        self.asleep_since.get_or_insert(now);
        self.queues.note_change();
        Ok(())
    }

    /// Ends a sleep: sends a ping, or logs in again. Does nothing if the client is not asleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn wake(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        let Some(since) = self.asleep_since.take() else {
            return Ok(());
        };
        self.queues.note_change();
        let was_short = now.saturating_duration_since(since) < DEAD_AFTER;
        match &mut self.session {
            Some(session) if was_short && self.login.is_none() => session.ping(now, 0, &mut self.queues),
            _ if self.is_starting => self.log_in(now),
            _ => self.lose_session(now, 0),
        }
        Ok(())
    }

    /// Sends a ping over a new network path. If a login is in progress or scheduled, a new one begins instead.
    /// Does nothing during a sleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn network_changed(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        if self.asleep_since.is_some() {
            return Ok(());
        }
        if let Some(session) = &mut self.session {
            session.ping(now, 0, &mut self.queues);
            session.path_changed(now);
        }
        self.follow_mtu(0);
        if self.login.is_some() || self.retry.is_waiting() {
            self.log_in(now);
        }
        Ok(())
    }

    /// Forgets the session without a word, takes a new seed, and logs in again if the tunnel was up or coming up. Datagrams that
    /// were not polled yet are discarded.
    ///
    /// Call it after the machine was restored from a snapshot. The session in the snapshot must not seal anything: its counters may
    /// have been used already, and each nonce may be used once. `seed` must be fresh entropy.
    pub fn forget_session(&mut self, now: Instant, seed: [u8; 32]) {
        let now = self.queues.advance(now);
        let seed = Zeroizing::new(seed);
        self.queues.unsend();
        self.rng = generator(&seed, stream::CLIENT);
        self.server_clock = None;
        self.set_session(None);
        (self.login, self.asleep_since) = (None, None);
        self.end_change(Err(StartError::Stopped), 0);
        match self.status {
            TunnelStatus::Disconnected => {}
            _ if self.is_starting => self.log_in(now),
            _ => self.lose_session(now, 0),
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
        if self
            .login
            .as_ref()
            .is_some_and(|login| login.was_over_before(now))
        {
            self.login_timed_out(now);
        }
        let tag = datagram.payload.tag;
        if let Err(reason) = self.dispatch(now, datagram) {
            self.queues.drop(reason, tag);
        }
        Ok(())
    }

    /// Handles one IP packet from the inner network: seals it in place and queues it for the server.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the packet is discarded.
    pub fn handle_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.queues.check_drained()?;
        let now = self.queues.advance(now);
        match &mut self.session {
            Some(session) if self.asleep_since.is_none() => match IpAddresses::read(&packet) {
                Some(addresses) if is_own_datagram(&packet, addresses.destination, session.remote()) => {
                    self.queues.drop(DropReason::RoutingLoop, packet.tag);
                }
                Some(_) => session.send_packet(now, packet, &mut self.queues),
                None => self.queues.drop(DropReason::NotIp, packet.tag),
            },
            _ => self.queues.drop(DropReason::NotConnected, packet.tag),
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
        if self.asleep_since.is_some() {
            return Ok(());
        }
        self.session_timeout(now);
        if let Some(login) = &self.login {
            match login.due(now) {
                Some(Reason::LoginDeadline) => self.login_timed_out(now),
                Some(Reason::Reconnect) => self.restart_login(now),
                Some(_) => self.send_login(now, 0),
                None => {}
            }
        }
        if self.retry.is_due(now) {
            self.log_in(now);
        }
        self.change_timeout(now);
        Ok(())
    }

    fn session_timeout(&mut self, now: Instant) {
        let Some(session) = self.session.as_mut().filter(|_| !self.is_session_dead) else {
            return;
        };
        let used = session.open_indices();
        let mut new_index = || fresh_index(&mut self.rng, &used);
        if session
            .handle_timeout(now, &mut new_index, &mut self.queues)
            .is_err()
        {
            self.lose_session(now, 0);
        }
        self.follow_mtu(0);
    }

    /// Reports a changed MTU.
    fn follow_mtu(&mut self, tag: u64) {
        if let (Some(session), Some(settings)) = (&self.session, &mut self.settings)
            && settings.mtu != session.mtu()
        {
            settings.mtu = session.mtu();
            let settings = settings.clone();
            self.queues.note_change();
            self.queues.event(tag, EventKind::SettingsChanged(settings));
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
    /// timer runs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        if self.asleep_since.is_some() {
            return None;
        }
        let session = self.session.as_ref().filter(|_| !self.is_session_dead);
        let timers = [
            session.map(Session::poll_timeout),
            self.login.as_ref().map(LoginAttempt::next_timeout),
            self.retry.at().map(|at| (at, Reason::Reconnect)),
            self.change.as_ref().map(Change::next_timeout),
            session.and_then(|_| self.next_activity_check()),
        ];
        timers.into_iter().flatten().min()
    }

    /// Generator of the client's secrets.
    #[cfg(test)]
    pub(super) fn generator(&self) -> &ChaCha20Rng {
        &self.rng
    }

    fn check_started(&mut self, now: Instant) -> Result<Instant, ApiMisuse> {
        let now = self.queues.advance(now);
        match self.status {
            TunnelStatus::Disconnected => Err(ApiMisuse::NotStarted),
            _ => Ok(now),
        }
    }

    fn set_status(&mut self, status: TunnelStatus, tag: u64) {
        if self.status != status {
            self.status = status;
            self.queues.event(tag, EventKind::Status(status));
        }
    }

    fn dispatch(&mut self, now: Instant, datagram: Datagram) -> Result<(), DropReason> {
        if self.asleep_since.is_some() {
            return Err(DropReason::NotConnected);
        }
        let Datagram { remote, payload, .. } = datagram;
        match payload.first() {
            Some(code) if *code == Code::Session.byte() => self.on_session_datagram(now, remote, payload),
            Some(code) if *code == Code::Down.byte() => self.on_control_datagram(now, payload),
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
        let tag = payload.tag;
        let used = self.used_indices();
        if used.contains(&Some(index))
            && let Some(session) = &mut self.session
        {
            let mut new_index = || fresh_index(&mut self.rng, &used);
            let input = session.open(now, remote, &mut payload, &mut new_index, &mut self.queues)?;
            self.follow_mtu(tag);
            return self.on_input(now, input, payload);
        }
        let Some(session) = self.login.as_mut().and_then(|login| login.session(index)) else {
            return Err(DropReason::UnknownIndex);
        };
        let mut no_rekey = || 1;
        match session.open(now, remote, &mut payload, &mut no_rekey, &mut self.queues)? {
            Input::Message(Message::Settings(accepted)) => self.establish(now, index, *accepted, tag),
            Input::Message(Message::Refused(refusal)) => self.login_failed(now, refusal.into(), tag),
            _ => return Err(DropReason::NotConnected),
        }
        Ok(())
    }

    /// Acts on an input of the established session.
    fn on_input(&mut self, now: Instant, input: Input, payload: PacketBuf) -> Result<(), DropReason> {
        match input {
            Input::Packet(_) => {
                if let Some(session) = &self.session {
                    session.count_delivered(payload.len());
                }
                self.queues.deliver(payload);
            }
            Input::Done => {}
            Input::Message(Message::Bye { why }) if why == super::BYE_REPLACED => {
                self.queues
                    .event(payload.tag, EventKind::Cancelled(StartError::SessionReplaced));
                self.go_down(payload.tag);
            }
            Input::Message(Message::Bye { .. }) => {
                self.set_session(None);
                self.lose_session(now, payload.tag);
            }
            // The reply to a retransmitted M3. The settings are already known.
            Input::Message(Message::Settings(_)) => {}
            Input::Message(Message::Prove2(ke2)) => return self.on_prove2(ke2),
            Input::Message(Message::Reg2 { reg2, mac }) => return self.on_reg2(&reg2, &mac),
            Input::Message(Message::RegOk(ticket)) => return self.on_reg_ok(ticket, payload.tag),
            Input::Message(_) => return Err(DropReason::Unexpected),
        }
        Ok(())
    }

    fn set_session(&mut self, session: Option<Session>) {
        self.session = session;
        self.queues.note_change();
    }

    /// Logs in again. The old session stays until then.
    fn lose_session(&mut self, now: Instant, tag: u64) {
        self.is_session_dead = true;
        self.set_status(TunnelStatus::Reasserting, tag);
        self.log_in(now);
    }

    fn go_down(&mut self, tag: u64) {
        self.set_session(None);
        (self.login, self.settings) = (None, None);
        self.is_session_dead = false;
        self.retry.stop();
        self.end_change(Err(StartError::Stopped), tag);
        self.set_status(TunnelStatus::Disconnected, tag);
    }
}

/// Returns a random receiver index that is not 0 and not in use.
fn fresh_index(rng: &mut ChaCha20Rng, used: &[Option<u32>]) -> u32 {
    loop {
        let index = rng.next_u32();
        if index != 0 && !used.contains(&Some(index)) {
            return index;
        }
    }
}
