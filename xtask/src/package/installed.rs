//! Installation test of the Debian package: the program runs, the folder for keys is created, and a purge keeps the keys.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::set_up_a_server;
use crate::shell;

/// Unpacks the package and runs its program. Then installs and purges it in a scratch folder.
///
/// # Errors
/// A test fails.
pub(super) fn check(package: &Path) -> Result<()> {
    let folder = shell::scratch("unpacked")?;
    shell::run(shell::command("dpkg-deb", "--extract").arg(package).arg(&folder))?;
    set_up_a_server(&folder.join("usr/bin/sandhog"), &folder.join("etc/sandhog"))?;
    check_units(&folder)?;
    check_purge(package)
}

/// Checks that the systemd units start the program of the package and name its manual pages.
fn check_units(folder: &Path) -> Result<()> {
    for unit in fs::read_dir(folder.join("usr/lib/systemd/system"))? {
        let path = unit?.path();
        let text = fs::read_to_string(&path)?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let started = value("ExecStart=/").and_then(|line| line.split(' ').next());
        ensure!(
            started.is_some_and(|program| folder.join(program).is_file()),
            "the unit {} does not start a program of the package",
            path.display()
        );
        let page = value("Documentation=man:").map(|page| page.replace('(', ".").replace(')', ".gz"));
        ensure!(
            page.is_some_and(|page| folder.join("usr/share/man/man1").join(page).is_file()),
            "the unit {} does not name a manual page of the package",
            path.display()
        );
    }
    Ok(())
}

/// Installs the package in a folder, for which root is not needed, and purges it while a key is there.
fn check_purge(package: &Path) -> Result<()> {
    let root = shell::scratch("installed")?;
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let keys = root.join("etc/sandhog");
    dpkg(&root, "--install", package.as_os_str())?;
    let mode = fs::metadata(&keys)
        .context("there is no folder for keys")?
        .permissions()
        .mode();
    ensure!(mode & 0o7777 == 0o700, "{} has the mode {mode:o}", keys.display());
    let wanted = root.join("etc/systemd/system/multi-user.target.wants");
    ensure!(!wanted.exists(), "the installation has enabled a unit");

    let key = keys.join("sandhog.key");
    fs::write(&key, "a key\n")?;
    dpkg(&root, "--install", package.as_os_str())?;
    dpkg(&root, "--purge", "sandhog".as_ref())?;
    ensure!(
        !root.join("usr/bin/sandhog").exists(),
        "the program is still there after a purge"
    );
    ensure!(key.is_file(), "the purge has deleted a key");

    dpkg(&root, "--install", package.as_os_str())?;
    fs::remove_file(&key)?;
    dpkg(&root, "--purge", "sandhog".as_ref())?;
    ensure!(!keys.exists(), "the empty folder is still there after a purge");
    println!("installed, upgraded and purged; the keys were kept");
    Ok(())
}

/// Runs dpkg on another root folder. The scripts of the package run outside of it and read `DPKG_ROOT`. Dependencies are
/// ignored.
fn dpkg(root: &Path, action: &str, what: &std::ffi::OsStr) -> Result<()> {
    let mut command: Command = shell::command(
        "dpkg",
        "--force-script-chrootless --force-depends --force-not-root --force-bad-path",
    );
    command.arg(format!("--root={}", root.display()));
    command.arg("--log=/dev/null").arg(action).arg(what);
    shell::run(&mut command)
}
