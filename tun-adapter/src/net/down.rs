//! `sandhog down`: ends the process that a device belongs to, or undoes what a process has left behind that could not.

use std::path::Path;
use std::time::Duration;

use super::record::{Change, Found, Ledger, Record, remove};
use super::{dns, netlink, nft, policy};
use crate::config::DeviceName;
use crate::failure::Failure;

/// How long a process may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// Takes the tunnel of this device down, and gives what to print.
///
/// # Errors
///
/// When the process does not end, or when something cannot be undone.
pub async fn run(device: &DeviceName) -> Result<String, Failure> {
    match Record::find(device) {
        Found::Record(record) if record.process.is_alive() => stop(device, &record).await,
        Found::Record(record) => {
            let pid = record.process.pid;
            let changes: Vec<_> = record.changes.iter().map(ToString::to_string).collect();
            Ledger::of_dead(device, record).end().await?;
            Ok(format!(
                "{device}: the process {pid} has ended before; undone: {}",
                if changes.is_empty() {
                    "nothing".to_owned()
                } else {
                    changes.join(", ")
                }
            ))
        }
        Found::Nothing => sweep(device, false).await,
        Found::Damaged(_) => {
            let said = sweep(device, true).await?;
            remove(device)?;
            Ok(said)
        }
    }
}

async fn stop(device: &DeviceName, record: &Record) -> Result<String, Failure> {
    let pid = record.process.pid;
    if !record.process.terminate(PATIENCE)? {
        let failure = Failure::runtime(
            format_args!("take `{device}` down"),
            format_args!("the process {pid} has not ended within {} s", PATIENCE.as_secs()),
        );
        return Err(failure.with_help(format!(
            "`kill -9 {pid}` ends it; after that, `sandhog down --device {device}` undoes what it has changed"
        )));
    }
    // A process that ends well leaves nothing. One that was killed meanwhile does.
    if let Found::Record(left) = Record::find(device)
        && left.process == record.process
    {
        Ledger::of_dead(device, left).end().await?;
    }
    Ok(format!(
        "{device}: the process {pid} has ended and undone what it had changed"
    ))
}

/// Undoes what can be found without a record: everything that is called or marked as ours and belongs to nobody.
async fn sweep(device: &DeviceName, is_damaged: bool) -> Result<String, Failure> {
    if netlink::index_of(device).is_ok() {
        let failure = Failure::runtime(
            format_args!("take `{device}` down"),
            format_args!(
                "there is a device of that name, but no record {}of whose it is",
                if is_damaged { "that can be read " } else { "" }
            ),
        );
        return Err(failure.with_help(
            "end its process first; `sandhog down` undoes the rest then. If the process has another folder for runtime \
             files, name that in RUNTIME_DIRECTORY",
        ));
    }
    let mut undone = Vec::new();
    for table in [nft::client_table(device), nft::server_table(device)] {
        if nft::is_there(&table).await {
            nft::remove(&table).await?;
            undone.push(format!("the table {table} of nftables"));
        }
    }
    let tables = policy::sweep(&policies_of_others()).await?;
    undone.extend(
        tables
            .iter()
            .map(|table| format!("the routing table {table} and its rules")),
    );
    if dns::file::restore_unrecorded(Path::new(dns::file::PATH), device)? {
        undone.push(dns::file::PATH.to_owned());
    }
    Ok(if undone.is_empty() {
        format!("{device}: nothing runs, and there is nothing to undo")
    } else {
        format!("{device}: nothing runs; undone: {}", undone.join(", "))
    })
}

/// The tables and rules that stand in readable records.
fn policies_of_others() -> Vec<(u32, u32)> {
    let changes = Record::all().into_iter().flat_map(|record| record.changes);
    changes
        .filter_map(|change| match change {
            Change::Policy { table, priority } => Some((table, priority)),
            _ => None,
        })
        .collect()
}
