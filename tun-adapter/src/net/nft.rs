//! The tunnel's tables of nftables: how they come and go. `nft` applies each text as one transaction or not at all.

use std::path::PathBuf;

use super::command;
use crate::config::DeviceName;
use crate::failure::Failure;

/// The table of a client's device, in the family `inet`.
#[must_use]
pub fn client_table(device: &DeviceName) -> String {
    format!("sandhog-{device}")
}

/// The table of a server's device, in the family `inet`.
#[must_use]
pub fn server_table(device: &DeviceName) -> String {
    format!("sandhog-{device}-server")
}

/// Where `nft` is.
///
/// # Errors
///
/// When it is not there; `for_what` says who needs it.
pub fn find(for_what: &str) -> Result<PathBuf, Failure> {
    command::find("nft").ok_or_else(|| {
        Failure::runtime(for_what, "the program `nft` is not on this machine")
            .with_help("install nftables (`apt install nftables`)")
    })
}

/// Has `nft` apply `text`, all of it or nothing.
///
/// # Errors
///
/// When there is no `nft`, or when it refuses.
pub async fn apply(for_what: &str, text: &str) -> Result<(), Failure> {
    let nft = find(for_what)?;
    command::run(&nft, &["-f", "-"], text).await.map(drop)
}

/// The text that puts a table with `chains` in the place of one of this name, if there is one, in one step.
#[must_use]
pub fn replacement(table: &str, chains: &str) -> String {
    // To declare a table makes it if it is not there, so that it can be deleted.
    format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{chains}}}\n")
}

/// Removes a table. One that is not there is no error.
///
/// # Errors
///
/// When `nft` refuses.
pub async fn remove(table: &str) -> Result<(), Failure> {
    let text = format!("table inet {table}\ndelete table inet {table}\n");
    apply(&format!("remove the table {table} of nftables"), &text).await
}

/// Whether there is a table of this name. Where there is no `nft`, there is none.
pub async fn is_there(table: &str) -> bool {
    let Some(nft) = command::find("nft") else {
        return false;
    };
    command::run(&nft, &["list", "table", "inet", table], "")
        .await
        .is_ok()
}
