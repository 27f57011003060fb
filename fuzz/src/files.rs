//! A folder with the files that a configuration file names. Several processes have one each.

use std::{fs, os::unix::fs::PermissionsExt as _, path::PathBuf, sync::LazyLock};

use sandhog_proto::secure::setup_to_text;
use tempfile::TempDir;

use crate::{SETUP, USERS};

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("a file in the folder");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("my own file");
    };
    write("key", "c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\n");
    write("password", "correct horse\n");
    write("setup", &setup_to_text(&SETUP));
    write("users", &USERS.to_text());
    folder
});

/// Writes a file into the folder and returns its path.
///
/// # Panics
///
/// The file cannot be written.
#[must_use]
pub fn with(name: &str, text: &str) -> PathBuf {
    let path = FOLDER.path().join(name);
    fs::write(&path, text).expect("a file in the folder");
    path
}
