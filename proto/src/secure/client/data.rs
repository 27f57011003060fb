//! Data plane interface of a client.

use alloc::vec::Vec;

use super::login_attempt::LoginAttempt;
use super::{Client, fresh_index};
use crate::secure::data_path::{DataPaths, DataPeer, Notice, Side};
use crate::secure::session::Session;
use crate::secure::{PROBE_AFTER, SessionInfo};
use crate::{Batch, DropReason, Instant, Reason};

impl Client {
    /// State of the session, if there is one.
    #[must_use]
    pub fn session_info(&self) -> Option<SessionInfo> {
        self.session.as_ref().map(Session::info)
    }

    /// Time at which the client next reads the activity of the data plane. Any datagram that the data plane
    /// sends from now on may stay unanswered.
    pub(super) fn next_activity_check(&self) -> Option<(Instant, Reason)> {
        let check = self.queues.now().saturating_add(PROBE_AFTER);
        self.has_data_plane.then_some((check, Reason::Probe))
    }

    fn on_notice(&mut self, now: Instant, notice: Notice) -> Result<(), DropReason> {
        if self.asleep_since.is_some() {
            return Err(DropReason::NotConnected);
        }
        let used = self.used_indices();
        let session = self
            .session
            .as_mut()
            .filter(|_| used.contains(&Some(notice.index)));
        let session = session.ok_or(DropReason::UnknownIndex)?;
        let mut new_index = || fresh_index(&mut self.rng, &used);
        let input = session.notice(now, &notice, &mut new_index, &mut self.queues)?;
        self.follow_mtu(notice.message.as_ref().map_or(0, |message| message.tag));
        self.on_input(now, input, notice.message.unwrap_or_default())
    }
}

impl DataPeer for Client {
    fn generation(&self) -> u64 {
        self.queues.generation()
    }

    fn data_paths(&mut self) -> DataPaths {
        self.has_data_plane = true;
        if self.asleep_since.is_some() {
            return DataPaths::none();
        }
        let session = self.session.as_mut();
        let paths = session.map(|session| session.data_path(true, &[]));
        let pending = self.login.iter().flat_map(LoginAttempt::indices);
        DataPaths::new(Side::Client, paths.into_iter().collect(), pending)
    }

    fn take_notices(&mut self, now: Instant, notices: &mut Vec<Notice>, output: &mut Batch) {
        let now = self.queues.advance(now);
        self.queues.drain_into(output);
        for notice in notices.drain(..) {
            let tag = notice.message.as_ref().map_or(0, |message| message.tag);
            if let Err(reason) = self.on_notice(now, notice) {
                self.queues.drop(reason, tag);
            }
            self.queues.drain_into(output);
        }
    }
}
