//! Login of a client: KE1, cookie, KE2, password stretching, KE3, settings.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use rand_core::RngCore;

use super::login_attempt::{
    Candidate, Earlier, LoginAttempt, MAX_COOKIES, REJECTION_GRACE, RESTART_AFTER, Stage,
};
use super::retry::Retry;
use super::{Client, fresh_index};
use crate::retransmit::RetransmitTimer;
use crate::secure::Code;
use crate::secure::client::login_attempt::REPEAT;
use crate::secure::epochs::{Indices, Role};
use crate::secure::job;
use crate::secure::keys::Chain;
use crate::secure::message::{Control, Refusal, TunnelSettings};
use crate::secure::opaque::{ClientLoginState, Finished, context};
use crate::secure::session::Session;
use crate::secure::{forget, seed_from};
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
        let earlier = match login.stage {
            Stage::Confirm(session) => Some(Earlier {
                index: login.index,
                session,
                ke3: login.sent.1,
            }),
            _ => login.earlier,
        };
        self.begin(now, login.timer.restarted(), earlier);
    }

    fn begin(&mut self, now: Instant, timer: RetransmitTimer, earlier: Option<Earlier>) {
        let [a, b, c] = self.used_indices();
        let used = [a, b, c, earlier.as_ref().map(|earlier| earlier.index)];
        let index = fresh_index(&mut self.rng, &used);
        let password = &self.config.password;
        let Ok((state, ke1)) = ClientLoginState::start(&self.config.login, password, &mut self.rng) else {
            return self.login_failed(now, StartError::InvalidConfiguration, 0);
        };
        forget(&mut self.rng);
        let ke1 = Box::new(ke1);
        self.login = Some(LoginAttempt {
            index,
            state,
            ke1,
            stage: Stage::Login,
            timer,
            sent: ("", PacketBuf::default()),
            cookies: Vec::new(),
            candidates: Vec::new(),
            rejected_at: None,
            sent_at: Some(now),
            restart_after: RESTART_AFTER,
            restart_at: None,
            earlier,
        });
        self.queues.note_change();
        self.send_ke1(now, None, 0);
    }

    pub(super) fn used_indices(&self) -> [Option<u32>; 3] {
        self.session.as_ref().map_or([None; 3], Session::open_indices)
    }

    /// Sends the first message of a login, with the cookie if there is one.
    fn send_ke1(&mut self, now: Instant, cookie: Option<[u8; 16]>, tag: u64) {
        let Some(login) = &mut self.login else { return };
        let message = Control::Login {
            index: login.index,
            login: self.config.login.clone(),
            ke1: login.ke1.clone(),
            cookie,
        };
        self.send_control(now, &message, tag);
    }

    /// Sends a message of the current login. It is retransmitted until it is answered.
    fn send_control(&mut self, now: Instant, message: &Control, tag: u64) {
        let Some(login) = &mut self.login else { return };
        let Some(datagram) = self.keys.seal(message, &mut self.rng, 0) else {
            return self.login_failed(now, StartError::InvalidConfiguration, tag);
        };
        login.sent = (message.kind(), datagram);
        login.timer = login.timer.restarted();
        let (kind, datagram) = login.send(now, &mut self.rng);
        self.queues.send(kind, self.config.server, datagram.with_tag(tag));
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
        let control = self.keys.open(Code::Down, &mut payload)?;
        let tag = payload.tag;
        match control {
            Control::Cookie { to, .. } | Control::Ke2 { to, .. } if to != login.index => {
                Err(DropReason::UnknownIndex)
            }
            Control::Ke2 { index, ke2, .. } if !matches!(login.stage, Stage::Confirm(_)) => {
                login.note_reply(now);
                self.on_ke2((index, ke2))
            }
            _ if !matches!(login.stage, Stage::Login) => Err(DropReason::Unexpected),
            Control::Cookie { cookie, .. } => {
                let is_known = login.cookies.contains(&cookie);
                if login.cookies.len() >= MAX_COOKIES || is_known {
                    return Err(DropReason::Unexpected);
                }
                login.cookies.push(cookie);
                login.note_reply(now);
                if login.cookies.len() >= MAX_COOKIES {
                    // If the server takes none of them, only a new login can get another one.
                    login.restart_at = Some(now.saturating_add(login.restart_after));
                }
                self.send_ke1(now, Some(cookie), tag);
                Ok(())
            }
            Control::Ke2 { .. } | Control::Login { .. } | Control::Ke3 { .. } => Err(DropReason::Unexpected),
        }
    }

    /// Tries a KE2 that was not tried before. If the password is being stretched for another KE2, the new one
    /// waits: the other may be forged, and the server does not repeat its reply unless the client sends
    /// again.
    fn on_ke2(&mut self, candidate: Candidate) -> Result<(), DropReason> {
        let Some(login) = &mut self.login else {
            return Err(DropReason::Unexpected);
        };
        let is_tried = login.candidates.contains(&*candidate.1);
        if login.has_max_candidates() || is_tried {
            return Err(DropReason::Unexpected);
        }
        login.candidates.push(*candidate.1);
        match &mut login.stage {
            Stage::Stretch { waiting, .. } => *waiting = Some(candidate),
            _ => self.stretch(candidate),
        }
        Ok(())
    }

    /// Starts a job that stretches the password for a KE2.
    fn stretch(&mut self, (server_index, ke2): Candidate) {
        // Job numbers are unpredictable, so the result of another login matches no job here.
        let job = self.rng.next_u64();
        let Some(login) = &mut self.login else { return };
        let indices = Indices {
            ours: login.index,
            theirs: server_index,
        };
        let context = context(self.config.suite, indices.ours, indices.theirs);
        let state = login.state.clone();
        login.timer = login.timer.paused();
        login.restart_at = None;
        login.stage = Stage::Stretch {
            job,
            indices,
            waiting: None,
        };
        self.jobs.push_back(job::finish_login(
            job,
            state,
            self.config.stretching,
            context,
            ke2,
        ));
    }

    /// Continues with the result of the job: sends KE3, or tries the next KE2.
    pub(super) fn on_login_finished(&mut self, now: Instant, finished: Option<Finished>) {
        let Some(login) = &mut self.login else { return };
        let Stage::Stretch { indices, .. } = login.stage else {
            return;
        };
        let Some(Finished { ke3, session_key }) = finished else {
            return self.candidate_failed(now);
        };
        let chain = Chain::first(&self.keys.mix, &session_key);
        let seed = seed_from(&mut self.rng);
        forget(&mut self.rng);
        let session = Session::new(Role::Client, chain, indices, self.config.server, now, seed);
        login.stage = Stage::Confirm(Box::new(session));
        login.restart_at = Some(now.saturating_add(login.restart_after));
        // If the server accepts this KE3, it ends the session of the earlier login.
        login.earlier = None;
        let ke3 = Control::Ke3 {
            to: indices.theirs,
            ke3,
        };
        self.send_control(now, &ke3, 0);
    }

    /// Tries the waiting KE2, or waits a short time for another one.
    fn candidate_failed(&mut self, now: Instant) {
        let Some(login) = &mut self.login else { return };
        let stage = core::mem::replace(&mut login.stage, Stage::Login);
        login.timer = login.timer.restarted();
        let at = now.saturating_add(REJECTION_GRACE);
        login.rejected_at.get_or_insert(at);
        if let Stage::Stretch {
            waiting: Some(waiting),
            ..
        } = stage
        {
            self.stretch(waiting);
        } else if login.has_max_candidates() {
            self.login_failed(now, StartError::AuthenticationRejected, 0);
        }
    }

    /// Completes a login that the server has accepted.
    pub(super) fn establish(&mut self, now: Instant, index: u32, settings: TunnelSettings, tag: u64) {
        let login = self.login.take();
        let Some(mut session) = login.and_then(|login| login.into_session(index)) else {
            return;
        };
        session.set_limits(settings.mtu, Duration::from_secs(u64::from(settings.keepalive)));
        session.rekey_after(now, self.config.rekey_after);
        session.prefer(now, self.config.cipher);
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

    /// Handles a failed login: completes `start`, or schedules the next login.
    pub(super) fn login_failed(&mut self, now: Instant, error: StartError, tag: u64) {
        self.login = None;
        self.queues.note_change();
        if self.is_starting {
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
