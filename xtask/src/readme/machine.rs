//! Test machine made of namespaces for network, mounts and processes, with its own /etc, /run,
//! /usr/local/bin and /var/lib.
//!
//! The machine disappears when its first process ends. That process ends with this program, even if this program is killed.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::shell;

/// Script of the first process. The entries of /etc and /usr/local/bin are links to those of the real machine, except the ones
/// that are created here.
const FIRST: &str = r#"
read pid rest < /proc/self/stat
separate() {
    mkdir -p "$1$2" "$1/own$2"
    mount --bind "$2" "$1/own$2"
    for entry in "$2"/*; do ln -s "$1/own$entry" "$1$2"; done
    mount --bind "$1$2" "$2"
}
separate "$1" /etc
separate "$1" /usr/local/bin
rm -f /etc/sandhog /etc/hosts /usr/local/bin/sandhog
printf '127.0.0.1 localhost\n%s\n' "$2" > /etc/hosts
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
mkdir "$1/lib"
mount --bind "$1/lib" /var/lib
ip link set lo up
echo "$pid"
exec cat
"#;

/// A test machine.
pub(super) struct Machine {
    /// Name in messages.
    pub(super) name: &'static str,
    first: Child,
    pid: String,
    folder: PathBuf,
}

impl Machine {
    /// Creates a machine whose /etc is a folder below `folder`. `hosts` is a line of its /etc/hosts.
    ///
    /// # Errors
    /// The namespaces cannot be created.
    pub(super) fn new(name: &'static str, folder: &Path, hosts: &str) -> Result<Self> {
        let folder = folder.join(name);
        fs::create_dir_all(&folder)?;
        let mut first = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
            .args(["sh", "-e", "-c", FIRST, "sh"])
            .arg(&folder)
            .arg(hosts)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start `unshare`")?;
        let mut pid = String::new();
        BufReader::new(first.stdout.take().context("standard output is not a pipe")?).read_line(&mut pid)?;
        let pid = pid.trim().to_owned();
        ensure!(!pid.is_empty(), "the namespaces of the {name} cannot be created");
        Ok(Self {
            name,
            first,
            pid,
            folder,
        })
    }

    /// Puts a shell script first in the search path of the machine.
    ///
    /// # Errors
    /// The script cannot be written.
    pub(super) fn put_program(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder.join("first");
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Replaces a folder by another one, on this machine only.
    ///
    /// # Errors
    /// The folder cannot be mounted.
    pub(super) fn replace(&self, folder: &Path, by: &Path) -> Result<()> {
        self.run(&format!("mount --bind '{}' '{}'", by.display(), folder.display()))
            .map(drop)
    }

    /// Connects two machines with a pair of veth devices, which get these addresses.
    ///
    /// # Errors
    /// A command of `ip` fails.
    pub(super) fn join(&self, address: &str, other: &Self, others: &str) -> Result<()> {
        // This runs outside of the machines, because processes have other numbers inside.
        let (this, that) = (&self.pid, &other.pid);
        let line = format!("link add cable netns {this} type veth peer name cable netns {that}");
        shell::read(&mut shell::command("ip", &line))?;
        for (machine, address) in [(self, address), (other, others)] {
            machine.run(&format!(
                "ip address add {address} dev cable && ip link set cable up"
            ))?;
        }
        Ok(())
    }

    /// A command that runs on this machine, in the root of the checkout.
    pub(super) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let first = self.folder.join("first");
        let mut command = shell::command("nsenter", "");
        command
            .args(["--target", &self.pid, "--mount", "--net", "--pid"])
            .args(["sh", "-c", "cd \"$0\" && exec \"$@\""])
            .arg(shell::root())
            .arg(program)
            .args(arguments)
            .env("PATH", format!("{}:/usr/local/bin:{path}", first.display()));
        command
    }

    /// Runs a shell command and returns its standard output.
    ///
    /// # Errors
    /// The command fails.
    pub(super) fn run(&self, line: &str) -> Result<String> {
        shell::read(&mut self.command("sh", &["-c", line]))
    }

    /// Number of bytes that the tunnel's device has received; none if there is no device.
    ///
    /// # Errors
    /// The table of devices cannot be read.
    pub(super) fn tunnel_bytes(&self) -> Result<Option<u64>> {
        let table = self.run("cat /proc/net/dev")?;
        let line = table
            .lines()
            .find_map(|line| line.trim().strip_prefix("sandhog0:"));
        Ok(line.and_then(|line| line.split_whitespace().next()?.parse().ok()))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // At the end of its standard input, the first process ends, and with it the machine.
        drop(self.first.stdin.take());
        let _ = self.first.wait();
    }
}
