//! Files that are replaced whole: whoever reads one, at whatever moment and after whatever crash, finds the old text or
//! the new one and nothing in between.
//!
//! The new text goes into a temporary file in the same folder, which is synced to the disk and renamed over the old one;
//! then the folder is synced. Who writes holds a lock on the folder, so that reading, changing and writing are one step.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How long to wait for a lock. Whoever holds one writes a file and lets go; longer than this only a stopped process.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often to look whether a lock is free.
const INTERVAL: Duration = Duration::from_millis(10);
/// For the owner's eyes only.
const MODE: u32 = 0o600;

/// The right to write into a folder, among those who ask for it. Given back when dropped, also by a process that is
/// killed.
#[derive(Debug)]
pub(crate) struct LockedFolder {
    handle: File,
    path: PathBuf,
}

impl LockedFolder {
    /// Waits for the right to write beside the file `path`, at most ten seconds.
    pub(crate) fn around(path: &Path) -> io::Result<Self> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let handle = File::open(folder)?;
        let tries = PATIENCE.as_millis() / INTERVAL.as_millis();
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

    /// Replaces the file of this name, or makes it. A new file is readable by its owner alone, who is the old file's.
    ///
    /// If this fails, the old file is as it was, unless it was the very last step that failed: then the new one is there
    /// but a loss of power may bring the old one back.
    pub(crate) fn replace(&self, name: &Path, text: &str) -> io::Result<()> {
        let target = self.path.join(name);
        let temporary = self.temporary(name);
        // Under the lock nobody else is at work on it: it was left by a writer that was killed.
        remove_if_there(&temporary)?;
        let old = match fs::metadata(&target) {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        write(&temporary, text, old.as_ref())?;
        if let Err(error) = fs::rename(&temporary, &target) {
            // What stays behind all the same goes with the next write.
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        self.handle.sync_all()
    }

    /// Removes the file of this name, if there is one.
    pub(crate) fn remove(&self, name: &Path) -> io::Result<()> {
        remove_if_there(&self.path.join(name))?;
        self.handle.sync_all()
    }

    fn temporary(&self, name: &Path) -> PathBuf {
        let mut hidden = OsString::from(".");
        hidden.push(name);
        hidden.push(".new");
        self.path.join(hidden)
    }
}

/// Makes a new file with `text` in it, down on the disk. If that fails, there is no such file, or it is not ours.
pub(crate) fn write_new(path: &Path, text: &str) -> io::Result<()> {
    write(path, text, None)
}

/// Has the folder's entries down on the disk.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

fn write(path: &Path, text: &str, old: Option<&Metadata>) -> io::Result<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(path)?;
    fill(file, text, old).inspect_err(|_| {
        // The error that is told is the first one.
        let _ = fs::remove_file(path);
    })
}

fn fill(mut file: File, text: &str, old: Option<&Metadata>) -> io::Result<()> {
    if let Some(old) = old {
        let new = file.metadata()?;
        if (old.uid(), old.gid()) != (new.uid(), new.gid()) {
            fchown(&file, Some(old.uid()), Some(old.gid()))?;
        }
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the kernel's own wait for a lock has no end; this thread carries no packets"
)]
fn pause() {
    thread::sleep(INTERVAL);
}
