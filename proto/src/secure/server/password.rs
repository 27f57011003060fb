//! How a server takes a new password: as a record that tells it nothing, kept only once it is safely stored.

use alloc::boxed::Box;

use rand_core::RngCore;

use super::Server;
use super::registry::SessionId;
use crate::job;
use crate::secure::message::Message;
use crate::secure::opaque::reg_respond;
use crate::secure::store::UserStore;
use crate::secure::{Login, RECORD_LEN, Record, User};
use crate::{ApiMisuse, DropReason, EventKind, Instant};

/// A new record on its way to the store. One at a time: each is written with all the others as they are.
pub(super) struct Saving {
    job: u64,
    session: SessionId,
    login: Login,
    /// The record that it takes the place of.
    before: [u8; RECORD_LEN],
    record: Record,
    /// The users have become others since the text was made: it is no longer what the store should hold.
    pub(super) is_outdated: bool,
    tag: u64,
}

impl Saving {
    /// Whether this user has the new record already.
    pub(super) fn is_of(&self, user: &User) -> bool {
        self.login == user.login && self.record.to_bytes() == user.record.to_bytes()
    }
}

impl Server {
    /// A client wants to change its password. Nothing is kept of that.
    pub(super) fn on_reg1(
        &mut self,
        now: Instant,
        id: SessionId,
        reg1: &[u8; 32],
        tag: u64,
    ) -> Result<(), DropReason> {
        let entry = self.sessions.get_mut(id).ok_or(DropReason::UnknownIndex)?;
        let reg2 = reg_respond(&self.setup, &entry.login, reg1).map_err(|_| DropReason::MalformedBody)?;
        entry
            .session
            .send_message(now, &Message::Reg2(reg2), tag, &mut self.queues);
        Ok(())
    }

    /// A client's new record: has it written.
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
        if before == *reg3 {
            // The confirmation was lost.
            entry
                .session
                .send_message(now, &Message::RegOk, tag, &mut self.queues);
            return Ok(());
        }
        if self.saving.is_some() {
            return Err(DropReason::Busy);
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

    /// Has the users written as they are, but for the record of one of them.
    fn save(&mut self, saving: Saving) {
        let text = self.with_change(&saving).unwrap_or_else(|| self.users.clone());
        self.jobs.push_back(job::save_users(saving.job, text.to_text()));
        self.saving = Some(Box::new(saving));
    }

    /// The users with a new record among them. `None` if its user is gone, or has got another record from elsewhere.
    fn with_change(&self, saving: &Saving) -> Option<UserStore> {
        let user = self.users.get(&saving.login)?;
        if user.record.to_bytes() != saving.before {
            return None;
        }
        let mut users = self.users.clone();
        users.change(&saving.login, saving.record.clone()).ok()?;
        Some(users)
    }

    /// The users are written, or could not be: then the old password stays, and the client is told nothing.
    pub(super) fn on_users_saved(&mut self, now: Instant, id: u64, is_saved: bool) -> Result<(), ApiMisuse> {
        let Some(saving) = self.saving.take_if(|saving| saving.job == id) else {
            return Err(ApiMisuse::UnknownJob);
        };
        if !is_saved {
            return Ok(());
        }
        if saving.is_outdated {
            // The text that was written undoes what has changed since: it is written once more, as it should be.
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
