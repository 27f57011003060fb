//! Runs of the program `sandhog-sim` and of the example `arq-sim`, with their output.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::source;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_sandhog-sim");

/// Path of the example `arq-sim`. `cargo test` builds it, but `cargo test --test main` does not.
pub(crate) static ARQ_SIM: LazyLock<String> = LazyLock::new(|| {
    let name = format!("arq-sim{}", std::env::consts::EXE_SUFFIX);
    let target = Path::new(PROGRAM).parent().unwrap();
    let example = target.join("examples").join(name);
    assert!(
        example.exists(),
        "{} does not exist; build it with `cargo build --package sandhog-sim --example arq-sim`",
        example.display()
    );
    example.into_os_string().into_string().unwrap()
});

/// A new empty folder for a test.
pub(crate) fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A new folder for a test, with `first-light` and its file.
pub(crate) fn folder_with_scenario(test: &str) -> PathBuf {
    let folder = folder(test);
    fs::write(folder.join("scenario.toml"), source("first-light")).unwrap();
    fs::write(folder.join("tunnel.txt"), "a file\n").unwrap();
    folder
}

/// A command in `folder`, as if the user and not cargo had started it.
pub(crate) fn command(program: impl AsRef<OsStr>, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).env_remove("CARGO_PKG_NAME");
    command
}

/// Runs `sandhog-sim` in `folder`.
pub(crate) fn sim(folder: &Path, arguments: &[&str]) -> Output {
    command(PROGRAM, folder).args(arguments).output().unwrap()
}

/// Runs a line in a shell in `folder`.
pub(crate) fn shell(folder: &Path, line: &str) -> Output {
    command("sh", folder).args(["-c", line]).output().unwrap()
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

/// The last line on standard error.
#[track_caller]
pub(crate) fn last_line(output: &Output) -> &str {
    stderr(output).lines().last().unwrap()
}

/// The standard output as JSON.
#[track_caller]
pub(crate) fn json(output: &Output) -> Value {
    serde_json::from_str(stdout(output)).unwrap()
}

/// The names of the entries of a folder.
pub(crate) fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// Checks that `sandhog-sim` rejects its input with this message.
#[track_caller]
pub(crate) fn rejects(folder: &Path, arguments: &[&str], message: &str) {
    program_rejects(PROGRAM, folder, arguments, message);
}

/// Checks that a program rejects its input: this message on standard error, no output, exit code 2, no new files.
#[track_caller]
pub(crate) fn program_rejects(program: &str, folder: &Path, arguments: &[&str], message: &str) {
    let before = names_in(folder);
    let output = command(program, folder).args(arguments).output().unwrap();
    assert_eq!(stderr(&output), format!("error: {message}\n"));
    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(names_in(folder), before, "a new file");
}

/// Line and column, both from 1, of the first `mark` in `text`.
#[track_caller]
pub(crate) fn place(text: &str, mark: &str) -> String {
    let before = text.split_once(mark).expect("the mark").0;
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}
