//! Manual pages and shell completions.

use std::collections::BTreeMap;
use std::fs;
use std::io::pipe;
use std::path::Path;
use std::process::Command;

use clap::CommandFactory;
use sandhog::cli::Cli;

use crate::support::{Folder, command, sandhog, text};

const SHELLS: [&str; 5] = ["bash", "elvish", "fish", "powershell", "zsh"];

/// The names of all commands and their options, as `sandhog user add` and `--address`.
fn commands() -> BTreeMap<String, Vec<String>> {
    fn add(command: &clap::Command, found: &mut BTreeMap<String, Vec<String>>) {
        let options = command.get_arguments().filter_map(clap::Arg::get_long);
        let name = command.get_bin_name().unwrap_or_else(|| command.get_name());
        found.insert(
            name.to_owned(),
            options.map(|option| format!("--{option}")).collect(),
        );
        for below in command.get_subcommands() {
            add(below, found);
        }
    }
    let mut program = Cli::command().disable_help_subcommand(true);
    program.build();
    let mut found = BTreeMap::new();
    add(&program, &mut found);
    found
}

/// All pages by name, in roff format.
fn pages() -> BTreeMap<String, String> {
    let folder = Folder::new();
    let output = sandhog(&["man", "--folder", &folder.name("made/man1")], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pages = fs::read_dir(folder.path("made/man1")).expect("the folder was made");
    pages
        .map(|page| {
            let page = page.expect("an entry").path();
            let name = page.file_name().expect("a name").to_str().expect("UTF-8");
            (name.to_owned(), fs::read_to_string(&page).expect("a page"))
        })
        .collect()
}

fn completions(shell: &str) -> String {
    let output = sandhog(&["completions", shell], "");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn every_command_has_exactly_one_page() {
    let expected: Vec<_> = commands()
        .into_keys()
        .map(|name| format!("{}.1", name.replace(' ', "-")))
        .collect();
    assert!(expected.contains(&"sandhog-user-add.1".to_owned()));
    let mut found: Vec<_> = pages().into_keys().collect();
    found.sort_by_key(|name| expected.iter().position(|other| other == name));
    assert_eq!(found, expected);
}

#[test]
fn every_option_is_on_the_page_of_its_command() {
    let pages = pages();
    for (command, options) in commands() {
        let page = &pages[&format!("{}.1", command.replace(' ', "-"))];
        for option in options {
            let entry = option.replace('-', "\\-");
            assert!(page.contains(&entry), "{command} {option}: {page}");
        }
    }
}

#[test]
fn the_main_page_lists_exit_codes_files_and_environment() {
    let page = &pages()["sandhog.1"];
    let words = [
        ".SH \"EXIT STATUS\"",
        "\\fB4\\fR\nthe server did not answer in time\n",
        ".SH ENVIRONMENT",
        "SANDHOG_PASSWORD",
        "RUNTIME_DIRECTORY",
        "CREDENTIALS_DIRECTORY",
        ".SH FILES",
        "/etc/sandhog\\fR",
        "/run/sandhog/DEVICE.sock",
        "is INSECURE",
        ".SH \"SEE ALSO\"",
    ];
    for word in words {
        assert!(page.contains(word), "{word}: {page}");
    }
}

#[test]
fn only_pages_of_commands_that_log_in_list_codes_above_2() {
    let pages = pages();
    for name in ["sandhog-client.1", "sandhog-passwd.1"] {
        assert!(pages[name].contains("\\fB5\\fR\n"), "{name}");
    }
    for name in ["sandhog-check.1", "sandhog-user-add.1", "sandhog-server.1"] {
        assert!(pages[name].contains("\\fB2\\fR\n") && !pages[name].contains("\\fB3\\fR\n"));
    }
}

#[test]
fn pages_are_reproducible_and_have_no_date() {
    let first = pages();
    assert_eq!(first, pages());
    for (name, page) in first {
        let title = page
            .lines()
            .find(|line| line.starts_with(".TH "))
            .expect("a title");
        let command = name.trim_end_matches(".1").to_uppercase();
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(
            title,
            format!(".TH {command} 1 \"\" \"sandhog {version}\" \"Sandhog Manual\"")
        );
    }
}

#[test]
fn man_without_a_folder_prints_the_main_page() {
    let output = sandhog(&["man"], "");
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(text(&output.stdout), pages()["sandhog.1"]);
}

#[test]
fn a_folder_that_cannot_be_created_exits_with_1_and_is_named() {
    let folder = Folder::new();
    folder.write("file", "");
    let output = sandhog(&["man", "--folder", &folder.name("file/man1")], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        folder.strip(&text(&output.stderr)),
        "error: cannot create the folder file/man1: Not a directory (os error 20)\n\
         help: a file has the name of the folder, or of a folder above it; choose another one with `--folder`\n"
    );
}

#[test]
fn a_page_that_cannot_be_written_exits_with_1_and_is_named() {
    let folder = Folder::new();
    fs::create_dir(folder.path("sandhog.1")).expect("the test folder");
    let output = sandhog(&["man", "--folder", &folder.name(".")], "");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        folder.strip(&text(&output.stderr)),
        "error: cannot write ./sandhog.1: Is a directory (os error 21)\n"
    );
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    for arguments in [&["completions", "bash"][..], &["man"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output = command(arguments).stdout(writer).output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_full_disk_is_an_error() {
    let full = fs::File::create("/dev/full").expect("every Linux has it");
    let output = command(&["completions", "zsh"])
        .stdout(full)
        .output()
        .expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: cannot write to standard output: No space left on device (os error 28)\n"
    );
}

#[test]
fn completions_of_every_shell_contain_every_command_and_option() {
    for shell in SHELLS {
        let script = completions(shell);
        for (command, options) in commands() {
            let last = command.split(' ').next_back().expect("a name");
            assert!(script.contains(last), "{shell}: {command}");
            for option in options {
                // Completions of fish list options without dashes.
                let word = option.trim_start_matches('-');
                assert!(script.contains(word), "{shell}: {command} {option}");
            }
        }
    }
}

#[test]
fn an_unknown_shell_is_rejected_with_the_list_of_valid_ones() {
    let output = sandhog(&["completions", "tcsh"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains(&format!("[possible values: {}]", SHELLS.join(", "))));
}

#[test]
fn bash_accepts_its_completions() {
    let folder = Folder::new();
    folder.write("sandhog", &completions("bash"));
    let output = Command::new("bash")
        .arg("-n")
        .arg(folder.path("sandhog"))
        .output();
    let output = output.expect("bash is installed");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = Folder::new();
    folder.write("sandhog", &completions("bash"));
    for (line, expected) in [
        ("sandhog us", "user"),
        ("sandhog user unl", "unlock"),
        ("sandhog user add --max", "--max-sessions"),
        ("sandhog completions fi", "fish"),
    ] {
        let script = "source \"$1\"; COMP_WORDS=($2); COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
            _sandhog sandhog \"${COMP_WORDS[-1]}\" \"${COMP_WORDS[-2]}\"; echo \"${COMPREPLY[@]}\"";
        let output = Command::new("bash")
            .args(["-c", script, "bash", &folder.name("sandhog"), line])
            .output()
            .expect("bash is installed");
        assert_eq!(
            text(&output.stdout),
            format!("{expected}\n"),
            "{line}: {}",
            text(&output.stderr)
        );
    }
}

#[test]
fn the_pages_named_in_the_systemd_units_exist() {
    let pages = pages();
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let mut named = 0;
    for unit in fs::read_dir(units).expect("the folder of units") {
        let unit = fs::read_to_string(unit.expect("an entry").path()).expect("a unit");
        let lines = unit
            .lines()
            .filter_map(|line| line.strip_prefix("Documentation=man:"));
        for page in lines {
            let file = page.replace('(', ".").replace(')', "");
            assert!(pages.contains_key(&file), "{page}");
            named += 1;
        }
    }
    assert_eq!(named, 2);
}
