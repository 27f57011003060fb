//! Client of the classic profile: login with retransmission, and packets while the tunnel is up.

use alloc::string::String;
use core::fmt;
use core::net::SocketAddr;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::Zeroizing;

use super::body::{Message, auth_request};
use super::codec::{Code, Codec, DecodeError, SealError};
use super::outbox::Outbox;
use super::{Key, MAX_CREDENTIAL_LEN, stream};
use crate::ip::{IpAddresses, is_own_datagram};
use crate::queues::Queues;
use crate::retransmit::{RetransmitTimer, Schedule};
use crate::turn::Steps;
use crate::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Instant, NetworkSettings,
    PacketBuf, Peer, Reason, StartError, State, TunnelStatus, describe,
};

/// Configuration of a client. Debug does not show key, password or seed.
#[derive(Clone)]
pub struct ClientConfig {
    /// The pre-shared key.
    pub key: Key,
    /// User name, at most [`MAX_CREDENTIAL_LEN`] bytes.
    pub login: String,
    /// Password of the user, at most [`MAX_CREDENTIAL_LEN`] bytes. Everyone with the key can decrypt it.
    pub password: Zeroizing<String>,
    /// Outer address of the server. Datagrams from other addresses are dropped.
    pub server: SocketAddr,
    /// Settings that `start` returns. In this profile the server sends no settings.
    pub settings: NetworkSettings,
    /// Seed of nonces and jitter. In production it must be fresh entropy for every client and every run: the
    /// same seed under the same key gives the same nonces.
    pub seed: [u8; 32],
}

impl fmt::Debug for ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientConfig")
            .field("login", &self.login)
            .field("server", &self.server)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// A client of the classic profile.
///
/// # Methods
///
/// - **Input**: [`handle_datagram`](Self::handle_datagram), [`handle_packet`](Self::handle_packet),
///   [`handle_timeout`](Self::handle_timeout).
/// - **Output**: [`poll_datagram`](Self::poll_datagram), [`poll_packet`](Self::poll_packet),
///   [`poll_event`](Peer::poll_event), [`poll_timeout`](Self::poll_timeout).
/// - **Getters**: [`status`](Self::status), [`settings`](Self::settings), [`counters`](Peer::counters),
///   [`messages_sealed`](Self::messages_sealed).
/// - **Commands**: [`start`](Self::start), [`stop`](Self::stop), [`sleep`](Self::sleep),
///   [`wake`](Self::wake), [`network_changed`](Self::network_changed).
///
/// # Order of calls
///
/// Call one input or command. Then poll datagrams, packets and events until each returns `None`. Then sleep
/// until [`poll_timeout`](Self::poll_timeout). An input before datagrams and packets were polled returns
/// [`ApiMisuse::NotDrained`] and is not handled. `now` must not go backwards. If it does, the latest known
/// time is used. [`Peer::turn`] does all of this for a whole batch.
///
/// # Life cycle
///
/// ```text
/// Disconnected ── start ──> Connecting ── isOK: true ──> Connected ── wake, network_changed ──> Reasserting
///       ^                       │                          │   ^                                     │
///       └── isOK: false, 10 s, stop                stop ───┘   └────────── isOK: true ───────────────┤
///       └────────────────────────────────────────────────────────────────  isOK: false, 10 s, stop ──┘
/// ```
///
/// - `start` completes exactly once, with [`EventKind::Started`]. An unanswered request is retransmitted
///   after [`REPEAT_WAITS`](super::REPEAT_WAITS). Each retransmission is sealed again, so no nonce is sent
///   twice.
/// - In `Reasserting` the client logs in again. The settings stay applied, and packets still use the old
///   session. If the login fails, the tunnel goes down with [`EventKind::Cancelled`].
/// - Between `sleep` and `wake` nothing is sent, and packets for the tunnel are dropped as
///   [`NotConnected`](DropReason::NotConnected). A login that `start` waits for keeps its deadline. Any other
///   login is postponed until `wake`. `wake` always logs in again, because the server may have lost the
///   session.
/// - Dropped inputs are counted by [`DropReason`] and reported as [`EventKind::Dropped`]. If events are not
///   polled, those beyond [`MAX_EVENTS`](super::MAX_EVENTS) are only counted. No other state grows with the input that
///   the network sends.
#[derive(Debug)]
pub struct Client {
    config: ClientConfig,
    outbox: Outbox,
    jitter: ChaCha20Rng,
    status: TunnelStatus,
    /// Set while the client waits for the response of the server.
    attempt: Option<RetransmitTimer>,
    /// `start` has not completed yet.
    is_starting: bool,
    is_asleep: bool,
}

impl Client {
    /// Creates a client that does nothing until [`start`](Self::start).
    ///
    /// Its status is [`TunnelStatus::Invalid`] if user name or password is longer than
    /// [`MAX_CREDENTIAL_LEN`].
    #[must_use]
    pub fn new(config: ClientConfig) -> Self {
        let codec = Codec::new(&config.key, config.seed, stream::CLIENT_NONCES);
        let mut jitter = ChaCha20Rng::from_seed(config.seed);
        jitter.set_stream(stream::CLIENT_JITTER);
        let fits = config.login.len().max(config.password.len()) <= MAX_CREDENTIAL_LEN;
        Self {
            outbox: Outbox::new(codec, config.settings.mtu),
            jitter,
            status: if fits {
                TunnelStatus::Disconnected
            } else {
                TunnelStatus::Invalid
            },
            attempt: None,
            is_starting: false,
            is_asleep: false,
            config,
        }
    }

    /// Counts messages that earlier runs have sealed under the same key towards
    /// [`MAX_MESSAGES`](super::MAX_MESSAGES).
    pub const fn count_earlier_messages(&mut self, messages: u64) {
        self.outbox.codec.count_earlier(messages);
    }

    /// State of the tunnel.
    #[must_use]
    pub const fn status(&self) -> TunnelStatus {
        self.status
    }

    /// Settings of the tunnel, `None` while it is down.
    #[must_use]
    pub fn settings(&self) -> Option<&NetworkSettings> {
        self.is_up().then_some(&self.config.settings)
    }

    /// Number of messages sealed under the key, including those of earlier runs.
    #[must_use]
    pub const fn messages_sealed(&self) -> u64 {
        self.outbox.codec.messages_sealed()
    }

    /// Brings the tunnel up. Poll the first request afterwards.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::AlreadyStarted`] if the tunnel is up or coming up.
    pub fn start(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.outbox.queues.advance(now);
        match self.status {
            TunnelStatus::Disconnected => {
                (self.is_starting, self.is_asleep) = (true, false);
                self.set_status(TunnelStatus::Connecting, 0);
                self.log_in(now, RetransmitTimer::new(now, Schedule::Backoff));
            }
            TunnelStatus::Invalid => {
                self.outbox
                    .queues
                    .event(0, EventKind::Started(Err(StartError::InvalidConfiguration)));
            }
            _ => return Err(ApiMisuse::AlreadyStarted),
        }
        Ok(())
    }

    /// Takes the tunnel down. This profile has no logout message, so the server keeps the session until the
    /// user logs in again.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn stop(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.check_started(now)?;
        self.outbox.queues.unsend();
        self.attempt = None;
        if self.is_starting {
            self.is_starting = false;
            self.outbox
                .queues
                .event(0, EventKind::Started(Err(StartError::Stopped)));
        }
        self.set_status(TunnelStatus::Disconnecting, 0);
        self.set_status(TunnelStatus::Disconnected, 0);
        Ok(())
    }

    /// Sends nothing until [`wake`](Self::wake). Does nothing if the client is already asleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn sleep(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.check_started(now)?;
        self.is_asleep = true;
        self.attempt = if self.is_starting {
            self.attempt.map(RetransmitTimer::paused)
        } else {
            None
        };
        Ok(())
    }

    /// Ends a sleep and logs in again. Does nothing if the client is not asleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn wake(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        if self.is_asleep {
            self.is_asleep = false;
            self.log_in_again(now);
        }
        Ok(())
    }

    /// Logs in again after a change of the network path, or at the end of the sleep.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if there is no tunnel.
    pub fn network_changed(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        if !self.is_asleep {
            self.log_in_again(now);
        }
        Ok(())
    }

    /// Handles one datagram from the outer network.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the datagram is discarded.
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse> {
        self.outbox.queues.check_drained()?;
        let now = self.outbox.queues.advance(now);
        self.outbox.queues.count_datagram_in();
        if self.attempt.is_some_and(|attempt| attempt.was_over_before(now)) {
            self.login_failed(StartError::ConnectionTimedOut, 0);
        }
        let tag = datagram.payload.tag;
        if let Err(reason) = self.dispatch(datagram) {
            self.outbox.queues.drop(reason, tag);
        }
        Ok(())
    }

    /// Handles one IP packet from the inner network: seals it in place and queues it for the server.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the packet is discarded.
    pub fn handle_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse> {
        self.outbox.queues.check_drained()?;
        self.outbox.queues.advance(now);
        if !self.is_up() || self.is_asleep {
            self.outbox.queues.drop(DropReason::NotConnected, packet.tag);
            return Ok(());
        }
        let server = self.config.server;
        match IpAddresses::read(&packet) {
            None => self.outbox.queues.drop(DropReason::NotIp, packet.tag),
            Some(addresses) if is_own_datagram(&packet, addresses.destination, server) => {
                self.outbox.queues.drop(DropReason::RoutingLoop, packet.tag);
            }
            Some(_) => self.outbox.send_packet(server, packet),
        }
        Ok(())
    }

    /// Acts on the timer that is due, if any.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotDrained`]; the timer stays due.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), ApiMisuse> {
        self.outbox.queues.check_drained()?;
        let now = self.outbox.queues.advance(now);
        if let Some(attempt) = self.attempt {
            match attempt.due(now) {
                Some(Reason::LoginDeadline) => self.login_failed(StartError::ConnectionTimedOut, 0),
                Some(_) => self.log_in(now, attempt),
                None => {}
            }
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

    /// Returns the next time to call [`handle_timeout`](Self::handle_timeout) and its reason, `None` if no
    /// timer runs.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<(Instant, Reason)> {
        self.attempt.map(|attempt| attempt.next_timeout())
    }

    fn is_up(&self) -> bool {
        matches!(self.status, TunnelStatus::Connected | TunnelStatus::Reasserting)
    }

    fn check_started(&mut self, now: Instant) -> Result<Instant, ApiMisuse> {
        let now = self.outbox.queues.advance(now);
        match self.status {
            TunnelStatus::Invalid | TunnelStatus::Disconnected => Err(ApiMisuse::NotStarted),
            _ => Ok(now),
        }
    }

    fn set_status(&mut self, status: TunnelStatus, tag: u64) {
        self.status = status;
        self.outbox.queues.event(tag, EventKind::Status(status));
    }

    /// Logs in on a path that may be new. Continues the attempt that `start` waits for, or begins a new one.
    fn log_in_again(&mut self, now: Instant) {
        let attempt = match self.attempt {
            Some(attempt) if self.is_starting => attempt.restarted(),
            _ => RetransmitTimer::new(now, Schedule::Backoff),
        };
        if self.status == TunnelStatus::Connected {
            self.set_status(TunnelStatus::Reasserting, 0);
        }
        if attempt.was_over_before(now) {
            self.login_failed(StartError::ConnectionTimedOut, 0);
        } else {
            self.log_in(now, attempt);
        }
    }

    /// Sends a newly sealed request as part of `attempt`.
    fn log_in(&mut self, now: Instant, mut attempt: RetransmitTimer) {
        let request = auth_request(&self.config.login, &self.config.password);
        match self.outbox.send(Code::AuthRequest, self.config.server, request) {
            Ok(()) => {
                attempt.sent(now, &mut self.jitter);
                self.attempt = Some(attempt);
            }
            Err(SealError::KeyExhausted) => self.login_failed(StartError::KeyExhausted, 0),
            Err(SealError::TooLarge) => self.login_failed(StartError::InvalidConfiguration, 0),
        }
    }

    fn dispatch(&mut self, datagram: Datagram) -> Result<(), DropReason> {
        let Datagram {
            remote, mut payload, ..
        } = datagram;
        if (remote.ip(), remote.port()) != (self.config.server.ip(), self.config.server.port()) {
            return Err(DropReason::UnknownRemote);
        }
        match self
            .outbox
            .codec
            .decode(&mut payload)
            .map_err(DecodeError::reason)?
        {
            Message::AuthResponse { is_ok } if self.attempt.is_some() => {
                if is_ok {
                    self.login_accepted(payload.tag);
                } else {
                    self.login_failed(StartError::AuthenticationRejected, payload.tag);
                }
            }
            Message::Data if self.is_up() => {
                if IpAddresses::read(&payload).is_none() {
                    return Err(DropReason::NotIp);
                }
                self.outbox.deliver(payload);
            }
            Message::AuthResponse { .. } => return unexpected(Code::AuthResponse),
            Message::AuthRequest(_) => return unexpected(Code::AuthRequest),
            Message::Data => return unexpected(Code::Data),
        }
        Ok(())
    }

    /// Completes an accepted login.
    fn login_accepted(&mut self, tag: u64) {
        self.attempt = None;
        if self.is_starting {
            self.is_starting = false;
            self.outbox
                .queues
                .event(tag, EventKind::Started(Ok(self.config.settings.clone())));
        }
        self.set_status(TunnelStatus::Connected, tag);
    }

    /// Handles a failed login: completes `start`, or takes the tunnel down.
    fn login_failed(&mut self, error: StartError, tag: u64) {
        self.attempt = None;
        let kind = if self.is_starting {
            EventKind::Started(Err(error))
        } else {
            EventKind::Cancelled(error)
        };
        self.is_starting = false;
        self.outbox.queues.event(tag, kind);
        self.set_status(TunnelStatus::Disconnected, tag);
    }
}

const fn unexpected(code: Code) -> Result<(), DropReason> {
    Err(DecodeError::Unexpected(code).reason())
}

impl Steps for Client {
    fn queues(&mut self) -> &mut Queues {
        &mut self.outbox.queues
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

impl Peer for Client {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        self.run_turn(now, input, output)
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.outbox.queues.poll_event()
    }

    fn command(&mut self, now: Instant, command: Command) -> Result<(), ApiMisuse> {
        match command {
            Command::Start => self.start(now),
            Command::Stop => self.stop(now),
            Command::Sleep => self.sleep(now),
            Command::Wake => self.wake(now),
            Command::NetworkChanged => self.network_changed(now),
            _ => Err(ApiMisuse::Unsupported),
        }
    }

    fn counters(&self) -> Counters {
        self.outbox.queues.counters.clone()
    }

    fn describe(&self, state: &mut State<'_>) -> bool {
        let Self {
            config: _, // does not change
            outbox,
            jitter: _, // positions of generators do not count
            status,
            attempt,
            is_starting,
            is_asleep,
        } = self;
        outbox.describe(state);
        describe::text(state, status.name());
        describe::option(state, attempt.as_ref(), |state, attempt| attempt.describe(state));
        state.flag(*is_starting);
        state.flag(*is_asleep);
        true
    }
}
