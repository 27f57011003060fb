//! The way back from each change.

use super::record::Change;
use super::{dns, netlink, nft, policy, sysctl};
use crate::config::DeviceName;
use crate::failure::Failure;

/// Undoes one change of a device. That it was never made, or is undone already, is no error.
pub(super) async fn undo(device: &DeviceName, change: &Change) -> Result<(), Failure> {
    match change {
        Change::Policy { table, priority } => policy::remove(*table, *priority).await,
        Change::Nft { table, .. } => nft::remove(table).await,
        Change::Sysctl { key, before, after } => sysctl::restore(key, before, after),
        // With the device goes what systemd-resolved knows of it.
        Change::Resolvectl if netlink::index_of(device).is_err() => Ok(()),
        Change::Resolvectl => dns::revert_resolvectl(device).await,
        Change::Resolvconf { name } => dns::revert_resolvconf(name).await,
        Change::ResolvFile(replaced) => dns::file::restore(replaced),
    }
}
