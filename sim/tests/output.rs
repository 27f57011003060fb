//! Output of `sandhog-sim`: full disks, control characters, and the data that a run keeps.

use std::collections::BTreeSet;
use std::fs::{self, File};

use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, report, run};

use crate::program::{PROGRAM, command, folder, names_in, rejects, shell, sim, stderr, stdout};
use crate::support::source;

#[test]
fn a_full_disk_at_standard_output_is_an_error() {
    let Ok(full) = File::options().write(true).open("/dev/full") else {
        return;
    };
    let folder = folder("full");
    for arguments in [
        &["run", "clean-login", "--json"][..],
        &["run", "clean-login"],
        &["schema"],
        &["list"],
        &["list", "--json"],
        &["relay", "--listen", "127.0.0.1:0", "--to", "127.0.0.1:9"],
        &["--help"],
        &["--version"],
    ] {
        let mut command = command(PROGRAM, &folder);
        command.args(arguments).stdout(full.try_clone().unwrap());
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(
            stderr(&output),
            "error: cannot write to standard output: No space left on device (os error 28)\n",
            "{arguments:?}"
        );
    }
}

#[test]
fn a_pipe_that_is_closed_after_one_line_is_not_an_error() {
    let folder = folder("head");
    for arguments in ["run first-light", "schema", "list"] {
        let line = format!("({PROGRAM} {arguments}; echo $? > code) | head -1");
        let output = shell(&folder, &line);
        assert_eq!(stdout(&output).lines().count(), 1, "{arguments}");
        assert_eq!(stderr(&output), "", "{arguments}");
        assert_eq!(
            fs::read_to_string(folder.join("code")).unwrap(),
            "0\n",
            "{arguments}"
        );
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_up_leaves_one_error_and_no_reports() {
    let folder = folder("fills-up");
    // The limit of the file size has the effect of a full disk. The trace is longer than 4 blocks.
    let line = format!("trap '' XFSZ; ulimit -f 4; exec {PROGRAM} run clean-login --out reports");
    let output = shell(&folder, &line);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(
        stderr(&output),
        "error: cannot write reports/trace.jsonl: File too large (os error 27); free some space, or choose another folder \
         with `--out`\n"
    );
    assert_eq!(names_in(&folder), BTreeSet::new());
}

#[test]
fn control_characters_in_texts_are_rejected() {
    let folder = folder("controls");
    let escape = "the control character U+001B is not allowed, because terminals obey it; remove it";
    let text = source("clean-login");
    let title = text.lines().next().expect("the title");
    assert!(title.starts_with("title = "), "{title}");
    let cases = [
        (title, "title = \"\\u001b]0;x\"", "1:9"),
        ("about = \"\"\"", "about = \"\"\"\\u001b[31m", "2:9"),
    ];
    for (from, to, place) in cases {
        fs::write(folder.join("bad.toml"), text.replacen(from, to, 1)).unwrap();
        rejects(
            &folder,
            &["run", "bad.toml"],
            &format!("bad.toml:{place}: {escape}"),
        );
    }
}

#[test]
fn an_error_message_contains_no_control_characters() {
    let folder = folder("escaped");
    let text = source("clean-login").replacen("delay = ", "\"d\\u001b[31mlay\" = ", 1);
    fs::write(folder.join("bad.toml"), text).unwrap();
    let output = sim(&folder, &["run", "bad.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("`d\\u{1b}[31mlay`"),
        "{}",
        stderr(&output)
    );
    assert!(!stderr(&output).contains('\u{1b}'));
}

#[test]
#[cfg(unix)]
fn a_file_name_with_control_characters_is_printed_escaped() {
    let folder = folder("escaped-name");
    fs::write(folder.join("a\u{1b}b.toml"), source("clean-login")).unwrap();
    let output = sim(&folder, &["run", "a\u{1b}b.toml", "--out", "reports"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(stdout(&output).contains("a\\u{1b}b, seed"), "{}", stdout(&output));
    assert!(!stdout(&output).contains('\u{1b}'));
    for name in ["diagram.svg", "diagram.mmd"] {
        let report = fs::read_to_string(folder.join("reports").join(name)).unwrap();
        assert!(!report.contains('\u{1b}'), "{name}");
    }
}

fn run_with(name: &str, detail: Detail) -> Run {
    let scenario = Scenario::builtin(name).unwrap();
    let options = RunOptions {
        seed: 3,
        engine: Engine::Event,
        detail,
        ..RunOptions::default()
    };
    run(&scenario, &options).unwrap()
}

#[test]
fn records_without_packets_give_the_same_story() {
    for name in ["first-light", "lossy-login", "late-answer", "user-guess-flood"] {
        let [records, full] = [Detail::Records, Detail::Full].map(|detail| run_with(name, detail));
        assert_eq!(report::story(&records), report::story(&full), "{name}");
        assert_eq!(records.digest, full.digest);
    }
}

#[test]
fn only_pings_are_kept_with_the_records() {
    let run = run_with("bulk", Detail::Records);
    assert_eq!(run.records.len() as u64, run.record_count);
    let kept: usize = run.packets.iter().flatten().map(|packet| packet.len()).sum();
    assert!(kept < 1000, "{kept} bytes");
}

#[test]
#[cfg(target_os = "linux")]
fn a_long_download_without_reports_needs_less_than_60_mib() {
    let folder = folder("memory");
    let text = source("bulk").replacen("10 MiB", "40 MiB", 1);
    fs::write(folder.join("long.toml"), text).unwrap();
    for arguments in ["run long.toml --quiet", "run long.toml --json"] {
        // The limit covers all memory that the program allocates.
        let output = shell(&folder, &format!("ulimit -d 61440; exec {PROGRAM} {arguments}"));
        assert_eq!(output.status.code(), Some(0), "{arguments}: {}", stderr(&output));
    }
}
