//! Log output as text and as JSON, of commands that need no root.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::UdpSocket;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Folder, command, text};

/// A server that logs a warning and then fails because its port is in use.
struct Refused {
    folder: Folder,
    _port: UdpSocket,
}

impl Refused {
    fn new() -> Self {
        let port = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let folder = Folder::new();
        let listen = port.local_addr().expect("a bound socket");
        let hash = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$nfV2eDwO7GHuPVTZGcM+yyZeMqkKRYDCiXAFjKKLlEM";
        folder.write(
            "server.toml",
            &format!(
                "profile = \"classic\"\nlisten = \"{listen}\"\nkey = \"c2FuZGhvZyB0ZXN0cyBpbiBuYW1lc3BhY2VzIG9ubHk=\"\n\
                 [device]\nname = \"none-such\"\naddresses = [\"10.9.0.1/24\"]\n\
                 [[users]]\nlogin = \"kean\"\npassword-hash = \"{hash}\"\naddresses = [\"10.9.0.2\"]\n"
            ),
        );
        Self { folder, _port: port }
    }

    fn command(&self, more: &[&str]) -> Command {
        let config = self.folder.name("server.toml");
        command(&[&["server", "--config", &config], more].concat())
    }

    /// Runs it and returns its log.
    fn log(&self, more: &[&str]) -> String {
        log(&mut self.command(more))
    }
}

fn log(command: &mut Command) -> String {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(1));
    text(&output.stderr)
}

/// The objects of a log in JSON.
#[track_caller]
fn objects(log: &str) -> Vec<Value> {
    let objects: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(!objects.is_empty());
    objects
}

#[test]
fn json_logs_have_one_object_per_line_including_the_final_error() {
    let objects = objects(&Refused::new().log(&["--log-format", "json"]));
    for object in &objects {
        for key in ["timestamp", "level", "message"] {
            assert!(object[key].is_string(), "no {key}: {object}");
        }
        let time = object["timestamp"].as_str().expect("a text");
        assert!(
            time.len() == "2023-01-01T00:00:00.000000Z".len() && time.ends_with('Z'),
            "{time}"
        );
    }
    assert_eq!(objects[0]["level"], "WARN");
    let last = objects.last().expect("an error");
    assert_eq!(
        (&last["level"], &last["event"], &last["exit"]),
        (&"ERROR".into(), &"failed".into(), &1.into())
    );
    let begins = |key: &str, text: &str| last[key].as_str().is_some_and(|value| value.starts_with(text));
    assert!(begins("message", "cannot listen on UDP 127.0.0.1:"), "{last}");
    assert!(begins("help", "another program uses this port"), "{last}");
}

#[test]
fn text_logs_have_messages_without_fields_and_end_with_error_and_help() {
    let refused = Refused::new();
    for more in [&[][..], &["--log-format", "text"], &["--verbose"]] {
        let log = refused.log(more);
        let last: Vec<_> = log.lines().rev().take(2).collect();
        assert!(
            last[0].starts_with("help: another program") && last[1].starts_with("error: cannot listen"),
            "{log}"
        );
        assert!(!log.contains("event="), "{log}");
        assert!(
            log.lines()
                .all(|line| !line.starts_with('{') && !line.contains('\x1b')),
            "{log}"
        );
    }
}

#[test]
fn the_command_line_overrides_the_log_format_of_the_environment() {
    let refused = Refused::new();
    let log = |more: &[&str]| log(refused.command(more).env("SANDHOG_LOG_FORMAT", "json"));
    objects(&log(&[]));
    assert!(log(&["--log-format", "text"]).contains("\nerror: cannot listen"));
}

#[test]
fn an_unknown_log_format_exits_with_2_and_lists_the_valid_ones() {
    let output = Refused::new()
        .command(&["--log-format", "xml"])
        .output()
        .expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("[possible values: text, json]"));
}

#[test]
fn log_lines_for_the_journal_have_no_timestamp() {
    let refused = Refused::new();
    let path = refused.folder.path("journal");
    let run = |shift: u64| {
        let file = File::create(&path).expect("the test folder");
        let metadata = file.metadata().expect("a file of the test");
        let stream = format!("{}:{}", metadata.dev(), metadata.ino() + shift);
        let status = refused
            .command(&[])
            .env("JOURNAL_STREAM", stream)
            .stderr(Stdio::from(file))
            .status()
            .expect("the program starts");
        assert_eq!(status.code(), Some(1));
        refused.folder.read("journal")
    };
    let log = run(0);
    assert!(
        log.trim_start()
            .starts_with("WARN the classic profile is INSECURE"),
        "{log}"
    );
    // The variable was inherited, but the stream is another one.
    let log = run(1);
    assert!(log.contains("Z  WARN the classic profile is INSECURE"), "{log}");
}

/// Collects the names of events in all source files below a folder.
fn named_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder of the sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            named_in(&path, names);
            continue;
        }
        let text = fs::read_to_string(&path).expect("a source file");
        let after = text.split("event = \"").skip(1);
        names.extend(after.filter_map(|rest| rest.split('"').next()).map(str::to_owned));
    }
}

#[test]
fn the_documentation_lists_every_event() {
    let page = include_str!("../../docs/running.md");
    let (_, table) = page
        .split_once("| event | fields |")
        .expect("a table of the events");
    let rows = table.lines().skip(2).map_while(|line| line.strip_prefix("| `"));
    let documented: BTreeSet<_> = rows
        .filter_map(|row| row.split('`').next())
        .map(str::to_owned)
        .collect();
    let mut named = BTreeSet::new();
    named_in(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut named);
    assert_eq!(documented, named);
}
