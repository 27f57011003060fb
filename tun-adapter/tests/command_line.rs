//! Command line of the program: exit codes, messages, and commands that need no root.

use std::fs;
use std::net::UdpSocket;

use clap::CommandFactory;
use sandhog::cli::Cli;

use crate::support::{Folder, KEY, sandhog, server_key_line, text};

#[test]
fn help_lists_the_exit_codes_and_warns_of_the_classic_profile() {
    for arguments in [&["--help"][..], &["client", "--help"]] {
        let output = sandhog(arguments, "");
        let help = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0));
        assert!(help.contains("  4  the server did not answer in time"), "{help}");
        assert!(help.contains("The profile `classic` is INSECURE"), "{help}");
    }
}

#[test]
fn help_of_a_command_lists_only_its_own_exit_codes() {
    for command in [
        "down", "status", "doctor", "reload", "forget", "check", "init", "man", "user add",
    ] {
        let words: Vec<_> = command.split(' ').chain(["--help"]).collect();
        let help = text(&sandhog(&words, "").stdout);
        let (_, codes) = help.split_once("Exit codes:\n").expect("a list of exit codes");
        let codes: Vec<_> = codes
            .lines()
            .filter_map(|line| line.trim_start().split_once("  "))
            .map(|(code, _)| code)
            .collect();
        assert_eq!(codes, ["0", "1", "2"], "{command}: {help}");
    }
}

#[test]
fn a_folder_below_a_file_is_explained() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("the test folder");
    let below = file.join("x");
    let below = below.to_str().expect("a UTF-8 path");
    for arguments in [&["init", "--folder", below][..], &["man", "--folder", below]] {
        let output = sandhog(arguments, "");
        assert_eq!(output.status.code(), Some(1));
        let error = text(&output.stderr);
        assert!(
            error.contains(&format!("error: cannot create the folder {below}: ")),
            "{error}"
        );
        assert!(
            error.contains("help: a file has the name of the folder"),
            "{error}"
        );
    }
}

#[test]
fn a_clients_file_is_named_by_the_commands_for_users() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("client.toml");
    fs::write(&path, "server = \"vpn.example.com:40404\"\n").expect("the test folder");
    let path = path.to_str().expect("a UTF-8 path");
    let output = sandhog(&["user", "list", "--config", path], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        format!(
            "error: {path} is a client's file\n\
             help: the users belong to the server; name the server's file, for example `server.toml`\n"
        )
    );
}

/// The command line of each command with `--help`.
fn help_of_all_commands() -> Vec<Vec<String>> {
    fn add(command: &clap::Command, path: &[String], found: &mut Vec<Vec<String>>) {
        found.push([path, &["--help".to_owned()]].concat());
        for below in command
            .get_subcommands()
            .filter(|below| below.get_name() != "help")
        {
            add(below, &[path, &[below.get_name().to_owned()]].concat(), found);
        }
    }
    let mut found = Vec::new();
    add(&Cli::command(), &[], &mut found);
    found
}

#[test]
fn help_is_at_most_80_columns_wide_and_lists_global_options_last() {
    let commands = help_of_all_commands();
    assert!(commands.len() > 15, "{commands:?}");
    for arguments in commands {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let help = text(&sandhog(&arguments, "").stdout);
        for line in help.lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
        let (own, global) = help
            .split_once("\nGlobal options:\n")
            .expect("every command has global options");
        assert!(
            global.contains("--verbose") && global.contains("--log-format"),
            "{help}"
        );
        assert!(!own.contains("--verbose"), "{help}");
        assert!(!global.contains("--config"), "{help}");
    }
}

#[test]
fn a_bad_command_line_exits_with_2_and_suggests_a_command() {
    let output = sandhog(&["sever", "--config", "x"], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("similar subcommands exist: 'user', 'server'"));
}

#[test]
fn a_missing_file_exits_with_2_and_is_named() {
    let output = sandhog(&["client", "--config", "nowhere.toml"], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        text(&output.stderr),
        "error: cannot read nowhere.toml: No such file or directory (os error 2)\n\
         help: check the path; `sandhog init` creates the files of a new server\n"
    );
}

#[test]
fn a_port_in_use_exits_with_1_and_the_insecure_profile_is_labelled() {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("server.toml");
    let hash = text(&sandhog(&["hash-password"], "correct horse\n").stdout);
    let configuration = format!(
        "profile = \"classic\"\nlisten = \"{address}\"\nkey = \"c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\"\n\
         [device]\naddresses = [\"10.9.0.1/24\"]\n\
         [[users]]\nlogin = \"kean\"\npassword-hash = \"{}\"\naddresses = [\"10.9.0.2\"]\n",
        hash.trim()
    );
    fs::write(&path, configuration).expect("the test folder");
    let output = sandhog(&["server", "--config", path.to_str().expect("UTF-8")], "");
    let log = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    assert_eq!(log.matches("the classic profile is INSECURE").count(), 1, "{log}");
    assert!(
        log.contains(&format!(
            "error: cannot listen on UDP {address}: Address already in use"
        )),
        "{log}"
    );
    assert!(log.contains("help: another program uses this port"), "{log}");
}

#[test]
fn hash_password_reads_one_line_and_prints_one_phc_string() {
    let [first, second] = [(), ()].map(|()| sandhog(&["hash-password"], "correct horse\r\nmore\n"));
    let hash = text(&first.stdout);
    assert!(
        hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$") && hash.lines().count() == 1,
        "{hash}"
    );
    assert_ne!(hash, text(&second.stdout), "the salt is random");
}

#[test]
fn hash_password_rejects_an_empty_password() {
    let output = sandhog(&["hash-password"], "\n");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "error: the password is empty\n");
}

#[test]
fn passwd_needs_the_secure_profile_and_a_new_password() {
    let folder = Folder::new();
    folder.write("key", KEY);
    folder.write("password", "correct horse\n");
    let client =
        "server = \"127.0.0.1:9\"\nkey-file = \"key\"\nlogin = \"kean\"\npassword-file = \"password\"\n";
    folder.write("client.toml", &format!("{client}{}", server_key_line!()));
    folder.write(
        "classic.toml",
        &format!("profile = \"classic\"\n{client}[device]\naddresses = [\"10.9.0.2/24\"]\n"),
    );
    let refuse = |arguments: &[&str], expected: &str| {
        let output = sandhog(arguments, "\n");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stderr), expected, "{arguments:?}");
    };
    refuse(
        &[
            "passwd",
            "--config",
            &folder.name("classic.toml"),
            "--password-stdin",
        ],
        "error: the classic profile does not support password changes\n\
         help: ask the operator to put a new `password-hash` into the server's configuration\n",
    );
    refuse(
        &[
            "passwd",
            "--config",
            &folder.name("client.toml"),
            "--password-stdin",
        ],
        "error: the password is empty\n",
    );
    refuse(
        &["passwd", "--config", &folder.name("client.toml")],
        "error: cannot ask for the password: standard input is not a terminal\n\
         help: to read it from a pipe, use `--password-stdin`\n",
    );
}
