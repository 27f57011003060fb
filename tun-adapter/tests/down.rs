//! `sandhog down`, as far as it needs no root: whose device it is, what is left, and what cannot be read.

use std::fs;
use std::process::{Child, Output};

use crate::support::{command, text};

/// A device name that no test makes a device of.
const DEVICE: &str = "sandhog-down";

struct World(tempfile::TempDir);

impl World {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn record(&self) -> std::path::PathBuf {
        self.0.path().join(format!("{DEVICE}.json"))
    }

    fn write_record(&self, record: &str) {
        fs::write(self.record(), record).expect("a folder of ours");
    }

    /// A record of a process as `sandhog` writes them.
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

/// When a process was started, as the kernel says it.
fn start_of(child: &Child) -> u64 {
    let line = fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
    let fields: Vec<_> = line.split(") ").nth(1).expect("a name").split(' ').collect();
    fields[19].parse().expect("a number")
}

#[test]
fn where_nothing_runs_and_nothing_is_left_it_says_so_and_that_is_no_error() {
    let world = World::new();
    let output = world.down();
    assert_eq!(
        text(&output.stdout),
        format!("{DEVICE}: nothing runs, and there is nothing to undo\n")
    );
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn a_damaged_record_is_no_obstacle_and_goes() {
    for damaged in ["", "{", "{\"process\": 1}", "\u{0}\u{0}", "[]"] {
        let world = World::new();
        world.write_record(damaged);
        let output = world.down();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{damaged:?}: {}",
            text(&output.stderr)
        );
        assert!(!world.record().exists(), "{damaged:?}");
    }
}

#[test]
fn the_process_of_the_device_is_ended_and_waited_for() {
    let world = World::new();
    let mut child = sleeper();
    world.write_record_of(&child, start_of(&child));
    let output = world.down();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let status = child.try_wait().expect("a child of ours");
    assert!(status.is_some(), "it has ended before `down` came back");
    assert!(
        !world.record().exists(),
        "it was no sandhog and has left its record"
    );
}

#[test]
fn a_process_that_only_has_the_number_of_the_old_one_is_left_alone() {
    let world = World::new();
    let mut child = sleeper();
    world.write_record_of(&child, start_of(&child) - 1);
    let output = world.down();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stdout).contains("has ended before; undone: nothing"));
    let status = child.try_wait().expect("a child of ours");
    child.kill().expect("a child of ours");
    child.wait().expect("a child of ours");
    assert!(status.is_none(), "{status:?}");
}

#[test]
fn a_configuration_names_the_device_even_if_the_rest_of_it_is_wrong() {
    let world = World::new();
    let file = world.0.path().join("client.toml");
    fs::write(&file, format!("[device]\nname = \"{DEVICE}\"\n")).expect("a folder of ours");
    let output = command(&["down", "--config", file.to_str().expect("UTF-8")])
        .env("RUNTIME_DIRECTORY", world.0.path())
        .output()
        .expect("the program ends");
    assert!(text(&output.stdout).starts_with(&format!("{DEVICE}: nothing runs")));
}
