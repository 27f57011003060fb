//! Password change on the server: a new record, which is valid only after it has been stored.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use rand_core::RngCore;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::Server;
use super::registry::SessionId;
use super::sessions::Sessions;
use crate::secure::guard::Debit;
use crate::secure::job;
use crate::secure::keys::reg3_mac;
use crate::secure::message::Message;
use crate::secure::opaque::{ServerLoginState, change_context, reg_respond, respond};
use crate::secure::store::UserStore;
use crate::secure::{Login, RECORD_LEN, Record, User, forget};
use crate::{ApiMisuse, DropReason, EventKind, Instant, State, describe};

/// A new record that is being stored. There is only one at a time, because each job writes all users.
pub(super) struct Saving {
    job: u64,
    session: SessionId,
    login: Login,
    /// The record that is replaced.
    before: [u8; RECORD_LEN],
    record: Record,
    /// True if the users have changed since the text was written. The stored text is then wrong.
    pub(super) is_outdated: bool,
    tag: u64,
}

impl Saving {
    /// Returns true if `user` already has the new record.
    pub(super) fn is_of(&self, user: &User) -> bool {
        self.login == user.login && self.record.to_bytes() == user.record.to_bytes()
    }

    /// Describes the change. The number of the session is a counter, so its place among `sessions` is described.
    pub(super) fn describe(&self, state: &mut State<'_>, sessions: &Sessions) {
        let Self {
            job,
            session,
            login,
            before,
            record,
            is_outdated,
            tag: _, // a number of the shell
        } = self;
        describe::job_id(state, *job);
        describe::option(state, sessions.place(*session), describe::len);
        describe::text(state, login.as_str());
        describe::fingerprint(state, before);
        describe::fingerprint(state, &record.to_bytes());
        state.flag(*is_outdated);
    }
}

/// Time for which the proof of the old password is valid.
const PROVED_FOR: Duration = Duration::from_secs(60);

/// Proof of the old password inside a session. Without it nobody who has stolen the keys of a session can change the password.
pub(super) struct Proving {
    ke1: Box<[u8; 96]>,
    ke2: Box<[u8; 320]>,
    step: Step,
    /// Time at which the proof is erased.
    pub(super) until: Instant,
}

/// Progress of the proof.
enum Step {
    /// KE2 is sent.
    Asked {
        state: Box<ServerLoginState>,
        /// Moves to the next step with the state.
        debit: Debit,
    },
    /// KE3 was valid.
    Proved {
        session_key: Zeroizing<[u8; 64]>,
        ke3: Box<[u8; 64]>,
        reg1: [u8; 32],
        reg2: [u8; 64],
    },
}

impl Proving {
    /// Describes the proof.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            ke1,
            ke2: _, // made together with the state
            step,
            until,
        } = self;
        state.secret(&**ke1);
        state.deadline(Some(*until));
        match step {
            Step::Asked { state: _, debit } => {
                state.number(0);
                debit.describe(state);
            }
            Step::Proved {
                session_key,
                ke3: _, // follows from the session key
                reg1,
                reg2: _, // follows from `reg1`
            } => {
                state.number(1);
                state.secret(&**session_key);
                state.secret(reg1);
            }
        }
    }
}

impl fmt::Debug for Proving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proving")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Answers the KE1 of a password change. It counts as an attempt of the user, because the answer can be used to test a guess.
    pub(super) fn on_prove1(
        &mut self,
        now: Instant,
        id: SessionId,
        ke1: &[u8; 96],
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        if let Some(proving) = entry.proving.as_ref().filter(|proving| *proving.ke1 == *ke1) {
            let answer = Message::Prove2(proving.ke2.clone());
            entry.session.send_message(now, &answer, tag, &mut self.queues);
            return Ok(());
        }
        let debit = self
            .logins
            .debit(now, &entry.login, true)
            .ok_or(DropReason::LoginLimited)?;
        let record = self.users.get(&entry.login).map(|user| &user.record);
        let context = change_context(self.suite, entry.session_id, &self.setup.public().fingerprint);
        let (state, ke2) = respond(
            self.setup.opaque(),
            record,
            &entry.login,
            ke1,
            &context,
            &mut self.rng,
        )
        .map_err(|_| DropReason::MalformedBody)?;
        forget(&mut self.rng);
        let ke2 = Box::new(ke2);
        entry.proving = Some(Box::new(Proving {
            ke1: Box::new(*ke1),
            ke2: ke2.clone(),
            step: Step::Asked {
                state: Box::new(state),
                debit,
            },
            until: now.saturating_add(PROVED_FOR),
        }));
        entry
            .session
            .send_message(now, &Message::Prove2(ke2), tag, &mut self.queues);
        Ok(())
    }

    /// Checks the KE3 of a password change, and answers the first message of the registration.
    pub(super) fn on_prove3(
        &mut self,
        now: Instant,
        id: SessionId,
        (ke3, reg1): (&[u8; 64], &[u8; 32]),
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let proving = entry.proving.take_if(|proving| now < proving.until);
        let mut proving = proving.ok_or(DropReason::Unexpected)?;
        let result = match proving.step {
            Step::Asked { state, debit } => match state.verify(ke3) {
                Some(session_key) => {
                    let reg2 = reg_respond(self.setup.opaque(), &entry.login, reg1);
                    self.logins.refund(debit);
                    let reg2 = reg2.map_err(|_| DropReason::MalformedBody)?;
                    proving.step = Step::Proved {
                        session_key,
                        ke3: Box::new(*ke3),
                        reg1: *reg1,
                        reg2,
                    };
                    Ok(reg2)
                }
                // One KE2 gives one try. The attempt stays counted.
                None => return Err(DropReason::AuthenticationFailed),
            },
            Step::Proved {
                ke3: ref proved,
                reg1: asked,
                reg2,
                ..
            } => {
                let is_same: bool = (proved.ct_eq(ke3) & asked.ct_eq(reg1)).into();
                is_same.then_some(reg2).ok_or(DropReason::Unexpected)
            }
        };
        entry.proving = Some(proving);
        entry
            .session
            .send_message(now, &Message::Reg2(result?), tag, &mut self.queues);
        Ok(())
    }

    /// Starts a job that stores the new record of a client.
    pub(super) fn on_reg3(
        &mut self,
        now: Instant,
        id: SessionId,
        (reg3, mac): (&[u8; 192], &[u8; 32]),
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let proving = entry.proving.as_ref().filter(|proving| now < proving.until);
        let Some(Step::Proved {
            session_key, reg2, ..
        }) = proving.map(|proving| &proving.step)
        else {
            return Err(DropReason::Unexpected);
        };
        if !bool::from(reg3_mac(session_key, reg2, reg3).ct_eq(mac)) {
            return Err(DropReason::AuthenticationFailed);
        }
        let login = entry.login.clone();
        let record = Record::from_bytes(reg3).map_err(|_| DropReason::MalformedBody)?;
        let user = self.users.get(&login).ok_or(DropReason::Unexpected)?;
        let before = user.record.to_bytes();
        if before.ct_eq(reg3).into() {
            // The confirmation was lost, so it is sent again.
            self.confirm_change(now, id, &login, tag);
            return Ok(());
        }
        if self.saving.is_some() {
            return Err(DropReason::Busy);
        }
        if !self.password_changes.take(now, &login) {
            return Err(DropReason::RateLimited);
        }
        let job = self.rng.next_u64();
        self.save(Saving {
            job,
            session: id,
            login,
            before,
            record,
            is_outdated: false,
            tag,
        });
        Ok(())
    }

    /// Tells a client that its new record is stored. Its old ticket has become invalid, so it gets a new one.
    fn confirm_change(&mut self, now: Instant, id: SessionId, login: &Login, tag: u64) {
        let answer = Message::RegOk(self.ticket(now, login));
        if let Some(entry) = self.sessions.get_mut(id) {
            entry.session.send_message(now, &answer, tag, &mut self.queues);
        }
    }

    /// Starts a job that writes all users, with the new record of one of them.
    fn save(&mut self, saving: Saving) {
        let text = self.with_change(&saving).unwrap_or_else(|| self.users.clone());
        self.jobs.push_back(job::save_users(saving.job, text.to_text()));
        self.saving = Some(Box::new(saving));
    }

    /// Returns the users with the new record. `None` if its user was removed or got another record meanwhile.
    fn with_change(&self, saving: &Saving) -> Option<UserStore> {
        let user = self.users.get(&saving.login)?;
        if user.record.to_bytes() != saving.before {
            return None;
        }
        let mut users = self.users.clone();
        users.change(&saving.login, saving.record.clone()).ok()?;
        Some(users)
    }

    /// Applies the new record after it was stored. If it could not be stored, the old password stays valid,
    /// and the client gets no reply.
    pub(super) fn on_users_saved(&mut self, now: Instant, id: u64, is_saved: bool) -> Result<(), ApiMisuse> {
        let Some(saving) = self.saving.take_if(|saving| saving.job == id) else {
            return Err(ApiMisuse::UnknownJob);
        };
        if !is_saved {
            return Ok(());
        }
        if saving.is_outdated {
            // The stored text lacks later changes of the users. It is written again with them.
            let job = self.rng.next_u64();
            self.save(Saving {
                job,
                is_outdated: false,
                ..*saving
            });
            return Ok(());
        }
        let Some(users) = self.with_change(&saving) else {
            return Ok(());
        };
        self.users = users;
        let Saving {
            session, login, tag, ..
        } = *saving;
        self.confirm_change(now, session, &login, tag);
        let login = login.as_str().into();
        self.queues.event(tag, EventKind::RecordChanged { login });
        Ok(())
    }
}
