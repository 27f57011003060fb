//! Switches of the kernel below /proc/sys, set for as long as the tunnel needs them.

use std::fs;
use std::path::PathBuf;

use tracing::{debug, info};

use super::record::{Change, Journal};
use crate::failure::Failure;

/// Sets the switch `key` (`net/ipv4/ip_forward`) to `value` if it is not, and has that undone at the end.
///
/// # Errors
///
/// When there is no such switch, or no right to set it.
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

/// What the switch `key` is now.
///
/// # Errors
///
/// When there is no such switch.
pub fn read(key: &str) -> Result<String, Failure> {
    let text = fs::read_to_string(path(key))
        .map_err(|error| Failure::runtime(format_args!("read the sysctl {key}"), error))?;
    Ok(text.trim().to_owned())
}

/// Sets it to what it was, unless somebody else has set it since.
pub(super) fn restore(key: &str, before: &str, after: &str) -> Result<(), Failure> {
    match read(key) {
        Ok(now) if now == before => Ok(()),
        Ok(now) if now == after => write(key, before),
        Ok(now) => {
            info!("the sysctl {key} was set to {now} by somebody else: it stays");
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
        Failure::runtime(action, error).with_help("run as root; in a container, set it from outside")
    })
}

fn path(key: &str) -> PathBuf {
    PathBuf::from("/proc/sys").join(key)
}
