//! Atomic file replacement: after a crash at any time, a reader finds either the old contents or the new
//! contents.
//!
//! The new contents are written to a temporary file in the same folder. The temporary file is synced to disk
//! and renamed over the old file. [`LockedFolder`] also syncs the folder, and locks it so that several
//! programs can read, change and write a file one after the other.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Timeout for the lock. Other programs hold it only while they write a file, unless they are stopped.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval between two attempts to take the lock.
const INTERVAL: Duration = Duration::from_millis(10);
/// Mode of a new file: readable and writable by the owner only.
const MODE: u32 = 0o600;

/// An advisory lock (flock(2)) on a folder. The kernel releases it when this is dropped or the process is
/// killed.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    handle: File,
    path: PathBuf,
}

impl LockedFolder {
    /// Locks the folder of the file `path`. Waits at most ten seconds.
    pub(crate) fn around(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let handle = File::open(folder)?;
        let tries = LOCK_TIMEOUT.as_millis() / INTERVAL.as_millis();
        for _ in 0..tries {
            match handle.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        handle,
                        path: folder.to_owned(),
                    });
                }
                Err(TryLockError::WouldBlock) => pause(),
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "another program has locked the folder for 10 s",
        ))
    }

    /// Replaces or creates the file `name`. A new file has mode 600. A replaced file keeps its owner.
    ///
    /// On error the old file is unchanged, with one exception: if only the last sync fails, the new file is
    /// in place, but the old one may reappear after a power failure.
    pub(crate) fn replace(&self, name: &Path, text: &str) -> io::Result<()> {
        let target = self.path.join(name);
        let old = match fs::metadata(&target) {
            Ok(metadata) => Some((metadata.uid(), metadata.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // A temporary file that exists under the lock was left by a killed process.
        replace(&self.temporary(name), &target, text.as_bytes(), |file| {
            let new = file.metadata()?;
            match old {
                Some((user, group)) if (user, group) != (new.uid(), new.gid()) => {
                    fchown(file, Some(user), Some(group))
                }
                _ => Ok(()),
            }
        })?;
        self.handle.sync_all()
    }

    /// Removes the file `name`, if it exists.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
        remove_if_exists(&self.path.join(name))?;
        self.handle.sync_all()
    }

    fn temporary(&self, name: &Path) -> PathBuf {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".new");
        self.path.join(hidden)
    }
}

/// Writes `bytes` to the file `temporary`, syncs it and renames it to `target`. An existing `temporary` is
/// replaced. `set_up` sets the owner and mode of the empty file, which has mode 600 before. On error,
/// `temporary` is removed and `target` is unchanged.
pub(crate) fn replace(
    temporary: &Path,
    target: &Path,
    bytes: &[u8],
    set_up: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    remove_if_exists(temporary)?;
    write(temporary, bytes, set_up)?;
    fs::rename(temporary, target).inspect_err(|_| {
        // The first error is reported. The next call removes a file that stays behind.
        let _ = fs::remove_file(temporary);
    })
}

/// Creates a new file with mode 600 and syncs it to disk. On error, no new file exists.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    write(path, text.as_bytes(), |_| Ok(()))
}

/// Syncs a folder's entries to disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Removes a file. A file that does not exist is no error.
pub(crate) fn remove_if_exists(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn write(path: &Path, bytes: &[u8], set_up: impl FnOnce(&File) -> io::Result<()>) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    let fill = || {
        set_up(&file)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    fill().inspect_err(|_| {
        // The first error is reported.
        let _ = fs::remove_file(path);
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "flock(2) has no timeout, and this thread carries no packets"
)]
fn pause() {
    thread::sleep(INTERVAL);
}
