//! How a server takes a new password: as a record that tells it nothing, kept only once it is safely stored.

use alloc::boxed::Box;

use rand_core::RngCore;

use super::Server;
use super::registry::SessionId;
use crate::job::Job;
use crate::secure::message::Message;
use crate::secure::opaque::reg_respond;
use crate::secure::store::UserStore;
use crate::secure::{Login, Record};
use crate::{ApiMisuse, DropReason, EventKind, Instant};

/// A new record on its way to the store. One at a time: each is written with all the others as they are.
pub(super) struct Saving {
    job: u64,
    session: SessionId,
    login: Login,
    users: UserStore,
    tag: u64,
}

impl Server {
    /// A client wants to change its password. Nothing is kept of that.
    pub(super) fn change_asked(
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
    pub(super) fn change_made(
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
        if user.record.to_bytes() == *reg3 {
            // The confirmation was lost.
            entry
                .session
                .send_message(now, &Message::RegOk, tag, &mut self.queues);
            return Ok(());
        }
        if self.saving.is_some() {
            return Err(DropReason::Busy);
        }
        let mut users = self.users.clone();
        users.change(&login, record).map_err(|_| DropReason::Unexpected)?;
        let job = self.rng.next_u64();
        self.jobs.push_back(Job::save_users(job, users.to_text()));
        self.saving = Some(Box::new(Saving {
            job,
            session: id,
            login,
            users,
            tag,
        }));
        Ok(())
    }

    /// The users are written, or could not be: then the old password stays, and the client is told nothing.
    pub(super) fn saved(&mut self, now: Instant, id: u64, is_saved: bool) -> Result<(), ApiMisuse> {
        let Some(saving) = self.saving.take_if(|saving| saving.job == id) else {
            return Err(ApiMisuse::UnknownJob);
        };
        if !is_saved {
            return Ok(());
        }
        let Saving {
            session,
            login,
            users,
            tag,
            ..
        } = *saving;
        self.users = users;
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
