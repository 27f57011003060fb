//! SIGINT and SIGTERM in the middle of a command: the finished part is reported, and no incomplete file is left.

use std::fs;
use std::ops::ControlFlow;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sandhog_lab::search::{Bounds, exhaust};
use sandhog_sim::Scenario;

use crate::program::{PROGRAM, command, folder, json, names_in, stderr, stdout};
use crate::support::source;

/// A command that runs in the background.
struct Running(Child);

impl Running {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = command(PROGRAM, folder);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// A file of the process in `/proc`. Empty if the process has ended.
    fn proc(&self, name: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{name}", self.0.id())).unwrap_or_default()
    }

    /// Waits until the program catches SIGINT, so that the search has begun.
    fn catches_signals(mut self) -> Self {
        let catches = |status: &str| {
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            caught.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 0b10 != 0)
        };
        while !catches(&self.proc("status")) {
            assert!(self.0.try_wait().unwrap().is_none(), "it ended before");
            std::thread::yield_now();
        }
        self
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    fn end(self) -> Output {
        self.0.wait_with_output().unwrap()
    }
}

/// Starts a search, and ends it with a signal.
fn interrupted(folder: &Path, arguments: &[&str], signal: Signal) -> Output {
    let running = Running::start(folder, arguments).catches_signals();
    running.signal(signal);
    running.end()
}

/// A folder with the scenario `long.toml`, whose run takes minutes.
fn folder_with_long_run(test: &str) -> std::path::PathBuf {
    let folder = folder(test);
    let text = source("bulk").replacen("10 MiB", "1000 GiB", 1);
    assert!(text.contains("duration = \""), "{text}");
    let text = text.replacen("duration = \"", "duration = \"9", 1);
    fs::write(folder.join("long.toml"), text).unwrap();
    folder
}

#[test]
fn an_interrupted_sweep_reports_the_finished_seeds() {
    let folder = folder("interrupt-sweep");
    let sweep = ["sweep", "clean-login", "--seeds", "1..1000000000", "--jobs", "2"];
    for signal in [Signal::INT, Signal::TERM] {
        let arguments = [&sweep[..], &["--json", "--junit", "report.xml", "--out", "found"]].concat();
        let output = interrupted(&folder, &arguments, signal);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        let end = json(&output)["end"].as_u64().unwrap();
        let message = format!("interrupted; the last finished seed is {}\n", end - 1);
        assert_eq!(stderr(&output), message);
        let report = fs::read_to_string(folder.join("report.xml")).unwrap();
        assert!(report.ends_with("</testsuites>\n") && report.contains(&format!("tests=\"{}\"", end - 1)));
        assert_eq!(names_in(&folder), ["report.xml".to_owned()].into());
    }
}

#[test]
fn an_interrupted_sweep_keeps_the_failures_found_so_far() {
    let folder = folder("interrupt-failures");
    let text = source("clean-login").replace("delay = \"20ms\"", "loss = \"100%\"");
    fs::write(folder.join("lost.toml"), text).unwrap();
    let sweep = ["sweep", "lost.toml", "--seeds", "1..1000000000", "--out", "found"];
    let output = interrupted(&folder, &sweep, Signal::INT);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let names = names_in(&folder.join("found"));
    assert!(
        names.contains("lost-1.tape") && names.contains("lost-1"),
        "{names:?}"
    );
    assert!(names.iter().all(|name| name.starts_with("lost-")), "{names:?}");
}

#[test]
fn an_interrupted_exhaustive_search_has_no_certificate() {
    let folder = folder("interrupt-exhaust");
    let bounds = ["--datagrams", "30", "--faults", "6", "--kinds", "drop,late"];
    let search = [&["exhaust", "clean-login", "--out", "found"], &bounds[..]].concat();
    let output = interrupted(&folder, &search, Signal::TERM);
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "interrupted; the search is not complete, so there is no certificate\n"
    );
    assert!(stdout(&output).contains(" runs, "), "{}", stdout(&output));
    assert!(!folder.join("found").exists());
}

#[test]
fn an_interrupted_check_of_a_certificate_gives_no_verdict() {
    let folder = folder("interrupt-verify");
    let setup = Scenario::builtin("clean-login").unwrap().setup();
    let small = Bounds {
        datagrams: 2,
        ..Bounds::default()
    };
    let mut found = exhaust(&setup, &small, &mut |_| ControlFlow::Continue(())).unwrap();
    found.certificate.bounds = Bounds {
        datagrams: 30,
        faults: 6,
        ..small
    };
    fs::write(folder.join("long.json"), found.certificate.to_json().to_string()).unwrap();
    for json in [&[][..], &["--json"]] {
        let output = interrupted(&folder, &[&["verify", "long.json"], json].concat(), Signal::INT);
        assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
        assert_eq!(stderr(&output), "interrupted; the certificate is not verified\n");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn an_interrupted_shrink_writes_the_smallest_failure_so_far() {
    let folder = folder("interrupt-shrink");
    let wrong = "[[expect]]\nclient = \"alice\"\noutcome = \"authentication-rejected\"\n";
    fs::write(folder.join("wrong.toml"), format!("{}\n{wrong}", source("bulk"))).unwrap();
    let tape = "sandhog tape 1\nscenario wrong\nseed 1\nalice→server login #1: drop\nend\n";
    fs::write(folder.join("my.tape"), tape).unwrap();
    let output = interrupted(&folder, &["shrink", "my.tape", "--out", "small"], Signal::INT);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert_eq!(
        stderr(&output),
        "interrupted; this is the smallest failure so far\n"
    );
    let files = names_in(&folder.join("small"));
    assert!(
        files.contains("test.rs") && files.contains("failure.tape"),
        "{files:?}"
    );
    assert!(files.iter().all(|name| !name.contains("partial")), "{files:?}");
}

#[test]
fn a_second_signal_ends_a_search_at_once() {
    let folder = folder_with_long_run("interrupt-twice");
    let sweep = ["sweep", "long.toml", "--seeds", "1..3", "--jobs", "1"];
    let mut running = Running::start(&folder, &sweep).catches_signals();
    // Two signals that arrive together count as one.
    while running.0.try_wait().unwrap().is_none() {
        running.signal(Signal::INT);
        std::thread::yield_now();
    }
    let output = running.end();
    assert_eq!(output.status.code(), Some(130));
    // A search that ends in order reports its result.
    assert_eq!((stdout(&output), stderr(&output)), ("", ""));
}

#[test]
fn a_signal_ends_a_long_run_and_leaves_no_files() {
    let folder = folder_with_long_run("interrupt-run");
    for signal in [Signal::INT, Signal::TERM] {
        let running = Running::start(&folder, &["run", "long.toml", "--out", "outer/reports"]);
        // The folder was checked long before the program has used a tenth of a second.
        let ticks = |stat: &str| {
            stat.split(' ')
                .nth(13)
                .and_then(|ticks| ticks.parse::<u64>().ok())
        };
        while ticks(&running.proc("stat")).is_some_and(|ticks| ticks < 10) {
            std::thread::yield_now();
        }
        running.signal(signal);
        let output = running.end();
        assert_eq!(
            output.status.signal(),
            Some(signal.as_raw()),
            "{}",
            stderr(&output)
        );
        assert_eq!((stdout(&output), stderr(&output)), ("", ""));
        assert_eq!(names_in(&folder), ["long.toml".to_owned()].into());
    }
}
