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
use crate::secure::epochs::{Indices, Role};
use crate::secure::guard::{Debit, source_prefix};
use crate::secure::keys::Chain;
use crate::secure::message::{Control, Message, Refusal, TunnelSettings};
use crate::secure::opaque::{context, respond};
use crate::secure::session::Session;
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

impl Server {
    pub(super) fn on_control_datagram(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        mut payload: PacketBuf,
    ) -> Result<(), DropReason> {
        let control = self.keys.open(Code::Up, &mut payload)?;
        let tag = payload.tag;
        match control {
            Control::Login {
                index,
                login,
                ke1,
                cookie,
            } => {
                let is_proved =
                    cookie.is_some_and(|cookie| self.cookies.accepts(now, remote, index, &cookie));
                if is_proved {
                    self.on_ke1(now, remote, (index, login, ke1), tag)
                } else {
                    self.send_cookie(now, remote, index, tag);
                    Ok(())
                }
            }
            Control::Ke3 { to, ke3 } => self.on_ke3(now, remote, to, &ke3, tag),
            Control::Cookie { .. } | Control::Ke2 { .. } => Err(DropReason::Unexpected),
        }
    }

    /// Sends a cookie. The server keeps no state and counts nothing, because an attacker who forges an
    /// address would otherwise use up the limit of its owner.
    fn send_cookie(&mut self, now: Instant, remote: SocketAddr, index: u32, tag: u64) {
        let cookie = Control::Cookie {
            to: index,
            cookie: self.cookies.make(now, remote, index),
        };
        self.send_control(remote, &cookie, tag);
    }

    fn send_control(&mut self, remote: SocketAddr, message: &Control, tag: u64) {
        match self.keys.seal(message, &mut self.rng, tag) {
            Some(datagram) => self.queues.send(message.kind(), remote, datagram),
            None => self.queues.drop(DropReason::TooLarge, tag),
        }
    }

    /// Handles a KE1 from a source that has shown a valid cookie.
    fn on_ke1(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        (client_index, login, ke1): (u32, Login, Box<[u8; 96]>),
        tag: u64,
    ) -> Result<(), DropReason> {
        if let Some(known) = self.half_opens.of_client(remote, client_index) {
            if known.ke1 != ke1 || known.login != login {
                return Err(DropReason::Unexpected);
            }
            self.queues.send("ke2", remote, known.reply.clone().with_tag(tag));
            return Ok(());
        }
        if self.half_opens.is_spent(now, remote, client_index) {
            return Err(DropReason::Replayed);
        }
        if !self.sources.take(now, remote.ip()) {
            return Err(DropReason::RateLimited);
        }
        let debit = self.check_limits(now, remote, &login)?;
        let index = self.registry.fresh();
        let context = context(self.suite, client_index, index);
        let record = self.users.get(&login).map(|user| &user.record);
        let Ok((state, ke2)) = respond(&self.setup, record, &login, &ke1, &context, &mut self.rng) else {
            // The attempt stays counted, because a correct client never sends this.
            self.caps.leave(source_prefix(remote.ip()));
            return Err(DropReason::MalformedBody);
        };
        forget(&mut self.rng);
        let message = Control::Ke2 {
            to: client_index,
            index,
            ke2: Box::new(ke2),
        };
        let Some(reply) = self.keys.seal(&message, &mut self.rng, 0) else {
            self.caps.leave(source_prefix(remote.ip()));
            return Err(DropReason::TooLarge);
        };
        self.registry.insert(index, Owner::HalfOpen);
        self.queues
            .send(message.kind(), remote, reply.clone().with_tag(tag));
        let half_open = HalfOpen {
            index,
            client_index,
            source: remote,
            login,
            ke1,
            state,
            reply,
            debit,
            bad_ke3: 0,
        };
        self.half_opens.insert(now, half_open);
        Ok(())
    }

    /// Checks the limits for this source, for all sources, and for this user name.
    fn check_limits(&mut self, now: Instant, remote: SocketAddr, login: &Login) -> Result<Debit, DropReason> {
        let source = source_prefix(remote.ip());
        if !self.caps.enter(source) {
            return Err(DropReason::Busy);
        }
        let allowed = if self.ke1_rate.take(now) {
            self.logins
                .debit(now, login, source)
                .ok_or(DropReason::LoginLimited)
        } else {
            Err(DropReason::Busy)
        };
        if allowed.is_err() {
            self.caps.leave(source);
        }
        allowed
    }

    /// Releases the resources of a half-open login.
    pub(super) fn forget_half_open(&mut self, half_open: &HalfOpen) {
        self.caps.leave(source_prefix(half_open.source.ip()));
        self.registry.remove(half_open.index);
    }

    /// Handles a KE3 of a half-open login, or a retransmitted KE3 of an accepted one.
    fn on_ke3(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        to: u32,
        ke3: &[u8; 64],
        tag: u64,
    ) -> Result<(), DropReason> {
        match self.registry.owner(to) {
            Some(Owner::Session(id)) => return self.resend_settings(now, (id, remote), ke3, tag),
            Some(Owner::HalfOpen) => {}
            None => return Err(DropReason::UnknownIndex),
        }
        let half_open = self.half_opens.get_mut(to).ok_or(DropReason::UnknownIndex)?;
        // The address that has shown the cookie. Replies go to this address, and it becomes a known source of
        // the user.
        if half_open.source != remote {
            return Err(DropReason::Unexpected);
        }
        let Some(session_key) = half_open.state.verify(ke3) else {
            half_open.bad_ke3 = half_open.bad_ke3.saturating_add(1);
            if half_open.bad_ke3 >= MAX_BAD_KE3
                && let Some(half_open) = self.half_opens.remove(to)
            {
                self.forget_half_open(&half_open);
                self.queues.network_event(tag, EventKind::LoginRefused { remote });
            }
            return Err(DropReason::AuthenticationFailed);
        };
        let half_open = self.half_opens.remove(to).ok_or(DropReason::UnknownIndex)?;
        self.forget_half_open(&half_open);
        let HalfOpen {
            login,
            debit,
            client_index,
            ..
        } = half_open;
        self.logins.refund(debit);
        self.logins.succeeded(now, &login, source_prefix(remote.ip()));
        let indices = Indices {
            ours: to,
            theirs: client_index,
        };
        let chain = Chain::first(&self.keys.mix, &session_key);
        let session = Session::new(
            Role::Server,
            chain,
            indices,
            remote,
            now,
            seed_from(&mut self.rng),
        );
        forget(&mut self.rng);
        self.admit(now, login, session, ke3, tag);
        Ok(())
    }

    /// Sends settings or a refusal to a user who has proved the password.
    fn admit(&mut self, now: Instant, login: Login, mut session: Session, ke3: &[u8; 64], tag: u64) {
        let admitted = self
            .check_account(now, &login)
            .and_then(|user| self.assign(&user));
        let (answer, addresses) = match admitted {
            Ok(settings) => {
                let v4 = settings.address4.map(|prefix| prefix.address);
                let v6 = settings.address6.map(|prefix| prefix.address);
                (Message::Settings(settings), v4.into_iter().chain(v6).collect())
            }
            Err(refusal) => (Message::Refused(refusal), Vec::new()),
        };
        session.set_limits(self.settings.mtu, Duration::ZERO);
        session.prefer(now, self.cipher);
        session.send_message(now, &answer, tag, &mut self.queues);
        let state = State::Unconfirmed(Box::new(Unconfirmed {
            ke3: *ke3,
            answer,
            answered_at: now,
            until: now.saturating_add(HALF_OPEN_FOR),
        }));
        let entry = Entry::new(login, session, state, addresses);
        if entry.is_accepted() {
            self.limit_unconfirmed(&entry.login, tag);
        }
        self.sessions.insert(entry, &mut self.registry);
        self.queues.note_change();
    }

    fn check_account(&self, now: Instant, login: &Login) -> Result<User, Refusal> {
        // The user existed when KE2 was made, but may have been removed since.
        let user = self.users.get(login).ok_or(Refusal::Disabled)?;
        let seconds = now.as_nanos() / 1_000_000_000;
        let today = self.unix_origin.map(|origin| origin.saturating_add(seconds));
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
        let answer = unconfirmed.answer.clone();
        entry.session.send_message(now, &answer, tag, &mut self.queues);
        self.sessions.rearm(id);
        Ok(())
    }
}
