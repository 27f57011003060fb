//! The way from two machines to a tunnel, as README.md has people type it: typed here, on two machines of our own that a cable
//! joins, word for word.
//!
//! `sudo` is a program that does nothing, because root types; `scp` copies from the other machine's folder, because no server
//! for it runs there. Everything else is what a person would have.

mod machine;
mod page;
mod terminal;

use std::{fs, path::Path};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    machine::Machine,
    page::{Block, Line, Place},
    terminal::Terminal,
};
use crate::{shell, step::Session};

/// Where the server's machine is, by the name that the page gives it.
const SERVER: &str = "198.18.0.1";
/// The server's address in the tunnel.
const INNER: &str = "10.9.0.1";

/// Types all of it.
///
/// # Errors
/// A command does not do what the page says; the error has its line and what it printed.
pub(crate) fn check(_: &Session) -> Result<()> {
    let page = fs::read_to_string(shell::root().join("README.md")).context("cannot read README.md")?;
    let blocks = page::blocks(&page)?;
    // The machines have no way to the Internet, where what is compiled may come from. There it is found done.
    for line in blocks.iter().flat_map(|block| &block.lines) {
        if let Some(words) = line.text.strip_prefix("cargo ") {
            shell::run(&mut shell::cargo(words))?;
        }
    }
    let mut walk = Walk::new(&shell::scratch("readme")?)?;
    for block in &blocks {
        walk.follow(block)?;
    }
    walk.end()
}

/// Both machines, and what runs on them.
struct Walk {
    /// The tunnel's programs, and others in windows of their own.
    windows: Vec<Window>,
    server: Machine,
    client: Machine,
    /// How often a tunnel was taken down.
    ends: usize,
}

/// A window in which a command goes on running.
struct Window {
    machine: &'static str,
    line: Line,
    terminal: Terminal,
}

impl Walk {
    fn new(folder: &Path) -> Result<Self> {
        let server = Machine::new("server", folder, "")?;
        let client = Machine::new("client", folder, &format!("{SERVER} vpn.example.com"))?;
        for machine in [&server, &client] {
            machine.put_program("sudo", "exec \"$@\"")?;
        }
        client.put_program("scp", &copy_from(&folder.join("server")))?;
        server.join(&format!("{SERVER}/24"), &client, "198.18.0.2/24")?;
        Ok(Self {
            windows: Vec::new(),
            server,
            client,
            ends: 0,
        })
    }

    fn follow(&mut self, block: &Block) -> Result<()> {
        let mut printed = String::new();
        for line in &block.lines {
            for machine in self.machines(block.place) {
                let at = || {
                    format!(
                        "README.md:{}: `{}` on the {}",
                        line.number, line.text, machine.name
                    )
                };
                println!("{}: {}", machine.name, line.text);
                match &block.stays_after {
                    Some(sign) => {
                        let terminal = Terminal::type_line(machine, &line.text)?;
                        terminal.wait_for(sign).with_context(at)?;
                        self.windows.push(Window {
                            machine: machine.name,
                            line: line.clone(),
                            terminal,
                        });
                        break;
                    }
                    None => printed += &self.type_to_the_end(machine, &line.text).with_context(at)?,
                }
            }
            if line.text.contains("sandhog down") {
                self.has_ended(block.place)
                    .with_context(|| format!("README.md:{}", line.number))?;
            }
        }
        if let Some(missing) = block.missing_in(&printed) {
            bail!(
                "README.md:{}: `{}` is not printed, but:\n{printed}",
                missing.number,
                missing.text
            );
        }
        Ok(())
    }

    fn machines(&self, place: Place) -> Vec<&Machine> {
        match place {
            Place::Server => vec![&self.server],
            Place::Client => vec![&self.client],
            Place::Both => vec![&self.client, &self.server],
        }
    }

    /// Types a line, which must end well, and gives what it prints. What goes to the server's address in the tunnel must have
    /// its answer from the tunnel's device.
    fn type_to_the_end(&self, machine: &Machine, line: &str) -> Result<String> {
        let before = machine.tunnel_bytes()?;
        let (status, printed) = Terminal::type_line(machine, line)?.wait()?;
        ensure!(
            status.success(),
            "it has ended with {status} and said:\n{printed}"
        );
        if line.contains(INNER) {
            ensure!(
                machine.tunnel_bytes()? > before,
                "nothing has come through the tunnel; it says:\n{printed}"
            );
        }
        Ok(printed)
    }

    /// After a `down`: the program has ended well, and device and record are gone.
    fn has_ended(&mut self, place: Place) -> Result<()> {
        let names: Vec<_> = self.machines(place).iter().map(|machine| machine.name).collect();
        let is_meant = |window: &mut Window| {
            names.contains(&window.machine) && window.line.text.starts_with("sudo sandhog ")
        };
        for window in self.windows.extract_if(.., is_meant).collect::<Vec<_>>() {
            let Line { number, text } = window.line;
            let (status, printed) = window.terminal.wait()?;
            ensure!(
                status.success(),
                "`{text}` of line {number} has ended with {status} and said:\n{printed}"
            );
            self.ends += 1;
        }
        for machine in self.machines(place) {
            let name = machine.name;
            ensure!(
                machine.tunnel_bytes()?.is_none(),
                "the {name} still has its device"
            );
            let left = machine.run("ls /run/sandhog")?;
            ensure!(left.is_empty(), "on the {name} there is left: {left}");
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        ensure!(
            self.ends == 2,
            "the page starts and ends {} tunnels, not one on each machine",
            self.ends
        );
        Ok(())
    }
}

/// A program for `scp`, which takes files of vpn.example.com out of the folder that has its /etc.
fn copy_from(server: &Path) -> String {
    format!(
        r#"set -e
for last; do :; done
while [ $# -gt 1 ]; do
    case $1 in
    root@vpn.example.com:/etc/*) getent hosts vpn.example.com | grep -q '^{SERVER} ' && cp -p "{}${{1#*:}}" "$last" ;;
    *) echo "this machine cannot copy $1" >&2; exit 1 ;;
    esac
    shift
done"#,
        server.display()
    )
}
