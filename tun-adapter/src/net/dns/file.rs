//! Replacement of /etc/resolv.conf while a tunnel is up.
//!
//! The old file is backed up beside it before it is replaced: first a hard link (or a copy) is made, then a
//! new file is renamed over the old one. In containers the file is often a mount point, which cannot be
//! replaced by a rename. It is then written in place. After a crash at any time, either the old file is in
//! place, or the new file and the backup are.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::DeviceName;
use crate::failure::Failure;
use crate::fs::atomic_file::{self, remove_if_exists};

/// The resolver's configuration file (resolv.conf(5)).
pub const PATH: &str = "/etc/resolv.conf";
/// First words of a file written by sandhog. The device's name follows.
const MARK: &str = "# The name servers of sandhog's device ";

/// A file that is or will be replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replaced {
    /// Path of the file.
    path: PathBuf,
    /// Path of the backup. `None` if there was no file.
    kept: Option<PathBuf>,
    /// The new contents.
    text: String,
}

impl Replaced {
    /// Path of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Plans a replacement of the file at `path`, for `device`. The new file contains `servers`. Nothing is
/// changed yet.
///
/// # Errors
///
/// If the file cannot be read, or was written for another sandhog device.
pub fn plan(path: &Path, device: &DeviceName, servers: &str) -> Result<Replaced, Failure> {
    let exists = match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(explain("read", path, error)),
    };
    if let Some(owner) = fs::read_to_string(path).ok().as_deref().and_then(owner) {
        return Err(Failure::runtime(
            format_args!("replace {}", path.display()),
            format_args!("it has the name servers of another tunnel, {owner}"),
        ));
    }
    let kept = exists.then(|| kept_at(path, device));
    let text = match &kept {
        Some(kept) => format!("{MARK}{device}; the old file is {}\n{servers}", kept.display()),
        None => format!("{MARK}{device}; there was no file before\n{servers}"),
    };
    Ok(Replaced {
        path: path.to_owned(),
        kept,
        text,
    })
}

/// Makes the backup and replaces the file.
///
/// # Errors
///
/// If the folder or the file cannot be written. [`restore`] then cleans up.
pub fn replace(replaced: &Replaced) -> Result<(), Failure> {
    let Replaced { path, kept, text } = replaced;
    if let Some(kept) = kept {
        back_up(path, kept).map_err(|error| explain("back up", path, error))?;
    }
    write(path, kept.as_deref(), text).map_err(|error| explain("replace", path, error))
}

/// Restores the old file, unless another program has changed the new one.
///
/// # Errors
///
/// If the folder or the file cannot be written. Nothing is lost, and the call can be repeated.
pub fn restore(replaced: &Replaced) -> Result<(), Failure> {
    let Replaced { path, kept, text } = replaced;
    let restored = match kept {
        Some(kept) => restore_backup(path, kept, text),
        None => remove_ours(path, text),
    };
    restored.map_err(|error| explain("restore", path, error))
}

/// Restores the old file without a record, after a power failure or if the record is damaged. Returns true if
/// there was a file to restore.
///
/// # Errors
///
/// As [`restore`].
pub fn restore_unrecorded(path: &Path, device: &DeviceName) -> Result<bool, Failure> {
    let Ok(text) = fs::read_to_string(path) else {
        return Ok(false);
    };
    if owner(&text) != Some(device.as_str()) {
        return Ok(false);
    }
    let kept = kept_at(path, device);
    let replaced = Replaced {
        path: path.to_owned(),
        kept: fs::symlink_metadata(&kept).is_ok().then_some(kept),
        text,
    };
    restore(&replaced).map(|()| true)
}

/// The device that a text of sandhog names.
fn owner(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix(MARK)?.split_once(';')?;
    Some(name)
}

fn kept_at(path: &Path, device: &DeviceName) -> PathBuf {
    beside(path, &format!("{}.sandhog-{device}", name_of(path)))
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.with_file_name(name)
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// Makes a hard link to the file, or a copy if the file is on another file system than its folder.
fn back_up(path: &Path, kept: &Path) -> io::Result<()> {
    remove_if_exists(kept)?;
    match fs::hard_link(path, kept) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Err(error),
        Err(_) => copy(path, kept),
    }
}

/// Copies a file or a symbolic link atomically.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = beside(to, &format!("{}.new", name_of(to)));
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        remove_if_exists(&temporary)?;
        symlink(fs::read_link(from)?, &temporary)?;
        return fs::rename(&temporary, to);
    }
    atomic_file::replace(&temporary, to, &fs::read(from)?, |file| {
        file.set_permissions(metadata.permissions())?;
        // Only root can change the owner. Any other user is the owner already.
        let _ = fchown(file, Some(metadata.uid()), Some(metadata.gid()));
        Ok(())
    })
}

/// Writes `text` to `path`, readable by all users.
fn write(path: &Path, kept: Option<&Path>, text: &str) -> io::Result<()> {
    let temporary = temporary_of(path);
    let replaced = atomic_file::replace(&temporary, path, text.as_bytes(), |file| {
        // Regardless of the umask: all programs look up names.
        file.set_permissions(fs::Permissions::from_mode(0o644))
    });
    match replaced {
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            // The backup must not be a hard link to the file that is written in place.
            if let Some(kept) = kept
                && same_file(path, kept)?
            {
                copy(path, kept)?;
            }
            write_in_place(path, text.as_bytes())
        }
        result => result,
    }
}

fn temporary_of(path: &Path) -> PathBuf {
    beside(path, &format!("{}.sandhog-new", name_of(path)))
}

fn restore_backup(path: &Path, kept: &Path, text: &str) -> io::Result<()> {
    remove_if_exists(&temporary_of(path))?;
    remove_if_exists(&beside(kept, &format!("{}.new", name_of(kept))))?;
    if fs::symlink_metadata(kept).is_err() {
        // The file was never replaced, or is already restored.
        return Ok(());
    }
    if same_content(path, kept)? {
        return fs::remove_file(kept);
    }
    // After a crash while writing in place, the file may contain the beginning of either text.
    let now = read_file(path);
    let is_ours = match &now {
        Some(now) => {
            text.as_bytes().starts_with(now) || read_file(kept).is_some_and(|old| old.starts_with(now))
        }
        None => false,
    };
    if !is_ours {
        warn!(
            "{} was changed by another program while the tunnel was up and is left unchanged. The old file is {}",
            path.display(),
            kept.display()
        );
        return Ok(());
    }
    match fs::rename(kept, path) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices
            ) =>
        {
            write_in_place(path, &fs::read(kept)?)?;
            fs::remove_file(kept)
        }
        result => result,
    }
}

/// Removes the new file, if there was no old one.
fn remove_ours(path: &Path, text: &str) -> io::Result<()> {
    remove_if_exists(&temporary_of(path))?;
    match read_file(path) {
        Some(now) if now == text.as_bytes() => fs::remove_file(path),
        Some(_) => {
            info!(
                "{} was changed by another program and is left unchanged",
                path.display()
            );
            Ok(())
        }
        None => Ok(()),
    }
}

/// Contents of a regular file. Returns `None` for a symbolic link.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_file())
        .then(|| fs::read(path).ok())?
}

fn same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Returns true if both are symbolic links to the same target, or files with the same contents.
fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let target = |path: &Path| fs::read_link(path).ok();
    if let Some(target_of_other) = target(other) {
        return Ok(target(one) == Some(target_of_other));
    }
    Ok(read_file(one).is_some_and(|text| read_file(other) == Some(text)))
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn explain(action: &str, path: &Path, error: io::Error) -> Failure {
    Failure::runtime(format_args!("{action} {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "nameserver 192.0.2.53\noptions edns0\n";
    const SERVERS: &str = "nameserver 10.9.0.1\n";

    struct Folder {
        folder: tempfile::TempDir,
        path: PathBuf,
    }

    fn folder() -> Folder {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("resolv.conf");
        Folder { folder, path }
    }

    impl Folder {
        fn with(text: &str) -> Self {
            let this = folder();
            fs::write(&this.path, text).expect("a folder of ours");
            this
        }

        fn plan(&self) -> Replaced {
            plan(&self.path, &DeviceName::default(), SERVERS).expect("a plan")
        }

        fn text(&self) -> String {
            fs::read_to_string(&self.path).expect("a file")
        }

        /// Names of all files in the folder.
        fn names(&self) -> Vec<String> {
            let entries = fs::read_dir(self.folder.path()).expect("a folder");
            entries
                .map(|entry| {
                    entry
                        .expect("an entry")
                        .file_name()
                        .to_string_lossy()
                        .into_owned()
                })
                .collect()
        }

        #[track_caller]
        fn assert_restored(&self) {
            assert_eq!(self.text(), OLD);
            assert_eq!(self.names(), ["resolv.conf"]);
        }
    }

    #[test]
    fn a_file_is_replaced_and_restored_with_its_permissions() {
        let test = Folder::with(OLD);
        fs::set_permissions(&test.path, fs::Permissions::from_mode(0o640)).expect("a file of ours");
        let replaced = test.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(test.text().ends_with(SERVERS), "{}", test.text());
        assert_eq!(fs::metadata(&test.path).expect("a file").mode() & 0o777, 0o644);
        restore(&replaced).expect("a folder of ours");
        test.assert_restored();
        assert_eq!(fs::metadata(&test.path).expect("a file").mode() & 0o777, 0o640);
        restore(&replaced).expect("nothing to do");
        test.assert_restored();
    }

    #[test]
    fn a_symbolic_link_is_replaced_and_restored() {
        let test = folder();
        let target = test.folder.path().join("elsewhere");
        fs::write(&target, OLD).expect("a folder of ours");
        symlink("elsewhere", &test.path).expect("a folder of ours");
        let replaced = test.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(fs::symlink_metadata(&test.path).expect("a file").is_file());
        assert_eq!(fs::read_to_string(&target).expect("a file"), OLD);
        restore(&replaced).expect("a folder of ours");
        assert_eq!(fs::read_link(&test.path).expect("a link"), Path::new("elsewhere"));
        assert_eq!(test.names().len(), 2);
    }

    #[test]
    fn a_file_that_did_not_exist_is_removed() {
        let test = folder();
        let replaced = test.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(test.text().ends_with(SERVERS));
        restore(&replaced).expect("a folder of ours");
        assert!(test.names().is_empty());
    }

    /// Tries all states in which a killed process can leave the files.
    #[test]
    fn the_old_file_is_restored_after_a_kill_at_any_time() {
        type Interrupted = fn(&Replaced) -> io::Result<()>;
        fn kept(replaced: &Replaced) -> &Path {
            replaced.kept.as_deref().expect("there was a file")
        }
        fn torn(replaced: &Replaced, bytes: usize) -> io::Result<()> {
            copy(&replaced.path, kept(replaced))?;
            write_in_place(&replaced.path, &replaced.text.as_bytes()[..bytes])
        }
        let states: &[(&str, Interrupted)] = &[
            ("before any change", |_| Ok(())),
            ("while the copy is written", |replaced| {
                fs::write(
                    replaced.path.with_file_name("resolv.conf.sandhog-sandhog0.new"),
                    "name",
                )
            }),
            ("after the hard link was made", |replaced| {
                back_up(&replaced.path, kept(replaced))
            }),
            ("after the copy was made", |replaced| {
                copy(&replaced.path, kept(replaced))
            }),
            ("while the new file is written", |replaced| {
                back_up(&replaced.path, kept(replaced))?;
                fs::write(replaced.path.with_file_name("resolv.conf.sandhog-new"), "# The")
            }),
            ("in place, after truncation", |replaced| torn(replaced, 0)),
            ("in place, within the new text", |replaced| torn(replaced, 20)),
            ("in place, after the new text", |replaced| {
                torn(replaced, replaced.text.len())
            }),
            ("in place, while the old text is restored", |replaced| {
                torn(replaced, replaced.text.len())?;
                write_in_place(&replaced.path, &OLD.as_bytes()[..10])
            }),
        ];
        for (state, interrupted) in states {
            let test = Folder::with(OLD);
            let replaced = test.plan();
            interrupted(&replaced).expect("a folder of ours");
            restore(&replaced).unwrap_or_else(|failure| panic!("{state}: {failure}"));
            assert_eq!(test.text(), OLD, "{state}");
            assert_eq!(test.names(), ["resolv.conf"], "{state}");
        }
    }

    #[test]
    fn changes_by_other_programs_stay_and_the_backup_is_kept() {
        let test = Folder::with(OLD);
        let replaced = test.plan();
        replace(&replaced).expect("a folder of ours");
        let other = "nameserver 203.0.113.9\n";
        fs::write(&test.path, other).expect("a file of ours");
        restore(&replaced).expect("nothing to do");
        assert_eq!(test.text(), other);
        let kept = fs::read_to_string(replaced.kept.expect("there was a file")).expect("a file");
        assert_eq!(kept, OLD);
    }

    #[test]
    fn without_a_record_the_file_is_recognized_by_its_first_line() {
        let test = Folder::with(OLD);
        let device = DeviceName::default();
        assert!(!restore_unrecorded(&test.path, &device).expect("nothing to do"));
        replace(&test.plan()).expect("a folder of ours");
        let other = "sandhog1".parse().expect("a name");
        assert!(!restore_unrecorded(&test.path, &other).expect("nothing to do"));
        assert!(restore_unrecorded(&test.path, &device).expect("a folder of ours"));
        test.assert_restored();
    }

    #[test]
    fn the_resolv_conf_of_another_tunnel_is_not_replaced() {
        let test = Folder::with(OLD);
        replace(&test.plan()).expect("a folder of ours");
        let other = "sandhog1".parse().expect("a name");
        let failure = plan(&test.path, &other, SERVERS).expect_err("it belongs to another tunnel");
        assert!(
            failure.message().contains("another tunnel, sandhog0"),
            "{failure}"
        );
    }
}
