//! The command `sandhog down`: stops the process of a device, or cleans up after a process that was killed.

use std::path::Path;
use std::time::Duration;

use super::record::{Change, Journal, Lookup, Record, remove};
use super::{dns, netlink, nft, policy};
use crate::config::DeviceName;
use crate::failure::Failure;

/// Timeout for a process to stop.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Stops the tunnel of a device. Returns the text to print.
///
/// # Errors
///
/// If the process does not stop, or if a change cannot be undone.
pub async fn run(device: &DeviceName) -> Result<String, Failure> {
    match Record::find(device) {
        Lookup::Found(record) if record.process.is_alive() => stop(device, &record).await,
        Lookup::Found(record) => {
            let pid = record.process.pid;
            let changes: Vec<_> = record.changes.iter().map(ToString::to_string).collect();
            Journal::of_dead(device, record).end().await?;
            Ok(format!(
                "{device}: process {pid} was no longer running; undone: {}",
                if changes.is_empty() {
                    "nothing".to_owned()
                } else {
                    changes.join(", ")
                }
            ))
        }
        Lookup::Missing => sweep(device, false).await,
        Lookup::Damaged(..) => {
            let text = sweep(device, true).await?;
            remove(device)?;
            Ok(text)
        }
    }
}

async fn stop(device: &DeviceName, record: &Record) -> Result<String, Failure> {
    let pid = record.process.pid;
    if !record.process.terminate(TIMEOUT)? {
        let failure = Failure::runtime(
            format_args!("stop the tunnel `{device}`"),
            format_args!("process {pid} did not stop within {} s", TIMEOUT.as_secs()),
        );
        return Err(failure.with_help(format!(
            "kill it with `kill -9 {pid}`, then run `sandhog down --device {device}` again to undo its changes"
        )));
    }
    // A process that stops normally undoes its changes. A process that was killed meanwhile does not.
    if let Lookup::Found(left) = Record::find(device)
        && left.process == record.process
    {
        Journal::of_dead(device, left).end().await?;
    }
    Ok(format!(
        "{device}: process {pid} has stopped and its changes are undone"
    ))
}

/// Undoes changes without a record: those with sandhog's name or mark that belong to no running tunnel.
async fn sweep(device: &DeviceName, is_damaged: bool) -> Result<String, Failure> {
    if netlink::index_of(device).is_ok() {
        let failure = Failure::runtime(
            format_args!("stop the tunnel `{device}`"),
            if is_damaged {
                "the device exists, but the record of its process cannot be read"
            } else {
                "the device exists, but there is no record of its process"
            },
        );
        return Err(failure.with_help(
            "stop its process first, then run `sandhog down` again to undo the rest. If the process uses another folder for \
             runtime files, set RUNTIME_DIRECTORY to it",
        ));
    }
    let mut undone = Vec::new();
    for table in [nft::client_table(device), nft::server_table(device)] {
        if nft::exists(&table).await {
            nft::remove(&table).await?;
            undone.push(format!("nftables table {table}"));
        }
    }
    let tables = policy::sweep(&recorded_policies()).await?;
    undone.extend(
        tables
            .iter()
            .map(|table| format!("routing table {table} and its rules")),
    );
    if dns::file::restore_unrecorded(Path::new(dns::file::PATH), device)? {
        undone.push(dns::file::PATH.to_owned());
    }
    Ok(if undone.is_empty() {
        format!("{device}: no tunnel is running, and there is nothing to undo")
    } else {
        format!("{device}: no tunnel is running; undone: {}", undone.join(", "))
    })
}

/// The routing tables and rule priorities in all readable records.
fn recorded_policies() -> Vec<(u32, u32)> {
    let changes = Record::all().into_iter().flat_map(|record| record.changes);
    changes
        .filter_map(|change| match change {
            Change::Policy { table, priority } => Some((table, priority)),
            _ => None,
        })
        .collect()
}
