//! Password change of a client, inside the session. The server sees neither the old nor the new password.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use rand_core::RngCore;
use zeroize::Zeroizing;

use super::Client;
use super::login_attempt::REPEAT;
use crate::retransmit::RetransmitTimer;
use crate::secure::forget;
use crate::secure::job;
use crate::secure::message::Message;
use crate::secure::opaque::Registration;
use crate::{ApiMisuse, DropReason, EventKind, Instant, Reason, StartError, State, describe};

/// A password change in progress.
pub(super) struct Change {
    password: Zeroizing<String>,
    step: Step,
    timer: RetransmitTimer,
}

/// Progress of the change.
enum Step {
    /// The request is sent.
    Asked {
        registration: Box<Registration>,
        message: Message,
    },
    /// A job stretches the new password.
    Stretching { job: u64 },
    /// The new record is sent.
    Sent { message: Message },
}

impl Step {
    const fn message(&self) -> Option<&Message> {
        match self {
            Self::Asked { message, .. } | Self::Sent { message } => Some(message),
            Self::Stretching { .. } => None,
        }
    }

    fn describe(&self, state: &mut State<'_>) {
        match self {
            Self::Asked {
                registration: _, // the message stands for it
                message,
            } => {
                state.number(0);
                state.secret(&message.to_json());
            }
            Self::Stretching { job } => {
                state.number(1);
                describe::job_id(state, *job);
            }
            Self::Sent { message } => {
                state.number(2);
                // The server compares the record with the one that it has.
                if let Message::Reg3(record) = message {
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
        } = self;
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

impl Client {
    /// Changes the user's password through the established session. Completes once, with
    /// [`EventKind::PasswordChanged`]. After an error, the server may still have stored the new password. The
    /// change can be repeated with either password.
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
        let Ok((registration, reg1)) = Registration::start(&self.config.login, &password, &mut self.rng)
        else {
            let failed = EventKind::PasswordChanged(Err(StartError::InvalidConfiguration));
            self.queues.event(0, failed);
            return Ok(());
        };
        forget(&mut self.rng);
        self.change = Some(Change {
            password,
            step: Step::Asked {
                registration: Box::new(registration),
                message: Message::Reg1(reg1),
            },
            timer: RetransmitTimer::new(now, REPEAT),
        });
        self.send_change(now);
        Ok(())
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

    /// Starts a job that stretches the new password, with the reply of the server.
    pub(super) fn on_reg2(&mut self, reg2: &[u8; 64]) -> Result<(), DropReason> {
        let job = self.rng.next_u64();
        let mut seed = Zeroizing::new([0; 32]);
        self.rng.fill_bytes(&mut *seed);
        forget(&mut self.rng);
        let change = self.change.as_mut().ok_or(DropReason::Unexpected)?;
        let Step::Asked { .. } = &change.step else {
            return Err(DropReason::Unexpected);
        };
        let step = core::mem::replace(&mut change.step, Step::Stretching { job });
        if let Step::Asked { registration, .. } = step {
            change.timer = change.timer.paused();
            self.jobs
                .push_back(job::register(job, registration, self.config.suite, reg2, seed));
        }
        Ok(())
    }

    /// Sends the new record.
    pub(super) fn on_registered(
        &mut self,
        now: Instant,
        id: u64,
        reg3: Option<Box<[u8; 192]>>,
    ) -> Result<(), ApiMisuse> {
        let awaited = self.change.as_mut().filter(|change| match change.step {
            Step::Stretching { job } => job == id,
            _ => false,
        });
        let change = awaited.ok_or(ApiMisuse::UnknownJob)?;
        let Some(reg3) = reg3 else {
            self.end_change(Err(StartError::AuthenticationRejected), 0);
            return Ok(());
        };
        change.step = Step::Sent {
            message: Message::Reg3(reg3),
        };
        change.timer = change.timer.restarted();
        self.send_change(now);
        Ok(())
    }

    /// Completes the change: the server has stored the new record.
    pub(super) fn on_reg_ok(&mut self, tag: u64) -> Result<(), DropReason> {
        match &self.change {
            Some(Change {
                step: Step::Sent { .. },
                ..
            }) => {
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
            }
            self.queues.event(tag, EventKind::PasswordChanged(result));
        }
    }
}
