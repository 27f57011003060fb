//! Sysctls (/proc/sys) that are set while the tunnel runs.

use std::fs;
use std::path::PathBuf;

use tracing::{debug, info};

use super::record::{Change, Journal};
use crate::failure::Failure;

/// Sets the sysctl `key` (for example `net/ipv4/ip_forward`) to `value`, and records the change.
///
/// # Errors
///
/// If the sysctl does not exist or cannot be written.
pub fn set(journal: &mut Journal, key: &str, value: &str) -> Result<(), Failure> {
    let before = read(key)?;
    if before == value {
        return Ok(());
    }
    journal.note(Change::Sysctl {
        key: key.to_owned(),
        before,
        after: value.to_owned(),
    })?;
    write(key, value)
}

/// Reads the sysctl `key`.
///
/// # Errors
///
/// If the sysctl does not exist.
pub fn read(key: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(path(key))
        .map_err(|error| Failure::runtime(format_args!("read the sysctl {key}"), error))?;
    Ok(text.trim().to_owned())
}

/// Restores a sysctl, unless another program has changed it.
pub(super) fn restore(key: &str, before: &str, after: &str) -> Result<(), Failure> {
    match read(key) {
        Ok(now) if now == before => Ok(()),
        Ok(now) if now == after => write(key, before),
        Ok(now) => {
            info!("the sysctl {key} was set to {now} by another program and is left unchanged");
            Ok(())
        }
        Err(failure) => {
            debug!("{}", failure.message());
            Ok(())
        }
    }
}

fn write(key: &str, value: &str) -> Result<(), Failure> {
    let action = format!("set the sysctl {key} to {value}");
    fs::write(path(key), value).map_err(|error| {
        Failure::runtime(action, error).with_help("run as root; in a container, set the sysctl on the host")
    })
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}
