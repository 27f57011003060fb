//! Login of a client: KE1, cookie, KE2, password stretching, KE3, settings.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::RngCore;

use super::login_attempt::{Answered, Earlier, LoginAttempt, MAX_COOKIES, REPEAT, RESTART_AFTER, Stage, Try};
use super::retry::Retry;
use super::{Client, fresh_index};
use crate::kem::{PUBLIC_LEN, PublicKey};
use crate::retransmit::RetransmitTimer;
use crate::secure::clock::WallClock;
use crate::secure::control::{Nonces, parse};
use crate::secure::epochs::{Indices, Role};
use crate::secure::keys::{Chain, Ephemeral, m3_mac};
use crate::secure::login_box::{LoginSecret, SealedKe2, SealedLogin};
use crate::secure::login_transcript::LoginTranscript;
use crate::secure::message::{Accepted, Control, KEY_HALF_LEN, Ke2Reply, LoginRequest, Proof, Refusal};
use crate::secure::opaque::{ClientLoginState, Finished, context};
use crate::secure::session::Session;
use crate::secure::ticket::Ticket;
use crate::secure::{Code, forget, job, seed_from};
use crate::{DropReason, EventKind, Instant, PacketBuf, StartError, TunnelStatus};

impl Client {
    /// Begins a new login, which replaces the current one.
    pub(super) fn log_in(&mut self, now: Instant) {
        self.retry.stop();
        let timer = match &self.login {
            // `start` waits for this login, so its deadline stays.
            Some(login) if self.is_starting => login.timer.restarted(),
            _ => RetransmitTimer::new(now, REPEAT),
        };
        self.begin(now, timer, None);
    }

    /// Begins the login again, because KE3 or the last cookie has no answer. The deadline stays. Until the next KE3 is sent, the
    /// settings of the login so far still count, and its KE3 is still repeated.
    pub(super) fn restart_login(&mut self, now: Instant) {
        let Some(login) = self.login.take() else { return };
        let (saw_other_server, tried_other) = (login.saw_other_server, login.tried_other_password);
        let earlier = match login.stage {
            Stage::Confirm {
                session,
                indices,
                proof,
            } => Some(Earlier {
                index: login.index,
                session,
                indices,
                proof,
            }),
            _ => login.earlier,
        };
        self.begin(now, login.timer.restarted(), earlier);
        if let Some(login) = &mut self.login {
            (login.saw_other_server, login.tried_other_password) = (saw_other_server, tried_other);
        }
    }

    fn begin(&mut self, now: Instant, timer: RetransmitTimer, earlier: Option<Earlier>) {
        let [a, b, c] = self.used_indices();
        let used = [a, b, c, earlier.as_ref().map(|earlier| earlier.index)];
        let index = fresh_index(&mut self.rng, &used);
        let password = &self.config.password;
        let Ok((state, ke1)) = ClientLoginState::start(&self.config.login, password, &mut self.rng) else {
            return self.login_failed(now, StartError::InvalidConfiguration, 0);
        };
        let ephemeral = Ephemeral::new(&mut self.rng);
        forget(&mut self.rng);
        self.login = Some(LoginAttempt {
            index,
            state,
            ke1: Box::new(ke1),
            ephemeral,
            nonces: Nonces::new(&mut self.rng),
            stage: Stage::Login,
            timer,
            tries: Vec::new(),
            saw_other_server: false,
            tried_other_password: false,
            sent_at: Some(now),
            restart_after: RESTART_AFTER,
            restart_at: None,
            earlier,
        });
        self.queues.note_change();
        self.send_login(now, 0);
    }

    pub(super) fn used_indices(&self) -> [Option<u32>; 3] {
        self.session.as_ref().map_or([None; 3], Session::open_indices)
    }

    /// Sends the messages of the login that wait for an answer, for the first time or again.
    pub(super) fn send_login(&mut self, now: Instant, tag: u64) {
        let server_clock = self.server_clock.filter(|_| !self.doubts_server_clock);
        let time = server_clock.or(self.clock).map_or(0, |clock| clock.read(now));
        let Some(login) = &mut self.login else { return };
        login.timer.sent(now, &mut self.rng);
        for message in login.messages(time).collect::<Vec<_>>() {
            if let Some(datagram) = self.keys.seal(&message, &mut login.nonces, tag) {
                self.queues.send(message.kind(), self.config.server, datagram);
            }
        }
    }

    pub(super) fn on_control_datagram(
        &mut self,
        now: Instant,
        mut payload: PacketBuf,
    ) -> Result<(), DropReason> {
        // Without a login no message is expected, so nothing is decrypted.
        let Some(login) = &mut self.login else {
            return Err(DropReason::Unexpected);
        };
        self.keys.open(Code::Down, &mut payload)?;
        let tag = payload.tag;
        let control = parse(Code::Down, &payload)?;
        let (Control::Cookie { to, .. } | Control::Ke2(Ke2Reply { to, .. })) = &control else {
            return Err(DropReason::Unexpected);
        };
        if *to != login.index {
            return Err(DropReason::UnknownIndex);
        }
        if !matches!(login.stage, Stage::Login) {
            return Err(DropReason::Unexpected);
        }
        match control {
            Control::Cookie {
                cookie,
                fingerprint,
                key_half,
                ..
            } => {
                if fingerprint != *self.config.server_key.fingerprint() {
                    login.saw_other_server = true;
                    return Err(DropReason::OtherServer);
                }
                self.on_cookie(now, cookie, key_half, tag)
            }
            Control::Ke2(reply) => self.on_ke2(now, &reply),
            Control::Hello { .. } | Control::Login { .. } | Control::Ke3(_) => Err(DropReason::Unexpected),
        }
    }

    /// Shows a cookie to the server, together with the user name and KE1.
    fn on_cookie(
        &mut self,
        now: Instant,
        cookie: [u8; 16],
        key_half: Box<[u8; KEY_HALF_LEN]>,
        tag: u64,
    ) -> Result<(), DropReason> {
        let Some(login) = &mut self.login else {
            return Err(DropReason::Unexpected);
        };
        let is_known = |earlier: &Try| earlier.request.cookie == cookie && earlier.key_half == key_half;
        if login.tries.len() >= MAX_COOKIES || login.tries.iter().any(is_known) {
            return Err(DropReason::Unexpected);
        }
        let server = &self.config.server_key.x25519;
        let public = login.ephemeral.public();
        let dh = login.ephemeral.agree(server).ok_or(DropReason::OtherServer)?;
        let secret = LoginSecret::new(&dh, (&cookie, login.index), &public, server);
        let content = SealedLogin {
            login: self.config.login.clone(),
            ke1: login.ke1.clone(),
            ticket: self
                .config
                .ticket
                .filter(|_| !self.skips_ticket)
                .unwrap_or_default(),
        };
        let request = LoginRequest {
            index: login.index,
            cookie,
            ephemeral: public,
            sealed: secret.seal_login(&content).ok_or(DropReason::TooLarge)?,
        };
        login.tries.push(Try {
            key_half,
            request,
            secret,
        });
        login.note_reply(now);
        if login.tries.len() >= MAX_COOKIES {
            // If the server takes none of them, only a new login can get another one.
            login.restart_at = Some(now.saturating_add(login.restart_after));
        }
        login.timer = login.timer.restarted();
        self.send_login(now, tag);
        Ok(())
    }

    /// Starts a job that stretches the password for a KE2 of the configured server.
    fn on_ke2(&mut self, now: Instant, reply: &Ke2Reply) -> Result<(), DropReason> {
        // Job numbers are unpredictable, so the result of another login matches no job here.
        let job = self.rng.next_u64();
        let Some(login) = &mut self.login else {
            return Err(DropReason::Unexpected);
        };
        let open = |attempt: &Try| attempt.secret.open_ke2(reply.index, &reply.sealed);
        // Only the configured server can seal this.
        let content = login
            .tries
            .iter()
            .find_map(open)
            .ok_or(DropReason::AuthenticationFailed)?;
        let SealedKe2 {
            opaque_key,
            ke2,
            key_half,
        } = content;
        // A holder of the pre-shared key may have forged some of the first halves.
        let whole = |attempt: &Try| {
            let mut kem = Box::new([0; PUBLIC_LEN]);
            for (to, from) in kem.iter_mut().zip(attempt.key_half.iter().chain(&*key_half)) {
                *to = *from;
            }
            open(attempt).filter(|_| self.config.server_key.matches(&opaque_key, &kem))?;
            Some((attempt.request.clone(), kem))
        };
        let (request, kem) = login
            .tries
            .iter()
            .find_map(whole)
            .ok_or(DropReason::OtherServer)?;
        let answered = Answered {
            transcript: LoginTranscript::new(&request, reply, &kem),
            kem: PublicKey::new(&kem).map_err(|_| DropReason::MalformedBody)?,
            opaque_key,
        };
        let indices = Indices {
            ours: login.index,
            theirs: reply.index,
        };
        let fingerprint = self.config.server_key.fingerprint();
        let context = context(self.config.suite, indices.ours, indices.theirs, fingerprint);
        let state = login.state.clone();
        login.note_reply(now);
        login.timer = login.timer.paused();
        login.restart_at = None;
        login.stage = Stage::Stretch {
            job,
            indices,
            answered: Box::new(answered),
        };
        self.jobs.push_back(job::finish_login(
            job,
            state,
            self.config.stretching,
            context,
            ke2,
        ));
        Ok(())
    }

    /// Continues with the result of the job: sends M3, or fails.
    pub(super) fn on_login_finished(&mut self, now: Instant, finished: Option<Finished>) {
        let Some(login) = &mut self.login else { return };
        let Stage::Stretch {
            indices, answered, ..
        } = core::mem::replace(&mut login.stage, Stage::Login)
        else {
            return;
        };
        // The record must be one of this server.
        let finished = finished.filter(|finished| finished.server_key == answered.opaque_key);
        let Some(Finished { ke3, session_key, .. }) = finished else {
            return self.login_rejected(now);
        };
        let Answered { transcript, kem, .. } = *answered;
        let (ciphertext, shared) = kem.encapsulate(&mut self.rng);
        let proof = Proof {
            to: indices.theirs,
            ke3,
            mac: m3_mac(&session_key, &ciphertext),
            ciphertext,
        };
        let chain = Chain::first(&self.keys.mix, &session_key, &shared, &transcript.finish(&proof));
        let seed = seed_from(&mut self.rng);
        forget(&mut self.rng);
        let session = Session::new(Role::Client, chain, indices, self.config.server, now, seed);
        login.stage = Stage::Confirm {
            session: Box::new(session),
            indices,
            proof: Box::new(proof),
        };
        login.restart_at = Some(now.saturating_add(login.restart_after));
        // If the server accepts this KE3, it ends the session of the earlier login.
        login.earlier = None;
        login.timer = login.timer.restarted();
        self.send_login(now, 0);
    }

    /// Handles a KE2 that does not fit the password: begins again with the other one that the server may have, or fails.
    fn login_rejected(&mut self, now: Instant) {
        let untried = self.login.as_mut().filter(|login| !login.tried_other_password);
        if let (Some(login), Some(other)) = (untried, &mut self.config.other_password) {
            core::mem::swap(&mut self.config.password, other);
            login.tried_other_password = true;
            return self.restart_login(now);
        }
        self.login_failed(now, StartError::AuthenticationRejected, 0);
    }

    /// Handles the deadline of a login.
    pub(super) fn login_timed_out(&mut self, now: Instant) {
        self.doubts_server_clock = !self.doubts_server_clock && self.server_clock.is_some();
        // The server has sent a cookie, but no KE2. A thief of the ticket may have used up its attempts.
        let was_limited = self.login.as_ref().is_some_and(LoginAttempt::awaits_ke2);
        self.skips_ticket = was_limited && !self.skips_ticket;
        let saw_other_server = self.login.as_ref().is_some_and(|login| login.saw_other_server);
        let error = if saw_other_server {
            StartError::OtherServer
        } else {
            StartError::ConnectionTimedOut
        };
        self.login_failed(now, error, 0);
    }

    /// Completes a login that the server has accepted.
    pub(super) fn establish(&mut self, now: Instant, index: u32, accepted: Accepted, tag: u64) {
        let login = self.login.take();
        let Some((mut session, indices)) = login.and_then(|login| login.into_session(index)) else {
            return;
        };
        self.session_id = (indices.ours, indices.theirs);
        let Accepted {
            settings,
            time,
            ticket,
        } = accepted;
        self.server_clock = time.map(|time| WallClock::new(now, time));
        (self.doubts_server_clock, self.skips_ticket) = (false, false);
        self.keep_ticket(ticket, tag);
        session.set_limits(settings.mtu, Duration::from_secs(u64::from(settings.keepalive)));
        session.rekey_after(now, self.config.rekey_after);
        session.prefer(self.config.cipher);
        session.rekey_now(now);
        if self.config.mtu_search {
            session.search_mtu(now);
        }
        let mtu = session.mtu();
        session.confirm(now, tag, &mut self.queues);
        self.set_session(Some(session));
        (self.is_session_dead, self.retry) = (false, Retry::default());
        let mut settings = settings.into_network_settings(self.config.server.ip());
        settings.mtu = mtu;
        if self.is_starting {
            self.is_starting = false;
            self.queues.event(tag, EventKind::Started(Ok(settings.clone())));
        } else if self.settings.as_ref() != Some(&settings) {
            self.queues
                .event(tag, EventKind::SettingsChanged(settings.clone()));
        }
        self.settings = Some(settings);
        self.set_status(TunnelStatus::Connected, tag);
    }

    /// Keeps a ticket for the next login, and reports it.
    pub(super) fn keep_ticket(&mut self, ticket: Option<Ticket>, tag: u64) {
        if let Some(ticket) = ticket {
            self.config.ticket = Some(ticket);
            self.queues.event(tag, EventKind::Ticket(ticket.into()));
        }
    }

    /// Handles a failed login: completes `start`, or schedules the next login.
    pub(super) fn login_failed(&mut self, now: Instant, error: StartError, tag: u64) {
        self.login = None;
        self.queues.note_change();
        let goes_on = self.config.retries_start && error == StartError::ConnectionTimedOut;
        if self.is_starting && !goes_on {
            self.is_starting = false;
            self.queues.event(tag, EventKind::Started(Err(error)));
            return self.go_down(tag);
        }
        self.queues.event(tag, EventKind::Retrying(error));
        self.retry.schedule(now, error, &mut self.rng);
    }
}

impl From<Refusal> for StartError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Disabled => Self::AccountDisabled,
            Refusal::Expired => Self::AccountExpired,
            Refusal::Full => Self::ServerFull,
        }
    }
}
