//! Password change on the server: a new record, which is valid only after it has been stored.

use alloc::boxed::Box;

use rand_core::RngCore;
use subtle::ConstantTimeEq;

use super::Server;
use super::registry::SessionId;
use super::sessions::Sessions;
use crate::secure::job;
use crate::secure::message::Message;
use crate::secure::opaque::reg_respond;
use crate::secure::store::UserStore;
use crate::secure::{Login, RECORD_LEN, Record, User};
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

impl Server {
    /// Answers the first message of a password change. The server keeps no state for it.
    pub(super) fn on_reg1(
        &mut self,
        now: Instant,
        id: SessionId,
        reg1: &[u8; 32],
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        if !entry.session.may_change_password(now) {
            return Err(DropReason::RateLimited);
        }
        let reg2 = reg_respond(&self.setup, &entry.login, reg1).map_err(|_| DropReason::MalformedBody)?;
        entry
            .session
            .send_message(now, &Message::Reg2(reg2), tag, &mut self.queues);
        Ok(())
    }

    /// Starts a job that stores the new record of a client.
    pub(super) fn on_reg3(
        &mut self,
        now: Instant,
        id: SessionId,
        reg3: &[u8; 192],
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let login = entry.login.clone();
        let record = Record::from_bytes(reg3).map_err(|_| DropReason::MalformedBody)?;
        let user = self.users.get(&login).ok_or(DropReason::Unexpected)?;
        let before = user.record.to_bytes();
        if before.ct_eq(reg3).into() {
            // The confirmation was lost, so it is sent again.
            entry
                .session
                .send_message(now, &Message::RegOk, tag, &mut self.queues);
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
        if let Some(entry) = self.sessions.get_mut(session) {
            entry
                .session
                .send_message(now, &Message::RegOk, tag, &mut self.queues);
        }
        let login = login.as_str().into();
        self.queues.event(tag, EventKind::RecordChanged { login });
        Ok(())
    }
}
