//! Login on the server, from the first message to the settings. The cheapest checks come first.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use subtle::ConstantTimeEq;

use super::Server;
use super::half_open::{HALF_OPEN_FOR, HalfOpen, MAX_BAD_KE3};
use super::registry::{Owner, SessionId};
use super::sessions::{ANSWER_INTERVAL, Entry, State, Unconfirmed};
use crate::aead::NONCE_LEN;
use crate::secure::clock::WallClock;
use crate::secure::control::parse;
use crate::secure::epochs::{Indices, Role};
use crate::secure::guard::Debit;
use crate::secure::keys::{Chain, LoginTranscript, m3_mac};
use crate::secure::login_box::{LoginSecret, SealedKe2, SealedLogin};
use crate::secure::message::{
    Accepted, Control, Ke2Reply, LoginRequest, Message, Proof, Refusal, TunnelSettings,
};
use crate::secure::opaque::{context, respond};
use crate::secure::session::Session;
use crate::secure::ticket::Ticket;
use crate::secure::{BYE_REPLACED, Code, Login, User, forget, seed_from};
use crate::{DropReason, EventKind, Instant, IpPrefix, PacketBuf};

/// Number of sessions of one user that may wait for their first datagram at the same time, or the number of sessions that the
/// user may have, if that is larger.
const MAX_UNCONFIRMED: usize = 4;

/// Number of live sessions that a user may have. A user with a fixed address can have only one.
fn max_sessions(user: &User) -> usize {
    let has_fixed_address = user.address4.is_some() || user.address6.is_some();
    if has_fixed_address {
        1
    } else {
        usize::from(user.max_sessions).max(1)
    }
}

/// The parts of an M1 that has passed the checks of its sender.
struct Request {
    message: LoginRequest,
    secret: LoginSecret,
    content: SealedLogin,
    has_ticket: bool,
    /// Number of the pre-shared key that has opened it.
    key: usize,
}

impl Server {
    pub(super) fn on_control_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        mut payload: PacketBuf,
    ) -> Result<(), DropReason> {
        let (key, nonce) = self.open_control(&mut payload)?;
        let tag = payload.tag;
        let control = parse(Code::Up, &payload)?;
        self.check_freshness(now, &control, nonce)?;
        match control {
            Control::Hello { index, .. } => self.send_cookie(now, remote, index, (key, tag)),
            Control::Login { request, .. } => {
                if self.cookies.accepts(now, remote, request.index, &request.cookie) {
                    return self.on_login(now, remote, request, (key, tag));
                }
                self.send_cookie(now, remote, request.index, (key, tag));
            }
            Control::Ke3(proof) => return self.on_ke3(now, remote, &proof, (key, tag)),
            Control::Cookie { .. } | Control::Ke2(_) => return Err(DropReason::Unexpected),
        }
        Ok(())
    }

    /// Opens a control datagram with one of the pre-shared keys. Returns the number of the key, and the nonce.
    fn open_control(&self, payload: &mut PacketBuf) -> Result<(usize, [u8; NONCE_LEN]), DropReason> {
        let (last, others) = self.keys.split_last().ok_or(DropReason::AuthenticationFailed)?;
        for (number, key) in others.iter().enumerate() {
            // A failed attempt may change the bytes.
            let mut copy = PacketBuf::copied_from(payload).with_tag(payload.tag);
            if let Ok(nonce) = key.open(Code::Up, &mut copy) {
                *payload = copy;
                return Ok((number, nonce));
            }
        }
        last.open(Code::Up, payload).map(|nonce| (others.len(), nonce))
    }

    /// Rejects copies, and messages that are too old or too far in the future.
    fn check_freshness(
        &mut self,
        now: Instant,
        control: &Control,
        nonce: [u8; NONCE_LEN],
    ) -> Result<(), DropReason> {
        let wall = self.checked_clock().read(now);
        match control {
            Control::Hello { time, .. } | Control::Login { time, .. }
                if self.checks_clock && self.clock.is_some() =>
            {
                self.freshness.accept(wall, *time, nonce)
            }
            _ => self.freshness.accept_untimed(wall, nonce),
        }
    }

    /// The wall clock with which clients are compared. A server that does not check clocks only orders its datagrams by it.
    pub(super) fn checked_clock(&self) -> WallClock {
        let clock = self.clock.filter(|_| self.checks_clock);
        clock.unwrap_or_else(|| WallClock::new(Instant::ZERO, 0))
    }

    /// Sends a cookie. The server keeps no state and counts nothing, because an attacker who forges an
    /// address would otherwise use up the limit of its owner.
    fn send_cookie(&mut self, now: Instant, remote: SocketAddr, index: u32, (key, tag): (usize, u64)) {
        let public = self.setup.public();
        let cookie = Control::Cookie {
            to: index,
            cookie: self.cookies.make(now, remote, index),
            fingerprint: public.fingerprint,
            key_half: public.kem_half(true),
        };
        self.send_control(remote, &cookie, (key, tag));
    }

    fn send_control(&mut self, remote: SocketAddr, message: &Control, (key, tag): (usize, u64)) {
        let sealed = self
            .keys
            .get(key)
            .and_then(|key| key.seal(message, &mut self.nonces, tag));
        match sealed {
            Some(datagram) => self.queues.send(message.kind(), remote, datagram),
            None => self.queues.drop(DropReason::TooLarge, tag),
        }
    }

    /// Handles an M1 from a source that has shown a valid cookie.
    fn on_login(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        message: LoginRequest,
        (key, tag): (usize, u64),
    ) -> Result<(), DropReason> {
        if let Some(known) = self.half_opens.of_client(remote, message.index) {
            if known.ephemeral != message.ephemeral {
                return Err(DropReason::Unexpected);
            }
            let (reply, key) = (Control::Ke2(known.reply.clone()), known.key);
            self.send_control(remote, &reply, (key, tag));
            return Ok(());
        }
        if self.half_opens.is_spent(now, remote, message.index) {
            return Err(DropReason::Replayed);
        }
        let request = self.open_login(now, remote, message, key)?;
        let debit = self.check_limits(now, remote, &request)?;
        self.answer_login(now, remote, request, debit, tag)
    }

    /// Opens the sealed part of M1 and checks the ticket.
    fn open_login(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        message: LoginRequest,
        key: usize,
    ) -> Result<Request, DropReason> {
        let is_quiet = self
            .dh_sources
            .take(now, remote.ip())
            .ok_or(DropReason::RateLimited)?;
        if !self.dh_rate.take(now, is_quiet) {
            return Err(DropReason::Busy);
        }
        let LoginRequest {
            index,
            cookie,
            ephemeral,
            sealed,
        } = &message;
        let secret = self
            .setup
            .login_secret(cookie, *index, ephemeral)
            .ok_or(DropReason::MalformedBody)?;
        let content = secret.open_login(sealed).ok_or(DropReason::OtherServer)?;
        let record = self.users.get(&content.login).map(|user| &user.record);
        let seconds = self.clock.map(|clock| clock.seconds(now));
        let has_ticket = self
            .setup
            .accepts_ticket(&content.ticket, &content.login, record, seconds);
        Ok(Request {
            message,
            secret,
            content,
            has_ticket,
            key,
        })
    }

    /// Checks the limits for this source, for all sources, and for this user name. A login with a ticket has its own limits, which
    /// others cannot use up.
    fn check_limits(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        request: &Request,
    ) -> Result<Debit, DropReason> {
        let is_admitted = if request.has_ticket {
            self.ticket_rate.take(now, true)
        } else {
            let is_quiet = self
                .sources
                .take(now, remote.ip())
                .ok_or(DropReason::RateLimited)?;
            self.ke1_rate.take(now, is_quiet)
        };
        if !is_admitted {
            return Err(DropReason::Busy);
        }
        self.logins
            .debit(now, &request.content.login, request.has_ticket)
            .ok_or(DropReason::LoginLimited)
    }

    /// Makes KE2 and sends M2. The login is half open then.
    fn answer_login(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        request: Request,
        debit: Debit,
        tag: u64,
    ) -> Result<(), DropReason> {
        let Request {
            message,
            secret,
            content: SealedLogin { login, ke1, .. },
            has_ticket,
            key,
        } = request;
        let index = self.registry.fresh();
        let public = self.setup.public();
        let context = context(self.suite, message.index, index, &public.fingerprint);
        let record = self.users.get(&login).map(|user| &user.record);
        // The attempt stays counted if KE1 is invalid, because a correct client never sends that.
        let (state, ke2) = respond(self.setup.opaque(), record, &login, &ke1, &context, &mut self.rng)
            .map_err(|_| DropReason::MalformedBody)?;
        forget(&mut self.rng);
        let content = SealedKe2 {
            opaque_key: public.opaque,
            ke2: Box::new(ke2),
            key_half: public.kem_half(false),
        };
        let reply = Ke2Reply {
            to: message.index,
            index,
            sealed: secret.seal_ke2(index, &content).ok_or(DropReason::TooLarge)?,
        };
        let half_open = HalfOpen {
            index,
            client_index: message.index,
            source: remote,
            login,
            ephemeral: message.ephemeral,
            state,
            transcript: LoginTranscript::new(&message, &reply, public.kem.as_bytes()),
            reply: reply.clone(),
            key,
            debit,
            bad_ke3: 0,
        };
        self.registry.insert(index, Owner::HalfOpen);
        self.half_opens.insert(now, half_open);
        if let Some(index) = self.places.enter(index, remote.ip(), has_ticket)
            && let Some(ended) = self.half_opens.remove(index)
        {
            self.forget_half_open(&ended);
        }
        self.send_control(remote, &Control::Ke2(reply), (key, tag));
        Ok(())
    }

    /// Releases the resources of a half-open login.
    pub(super) fn forget_half_open(&mut self, half_open: &HalfOpen) {
        self.places.leave(half_open.index);
        self.registry.remove(half_open.index);
    }

    /// Handles an M3 of a half-open login, or a retransmitted M3 of an accepted one.
    fn on_ke3(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        proof: &Proof,
        (key, tag): (usize, u64),
    ) -> Result<(), DropReason> {
        match self.registry.owner(proof.to) {
            Some(Owner::Session(id)) => return self.resend_settings(now, (id, remote), &proof.ke3, tag),
            Some(Owner::HalfOpen) => {}
            None => return Err(DropReason::UnknownIndex),
        }
        let half_open = self
            .half_opens
            .get_mut(proof.to)
            .ok_or(DropReason::UnknownIndex)?;
        // The address that has shown the cookie, because replies go to this address.
        if half_open.source != remote || half_open.key != key {
            return Err(DropReason::Unexpected);
        }
        let Some(session_key) = half_open.state.verify(&proof.ke3) else {
            half_open.bad_ke3 = half_open.bad_ke3.saturating_add(1);
            if half_open.bad_ke3 >= MAX_BAD_KE3
                && let Some(half_open) = self.half_opens.remove(proof.to)
            {
                self.forget_half_open(&half_open);
                self.queues.network_event(tag, EventKind::LoginRefused { remote });
            }
            return Err(DropReason::AuthenticationFailed);
        };
        // A holder of the pre-shared key may have changed the ciphertext. The client sends its own again.
        if !bool::from(m3_mac(&session_key, &proof.ciphertext).ct_eq(&proof.mac)) {
            return Err(DropReason::AuthenticationFailed);
        }
        let half_open = self.half_opens.remove(proof.to).ok_or(DropReason::UnknownIndex)?;
        self.forget_half_open(&half_open);
        self.begin_session(now, remote, half_open, (proof, &session_key), tag);
        Ok(())
    }

    /// Begins the session of a login whose KE3 was valid.
    fn begin_session(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        half_open: HalfOpen,
        (proof, session_key): (&Proof, &[u8; 64]),
        tag: u64,
    ) {
        let HalfOpen {
            login,
            debit,
            client_index,
            transcript,
            key,
            ..
        } = half_open;
        let Some(keys) = self.keys.get(key) else { return };
        self.logins.refund(debit);
        let indices = Indices {
            ours: proof.to,
            theirs: client_index,
        };
        let shared = self.setup.decapsulate(&proof.ciphertext);
        let chain = Chain::first(&keys.mix, session_key, &shared, &transcript.finish(proof));
        let session = Session::new(
            Role::Server,
            chain,
            indices,
            remote,
            now,
            seed_from(&mut self.rng),
        );
        forget(&mut self.rng);
        self.admit(now, login, (session, indices), &proof.ke3, tag);
    }

    /// Sends settings or a refusal to a user who has proved the password.
    fn admit(
        &mut self,
        now: Instant,
        login: Login,
        (mut session, indices): (Session, Indices),
        ke3: &[u8; 64],
        tag: u64,
    ) {
        let admitted = self
            .check_account(now, &login)
            .and_then(|user| self.assign(&user));
        let (answer, addresses) = match admitted {
            Ok(settings) => {
                let v4 = settings.address4.map(|prefix| prefix.address);
                let v6 = settings.address6.map(|prefix| prefix.address);
                let accepted = Accepted {
                    settings,
                    time: self.clock.map(|clock| clock.read(now)),
                    ticket: self.ticket(now, &login),
                };
                (
                    Message::Settings(Box::new(accepted)),
                    v4.into_iter().chain(v6).collect(),
                )
            }
            Err(refusal) => {
                if refusal == Refusal::Full {
                    self.ask_silent(now, tag);
                }
                (Message::Refused(refusal), Vec::new())
            }
        };
        session.set_limits(self.settings.mtu, Duration::ZERO);
        session.prefer(self.cipher);
        session.send_message(now, &answer, tag, &mut self.queues);
        let state = State::Unconfirmed(Box::new(Unconfirmed {
            ke3: *ke3,
            answer,
            answered_at: now,
            until: now.saturating_add(HALF_OPEN_FOR),
        }));
        let session_id = (indices.theirs, indices.ours);
        let entry = Entry::new(login, session, session_id, state, addresses);
        if entry.is_accepted() {
            self.limit_unconfirmed(&entry.login, tag);
        }
        self.sessions.insert(entry, &mut self.registry);
        self.queues.note_change();
    }

    /// A ticket for the next login of a user. A server without a clock issues none, because tickets expire.
    pub(super) fn ticket(&self, now: Instant, login: &Login) -> Option<Ticket> {
        let (user, clock) = (self.users.get(login)?, self.clock?);
        Some(self.setup.ticket(login, &user.record, clock.seconds(now)))
    }

    fn check_account(&self, now: Instant, login: &Login) -> Result<User, Refusal> {
        // The user existed when KE2 was made, but may have been removed since.
        let user = self.users.get(login).ok_or(Refusal::Disabled)?;
        let today = self.clock.map(|clock| clock.seconds(now));
        match (user.expires, today) {
            _ if user.disabled => Err(Refusal::Disabled),
            (Some(expires), Some(today)) if today >= expires => Err(Refusal::Expired),
            _ => Ok(user.clone()),
        }
    }

    /// Ends the sessions that a session replaces when it becomes live: those with one of its addresses, and the oldest ones
    /// above the limit of the user.
    ///
    /// An unconfirmed session replaces nothing. Its client may never learn of it, and would lose the session that it has.
    pub(super) fn replace_others(&mut self, now: Instant, id: SessionId, tag: u64) {
        let Some(entry) = self.sessions.get(id) else {
            return;
        };
        let (login, addresses) = (entry.login.clone(), entry.addresses.clone());
        let shares_address = |other: &SessionId| {
            let other = self.sessions.get(*other);
            other.is_some_and(|other| addresses.iter().any(|address| other.addresses.contains(address)))
        };
        let others = self.sessions.of_user(&login).into_iter();
        let (sharing, others): (Vec<_>, Vec<_>) = others
            .filter(|other| *other != id && self.sessions.is_live(*other))
            .partition(shares_address);
        let allowed = self.users.get(&login).map_or(1, max_sessions);
        let surplus = others.len().saturating_add(1).saturating_sub(allowed);
        for other in sharing.into_iter().chain(others.into_iter().take(surplus)) {
            self.end_with_bye(now, other, BYE_REPLACED, tag);
        }
    }

    /// Ends the oldest unconfirmed session of a user who has many of them.
    fn limit_unconfirmed(&mut self, login: &Login, tag: u64) {
        let mut unconfirmed = self.sessions.of_user(login);
        unconfirmed.retain(|id| !self.sessions.is_live(*id));
        let allowed = self.users.get(login).map_or(0, max_sessions);
        if unconfirmed.len() >= allowed.max(MAX_UNCONFIRMED)
            && let Some(oldest) = unconfirmed.first()
        {
            self.end(*oldest, BYE_REPLACED, tag);
        }
    }

    /// Returns the addresses of the session that the next session of a user will replace. There is none if the user may have
    /// another session. An unconfirmed session is replaced first, because it may be an earlier attempt of the same device.
    fn inherited(&self, user: &User) -> Vec<IpAddr> {
        let sessions = self.sessions.of_user(&user.login);
        if sessions.len() < max_sessions(user) {
            return Vec::new();
        }
        let unconfirmed = sessions.iter().find(|id| !self.sessions.is_live(**id));
        let replaced = unconfirmed.or_else(|| sessions.first());
        let entry = replaced.and_then(|id| self.sessions.get(*id));
        entry.map_or_else(Vec::new, |entry| entry.addresses.clone())
    }

    /// Returns the settings with the user's fixed addresses, those of the session that will be replaced, or addresses from the
    /// pools.
    fn assign(&mut self, user: &User) -> Result<TunnelSettings, Refusal> {
        let device = self.sessions.next_id();
        let inherited = self.inherited(user);
        let mut assign = |fixed: Option<IpAddr>, is_v4: bool| {
            let pool = if is_v4 {
                &mut self.pools.v4
            } else {
                &mut self.pools.v6
            };
            let Some(pool) = pool else { return Ok(None) };
            let replaced = inherited.iter().find(|address| address.is_ipv4() == is_v4);
            let address = fixed
                .or_else(|| replaced.copied())
                .or_else(|| pool.assign(&user.login, device));
            let length = pool.prefix().length;
            match address {
                Some(address) => Ok(Some(IpPrefix { address, length })),
                None => Err(Refusal::Full),
            }
        };
        let address4 = assign(user.address4.map(IpAddr::from), true)?;
        let address6 = assign(user.address6.map(IpAddr::from), false);
        if let (Err(_), Some(prefix)) = (&address6, address4) {
            self.release(&user.login, prefix.address);
        }
        Ok(TunnelSettings {
            address4,
            address6: address6?,
            ..self.settings.clone()
        })
    }

    /// Sends the settings again to a client that retransmits its KE3, until the client has used the session.
    /// The KE3 must come from the address that gets the settings, or anybody could make the server send there.
    fn resend_settings(
        &mut self,
        now: Instant,
        (id, remote): (SessionId, SocketAddr),
        ke3: &[u8; 64],
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let State::Unconfirmed(unconfirmed) = &mut entry.state else {
            return Err(DropReason::Unexpected);
        };
        if entry.session.remote() != remote {
            return Err(DropReason::Unexpected);
        }
        let is_soon = now < unconfirmed.answered_at.saturating_add(ANSWER_INTERVAL);
        if is_soon || !bool::from(unconfirmed.ke3.ct_eq(ke3)) {
            return Err(DropReason::Unexpected);
        }
        unconfirmed.answered_at = now;
        if let Message::Settings(accepted) = &mut unconfirmed.answer {
            accepted.time = self.clock.map(|clock| clock.read(now));
        }
        let answer = unconfirmed.answer.clone();
        entry.session.send_message(now, &answer, tag, &mut self.queues);
        self.sessions.rearm(id);
        Ok(())
    }
}
