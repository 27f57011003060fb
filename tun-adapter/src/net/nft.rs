//! Creation and removal of the tunnel's nftables tables. `nft` applies each text as one transaction.

use std::path::PathBuf;

use super::command;
use crate::config::DeviceName;
use crate::failure::Failure;

/// Name of a client's table, in the family `inet`.
#[must_use]
pub fn client_table(device: &DeviceName) -> String {
    format!("sandhog-{device}")
}

/// Name of a server's table, in the family `inet`.
#[must_use]
pub fn server_table(device: &DeviceName) -> String {
    format!("sandhog-{device}-server")
}

/// Path of `nft`.
///
/// # Errors
///
/// If `nft` is not installed. `action` is the action that needs it.
pub fn find(action: &str) -> Result<PathBuf, Failure> {
    command::find("nft").ok_or_else(|| {
        Failure::runtime(action, "the program `nft` is not installed")
            .with_help("install nftables (on Debian: `apt install nftables`)")
    })
}

/// Applies `text` as one transaction.
///
/// # Errors
///
/// If `nft` is not installed, or if it rejects the text.
pub async fn apply(action: &str, text: &str) -> Result<(), Failure> {
    let nft = find(action)?;
    command::run(&nft, &["-f", "-"], text).await.map(drop)
}

/// Text that creates a table with `chains`, or replaces an existing table in one transaction.
#[must_use]
pub fn replacement(table: &str, chains: &str) -> String {
    // `delete` fails without a table, so the first line creates one if necessary.
    format!("table inet {table}\ndelete table inet {table}\ntable inet {table} {{\n{chains}}}\n")
}

/// Removes a table. A table that does not exist is no error.
///
/// # Errors
///
/// If `nft` is not installed or fails.
pub async fn remove(table: &str) -> Result<(), Failure> {
    let text = format!("table inet {table}\ndelete table inet {table}\n");
    apply(&format!("remove the nftables table {table}"), &text).await
}

/// Returns true if the table exists. Without `nft` it returns false.
pub async fn exists(table: &str) -> bool {
    let Some(nft) = command::find("nft") else {
        return false;
    };
    command::run(&nft, &["list", "table", "inet", table], "")
        .await
        .is_ok()
}
