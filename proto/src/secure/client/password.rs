//! Password change of a client, inside the session. The server sees neither the old nor the new password.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use rand_core::RngCore;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Client;
use super::login_attempt::REPEAT;
use crate::retransmit::RetransmitTimer;
use crate::secret::Secret;
use crate::secure::forget;
use crate::secure::job;
use crate::secure::keys::{reg1_mac, reg2_mac, reg3_mac};
use crate::secure::message::Message;
use crate::secure::opaque::{ClientLoginState, Finished, Registration, SessionKey, change_context};
use crate::secure::ticket::Ticket;
use crate::{ApiMisuse, DropReason, EventKind, Instant, Reason, StartError, State, describe};

/// A password change in progress.
pub(super) struct Change {
    password: Zeroizing<String>,
    step: Step,
    timer: RetransmitTimer,
    /// The proof with the first of two old passwords was rejected.
    tried_other: bool,
}

/// Progress of the change.
enum Step {
    /// KE1 with the old password is sent.
    Proving {
        login: Box<ClientLoginState>,
        message: Message,
    },
    /// A job stretches the old password.
    StretchingOld { job: u64 },
    /// The proof of the old password and the registration request are sent.
    Asked {
        registration: Box<Registration>,
        /// Key of the proof.
        session_key: SessionKey,
        reg1: [u8; 32],
        message: Message,
    },
    /// A job stretches the new password.
    Stretching {
        job: u64,
        session_key: SessionKey,
        reg2: [u8; 64],
    },
    /// The new record is sent.
    Sent { message: Message },
}

impl Step {
    const fn message(&self) -> Option<&Message> {
        match self {
            Self::Proving { message, .. } | Self::Asked { message, .. } | Self::Sent { message } => {
                Some(message)
            }
            Self::StretchingOld { .. } | Self::Stretching { .. } => None,
        }
    }

    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Proving {
                login: _, // the message stands for it
                message,
            } => {
                state.number(0);
                state.secret(&message.to_bytes());
            }
            Self::StretchingOld { job } => {
                state.number(1);
                describe::job_id(state, *job);
            }
            Self::Asked {
                registration: _, // the message stands for it
                session_key: _,  // the message proves it
                reg1: _,         // part of the message
                message,
            } => {
                state.number(2);
                state.secret(&message.to_bytes());
            }
            Self::Stretching {
                job,
                session_key,
                reg2: _, // follows from the request
            } => {
                state.number(3);
                describe::job_id(state, *job);
                state.secret(&**session_key);
            }
            Self::Sent { message } => {
                state.number(4);
                // The server compares the record with the one that it has.
                if let Message::Reg3 { record, .. } = message {
                    describe::fingerprint(state, &**record);
                }
            }
        }
    }
}

impl Change {
    /// Returns the next timer.
    pub(super) fn next_timeout(&self) -> (Instant, Reason) {
        self.timer.next_timeout()
    }

    /// Describes the change.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            password,
            step,
            timer,
            tried_other,
        } = self;
        state.flag(*tried_other);
        describe::fingerprint(state, password.as_bytes());
        step.describe(state);
        timer.describe(state);
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change").finish_non_exhaustive()
    }
}

const REFUSED: EventKind = EventKind::PasswordChanged(Err(StartError::InvalidConfiguration));

impl Client {
    /// Changes the user's password through the established session. Completes once, with
    /// [`EventKind::PasswordChanged`]. After an error, the server may still have stored the new password. The client keeps
    /// both then, and the change can be repeated.
    ///
    /// # Errors
    ///
    /// [`ApiMisuse::NotStarted`] if the tunnel is not up, [`ApiMisuse::AlreadyStarted`] if a change is in
    /// progress.
    pub fn change_password(&mut self, now: Instant, password: Zeroizing<String>) -> Result<(), ApiMisuse> {
        let now = self.check_started(now)?;
        if self.session.is_none() {
            return Err(ApiMisuse::NotStarted);
        }
        if self.change.is_some() {
            return Err(ApiMisuse::AlreadyStarted);
        }
        self.begin_proof(now, password, false);
        Ok(())
    }

    /// Begins to prove the old password.
    fn begin_proof(&mut self, now: Instant, password: Zeroizing<String>, tried_other: bool) {
        let old = &self.config.password;
        let started = ClientLoginState::start(&self.config.login, old, &mut self.rng);
        let (Ok((login, ke1)), Ok(_)) = (
            started,
            Registration::start(&self.config.login, &password, &mut self.rng),
        ) else {
            return self.queues.event(0, REFUSED);
        };
        forget(&mut self.rng);
        self.change = Some(Change {
            password,
            step: Step::Proving {
                login: Box::new(login),
                message: Message::Prove1(Box::new(ke1)),
            },
            timer: RetransmitTimer::new(now, REPEAT),
            tried_other,
        });
        self.send_change(now);
    }

    /// Sends the message of the current step, for the first time or again.
    fn send_change(&mut self, now: Instant) {
        let Some(change) = &mut self.change else { return };
        if let (Some(message), Some(session)) = (change.step.message(), &mut self.session) {
            session.send_message(now, message, 0, &mut self.queues);
        }
        change.timer.sent(now, &mut self.rng);
    }

    pub(super) fn change_timeout(&mut self, now: Instant) {
        let Some(change) = &self.change else { return };
        match change.timer.due(now) {
            Some(Reason::LoginDeadline) => self.end_change(Err(StartError::ConnectionTimedOut), 0),
            Some(_) => self.send_change(now),
            None => {}
        }
    }

    /// Starts a job that stretches the old password, with the server's KE2.
    pub(super) fn on_prove2(&mut self, ke2: Box<[u8; 320]>) -> Result<(), DropReason> {
        let job = self.rng.next_u64();
        let change = self.change.as_mut().ok_or(DropReason::Unexpected)?;
        let Step::Proving { login, .. } = &change.step else {
            return Err(DropReason::Unexpected);
        };
        let context = change_context(
            self.config.suite,
            self.session_id,
            self.config.server_key.fingerprint(),
        );
        let state = (**login).clone();
        change.step = Step::StretchingOld { job };
        change.timer = change.timer.paused();
        self.jobs.push_back(job::finish_login(
            job,
            state,
            self.config.stretching,
            context,
            ke2,
        ));
        Ok(())
    }

    /// Number of the job that stretches the old password, if there is one.
    pub(super) fn proving_job(&self) -> Option<u64> {
        match self.change.as_ref()?.step {
            Step::StretchingOld { job } => Some(job),
            _ => None,
        }
    }

    /// Proves the old password, and asks to register the new one.
    pub(super) fn on_proved(&mut self, now: Instant, finished: Option<Finished>) {
        let Some(change) = &mut self.change else { return };
        let Some(Finished { ke3, session_key, .. }) = finished else {
            return self.proof_rejected(now);
        };
        let start = Registration::start(&self.config.login, &change.password, &mut self.rng);
        forget(&mut self.rng);
        let Ok((registration, reg1)) = start else {
            return self.end_change(Err(StartError::InvalidConfiguration), 0);
        };
        let mac = reg1_mac(&session_key, &reg1);
        change.step = Step::Asked {
            registration: Box::new(registration),
            session_key,
            reg1,
            message: Message::Prove3 {
                ke3: Box::new(ke3),
                reg1,
                mac,
            },
        };
        change.timer = change.timer.restarted();
        self.send_change(now);
    }

    /// Begins the proof again with the other old password that the server may have, or fails.
    fn proof_rejected(&mut self, now: Instant) {
        let untried = self
            .change
            .take_if(|change| !change.tried_other && self.config.other_password.is_some());
        if let (Some(change), Some(other)) = (untried, &mut self.config.other_password) {
            core::mem::swap(&mut self.config.password, other);
            return self.begin_proof(now, change.password, true);
        }
        self.end_change(Err(StartError::AuthenticationRejected), 0);
    }

    /// Starts a job that stretches the new password, with the reply of the server.
    pub(super) fn on_reg2(&mut self, reg2: &[u8; 64], mac: &[u8; 32]) -> Result<(), DropReason> {
        let job = self.rng.next_u64();
        let mut seed = Secret::zero();
        self.rng.fill_bytes(&mut *seed);
        forget(&mut self.rng);
        let change = self.change.as_mut().ok_or(DropReason::Unexpected)?;
        let Step::Asked {
            registration,
            session_key,
            reg1,
            ..
        } = &change.step
        else {
            return Err(DropReason::Unexpected);
        };
        // A thief with the keys of the session could otherwise choose the answer, and guess the new password.
        if !bool::from(reg2_mac(session_key, reg1, reg2).ct_eq(mac)) {
            return Err(DropReason::AuthenticationFailed);
        }
        let (registration, session_key) = (registration.clone(), session_key.clone());
        change.step = Step::Stretching {
            job,
            session_key,
            reg2: *reg2,
        };
        change.timer = change.timer.paused();
        self.jobs
            .push_back(job::register(job, registration, self.config.suite, reg2, seed));
        Ok(())
    }

    /// Sends the new record.
    pub(super) fn on_registered(
        &mut self,
        now: Instant,
        id: u64,
        record: Option<Box<[u8; 192]>>,
    ) -> Result<(), ApiMisuse> {
        let change = self.change.as_mut().ok_or(ApiMisuse::UnknownJob)?;
        let Step::Stretching {
            job,
            session_key,
            reg2,
        } = &change.step
        else {
            return Err(ApiMisuse::UnknownJob);
        };
        if *job != id {
            return Err(ApiMisuse::UnknownJob);
        }
        let Some(record) = record else {
            self.end_change(Err(StartError::AuthenticationRejected), 0);
            return Ok(());
        };
        let mac = reg3_mac(session_key, reg2, &record);
        change.step = Step::Sent {
            message: Message::Reg3 { record, mac },
        };
        change.timer = change.timer.restarted();
        self.send_change(now);
        Ok(())
    }

    /// Completes the change: the server has stored the new record.
    pub(super) fn on_reg_ok(&mut self, ticket: Option<Ticket>, tag: u64) -> Result<(), DropReason> {
        match &self.change {
            Some(Change {
                step: Step::Sent { .. },
                ..
            }) => {
                self.keep_ticket(ticket, tag);
                self.end_change(Ok(()), tag);
                Ok(())
            }
            _ => Err(DropReason::Unexpected),
        }
    }

    pub(super) fn end_change(&mut self, result: Result<(), StartError>, tag: u64) {
        if let Some(change) = self.change.take() {
            if result.is_ok() {
                self.config.password = change.password;
                self.config.other_password = None;
            } else if matches!(change.step, Step::Sent { .. }) {
                // The server may have stored the record.
                self.config.other_password = Some(change.password);
            }
            self.queues.event(tag, EventKind::PasswordChanged(result));
        }
    }
}
