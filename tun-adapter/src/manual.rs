//! Manual pages and shell completions, generated from the command-line definition.

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli::{Cli, WARNING};
use crate::exit_codes::exit_codes;
use crate::failure::Failure;

/// Name of the program and of its main page.
const PROGRAM: &str = "sandhog";
/// Manual section of user commands.
const SECTION: &str = "1";

/// An entry that appears on the pages of several commands.
struct Topic {
    name: &'static str,
    text: &'static str,
    /// The pages with this entry. The main page has all entries.
    pages: &'static [&'static str],
}

const ENVIRONMENT: [Topic; 5] = [
    Topic {
        name: "SANDHOG_PASSWORD",
        text: "A client's password. It has priority over files. Anyone who may inspect the process can see its environment. \
               Child processes do not get it.",
        pages: &["sandhog-client", "sandhog-passwd"],
    },
    Topic {
        name: "RUNTIME_DIRECTORY",
        text: "The folder for runtime files, instead of /run/sandhog. A service manager sets it. It must be the same for a \
               tunnel and for the commands that query it.",
        pages: &[
            "sandhog-server",
            "sandhog-client",
            "sandhog-down",
            "sandhog-status",
            "sandhog-reload",
            "sandhog-forget",
        ],
    },
    Topic {
        name: "STATE_DIRECTORY",
        text: "The folder for the tickets of a client, instead of /var/lib/sandhog. A service manager sets it. Without it, \
               RUNTIME_DIRECTORY is used if it is set.",
        pages: &["sandhog-client", "sandhog-passwd"],
    },
    Topic {
        name: "CREDENTIALS_DIRECTORY",
        text: "The folder with the credentials of the service manager. In a configuration file, the path `credential:NAME` \
               is the file NAME in this folder. The credential `sandhog.password` is a client's password.",
        pages: &[
            "sandhog-server",
            "sandhog-client",
            "sandhog-passwd",
            "sandhog-check",
        ],
    },
    Topic {
        name: "NOTIFY_SOCKET, WATCHDOG_USEC",
        text: "Socket and interval for reports to the service manager: the tunnel is up, and its main loop runs.",
        pages: &["sandhog-server", "sandhog-client"],
    },
];

const FILES: [Topic; 7] = [
    Topic {
        name: "/etc/sandhog",
        text: "Configuration files, keys and users. Only root can read them. `sandhog init --folder /etc/sandhog` creates \
               them. The systemd units `sandhog-server@NAME` and `sandhog-client@NAME` use NAME.toml in this folder.",
        pages: &["sandhog-init", "sandhog-server", "sandhog-client"],
    },
    Topic {
        name: "/etc/sandhog/sandhog.setup",
        text: "The server's own secrets: its keys, and its part of all passwords. Without it no user can ever log in again, so back \
               it up.",
        pages: &["sandhog-init", "sandhog-profile", "sandhog-server"],
    },
    Topic {
        name: "/etc/sandhog/users",
        text: "The users. Changes replace the whole file, under a lock.",
        pages: &[
            "sandhog-server",
            "sandhog-user",
            "sandhog-user-add",
            "sandhog-user-passwd",
            "sandhog-user-list",
            "sandhog-user-disable",
            "sandhog-user-enable",
            "sandhog-user-unlock",
            "sandhog-user-remove",
        ],
    },
    Topic {
        name: "/var/lib/sandhog/*.ticket",
        text: "The ticket of the latest login, one file for each user and server. A login with a ticket does not wait because of \
               other people's attempts.",
        pages: &["sandhog-client", "sandhog-passwd"],
    },
    Topic {
        name: "/run/sandhog/DEVICE.json",
        text: "The changes that the tunnel with this device has made on the machine. A normal end undoes them. After a \
               crash, `sandhog down` or the next start undoes them.",
        pages: &["sandhog-server", "sandhog-client", "sandhog-down"],
    },
    Topic {
        name: "/run/sandhog/DEVICE.sock",
        text: "The control socket of the tunnel with this device. Only its owner can connect.",
        pages: &[
            "sandhog-server",
            "sandhog-client",
            "sandhog-status",
            "sandhog-reload",
            "sandhog-forget",
        ],
    },
    Topic {
        name: "/etc/resolv.conf.sandhog-DEVICE",
        text: "The original /etc/resolv.conf, on machines without systemd-resolved and resolvconf.",
        pages: &["sandhog-client", "sandhog-down"],
    },
];

/// The example on the main page: how to set up a tunnel.
const EXAMPLE: [&str; 7] = [
    "# On the server: create keys, configuration and a user, then start.",
    "sandhog init --folder /etc/sandhog --server vpn.example.com:40404",
    "sandhog user add --config /etc/sandhog/server.toml kean",
    "sandhog profile --config /etc/sandhog/server.toml --server vpn.example.com:40404 kean > client.toml",
    "sandhog server --config /etc/sandhog/server.toml",
    "# On the client, with copies of client.toml and sandhog.key:",
    "sandhog client --config client.toml",
];

/// Related pages of other programs, for the main page.
const RELATED: &str = "systemctl(1), systemd.exec(5), resolvectl(1), nft(8), ip(8)";
/// Pages with the warning about the classic profile: those of the commands that can start it.
const STARTERS: [&str; 4] = [PROGRAM, "sandhog-server", "sandhog-client", "sandhog-passwd"];
/// The documentation in the Debian package.
const DOCUMENTATION: &str = "The documentation is in /usr/share/doc/sandhog. docs/running.md explains every command and every key of \
                             the configuration files. SECURITY.md explains which attacks the tunnel resists and which it does not.";

/// Prints the completions for a shell.
///
/// # Errors
///
/// If they cannot be printed. A closed pipe is not an error.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), PROGRAM, &mut script);
    print(&script)
}

/// Writes the pages of all commands into `folder`, or prints the main page.
///
/// # Errors
///
/// If the folder or a page cannot be created, or the page cannot be printed. A closed pipe is not an error.
pub(crate) fn man(folder: Option<&Path>) -> Result<(), Failure> {
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let Some(folder) = folder else {
        return print(page(&program, &[]).text.as_bytes());
    };
    let mut pages = vec![page(&program, &[])];
    add_subcommand_pages(&program, &mut pages);
    fs::create_dir_all(folder).map_err(|error| Failure::folder(folder, &error))?;
    let mut names = Vec::new();
    for page in pages {
        let path = folder.join(&page.file);
        fs::write(&path, page.text)
            .map_err(|error| Failure::runtime(format_args!("write {}", path.display()), error))?;
        names.push(page.file);
    }
    print(format!("created in {}: {}\n", folder.display(), names.join(", ")).as_bytes())
}

/// Prints to standard output. A closed pipe is not an error.
fn print(text: &[u8]) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::runtime("write to standard output", error))
        }
        _ => Ok(()),
    }
}

/// A manual page.
struct Page {
    /// `sandhog-user-add.1`
    file: String,
    text: String,
}

/// Adds the pages of all subcommands of `command`. Each command comes before its own subcommands.
fn add_subcommand_pages(command: &clap::Command, pages: &mut Vec<Page>) {
    let names: Vec<_> = command.get_subcommands().map(page_name).collect();
    for below in command.get_subcommands() {
        // Pages of one group refer to each other. The main page lists the commands of the program anyway.
        let others: Vec<_> = match page_name(command).as_str() {
            PROGRAM => Vec::new(),
            group => {
                let others = names.iter().filter(|name| **name != page_name(below));
                std::iter::once(group.to_owned()).chain(others.cloned()).collect()
            }
        };
        pages.push(page(below, &others));
        add_subcommand_pages(below, pages);
    }
}

/// The name of a command's page: `sandhog-user-add`.
fn page_name(command: &clap::Command) -> String {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned()
}

/// The page of a command after `build`. `others` are the other pages of its group.
fn page(command: &clap::Command, others: &[String]) -> Page {
    let name = page_name(command);
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    let starts_tunnels = STARTERS.contains(&name.as_str());
    // The text below `--help` has its own sections here, and the version is in the footer.
    let bare = command
        .clone()
        .override_usage(usage)
        .after_help(None::<&str>)
        .version(None::<&str>);
    let man = Man::new(bare)
        .section(SECTION)
        .source(format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")))
        .manual("Sandhog");
    let mut text = Vec::new();
    man.render(&mut text).expect("writing into memory does not fail");
    let mut text = String::from_utf8(text).expect("the texts of this program are UTF-8");

    let mut rest = Roff::new();
    add_exit_codes(&mut rest, &name);
    add_topics(&mut rest, "ENVIRONMENT", &ENVIRONMENT, &name);
    add_topics(&mut rest, "FILES", &FILES, &name);
    if name == PROGRAM {
        add_example(&mut rest);
    }
    if starts_tunnels {
        rest.control("SH", ["CAVEATS"]).text([roman(WARNING)]);
    }
    add_related(&mut rest, &name, others);
    text.push_str(&rest.to_roff());
    Page {
        file: format!("{name}.{SECTION}"),
        text: text
            .lines()
            .map(|line| {
                if line.starts_with(".TH ") {
                    title(&name)
                } else {
                    bold_code(line)
                }
            })
            .collect(),
    }
}

/// The title line of a page. It has no date, so that the same program always produces the same page. The
/// library would omit the empty field.
fn title(name: &str) -> String {
    let version = env!("CARGO_PKG_VERSION");
    format!(
        ".TH {} {SECTION} \"\" \"{PROGRAM} {version}\" \"Sandhog Manual\"\n",
        name.to_uppercase()
    )
}

/// Adds the exit codes of the command with the page `name`.
fn add_exit_codes(page: &mut Roff, name: &str) {
    page.control("SH", ["EXIT STATUS"]);
    let words = name.strip_prefix(PROGRAM).unwrap_or(name);
    let command = words.strip_prefix('-').unwrap_or(words);
    // The name of a subcommand follows that of its group.
    let command = command.strip_prefix("user-").map_or(command, |_| "user");
    for (code, meaning) in exit_codes(command) {
        page.control("TP", [])
            .text([bold(code.to_string())])
            .text([roman(meaning)]);
    }
}

fn add_topics(page: &mut Roff, heading: &str, topics: &[Topic], name: &str) {
    let here = |topic: &&Topic| name == PROGRAM || topic.pages.contains(&name);
    for (index, topic) in topics.iter().filter(here).enumerate() {
        if index == 0 {
            page.control("SH", [heading]);
        }
        page.control("TP", [])
            .text([bold(topic.name)])
            .text([roman(topic.text)]);
    }
}

fn add_example(page: &mut Roff) {
    page.control("SH", ["EXAMPLES"]).control("EX", []);
    for line in EXAMPLE {
        page.text([roman(line)]);
    }
    page.control("EE", []);
}

fn add_related(page: &mut Roff, name: &str, others: &[String]) {
    let related = if name == PROGRAM {
        RELATED.to_owned()
    } else {
        let names = std::iter::once(PROGRAM).chain(others.iter().map(String::as_str));
        let names: Vec<_> = names.map(|name| format!("{name}({SECTION})")).collect();
        names.join(", ")
    };
    page.control("SH", ["SEE ALSO"])
        .text([roman(related)])
        .control("PP", [])
        .text([roman(DOCUMENTATION)]);
}

/// Replaces backquotes in a line by bold type. `man` would show them as quotation marks.
fn bold_code(line: &str) -> String {
    let mut pieces = line.split('`');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (index, piece) in pieces.enumerate() {
        text.push_str(if index % 2 == 0 { "\\fB" } else { "\\fR" });
        text.push_str(piece);
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_backquotes_becomes_bold() {
        assert_eq!(
            bold_code("see `sandhog down` and `--help`"),
            "see \\fBsandhog down\\fR and \\fB--help\\fR\n"
        );
        assert_eq!(bold_code("nothing"), "nothing\n");
    }

    #[test]
    fn every_topic_names_existing_pages() {
        let mut program = Cli::command().disable_help_subcommand(true);
        program.build();
        let mut pages = Vec::new();
        add_subcommand_pages(&program, &mut pages);
        for topic in ENVIRONMENT.iter().chain(&FILES) {
            for name in topic.pages {
                let file = format!("{name}.{SECTION}");
                assert!(
                    pages.iter().any(|page| page.file == file),
                    "{}: {file}",
                    topic.name
                );
            }
        }
    }

    #[test]
    fn the_listed_exit_codes_are_those_of_the_program() {
        use crate::failure::Exit;
        let ends = [
            Exit::Runtime,
            Exit::Input,
            Exit::Rejected,
            Exit::TimedOut,
            Exit::Replaced,
        ];
        let codes = std::iter::once(0).chain(ends.map(|exit| exit as u8));
        assert!(codes.eq(exit_codes("").into_iter().map(|(code, _)| code)));
    }
}
