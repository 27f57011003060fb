//! Data plane interface of a server.

use alloc::vec::Vec;
use core::net::IpAddr;

use super::Server;
use super::registry::Owner;
use super::sessions::State;
use crate::secure::data_path::{DataPaths, DataPeer, Notice, Side};
use crate::secure::{Login, SessionInfo};
use crate::{Batch, DropReason, Instant};

impl Server {
    /// The sessions whose logins are complete, in the order of the logins: user name, inner addresses and
    /// state.
    pub fn session_infos(&self) -> impl Iterator<Item = (&Login, &[IpAddr], SessionInfo)> {
        self.sessions
            .iter()
            .filter(|(_, entry)| matches!(entry.state, State::Live))
            .map(|(_, entry)| (&entry.login, &*entry.addresses, entry.session.info()))
    }

    fn on_notice(&mut self, now: Instant, notice: Notice) -> Result<(), DropReason> {
        let Some(Owner::Session(id)) = self.registry.owner(notice.index) else {
            return Err(DropReason::UnknownIndex);
        };
        let entry = self.sessions.accepted(id)?;
        let before = entry.session.open_indices();
        let registry = &mut self.registry;
        let mut new_index = || registry.fresh();
        let input = entry
            .session
            .notice(now, &notice, &mut new_index, &mut self.queues);
        let indices = entry.session.open_indices();
        self.registry.replace(id, &before, &indices);
        self.on_session_input(now, id, input?, notice.message.unwrap_or_default())
    }
}

impl DataPeer for Server {
    fn generation(&self) -> u64 {
        self.queues.generation()
    }

    fn data_paths(&mut self) -> DataPaths {
        let side = Side::Server {
            isolates: self.isolates_clients,
        };
        // A client sends nothing in a session before the server has answered its KE3, so no index is pending.
        DataPaths::new(side, self.sessions.data_paths(), [])
    }

    fn take_notices(&mut self, now: Instant, notices: &mut Vec<Notice>, output: &mut Batch) {
        let now = self.queues.advance(now);
        self.queues.drain_into(output);
        for notice in notices.drain(..) {
            self.end_expired(now);
            let tag = notice.message.as_ref().map_or(0, |message| message.tag);
            if let Err(reason) = self.on_notice(now, notice) {
                self.queues.drop(reason, tag);
            }
            self.queues.drain_into(output);
        }
    }
}
