//! A machine of one's own: namespaces for network, mounts and processes, with an /etc, a /run and an /usr/local/bin apart.
//!
//! Everything in it goes when its first process does, and that one ends with this program, however that ends.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

use crate::shell;

/// What the first process does. Entries of /etc and /usr/local/bin lead to the machine's own, but for those that are made here.
const FIRST: &str = r#"
read pid rest < /proc/self/stat
apart() {
    mkdir -p "$1$2" "$1/own$2"
    mount --bind "$2" "$1/own$2"
    for entry in "$2"/*; do ln -s "$1/own$entry" "$1$2"; done
    mount --bind "$1$2" "$2"
}
apart "$1" /etc
apart "$1" /usr/local/bin
rm -f /etc/sandhog /etc/hosts /usr/local/bin/sandhog
printf '127.0.0.1 localhost\n%s\n' "$2" > /etc/hosts
mount -t proc proc /proc
mount -t tmpfs tmpfs /run
ip link set lo up
echo "$pid"
exec cat
"#;

/// One of the two machines.
pub(super) struct Machine {
    /// What it is called in messages.
    pub(super) name: &'static str,
    first: Child,
    pid: String,
    folder: PathBuf,
}

impl Machine {
    /// Makes one whose /etc is a folder below `folder`. `hosts` is a line of its /etc/hosts.
    ///
    /// # Errors
    /// This machine does not let it be made.
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
        BufReader::new(first.stdout.take().context("a pipe")?).read_line(&mut pid)?;
        let pid = pid.trim().to_owned();
        ensure!(!pid.is_empty(), "no namespaces can be had for the {name}");
        Ok(Self {
            name,
            first,
            pid,
            folder,
        })
    }

    /// Puts a program of this text first in its search path.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn put_program(&self, name: &str, text: &str) -> Result<()> {
        let folder = self.folder.join("first");
        fs::create_dir_all(&folder)?;
        let path = folder.join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n"))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(())
    }

    /// Joins two machines by a cable, with these addresses at its ends.
    ///
    /// # Errors
    /// `ip` says why not.
    pub(super) fn join(&self, address: &str, other: &Self, others: &str) -> Result<()> {
        // From outside: in their own namespaces processes have other numbers.
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

    /// A command line of this machine, to be started from the root of the checkout.
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

    /// Runs a line of the shell to its end, which must be a good one, and gives what it printed.
    ///
    /// # Errors
    /// It ends badly.
    pub(super) fn run(&self, line: &str) -> Result<String> {
        shell::read(&mut self.command("sh", &["-c", line]))
    }

    /// What has come through the tunnel's device, in bytes; `None` if there is no such device.
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
        // Its standard input ends, and with it the first process and everything else there.
        drop(self.first.stdin.take());
        let _ = self.first.wait();
    }
}
