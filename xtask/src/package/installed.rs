//! The Debian package as its users have it: unpacked, it runs; installed, it makes a folder for keys; removed, it keeps them.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

use super::set_up_a_server;
use crate::shell;

/// Unpacks the package and runs its program, then installs and purges it in a folder of its own.
///
/// # Errors
/// Something is not as it has to be.
pub(super) fn check(package: &Path) -> Result<()> {
    let folder = shell::scratch("unpacked")?;
    shell::run(shell::command("dpkg-deb", "--extract").arg(package).arg(&folder))?;
    set_up_a_server(&folder.join("usr/bin/sandhog"), &folder.join("etc/sandhog"))?;
    units_start_what_is_there(&folder)?;
    keys_outlive_the_package(package)
}

/// The units start the program of the package and name pages of it.
fn units_start_what_is_there(folder: &Path) -> Result<()> {
    for unit in fs::read_dir(folder.join("usr/lib/systemd/system"))? {
        let path = unit?.path();
        let text = fs::read_to_string(&path)?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key));
        let started = value("ExecStart=/").and_then(|line| line.split(' ').next());
        ensure!(
            started.is_some_and(|program| folder.join(program).is_file()),
            "{} starts no program of the package",
            path.display()
        );
        let page = value("Documentation=man:").map(|page| page.replace('(', ".").replace(')', ".gz"));
        ensure!(
            page.is_some_and(|page| folder.join("usr/share/man/man1").join(page).is_file()),
            "{} names no manual page of the package",
            path.display()
        );
    }
    Ok(())
}

/// Installs the package into a folder, which needs no root, and purges it with a key in place.
fn keys_outlive_the_package(package: &Path) -> Result<()> {
    let root = shell::scratch("installed")?;
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("var/lib/dpkg/status"), "")?;
    let keys = root.join("etc/sandhog");
    dpkg(&root, "--install", package.as_os_str())?;
    let mode = fs::metadata(&keys)
        .context("no folder for keys was made")?
        .permissions()
        .mode();
    ensure!(mode & 0o7777 == 0o700, "{} has the mode {mode:o}", keys.display());
    let wanted = root.join("etc/systemd/system/multi-user.target.wants");
    ensure!(!wanted.exists(), "installing has enabled a unit");

    let key = keys.join("sandhog.key");
    fs::write(&key, "a key\n")?;
    dpkg(&root, "--install", package.as_os_str())?;
    dpkg(&root, "--purge", "sandhog".as_ref())?;
    ensure!(
        !root.join("usr/bin/sandhog").exists(),
        "purging has left the program"
    );
    ensure!(key.is_file(), "purging has deleted a key");

    dpkg(&root, "--install", package.as_os_str())?;
    fs::remove_file(&key)?;
    dpkg(&root, "--purge", "sandhog".as_ref())?;
    ensure!(!keys.exists(), "purging has left an empty folder");
    println!("installed, upgraded and purged; keys were kept");
    Ok(())
}

/// dpkg on another root: its scripts run here and go by `DPKG_ROOT`, and what the package depends on is not looked for.
fn dpkg(root: &Path, action: &str, what: &std::ffi::OsStr) -> Result<()> {
    let mut command: Command = shell::command(
        "dpkg",
        "--force-script-chrootless --force-depends --force-not-root --force-bad-path",
    );
    command.arg(format!("--root={}", root.display()));
    command.arg("--log=/dev/null").arg(action).arg(what);
    shell::run(&mut command)
}
