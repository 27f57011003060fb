//! `sandhog down` without root: processes, leftover records, and damaged records.

use std::fs;
use std::process::{Child, Output};

use crate::support::{command, text};

/// A device name that no test uses for a device.
const DEVICE: &str = "sandhog-down";

struct RuntimeFolder(tempfile::TempDir);

impl RuntimeFolder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn record(&self) -> std::path::PathBuf {
        self.0.path().join(format!("{DEVICE}.json"))
    }

    fn write_record(&self, record: &str) {
        fs::write(self.record(), record).expect("the test folder");
    }

    /// Writes a record of a process, as `sandhog` does.
    fn write_record_of(&self, child: &Child, started: u64) {
        let pid = child.id();
        self.write_record(&format!(
            "{{\"process\": {{\"pid\": {pid}, \"started\": {started}}}, \"changes\": []}}"
        ));
    }

    fn down(&self) -> Output {
        command(&["down", "--device", DEVICE])
            .env("RUNTIME_DIRECTORY", self.0.path())
            .output()
            .expect("the program ends")
    }
}

fn sleeper() -> Child {
    std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .expect("a program of every system")
}

/// The start time of a process from the kernel.
fn start_of(child: &Child) -> u64 {
    let line = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let fields: Vec<_> = line.split(") ").nth(1).expect("a name").split(' ').collect();
    fields[19].parse().expect("a number")
}

#[test]
fn down_without_a_process_and_without_a_record_succeeds() {
    let folder = RuntimeFolder::new();
    let output = folder.down();
    assert_eq!(
        text(&output.stdout),
        format!("{DEVICE}: no tunnel is running, and there is nothing to undo\n")
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_damaged_record_is_removed() {
    for damaged in ["", "{", "{\"process\": 1}", "\u{0}\u{0}", "[]"] {
        let folder = RuntimeFolder::new();
        folder.write_record(damaged);
        let output = folder.down();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{damaged:?}: {}",
            text(&output.stderr)
        );
        assert!(!folder.record().exists(), "{damaged:?}");
    }
}

#[test]
fn down_stops_the_process_of_the_device_and_waits_for_its_end() {
    let folder = RuntimeFolder::new();
    let mut child = sleeper();
    folder.write_record_of(&child, start_of(&child));
    let output = folder.down();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let status = child.try_wait().expect("a child process");
    assert!(status.is_some(), "the process has ended before `down`");
    assert!(
        !folder.record().exists(),
        "the killed process has left its record"
    );
}

#[test]
fn a_process_that_reuses_the_old_process_id_is_not_stopped() {
    let folder = RuntimeFolder::new();
    let mut child = sleeper();
    folder.write_record_of(&child, start_of(&child) - 1);
    let output = folder.down();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("was no longer running; undone: nothing"));
    let status = child.try_wait().expect("a child process");
    child.kill().expect("a child process");
    child.wait().expect("a child process");
    assert!(status.is_none(), "{status:?}");
}

#[test]
fn down_reads_the_device_name_from_an_otherwise_invalid_configuration() {
    let folder = RuntimeFolder::new();
    let file = folder.0.path().join("client.toml");
    fs::write(&file, format!("[device]\nname = \"{DEVICE}\"\n")).expect("the test folder");
    let output = command(&["down", "--config", file.to_str().expect("UTF-8")])
        .env("RUNTIME_DIRECTORY", folder.0.path())
        .output()
        .expect("the program ends");
    assert!(text(&output.stdout).starts_with(&format!("{DEVICE}: no tunnel is running")));
}
