//! The record of what a tunnel has changed on this machine: written before each change, so that whoever comes after a crash
//! can undo it.
//!
//! It is a file of the folder for runtime files, called like the device. It also says which process the device belongs to.

use std::env;
use std::fmt;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use super::dns;
use super::dns::file::Replaced;
use super::process::Process;
use super::undo::undo;
use crate::config::DeviceName;
use crate::failure::Failure;
use crate::users::whole::LockedFolder;

/// Where runtime files are, unless systemd names a folder.
const FOLDER: &str = "/run/sandhog";

/// One change that outlives the device and the process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Change {
    /// A table of routes of both families, and two rules for each of them: one at `priority`, one behind it.
    Policy {
        /// The table's number.
        table: u32,
        /// Where the rules stand.
        priority: u32,
    },
    /// A table of nftables in the family `inet`.
    Nft {
        /// The table's name.
        table: String,
        /// Whether it lets out only what belongs to the tunnel. It stays then as long as nobody asks for its removal.
        kill_switch: bool,
    },
    /// A switch of the kernel below /proc/sys.
    Sysctl {
        /// Its path from there: `net/ipv4/ip_forward`.
        key: String,
        /// What it was.
        before: String,
        /// What it was set to. If it is something else by now, it stays.
        after: String,
    },
    /// Name servers that systemd-resolved was told for the device.
    Resolvectl,
    /// Name servers that `resolvconf` was told.
    Resolvconf {
        /// Under which name.
        name: String,
    },
    /// A file with name servers that was replaced.
    ResolvFile(Replaced),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Policy { table, .. } => write!(f, "the routing table {table} and its rules"),
            Self::Nft {
                kill_switch: true, ..
            } => f.write_str("the kill switch"),
            Self::Nft { table, .. } => write!(f, "the table {table} of nftables"),
            Self::Sysctl { key, .. } => write!(f, "the sysctl {key}"),
            Self::Resolvectl | Self::Resolvconf { .. } => f.write_str("the name servers"),
            Self::ResolvFile(replaced) => write!(f, "{}", replaced.path().display()),
        }
    }
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Record {
    /// Whose device it is.
    pub process: Process,
    /// Where the server was found last. A kill switch that was left behind keeps its name from being looked up.
    #[serde(default)]
    pub servers: Vec<std::net::SocketAddr>,
    /// The changes, the oldest first.
    pub changes: Vec<Change>,
}

/// What is found in place of a record.
#[derive(Debug)]
pub enum Found {
    /// There is none.
    Nothing,
    /// There is one.
    Record(Record),
    /// There is something that cannot be read, for this reason.
    Damaged(String),
}

impl Record {
    /// Looks for the record of this device.
    #[must_use]
    pub fn find(device: &DeviceName) -> Found {
        Self::read(&path_of(device))
    }

    fn read(path: &Path) -> Found {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Found::Nothing,
            Err(error) => return Found::Damaged(error.to_string()),
        };
        match serde_json::from_str(&text) {
            Ok(record) => Found::Record(record),
            Err(error) => Found::Damaged(error.to_string()),
        }
    }

    /// The records of all devices in the folder, but for those that cannot be read.
    pub(crate) fn all() -> Vec<Self> {
        let Ok(entries) = fs::read_dir(folder()) else {
            return Vec::new();
        };
        let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
        paths
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .filter_map(|path| match Self::read(&path) {
                Found::Record(record) => Some(record),
                Found::Nothing | Found::Damaged(_) => None,
            })
            .collect()
    }

    /// Whether it holds a kill switch.
    #[must_use]
    pub fn has_kill_switch(&self) -> bool {
        self.changes.iter().any(Change::is_kill_switch)
    }
}

impl Change {
    pub(super) const fn is_dns(&self) -> bool {
        matches!(
            self,
            Self::Resolvectl | Self::Resolvconf { .. } | Self::ResolvFile(_)
        )
    }

    const fn is_kill_switch(&self) -> bool {
        matches!(
            self,
            Self::Nft {
                kill_switch: true,
                ..
            }
        )
    }
}

/// The folder for runtime files: the one that systemd has made for the service, or else `/run/sandhog`.
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

/// Whether a device of this name has a record.
pub(crate) fn belongs_to_a_tunnel(device: &str) -> bool {
    fs::exists(folder().join(format!("{device}.json"))).unwrap_or(false)
}

/// The record of a device of this process, and the only way to change anything that outlives it.
#[derive(Debug)]
pub struct Ledger {
    device: DeviceName,
    path: PathBuf,
    record: Record,
}

impl Ledger {
    /// Undoes what an earlier process has left behind under this name, and gives what is left of its record. With
    /// `keep_kill_switch`, its kill switch stays.
    ///
    /// # Errors
    ///
    /// When the device belongs to a process that runs, and when something cannot be undone.
    pub async fn clear(device: &DeviceName, keep_kill_switch: bool) -> Result<Option<Record>, Failure> {
        let path = path_of(device);
        let record = match Record::find(device) {
            Found::Nothing => {
                // The folder for runtime files does not survive a loss of power, and that file does.
                if dns::file::restore_unrecorded(Path::new(dns::file::PATH), device)? {
                    info!(
                        "restored {}, which an earlier tunnel had replaced",
                        dns::file::PATH
                    );
                }
                return Ok(None);
            }
            Found::Record(record) => record,
            Found::Damaged(why) => {
                let failure = Failure::runtime(format_args!("read {}", path.display()), why);
                return Err(failure.with_help(format!(
                    "`sandhog down --device {device}` undoes what can be found without it"
                )));
            }
        };
        let process = record.process;
        if process.is_alive() && process != Process::current() {
            return Err(in_use(device, process));
        }
        info!(
            "the process {} did not end well: undoing what it left behind under the name {device}",
            process.pid
        );
        let mut ledger = Self {
            device: device.clone(),
            path,
            record,
        };
        ledger
            .undo_where(|change| !keep_kill_switch || !change.is_kill_switch())
            .await?;
        if ledger.record.changes.is_empty() {
            ledger.remove()?;
        } else {
            info!("the kill switch of {device} stays until the new one is in its place");
        }
        Ok(Some(ledger.record))
    }

    /// Begins the record of a device that belongs to this process from now on. Takes over what [`clear`](Self::clear) has
    /// left.
    ///
    /// # Errors
    ///
    /// When the record cannot be written.
    pub fn begin(device: &DeviceName, left: Option<Record>) -> Result<Self, Failure> {
        let path = path_of(device);
        let folder = folder();
        let made = DirBuilder::new().recursive(true).mode(0o755).create(&folder);
        made.map_err(|error| {
            Failure::runtime(format_args!("make the folder {}", folder.display()), error)
                .with_help("run as root, or name a folder that this user may write in RUNTIME_DIRECTORY")
        })?;
        if let Found::Record(Record { process, .. }) = Record::find(device)
            && process.is_alive()
            && process != Process::current()
        {
            return Err(in_use(device, process));
        }
        let record = Record {
            process: Process::current(),
            servers: left.as_ref().map_or_else(Vec::new, |left| left.servers.clone()),
            changes: left.map_or_else(Vec::new, |left| left.changes),
        };
        let ledger = Self {
            device: device.clone(),
            path,
            record,
        };
        ledger.write()?;
        Ok(ledger)
    }

    /// Writes down that something is about to be changed. To be called before it is, with what undoes it.
    ///
    /// # Errors
    ///
    /// When it cannot be written down. Nothing may be changed then.
    pub fn note(&mut self, change: Change) -> Result<(), Failure> {
        if self.record.changes.contains(&change) {
            return Ok(());
        }
        self.record.changes.push(change);
        self.write().inspect_err(|_| {
            self.record.changes.pop();
        })
    }

    /// Writes down where the server was found.
    ///
    /// # Errors
    ///
    /// When it cannot be written down.
    pub fn note_servers(&mut self, servers: &[std::net::SocketAddr]) -> Result<(), Failure> {
        self.record.servers = servers.to_vec();
        self.write()
    }

    /// The changes that are in force, the oldest first.
    #[must_use]
    pub fn changes(&self) -> &[Change] {
        &self.record.changes
    }

    /// Undoes the changes that `choose` chooses, the youngest first, and forgets them. What cannot be undone stays in the
    /// record.
    ///
    /// # Errors
    ///
    /// The first thing that could not be undone; the others have been tried all the same, and told.
    pub async fn undo_where(&mut self, choose: impl Fn(&Change) -> bool) -> Result<(), Failure> {
        let mut first = None;
        for index in (0..self.record.changes.len()).rev() {
            if !choose(&self.record.changes[index]) {
                continue;
            }
            let mut undone = undo(&self.device, &self.record.changes[index]).await;
            if undone.is_ok() {
                self.record.changes.remove(index);
                // A full disk keeps nothing from being undone; the record says too much then.
                undone = self.write();
            }
            if let Err(failure) = undone {
                warn!("{}", failure.message());
                first.get_or_insert(failure);
            }
        }
        first.map_or(Ok(()), Err)
    }

    /// Undoes everything and removes the record.
    ///
    /// # Errors
    ///
    /// As [`undo_where`](Self::undo_where). The record stays then.
    pub async fn end(mut self) -> Result<(), Failure> {
        let undone = self.undo_where(|_| true).await;
        // Where everything is undone, it does not matter that a full disk took no word of it.
        if self.record.changes.is_empty() {
            return self.remove();
        }
        undone
    }

    /// As [`end`](Self::end), but the kill switch stays, and with it a record of it.
    ///
    /// # Errors
    ///
    /// As [`undo_where`](Self::undo_where).
    pub async fn end_behind_kill_switch(mut self) -> Result<(), Failure> {
        self.undo_where(|change| !change.is_kill_switch()).await?;
        if self.record.changes.is_empty() {
            return self.remove();
        }
        Ok(())
    }

    /// Takes the record of a process that has ended.
    pub(super) fn of_dead(device: &DeviceName, record: Record) -> Self {
        Self {
            device: device.clone(),
            path: path_of(device),
            record,
        }
    }

    fn write(&self) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(&self.record).map_err(io::Error::from);
        let name = PathBuf::from(format!("{}.json", self.device));
        text.and_then(|text| LockedFolder::around(&self.path)?.replace(&name, &(text + "\n")))
            .map_err(|error| {
                Failure::write(&self.path, error).or_help(
                    "the record of what is changed on this machine is kept there; nothing is changed without it",
                )
            })
    }

    fn remove(&self) -> Result<(), Failure> {
        remove(&self.device)
    }
}

/// Removes the record of a device, whatever it says.
pub(super) fn remove(device: &DeviceName) -> Result<(), Failure> {
    let path = path_of(device);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::runtime(format_args!("remove {}", path.display()), error))
        }
        _ => Ok(()),
    }
}

fn in_use(device: &DeviceName, process: Process) -> Failure {
    let failure = Failure::runtime(
        format_args!("use the name `{device}`"),
        format_args!("the process {} uses it", process.pid),
    );
    failure.with_help(format!(
        "`sandhog down --device {device}` ends that one; or choose another `name` under [device], or another folder for \
         runtime files (RUNTIME_DIRECTORY)"
    ))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::net::dns::file;

    #[test]
    fn what_is_written_down_is_read_again() {
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
                Change::ResolvFile(file.expect("there is no such file")),
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
