//! /etc/resolv.conf, replaced for as long as a tunnel is up.
//!
//! What was there before is kept beside it, and is never anywhere else only: first there is a second link to it (or a copy),
//! then a new file is renamed over it. In containers the file is a mount point, which cannot be renamed over; it is written in
//! place then. Whoever comes after a crash at any moment finds either the old file, or ours and the old one beside it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tracing::{info, warn};

use crate::config::DeviceName;
use crate::failure::Failure;

/// Where the C library looks for name servers.
pub const PATH: &str = "/etc/resolv.conf";
/// How a file of ours begins. The device's name follows.
const MARK: &str = "# The name servers of sandhog's device ";

/// A file that was replaced, or is about to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Replaced {
    /// The file.
    path: PathBuf,
    /// Where the old one is kept; `None` if there was none.
    kept: Option<PathBuf>,
    /// What stands in it in the meantime.
    text: String,
}

impl Replaced {
    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What is to be done so that the file at `path` holds `servers` while `device` is up. Changes nothing.
///
/// # Errors
///
/// When the file cannot be read, or belongs to another device of ours.
pub fn plan(path: &Path, device: &DeviceName, servers: &str) -> Result<Replaced, Failure> {
    let there = match fs::symlink_metadata(path) {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::NotFound => false,
        Err(error) => return Err(explain("read", path, error)),
    };
    if let Some(owner) = fs::read_to_string(path).ok().as_deref().and_then(owner) {
        return Err(Failure::runtime(
            format_args!("replace {}", path.display()),
            format_args!("it holds the name servers of another tunnel, {owner}"),
        ));
    }
    let kept = there.then(|| kept_at(path, device));
    let text = match &kept {
        Some(kept) => format!(
            "{MARK}{device}; what was here before is in {}\n{servers}",
            kept.display()
        ),
        None => format!("{MARK}{device}; there was no such file before\n{servers}"),
    };
    Ok(Replaced {
        path: path.to_owned(),
        kept,
        text,
    })
}

/// Keeps the old file and puts the new text in its place.
///
/// # Errors
///
/// When the folder or the file cannot be written. [`restore`] cleans up what was done by then.
pub fn replace(replaced: &Replaced) -> Result<(), Failure> {
    let Replaced { path, kept, text } = replaced;
    if let Some(kept) = kept {
        keep(path, kept).map_err(|error| explain("keep a copy of", path, error))?;
    }
    put(path, kept.as_deref(), text).map_err(|error| explain("replace", path, error))
}

/// Puts the old file back, unless somebody else has changed the file in the meantime.
///
/// # Errors
///
/// When the folder or the file cannot be written. Nothing is lost, and it can be tried again.
pub fn restore(replaced: &Replaced) -> Result<(), Failure> {
    let Replaced { path, kept, text } = replaced;
    let restored = match kept {
        Some(kept) => put_back(path, kept, text),
        None => take_away(path, text),
    };
    restored.map_err(|error| explain("restore", path, error))
}

/// Puts the old file back where no record tells of it: after a loss of power, or with a damaged record. Tells whether there
/// was anything to do.
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

/// The device in whose name a text of ours was written.
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

/// Makes a second link to what is at `path`, or a copy where it is on another file system than its folder.
fn keep(path: &Path, kept: &Path) -> io::Result<()> {
    remove_if_there(kept)?;
    match fs::hard_link(path, kept) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => Err(error),
        Err(_) => copy(path, kept),
    }
}

/// Copies a file or a symbolic link, whole or not at all.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let temporary = beside(to, &format!("{}.new", name_of(to)));
    remove_if_there(&temporary)?;
    let metadata = fs::symlink_metadata(from)?;
    if metadata.is_symlink() {
        symlink(fs::read_link(from)?, &temporary)?;
    } else {
        write_new(&temporary, &fs::read(from)?)?;
        fs::set_permissions(&temporary, metadata.permissions())?;
        // Who is not root keeps what is his anyway.
        let _ = chown(&temporary, Some(metadata.uid()), Some(metadata.gid()));
    }
    fs::rename(&temporary, to)
}

/// Has `text` stand at `path`, whole, for everybody to read.
fn put(path: &Path, kept: Option<&Path>, text: &str) -> io::Result<()> {
    let temporary = beside(path, &format!("{}.sandhog-new", name_of(path)));
    remove_if_there(&temporary)?;
    write_new(&temporary, text.as_bytes())?;
    match fs::rename(&temporary, path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ResourceBusy => {
            fs::remove_file(&temporary)?;
            // What is kept must not be the very file that is written now.
            if let Some(kept) = kept
                && same_file(path, kept)?
            {
                copy(path, kept)?;
            }
            write_in_place(path, text.as_bytes())
        }
        Err(error) => {
            remove_if_there(&temporary)?;
            Err(error)
        }
    }
}

fn put_back(path: &Path, kept: &Path, text: &str) -> io::Result<()> {
    remove_if_there(&beside(path, &format!("{}.sandhog-new", name_of(path))))?;
    remove_if_there(&beside(kept, &format!("{}.new", name_of(kept))))?;
    if fs::symlink_metadata(kept).is_err() {
        // Either it was never replaced, or it is back already.
        return Ok(());
    }
    if same_content(path, kept)? {
        return fs::remove_file(kept);
    }
    // Where the file cannot be renamed over, a crash may leave the beginning of either text.
    let now = read_file(path);
    let is_ours = match &now {
        Some(now) => {
            text.as_bytes().starts_with(now) || read_file(kept).is_some_and(|old| old.starts_with(now))
        }
        None => false,
    };
    if !is_ours {
        warn!(
            "{} was changed by somebody else while the tunnel was up: it stays; what was there before is in {}",
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

/// Removes our file where there was none.
fn take_away(path: &Path, text: &str) -> io::Result<()> {
    remove_if_there(&beside(path, &format!("{}.sandhog-new", name_of(path))))?;
    match read_file(path) {
        Some(now) if now == text.as_bytes() => fs::remove_file(path),
        Some(_) => {
            info!("{} was changed by somebody else: it stays", path.display());
            Ok(())
        }
        None => Ok(()),
    }
}

/// What stands in a file that is no symbolic link.
fn read_file(path: &Path) -> Option<Vec<u8>> {
    fs::symlink_metadata(path)
        .is_ok_and(|metadata| metadata.is_file())
        .then(|| fs::read(path).ok())?
}

fn same_file(one: &Path, other: &Path) -> io::Result<bool> {
    let (one, other) = (fs::symlink_metadata(one)?, fs::symlink_metadata(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

/// Whether both are links to the same place, or files with the same text.
fn same_content(one: &Path, other: &Path) -> io::Result<bool> {
    let target = |path: &Path| fs::read_link(path).ok();
    if let Some(target_of_other) = target(other) {
        return Ok(target(one) == Some(target_of_other));
    }
    Ok(read_file(one).is_some_and(|text| read_file(other) == Some(text)))
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o644)
        .open(path)?;
    // Whatever this process masks: everybody looks up names.
    file.set_permissions(fs::Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn write_in_place(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file: File = OpenOptions::new().write(true).truncate(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn explain(what: &str, path: &Path, error: io::Error) -> Failure {
    Failure::runtime(format_args!("{what} {}", path.display()), error)
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

        /// Everything in the folder.
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
        fn is_as_before(&self) {
            assert_eq!(self.text(), OLD);
            assert_eq!(self.names(), ["resolv.conf"]);
        }
    }

    #[test]
    fn the_file_is_replaced_and_comes_back_with_its_rights() {
        let world = Folder::with(OLD);
        fs::set_permissions(&world.path, fs::Permissions::from_mode(0o640)).expect("a file of ours");
        let replaced = world.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(world.text().ends_with(SERVERS), "{}", world.text());
        assert_eq!(fs::metadata(&world.path).expect("a file").mode() & 0o777, 0o644);
        restore(&replaced).expect("a folder of ours");
        world.is_as_before();
        assert_eq!(fs::metadata(&world.path).expect("a file").mode() & 0o777, 0o640);
        restore(&replaced).expect("nothing to do");
        world.is_as_before();
    }

    #[test]
    fn a_link_is_replaced_and_comes_back_as_a_link() {
        let world = folder();
        let target = world.folder.path().join("elsewhere");
        fs::write(&target, OLD).expect("a folder of ours");
        symlink("elsewhere", &world.path).expect("a folder of ours");
        let replaced = world.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(fs::symlink_metadata(&world.path).expect("a file").is_file());
        assert_eq!(fs::read_to_string(&target).expect("a file"), OLD);
        restore(&replaced).expect("a folder of ours");
        assert_eq!(
            fs::read_link(&world.path).expect("a link"),
            Path::new("elsewhere")
        );
        assert_eq!(world.names().len(), 2);
    }

    #[test]
    fn a_file_that_was_not_there_is_gone_afterwards() {
        let world = folder();
        let replaced = world.plan();
        replace(&replaced).expect("a folder of ours");
        assert!(world.text().ends_with(SERVERS));
        restore(&replaced).expect("a folder of ours");
        assert!(world.names().is_empty());
    }

    /// Each state that a kill can leave behind, and the file is the old one after all of them.
    #[test]
    fn whenever_the_program_is_killed_the_old_file_comes_back() {
        type Interrupted = fn(&Replaced) -> io::Result<()>;
        fn kept(replaced: &Replaced) -> &Path {
            replaced.kept.as_deref().expect("there was a file")
        }
        fn torn(replaced: &Replaced, bytes: usize) -> io::Result<()> {
            copy(&replaced.path, kept(replaced))?;
            write_in_place(&replaced.path, &replaced.text.as_bytes()[..bytes])
        }
        let states: &[(&str, Interrupted)] = &[
            ("before anything was done", |_| Ok(())),
            ("while the copy was written", |replaced| {
                fs::write(
                    replaced.path.with_file_name("resolv.conf.sandhog-sandhog0.new"),
                    "name",
                )
            }),
            ("after the link was made", |replaced| {
                keep(&replaced.path, kept(replaced))
            }),
            ("after the copy was made", |replaced| {
                copy(&replaced.path, kept(replaced))
            }),
            ("while the new file was written", |replaced| {
                keep(&replaced.path, kept(replaced))?;
                fs::write(replaced.path.with_file_name("resolv.conf.sandhog-new"), "# The")
            }),
            ("in place, after the old text went", |replaced| torn(replaced, 0)),
            ("in place, in the middle of the new text", |replaced| {
                torn(replaced, 20)
            }),
            ("in place, after the new text", |replaced| {
                torn(replaced, replaced.text.len())
            }),
            ("in place, while the old text came back", |replaced| {
                torn(replaced, replaced.text.len())?;
                write_in_place(&replaced.path, &OLD.as_bytes()[..10])
            }),
        ];
        for (state, interrupted) in states {
            let world = Folder::with(OLD);
            let replaced = world.plan();
            interrupted(&replaced).expect("a folder of ours");
            restore(&replaced).unwrap_or_else(|failure| panic!("{state}: {failure}"));
            assert_eq!(world.text(), OLD, "{state}");
            assert_eq!(world.names(), ["resolv.conf"], "{state}");
        }
    }

    #[test]
    fn what_somebody_else_has_written_stays_and_the_old_file_is_kept() {
        let world = Folder::with(OLD);
        let replaced = world.plan();
        replace(&replaced).expect("a folder of ours");
        let other = "nameserver 203.0.113.9\n";
        fs::write(&world.path, other).expect("a file of ours");
        restore(&replaced).expect("nothing to do");
        assert_eq!(world.text(), other);
        let kept = fs::read_to_string(replaced.kept.expect("there was a file")).expect("a file");
        assert_eq!(kept, OLD);
    }

    #[test]
    fn without_a_record_the_file_is_known_by_its_first_line() {
        let world = Folder::with(OLD);
        let device = DeviceName::default();
        assert!(!restore_unrecorded(&world.path, &device).expect("nothing to do"));
        replace(&world.plan()).expect("a folder of ours");
        let other = "sandhog1".parse().expect("a name");
        assert!(!restore_unrecorded(&world.path, &other).expect("nothing to do"));
        assert!(restore_unrecorded(&world.path, &device).expect("a folder of ours"));
        world.is_as_before();
    }

    #[test]
    fn the_file_of_another_tunnel_is_not_replaced() {
        let world = Folder::with(OLD);
        replace(&world.plan()).expect("a folder of ours");
        let other = "sandhog1".parse().expect("a name");
        let failure = plan(&world.path, &other, SERVERS).expect_err("it is taken");
        assert!(
            failure.message().contains("another tunnel, sandhog0"),
            "{failure}"
        );
    }
}
