//! Files of the commands that search: full disks, read-only folders, devices, and folders with the files of an earlier run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{PROGRAM, folder, names_in, rejects, shell, sim, stderr, stdout};
use crate::support::source;

/// A folder with a failing tape, and a scenario whose every seed fails.
fn folder_with_failures(test: &str) -> PathBuf {
    let folder = folder(test);
    let tape = "sandhog tape 1\nscenario classic-clean-login\nseed 1\nalice→server data #1: rebind alice to 198.51.100.2:50001\nend\n";
    fs::write(folder.join("my.tape"), tape).unwrap();
    let text = source("clean-login").replace("delay = \"20ms\"", "loss = \"100%\"");
    fs::write(folder.join("lost.toml"), text).unwrap();
    folder
}

/// The commands that write to a folder.
const COMMANDS: [&str; 5] = [
    "run clean-login",
    "replay my.tape",
    "shrink my.tape",
    "sweep lost.toml --seeds 1..3",
    "exhaust classic-clean-login --kinds rebind",
];

/// The names in a folder without the input of [`folder_with_failures`].
fn new_names(folder: &Path) -> BTreeSet<String> {
    let mut names = names_in(folder);
    names.remove("my.tape");
    names.remove("lost.toml");
    names
}

#[test]
fn every_command_rejects_a_folder_that_is_a_file() {
    let folder = folder_with_failures("out-file");
    for command in COMMANDS {
        for out in ["lost.toml", "lost.toml/found"] {
            let arguments: Vec<&str> = command.split(' ').chain(["--out", out]).collect();
            let message = format!(
                "cannot write to the folder {out}: a file has the name of the folder; choose another one with `--out`"
            );
            rejects(&folder, &arguments, &message);
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_leaves_no_incomplete_file_of_any_command() {
    let folder = folder_with_failures("out-full");
    for command in COMMANDS {
        // The limit of the file size has the effect of a full disk. Each command has a file that is longer than a block.
        let line = format!("trap '' XFSZ; ulimit -f 1; exec {PROGRAM} {command} --out outer/found");
        let output = shell(&folder, &line);
        let error = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {error}");
        assert!(
            error.starts_with("error: cannot write outer/found/"),
            "{command}: {error}"
        );
        assert!(
            error.ends_with("or choose another folder with `--out`\n"),
            "{command}: {error}"
        );
        assert_eq!(error.lines().count(), 1, "{command}: {error}");
        assert_eq!(new_names(&folder), BTreeSet::new(), "{command}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_sweep_prints_its_report_also_if_a_file_cannot_be_written() {
    let folder = folder_with_failures("out-report");
    let line = format!("trap '' XFSZ; ulimit -f 1; exec {PROGRAM} sweep lost.toml --seeds 1..3 --out found");
    let output = shell(&folder, &line);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stdout(&output).contains("2 runs (seeds 1..3), 2 failed"),
        "{}",
        stdout(&output)
    );
}

#[test]
fn a_report_file_that_cannot_be_created_is_rejected_before_the_sweep() {
    let folder = folder_with_failures("junit-bad");
    for (file, why) in [
        ("nosuch/report.xml", "there is no such folder"),
        (".", "Is a directory (os error 21)"),
        ("my.tape/report.xml", "Not a directory (os error 20)"),
    ] {
        rejects(
            &folder,
            &[
                "sweep",
                "clean-login",
                "--seeds",
                "1..1000000000",
                "--junit",
                file,
            ],
            &format!("cannot write {file}: {why}; choose another file with `--junit`"),
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_device_is_written_and_not_replaced() {
    use std::os::unix::fs::FileTypeExt as _;

    let folder = folder_with_failures("junit-device");
    // A link to the device, because a replaced device would stay replaced.
    std::os::unix::fs::symlink("/dev/full", folder.join("full")).unwrap();
    let output = sim(
        &folder,
        &["sweep", "clean-login", "--seeds", "1..3", "--junit", "full"],
    );
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        stderr(&output),
        "error: cannot write full: No space left on device (os error 28); choose another file with `--junit`\n"
    );
    assert!(stdout(&output).starts_with("2 runs (seeds 1..3), 0 failed"));
    let device = fs::metadata(folder.join("full")).unwrap();
    assert!(device.file_type().is_char_device());
    assert_eq!(new_names(&folder), ["full".to_owned()].into());
}

#[test]
fn an_exhaustive_search_replaces_the_files_of_an_earlier_one() {
    let folder = folder("out-earlier");
    let search = |kind: &str| {
        let output = sim(
            &folder,
            &[
                "exhaust",
                "classic-clean-login",
                "--kinds",
                kind,
                "--out",
                "found",
            ],
        );
        assert!(output.status.code() < Some(2), "{}", stderr(&output));
        names_in(&folder.join("found"))
    };
    let names =
        |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let two = ["certificate.json", "failure-1.tape", "failure-2.tape"];
    assert_eq!(search("rebind"), names(&two));
    let others = ["failure-2.tape.txt", "failure.tape", "my.txt"];
    for name in others {
        fs::write(folder.join("found").join(name), "mine").unwrap();
    }
    assert_eq!(
        search("late"),
        names(&[&others[..], &["certificate.json"]].concat())
    );
}

#[test]
fn every_search_reports_a_full_disk_at_standard_output() {
    let Ok(full) = fs::File::options().write(true).open("/dev/full") else {
        return;
    };
    let folder = folder_with_failures("stdout-full");
    for command in COMMANDS.into_iter().chain([
        "diff clean-login:1 clean-login:2",
        "explain clean-login:1 --packet 3",
    ]) {
        let mut program = crate::program::command(PROGRAM, &folder);
        program.args(command.split(' ')).stdout(full.try_clone().unwrap());
        let output = program.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{command}");
        let message = "error: cannot write to standard output: No space left on device (os error 28)\n";
        assert_eq!(stderr(&output), message, "{command}");
    }
}

#[test]
fn a_closed_pipe_does_not_change_the_exit_code_of_a_search() {
    let folder = folder_with_failures("stdout-closed");
    for (command, code) in COMMANDS.into_iter().zip(["0", "1", "1", "1", "1"]) {
        let line = format!("({PROGRAM} {command} --json 2> errors; echo $? > code) | head -c 1");
        shell(&folder, &line);
        let read = |name| fs::read_to_string(folder.join(name)).unwrap();
        let result = (read("code"), read("errors").contains("error"));
        assert_eq!(result, (format!("{code}\n"), false), "{command}");
    }
}
