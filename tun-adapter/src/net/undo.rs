//! Undo of the recorded changes, at a normal end of the tunnel and after a crash.

use std::path::Path;

use tracing::{info, warn};

use super::process::Process;
use super::record::{Change, Journal, Lookup, Record, in_use};
use super::{dns, netlink, nft, policy, sysctl};
use crate::config::DeviceName;
use crate::failure::Failure;

/// Undoes one change. A change that was never made, or is already undone, is no error.
async fn undo(device: &DeviceName, change: &Change) -> Result<(), Failure> {
    match change {
        Change::Policy { table, priority } => policy::remove(*table, *priority).await,
        Change::Nft { table, .. } => nft::remove(table).await,
        Change::Sysctl { key, before, after } => sysctl::restore(key, before, after),
        // systemd-resolved forgets a device's settings when the device is removed.
        Change::Resolvectl if netlink::index_of(device).is_err() => Ok(()),
        Change::Resolvectl => dns::revert_resolvectl(device).await,
        Change::Resolvconf { name } => dns::revert_resolvconf(name).await,
        Change::ResolvFile(replaced) => dns::file::restore(replaced),
    }
}

impl Journal {
    /// Undoes the changes that a killed process has left for this device. With `keep_kill_switch`, a kill
    /// switch stays. Returns the rest of the killed process's record, or `None` if there was no record.
    ///
    /// # Errors
    ///
    /// If the device belongs to a running process, or if a change cannot be undone.
    pub async fn clear(device: &DeviceName, keep_kill_switch: bool) -> Result<Option<Record>, Failure> {
        let record = match Record::find(device) {
            Lookup::Missing => {
                // Unlike the record, /etc/resolv.conf survives a power failure.
                if dns::file::restore_unrecorded(Path::new(dns::file::PATH), device)? {
                    info!("restored {}: an earlier tunnel had replaced it", dns::file::PATH);
                }
                return Ok(None);
            }
            Lookup::Found(record) => record,
            Lookup::Damaged(path, why) => {
                let failure = Failure::runtime(format_args!("read {}", path.display()), why);
                return Err(failure.with_help(format!(
                    "`sandhog down --device {device}` cleans up without this file"
                )));
            }
        };
        let process = record.process;
        if process.is_alive() && process != Process::current() {
            return Err(in_use(device, process));
        }
        info!(
            "process {} of the device {device} was killed; undoing the changes that it left",
            process.pid
        );
        let mut journal = Self::of_dead(device, record);
        journal
            .undo_where(|change| !keep_kill_switch || !change.is_kill_switch())
            .await?;
        if journal.changes().is_empty() {
            journal.remove()?;
        } else {
            info!("the kill switch of {device} stays until the new one is in place");
        }
        Ok(Some(journal.into_record()))
    }

    /// Undoes the changes selected by `select`, the newest first, and removes them from the record. A change
    /// that cannot be undone stays in the record.
    ///
    /// # Errors
    ///
    /// The first failure. The other changes are undone all the same, and all failures are logged.
    pub async fn undo_where(&mut self, select: impl Fn(&Change) -> bool) -> Result<(), Failure> {
        let mut first = None;
        for index in (0..self.changes().len()).rev() {
            if !select(&self.changes()[index]) {
                continue;
            }
            let mut undone = undo(self.device(), &self.changes()[index]).await;
            if undone.is_ok() {
                // If this write fails, for example on a full disk, the undo continues and the file lists too
                // much.
                undone = self.forget(index);
            }
            if let Err(failure) = undone {
                warn!("{}", failure.message());
                first.get_or_insert(failure);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Undoes all changes and removes the record.
    ///
    /// # Errors
    ///
    /// As [`undo_where`](Self::undo_where). The record then stays.
    pub async fn end(mut self) -> Result<(), Failure> {
        let undone = self.undo_where(|_| true).await;
        // If all changes are undone, failed writes to the record do not matter.
        if self.changes().is_empty() {
            return self.remove();
        }
        undone
    }

    /// Undoes all changes except the kill switch. The record stays if it contains a kill switch.
    ///
    /// # Errors
    ///
    /// As [`undo_where`](Self::undo_where).
    pub async fn end_behind_kill_switch(mut self) -> Result<(), Failure> {
        self.undo_where(|change| !change.is_kill_switch()).await?;
        if self.changes().is_empty() {
            return self.remove();
        }
        Ok(())
    }
}
