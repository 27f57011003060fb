//! The program `sandhog-sim`: error messages, exit codes, JSON, help texts and the command that repeats a run.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::Stdio;

use sandhog_sim::Scenario;
use sandhog_sim::profile::PROFILES;
use serde_json::Value;

use crate::program::{
    PROGRAM, command, folder, folder_with_scenario, json, last_line, names_in, rejects, shell, sim, stderr,
    stdout,
};
use crate::support::source;

#[test]
fn an_unwritable_folder_is_rejected() {
    let folder = folder_with_scenario("out");
    let below_a_file = "a file has the name of the folder; choose another one with `--out`";
    for out in ["tunnel.txt", "tunnel.txt/reports"] {
        rejects(
            &folder,
            &["run", "clean-login", "--out", out],
            &format!("cannot write to the folder {out}: {below_a_file}"),
        );
    }
    if Path::new("/proc/self").exists() {
        rejects(
            &folder,
            &["run", "clean-login", "--out", "/proc/reports"],
            "cannot write to the folder /proc/reports: No such file or directory (os error 2); choose another one with \
             `--out`",
        );
    }
    // The outer folder can be created, but the inner one cannot. Both are removed.
    let long = format!("outer/{}", "x".repeat(300));
    let output = sim(&folder, &["run", "clean-login", "--out", &long]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.join("outer").exists());
}

#[test]
fn a_report_that_cannot_be_written_leaves_none_of_the_others() {
    for name in ["trace.jsonl", "diagram.svg"] {
        let folder = folder("half");
        fs::create_dir_all(folder.join("reports").join(name).join("in-the-way")).unwrap();
        let output = sim(&folder, &["run", "clean-login", "--out", "reports"]);
        assert_eq!(output.status.code(), Some(2));
        assert!(stderr(&output).starts_with(&format!("error: cannot write reports/{name}: ")));
        assert_eq!(names_in(&folder.join("reports")), BTreeSet::from([name.into()]));
    }
}

#[test]
fn the_turmoil_engine_rejects_another_resolution() {
    let folder = folder("resolution");
    let text = source("clean-login").replacen("profile =", "resolution = \"500us\"\nprofile =", 1);
    fs::write(folder.join("fine.toml"), text).unwrap();
    rejects(
        &folder,
        &["run", "fine.toml", "--engine", "turmoil", "--out", "reports"],
        "the turmoil engine needs a resolution of 1ms; use `--engine event` for any other",
    );
    let event = sim(&folder, &["run", "fine.toml", "--engine", "event", "--quiet"]);
    assert!(event.status.success());
}

#[test]
fn json_has_the_documented_keys_and_the_same_digest_in_both_engines() {
    let folder = folder("json");
    let run = |arguments: &[&str]| -> Value {
        let output = sim(
            &folder,
            &[&["run", "first-light", "--seed", "7", "--json"], arguments].concat(),
        );
        assert!(output.status.success());
        assert_eq!(stderr(&output), "");
        json(&output)
    };
    let (first, again, turmoil) = (run(&[]), run(&[]), run(&["--engine", "turmoil"]));
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
        "scenario",
        "seed",
        "engine",
        "digest",
        "passed",
        "outcome",
        "checks_passed",
        "checks_failed",
        "checks_untested",
        "sim_seconds",
        "wall_seconds",
        "checks",
        "counters",
    ];
    assert_eq!(BTreeSet::from_iter(keys), BTreeSet::from(contract));
    for check in first["checks"].as_array().unwrap() {
        let keys: BTreeSet<&str> = check.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["name", "passed", "tested", "detail"]));
    }
    let checks = first["checks"].as_array().unwrap();
    let untested: Vec<&str> = checks
        .iter()
        .filter(|check| check["tested"] == false)
        .map(|check| check["name"].as_str().unwrap())
        .collect();
    let names = [
        "P6 sessions move only after fresh datagrams",
        "P13 accounts change only in accepted sessions",
    ];
    assert_eq!(untested, names);
    let numbers = ["checks_passed", "checks_failed", "checks_untested"].map(|key| &first[key]);
    assert_eq!(numbers, [checks.len() - 2, 0, 2].map(Value::from).each_ref());
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["digest"], turmoil["digest"]);
    assert_eq!(turmoil["engine"], "turmoil");
}

#[test]
fn an_unexpected_result_fails_and_the_last_line_repeats_the_run() {
    for name in ["wrong-password", "auth-timeout"] {
        let folder = folder(name);
        assert_eq!(sim(&folder, &["run", name]).status.code(), Some(0));
        let without_expect = source(name).split("[[expect]]").next().unwrap();
        fs::write(folder.join("it's.toml"), without_expect).unwrap();
        let failed = sim(
            &folder,
            &["run", "it's.toml", "--seed", "3", "--engine", "turmoil", "--json"],
        );
        assert_eq!(failed.status.code(), Some(1));
        let line = last_line(&failed);
        assert_eq!(
            line,
            format!(r"{PROGRAM} run 'it'\''s.toml' --seed 3 --engine turmoil")
        );
        let repeated = shell(&folder, &format!("{line} --json"));
        assert_eq!(repeated.status.code(), Some(1));
        assert_eq!(json(&failed)["digest"], json(&repeated)["digest"]);
    }
}

#[test]
fn the_command_that_repeats_a_run_is_the_one_that_the_user_typed() {
    let folder = folder("typed");
    let text = source("wrong-password").split("[[expect]]").next().unwrap();
    fs::write(folder.join("fails.toml"), text).unwrap();
    let run = ["run", "fails.toml", "--quiet"];
    let repeat = "run fails.toml --seed 1 --engine event";

    let mut by_cargo = command(PROGRAM, &folder);
    by_cargo.env("CARGO_PKG_NAME", "sandhog-sim");
    let failed = by_cargo.args(run).output().unwrap();
    assert_eq!(last_line(&failed), format!("cargo sim {repeat}"));

    // `cargo xtask` sets the variable too, with another name.
    let mut by_another = command(PROGRAM, &folder);
    by_another.env("CARGO_PKG_NAME", "xtask");
    let failed = by_another.args(run).output().unwrap();
    assert_eq!(last_line(&failed), format!("{PROGRAM} {repeat}"));

    let directory = Path::new(PROGRAM).parent().unwrap();
    let mut by_name = command("sandhog-sim", &folder);
    by_name.env("PATH", directory);
    let failed = by_name.args(run).output().unwrap();
    assert_eq!(last_line(&failed), format!("sandhog-sim {repeat}"));

    let copy = folder.join("a copy");
    fs::copy(PROGRAM, &copy).unwrap();
    let failed = shell(&folder, &format!("./'a copy' {}", run.join(" ")));
    assert_eq!(last_line(&failed), format!("'./a copy' {repeat}"));
    let repeated = shell(&folder, last_line(&failed));
    assert_eq!(last_line(&repeated), last_line(&failed));
}

#[test]
fn help_texts_fit_into_80_columns() {
    let folder = folder("help");
    for arguments in [
        &["--help"][..],
        &["help"],
        &["list", "--help"],
        &["run", "--help"],
        &["run", "-h"],
        &["schema", "--help"],
        &["sweep", "--help"],
        &["exhaust", "--help"],
        &["verify", "--help"],
        &["replay", "--help"],
        &["shrink", "--help"],
        &["explain", "--help"],
        &["diff", "--help"],
        &["relay", "--help"],
        &["relay", "-h"],
    ] {
        let output = sim(&folder, arguments);
        assert!(output.status.success(), "{arguments:?}");
        for line in stdout(&output).lines() {
            assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
        }
    }
}

#[test]
fn quiet_prints_nothing_on_success_and_everything_on_failure() {
    let folder = folder("quiet");
    let success = sim(&folder, &["run", "clean-login", "--quiet"]);
    assert_eq!((stdout(&success), stderr(&success)), ("", ""));
    let text = source("wrong-password").split("[[expect]]").next().unwrap();
    fs::write(folder.join("fails.toml"), text).unwrap();
    let failure = sim(&folder, &["run", "fails.toml", "--quiet"]);
    assert!(stdout(&failure).contains("alice   has no tunnel: authentication-rejected"));
    assert!(stdout(&failure).contains("✗ alice is connected: authentication-rejected"));
}

#[test]
fn a_check_that_had_nothing_to_examine_has_a_dash_and_a_reason_and_no_tick() {
    let folder = folder("dash");
    let output = sim(&folder, &["run", "clean-login"]);
    let (text, check) = (stdout(&output), "P6 sessions move only after fresh datagrams");
    let line = text.lines().find(|line| line.contains(check));
    assert_eq!(
        line,
        Some(format!("– {check}: nothing to examine, no session moves").as_str())
    );
    let ticks = text.lines().filter(|line| line.starts_with('✓')).count();
    let summary = format!("{ticks} of {} checks passed, 2 had nothing to examine", ticks + 2);
    assert!(last_line_of(text).ends_with(&summary), "{text}");
}

#[test]
fn the_failed_checks_are_printed_last_and_once() {
    let folder = folder("failed-last");
    let text = source("wrong-password").split("[[expect]]").next().unwrap();
    fs::write(folder.join("fails.toml"), text).unwrap();
    let output = sim(&folder, &["run", "fails.toml"]);
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let first = lines
        .iter()
        .position(|line| line.starts_with('✗'))
        .expect("a failed check");
    assert!(lines[first..].iter().all(|line| line.starts_with('✗')));
    let failed = lines.len() - first;
    assert!(
        lines[first - 1].ends_with(&format!("{failed} failed:")),
        "{}",
        lines[first - 1]
    );
    assert_eq!(
        lines
            .iter()
            .filter(|line| line.contains("alice is connected"))
            .count(),
        1
    );
}

fn last_line_of(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}

#[test]
fn list_names_every_builtin_scenario() {
    let folder = folder("list");
    let names: Vec<&str> = PROFILES
        .iter()
        .flat_map(|profile| profile.scenarios())
        .map(|builtin| builtin.name)
        .collect();
    let text = sim(&folder, &["list"]);
    let first_words: Vec<&str> = stdout(&text)
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(first_words, names);
    let list = json(&sim(&folder, &["list", "--json"]));
    for (entry, name) in list.as_array().unwrap().iter().zip(&names) {
        assert_eq!(entry["name"], *name);
        assert!(entry["title"].as_str().unwrap().len() > 10 && entry["about"].as_str().unwrap().len() > 10);
    }
    assert_eq!(list.as_array().unwrap().len(), names.len());
}

#[test]
fn schema_prints_the_schema() {
    let schema = json(&sim(&folder("schema"), &["schema"]));
    assert_eq!(schema, Scenario::schema());
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let folder = folder("pipe");
    for arguments in [&["run", "first-light"][..], &["schema"], &["list"], &["--help"]] {
        let mut command = command(PROGRAM, &folder);
        command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let mut errors = String::new();
        child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
        assert_eq!(errors, "", "{arguments:?}");
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn a_scenario_with_other_hosts_cannot_look_like_this_one() {
    rejects(
        &folder("looks-like"),
        &["sweep", "clean-login", "--looks-like", "simultaneous-init"],
        "--looks-like: simultaneous-init has the hosts server, phone, laptop, and clean-login has server, alice; both must \
         have the same hosts",
    );
}

#[test]
fn a_sweep_that_compares_prints_the_command_that_repeats_the_failure() {
    let arguments = [
        "sweep",
        "wrong-password",
        "--seeds",
        "7..8",
        "--looks-like",
        "clean-login",
    ];
    let output = sim(&folder("looks-like-other"), &arguments);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("P10 fails: in clean-login, but not in wrong-password, alice sends"),
        "{text}"
    );
    assert!(
        text.contains("sweep wrong-password --seeds 7..=7 --looks-like clean-login"),
        "{text}"
    );
}
