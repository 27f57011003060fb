//! Notices of a host to the checks, about the events of its peer.

use sandhog_peer::{EventKind, TunnelStatus};

use super::Node;
use crate::record::RecordId;
use crate::world::World;

impl Node {
    /// Reports an event to the checks. The record of the event is added afterwards, so its number is the next one.
    pub(super) fn notify_checks(&self, world: &mut World, tag: RecordId, event: &EventKind) {
        let (now, sender) = (world.now, self.sender_of(tag));
        let is_client = self.spec.script.is_some();
        match event {
            EventKind::Status(TunnelStatus::Connected) => {
                if let Some(server) = sender {
                    world.checks.on_authenticated(self.id, server);
                }
                world.checks.on_new_key(self.id, None, now);
            }
            EventKind::Started(Ok(settings)) => {
                let addresses = settings.addresses.iter().map(|prefix| prefix.address);
                world.checks.on_addresses(self.id, addresses.collect());
                world.checks.on_new_key(self.id, None, now);
            }
            EventKind::SettingsChanged(settings) => {
                let addresses = settings.addresses.iter().map(|prefix| prefix.address);
                world.checks.on_addresses(self.id, addresses.collect());
            }
            EventKind::LoggedIn { login, remote } => {
                for from in [sender, world.net.host_at(*remote)].into_iter().flatten() {
                    world.checks.on_authenticated(self.id, from);
                }
                world.checks.on_validated(self.id, *remote);
                world.checks.on_session(self.id, login, *remote);
                world.checks.on_new_key(self.id, Some(*remote), now);
            }
            EventKind::SessionEnded { login, .. } => world.checks.on_session_ended(self.id, login),
            EventKind::Rekeyed { .. } if is_client => world.checks.on_new_key(self.id, None, now),
            EventKind::Rekeyed { .. } => {
                let remote = self.arrival_of(tag).map(|(_, _, remote)| *remote);
                if remote.is_some() {
                    world.checks.on_new_key(self.id, remote, now);
                }
            }
            EventKind::RecordChanged { login } => {
                let record = world.trace.len() + 1;
                let remote = self.arrival_of(tag).map(|(_, _, remote)| *remote);
                world.checks.on_account_changed(record, self.id, login, remote);
            }
            EventKind::Roamed { from, to } => {
                let record = world.trace.len() + 1;
                world.checks.on_roamed(record, self.id, [*from, *to], tag, sender);
            }
            _ => {}
        }
    }
}
