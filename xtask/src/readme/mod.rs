//! Commands of README.md for two Linux machines, typed word for word on two test machines that a cable connects.
//!
//! Three programs are replaced. `sudo` only runs its arguments, because root types. `scp` copies from the folder of the other
//! machine, because no server for it runs there. `cargo` accepts the release build of the page, and the program of the shared
//! build is used in its place. All other programs are those of the real machine.

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
use crate::{shell, step::Session, workspace};

/// Address of the server's machine, for the name that the page uses.
const SERVER: &str = "198.18.0.1";
/// The server's address in the tunnel.
const INNER: &str = "10.9.0.1";

/// Arguments of `cargo` for the release build of the program, as the page shows them.
const RELEASE_BUILD: &str = "build --release --package sandhog";

/// Types all commands of the page.
///
/// # Errors
/// A command has another result than on the page. The error has its line and its output.
pub(crate) fn check(_: &Session) -> Result<()> {
    let page = fs::read_to_string(shell::root().join("README.md")).context("cannot read README.md")?;
    let blocks = page::blocks(&page)?;
    let program = workspace::build_program("sandhog")?;
    let mut walk = Walk::new(&shell::scratch("readme")?, &program)?;
    for block in &blocks {
        walk.follow(block)?;
    }
    walk.end()
}

/// Both machines, and the programs that run on them.
struct Walk {
    /// Programs that go on running: the tunnel's, and others.
    windows: Vec<Window>,
    server: Machine,
    client: Machine,
    /// Number of tunnel programs that were stopped.
    ends: usize,
}

/// A window in which a command goes on running.
struct Window {
    machine: &'static str,
    line: Line,
    terminal: Terminal,
}

impl Walk {
    fn new(folder: &Path, program: &Path) -> Result<Self> {
        let (release, replacement) = (shell::root().join("target/release"), folder.join("release"));
        fs::create_dir_all(&release)?;
        fs::create_dir_all(&replacement)?;
        fs::copy(program, replacement.join("sandhog"))?;
        let server = Machine::new("server", folder, "")?;
        let client = Machine::new("client", folder, &format!("{SERVER} vpn.example.com"))?;
        for machine in [&server, &client] {
            machine.put_program("sudo", "exec \"$@\"")?;
            machine.put_program("cargo", &only_accepts(RELEASE_BUILD))?;
            machine.replace(&release, &replacement)?;
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
                "README.md:{}: `{}` is not printed. The output:\n{printed}",
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

    /// Types a line, which must succeed, and returns its output. If the line contains the server's address in the tunnel, the
    /// tunnel's device must have received something.
    fn type_to_the_end(&self, machine: &Machine, line: &str) -> Result<String> {
        let before = machine.tunnel_bytes()?;
        let (status, printed) = Terminal::type_line(machine, line)?.wait()?;
        ensure!(
            status.success(),
            "it has ended with {status}. Its output:\n{printed}"
        );
        if line.contains(INNER) {
            ensure!(
                machine.tunnel_bytes()? > before,
                "nothing has come through the tunnel. The output:\n{printed}"
            );
        }
        Ok(printed)
    }

    /// Checks after `down` that the program has succeeded, and that the device and the record of changes are removed.
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
                "`{text}` of line {number} has ended with {status}. Its output:\n{printed}"
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
            ensure!(left.is_empty(), "the {name} still has these files: {left}");
        }
        Ok(())
    }

    fn end(self) -> Result<()> {
        ensure!(
            self.ends == 2,
            "the page stops {} tunnels, and not one on each machine",
            self.ends
        );
        Ok(())
    }
}

/// A script for `cargo`, which accepts these arguments only and does nothing.
fn only_accepts(arguments: &str) -> String {
    format!(
        r#"[ "$*" = "{arguments}" ] || {{ echo "the step readme knows only: cargo {arguments}" >&2; exit 1; }}"#
    )
}

/// A script for `scp`, which takes the files of vpn.example.com from the folder with the server's /etc.
fn copy_from(server: &Path) -> String {
    format!(
        r#"set -e
for last; do :; done
while [ $# -gt 1 ]; do
    case $1 in
    root@vpn.example.com:/etc/*) getent hosts vpn.example.com | grep -q '^{SERVER} ' && cp -p "{}${{1#*:}}" "$last" ;;
    *) echo "the step readme cannot copy $1" >&2; exit 1 ;;
    esac
    shift
done"#,
        server.display()
    )
}
