//! Record of a tunnel's changes to this machine. Each change is recorded before it is made, so that it can be
//! undone after a crash.
//!
//! The record is a file in the folder for runtime files, named after the device. It also names the process
//! that owns the device.

use std::env;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dns::file::Replaced;
use super::process::Process;
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::fs::atomic_file::{LockedFolder, remove_if_exists};

/// Default folder for runtime files. systemd sets another one in `RUNTIME_DIRECTORY`.
const FOLDER: &str = "/run/sandhog";

/// A change that remains after the device and the process are gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// A routing table for both address families, and two rules per family: at `priority` and `priority + 1`.
    Policy {
        /// Number of the table.
        table: u32,
        /// Priority of the first rule.
        priority: u32,
    },
    /// An nftables table of the family `inet`.
    Nft {
        /// Name of the table.
        table: String,
        /// True for a kill switch, which blocks all traffic outside the tunnel. It stays until it is removed
        /// on request.
        kill_switch: bool,
    },
    /// A sysctl.
    Sysctl {
        /// Path below /proc/sys, for example `net/ipv4/ip_forward`.
        key: String,
        /// The value before the change.
        before: String,
        /// The value after the change. If the present value differs from it, the sysctl is not restored.
        after: String,
    },
    /// Name servers set in systemd-resolved for the device.
    Resolvectl,
    /// Name servers set with `resolvconf`.
    Resolvconf {
        /// Name of the entry.
        name: String,
    },
    /// A replaced resolv.conf.
    ResolvFile(Replaced),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { table, .. } => write!(f, "routing table {table} and its rules"),
            Self::Nft {
                kill_switch: true, ..
            } => f.write_str("kill switch"),
            Self::Nft { table, .. } => write!(f, "nftables table {table}"),
            Self::Sysctl { key, .. } => write!(f, "sysctl {key}"),
            Self::Resolvectl | Self::Resolvconf { .. } => f.write_str("name servers"),
            Self::ResolvFile(replaced) => write!(f, "{}", replaced.path().display()),
        }
    }
}

impl Change {
    pub(super) const fn is_dns(&self) -> bool {
        matches!(
            self,
            Self::Resolvectl | Self::Resolvconf { .. } | Self::ResolvFile(_)
        )
    }

    pub(super) const fn is_kill_switch(&self) -> bool {
        matches!(
            self,
            Self::Nft {
                kill_switch: true,
                ..
            }
        )
    }
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// The process that owns the device.
    pub process: Process,
    /// The last known addresses of the server. A kill switch that was left behind blocks the lookup of its
    /// name.
    #[serde(default)]
    pub servers: Vec<SocketAddr>,
    /// The changes, the oldest first.
    pub changes: Vec<Change>,
}

/// The result of a search for a record.
#[derive(Debug)]
pub enum Lookup {
    /// There is no record.
    Missing,
    /// The record.
    Found(Record),
    /// The file cannot be read or parsed. Contains its path and the reason.
    Damaged(PathBuf, String),
}

impl Record {
    /// Reads the record of a device.
    #[must_use]
    pub fn find(device: &DeviceName) -> Lookup {
        Self::read(&path_of(device))
    }

    fn read(path: &Path) -> Lookup {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Lookup::Missing,
            Err(error) => return Lookup::Damaged(path.to_owned(), error.to_string()),
        };
        match serde_json::from_str(&text) {
            Ok(record) => Lookup::Found(record),
            Err(error) => Lookup::Damaged(path.to_owned(), error.to_string()),
        }
    }

    /// The records of all devices, except those that cannot be read.
    pub(crate) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder()) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| match Self::read(&path) {
                Lookup::Found(record) => Some(record),
                Lookup::Missing | Lookup::Damaged(..) => None,
            })
            .collect()
    }

    /// Returns true if the record contains a kill switch.
    #[must_use]
    pub fn has_kill_switch(&self) -> bool {
        self.changes.iter().any(Change::is_kill_switch)
    }
}

/// The folder for runtime files: the first absolute path in `RUNTIME_DIRECTORY`, or `/run/sandhog`.
#[must_use]
pub fn folder() -> PathBuf {
    let named = env::var_os("RUNTIME_DIRECTORY").and_then(|list| env::split_paths(&list).next());
    named
        .filter(|path| path.is_absolute())
        .unwrap_or_else(|| FOLDER.into())
}

fn path_of(device: &DeviceName) -> PathBuf {
    folder().join(format!("{device}.json"))
}

/// Returns true if a device of this name has a record.
pub(crate) fn belongs_to_a_tunnel(device: &str) -> bool {
    fs::exists(folder().join(format!("{device}.json"))).unwrap_or(false)
}

/// The record of a device of this process. All changes that outlive the process go through it.
#[derive(Debug)]
pub struct Journal {
    device: DeviceName,
    path: PathBuf,
    record: Record,
}

impl Journal {
    /// Creates the record of a device that belongs to this process. It continues a record that
    /// [`clear`](Self::clear) has returned.
    ///
    /// # Errors
    ///
    /// If the record cannot be written, or if the device belongs to another running process.
    pub fn begin(device: &DeviceName, left: Option<Record>) -> Result<Self, Failure> {
        let path = path_of(device);
        let folder = folder();
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(|error| {
            Failure::runtime(format_args!("create the folder {}", folder.display()), error)
                .with_help("run as root, or set RUNTIME_DIRECTORY to a folder that this user can write to")
        })?;
        if let Lookup::Found(Record { process, .. }) = Record::find(device)
            && process.is_alive()
            && process != Process::current()
        {
            return Err(in_use(device, process));
        }
        let (servers, changes) = left.map_or_else(Default::default, |left| (left.servers, left.changes));
        let journal = Self {
            device: device.clone(),
            path,
            record: Record {
                process: Process::current(),
                servers,
                changes,
            },
        };
        journal.write()?;
        Ok(journal)
    }

    /// Opens the record of a process that has ended.
    pub(super) fn of_dead(device: &DeviceName, record: Record) -> Self {
        Self {
            device: device.clone(),
            path: path_of(device),
            record,
        }
    }

    pub(super) fn into_record(self) -> Record {
        self.record
    }

    pub(super) const fn device(&self) -> &DeviceName {
        &self.device
    }

    /// Records a change. Call this before the change is made.
    ///
    /// # Errors
    ///
    /// If the record cannot be written. The change must then not be made.
    pub fn note(&mut self, change: Change) -> Result<(), Failure> {
        if self.record.changes.contains(&change) {
            return Ok(());
        }
        self.record.changes.push(change);
        self.write().inspect_err(|_| {
            self.record.changes.pop();
        })
    }

    /// Records the addresses of the server.
    ///
    /// # Errors
    ///
    /// If the record cannot be written.
    pub fn note_servers(&mut self, servers: &[SocketAddr]) -> Result<(), Failure> {
        self.record.servers = servers.to_vec();
        self.write()
    }

    /// The changes in force, the oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.record.changes
    }

    /// Removes an undone change from the record.
    ///
    /// # Errors
    ///
    /// If the record cannot be written. The change is removed from memory all the same.
    pub(super) fn forget(&mut self, index: usize) -> Result<(), Failure> {
        self.record.changes.remove(index);
        self.write()
    }

    fn write(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.record).map_err(io::Error::from);
        let name = PathBuf::from(format!("{}.json", self.device));
        text.and_then(|text| LockedFolder::around(&self.path)?.replace(&name, &(text + "\n")))
            .map_err(|error| {
                Failure::write(&self.path, error).or_help(
                    "sandhog records its changes to this machine in this file, and makes no change without it",
                )
            })
    }

    pub(super) fn remove(&self) -> Result<(), Failure> {
        remove(&self.device)
    }
}

/// Removes the record of a device.
pub(super) fn remove(device: &DeviceName) -> Result<(), Failure> {
    let path = path_of(device);
    remove_if_exists(&path)
        .map_err(|error| Failure::runtime(format_args!("remove {}", path.display()), error))
}

/// The error if another process owns the device.
pub(super) fn in_use(device: &DeviceName, process: Process) -> Failure {
    let failure = Failure::runtime(
        format_args!("use the device name `{device}`"),
        format_args!("process {} uses it", process.pid),
    );
    failure.with_help(format!(
        "`sandhog down --device {device}` stops that process. Or choose another `name` under [device], or another folder for \
         runtime files (RUNTIME_DIRECTORY)"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::net::dns::file;

    #[test]
    fn a_record_survives_serialization() {
        let device = DeviceName::default();
        let file = file::plan(
            Path::new("/nowhere/resolv.conf"),
            &device,
            "nameserver 10.9.0.1\n",
        );
        let record = Record {
            process: Process::current(),
            servers: vec!["[2001:db8::1]:40404".parse().expect("an address")],
            changes: vec![
                Change::Nft {
                    table: "sandhog-sandhog0".to_owned(),
                    kill_switch: true,
                },
                Change::Policy {
                    table: 51821,
                    priority: 32764,
                },
                Change::Sysctl {
                    key: "net/ipv4/ip_forward".to_owned(),
                    before: "0".to_owned(),
                    after: "1".to_owned(),
                },
                Change::Resolvectl,
                Change::Resolvconf {
                    name: "tun.sandhog0".to_owned(),
                },
                Change::ResolvFile(file.expect("a plan")),
            ],
        };
        let text = serde_json::to_string_pretty(&record).expect("text");
        let read: Record = serde_json::from_str(&text).expect("a record");
        assert_eq!(read, record);
        assert!(
            text.contains("\"kind\": \"nft\"") && text.contains("\"kill-switch\": true"),
            "{text}"
        );
    }
}
