//! The program as a user meets it: exact words for every bad input, exit codes, JSON, and lines that repeat a run.
#![cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sandhog_sim::builtin;
use serde_json::Value;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sandhog-sim");

/// An empty folder of the test's own, with `first-light` and its file in it.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("scenario.toml"), source("first-light")).unwrap();
    fs::write(folder.join("tunnel.txt"), "a file\n").unwrap();
    folder
}

fn source(name: &str) -> &'static str {
    let found = builtin::ALL.iter().find(|builtin| builtin.name == name);
    found.unwrap().source
}

/// Runs the program in `folder`.
fn sim(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(PROGRAM);
    command.current_dir(folder).args(arguments);
    command.output().unwrap()
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The program refuses: exactly this on standard error, nothing on standard output, exit code 2, nothing written.
#[track_caller]
fn refuses(folder: &Path, arguments: &[&str], message: &str) {
    let before = names_in(folder);
    let output = sim(folder, arguments);
    assert_eq!(stderr(&output), format!("error: {message}\n"));
    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(names_in(folder), before, "nothing may be written");
}

/// Line and column, both from 1, of the first `mark` in `text`.
#[track_caller]
fn place(text: &str, mark: &str) -> String {
    let before = text.split_once(mark).expect("the marked place").0;
    let line = before.lines().count().max(1) + usize::from(before.ends_with('\n'));
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{line}:{column}")
}

/// `first-light` with one place changed is refused, also when it is to write reports; the error points at `mark`.
#[track_caller]
fn refuses_changed(test: &str, [from, to]: [&str; 2], mark: &str, message: &str) {
    let text = source("first-light");
    assert!(text.contains(from), "the place to change");
    refuses_text(test, "scenario.toml", &text.replacen(from, to, 1), mark, message);
}

/// The same for the scenario as JSON.
#[track_caller]
fn refuses_changed_json(test: &str, [from, to]: [&str; 2], mark: &str, message: &str) {
    let table: toml::Table = source("first-light").parse().unwrap();
    let text = serde_json::to_string_pretty(&table).unwrap();
    assert!(text.contains(from), "the place to change in {text}");
    refuses_text(test, "scenario.json", &text.replacen(from, to, 1), mark, message);
}

#[track_caller]
fn refuses_text(test: &str, file: &str, text: &str, mark: &str, message: &str) {
    let folder = folder(test);
    fs::write(folder.join(file), text).unwrap();
    let message = format!("{file}:{}: {message}", place(text, mark));
    refuses(&folder, &["run", file, "--out", "reports"], &message);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_one() {
    refuses_changed(
        "unknown-key",
        ["delay =", "dealy ="],
        "dealy",
        "unknown key `dealy`; did you mean `delay`?",
    );
    refuses_changed_json(
        "unknown-key-json",
        ["\"delay\"", "\"dealy\""],
        "\"dealy",
        "unknown key `dealy`; did you mean `delay`?",
    );
}

#[test]
fn a_negative_delay_is_refused() {
    refuses_changed(
        "negative-delay",
        ["30ms 10ms", "-30ms 10ms"],
        "\"-30ms",
        "`-30ms`: a time cannot be negative",
    );
    refuses_changed(
        "negative-jitter",
        ["30ms 10ms", "30ms -10ms"],
        "\"30ms -10ms",
        "`-10ms`: a time cannot be negative",
    );
    refuses_changed_json(
        "negative-delay-json",
        ["30ms 10ms", "-30ms 10ms"],
        "\"-30ms",
        "`-30ms`: a time cannot be negative",
    );
}

#[test]
fn a_probability_above_one_is_refused_in_quotes_and_as_a_number() {
    let message = "`1.2`: a probability lies between 0 and 1, or 0% and 100%; did you mean `1.2%`?";
    refuses_changed(
        "probability",
        ["random 2%", "random 1.2"],
        "\"random 1.2",
        message,
    );
    refuses_changed("probability-number", ["\"random 2%\"", "1.2"], "1.2\n", message);
    refuses_changed_json("probability-json", ["\"random 2%\"", "1.2"], "1.2\n", message);
}

#[test]
fn a_host_that_does_not_exist_is_refused_wherever_it_is_named() {
    refuses_changed(
        "host-link",
        ["[\"alice\", \"server\"]", "[\"alcie\", \"server\"]"],
        "\"alcie",
        "there is no host `alcie`; did you mean `alice`?",
    );
    refuses_changed(
        "host-server",
        ["server = \"server\"", "server = \"sever\""],
        "\"sever\"",
        "there is no server `sever`; did you mean `server`?",
    );
    refuses_changed(
        "host-event",
        [
            "[[link]]",
            "[[event]]\nat = \"1s\"\ncrash = \"servr\"\n\n[[link]]",
        ],
        "\"servr",
        "there is no host `servr`; did you mean `server`?",
    );
    refuses_changed(
        "host-event-client",
        [
            "[[link]]",
            "[[event]]\nat = \"1s\"\nsleep = \"server\"\n\n[[link]]",
        ],
        "\"server\"\n\n[[link",
        "there is no client `server`; expected one of alice",
    );
    refuses_changed(
        "host-expect",
        [
            "[[link]]",
            "[[expect]]\nclient = \"alise\"\noutcome = \"connected\"\n\n[[link]]",
        ],
        "\"alise",
        "there is no client `alise`; did you mean `alice`?",
    );
    refuses_changed_json(
        "host-json",
        [
            "        \"alice\",\n        \"server\"",
            "        \"alcie\",\n        \"server\"",
        ],
        "\"alcie",
        "there is no host `alcie`; did you mean `alice`?",
    );
}

#[test]
fn a_scenario_that_does_not_exist_is_refused_with_the_nearest_one() {
    let folder = folder("no-scenario");
    refuses(
        &folder,
        &["run", "first-ligth"],
        "there is no built-in scenario and no file `first-ligth`; did you mean `first-light`?",
    );
    refuses(
        &folder,
        &["run", "scenari.toml"],
        "scenari.toml: cannot read the scenario: there is no such file; did you mean `scenario.toml`?",
    );
    refuses(
        &folder,
        &["run", "./auth-timeout.toml"],
        "./auth-timeout.toml: cannot read the scenario: there is no such file; correct the name, or put it there \
         (`auth-timeout` is built in, without a file)",
    );
    refuses(
        &folder,
        &["run", "."],
        ".: cannot read the scenario: it is a folder; name a file in it",
    );
}

#[test]
fn a_served_file_that_does_not_exist_is_refused_with_the_nearest_one() {
    let message = "cannot read the file `tunel.txt` beside the scenario: there is no such file; did you mean `tunnel.txt`?";
    let change = ["\"tunnel.txt\"", "\"tunel.txt\""];
    refuses_changed("no-file", change, "\"tunel", message);
    refuses_changed_json("no-file-json", change, "\"tunel", message);
}

#[test]
fn a_seed_that_is_not_a_number_is_refused() {
    let folder = folder("seed");
    for seed in ["seven", "-1", "1.5", "18446744073709551616", ""] {
        refuses(
            &folder,
            &["run", "first-light", "--seed", seed, "--out", "reports"],
            &format!(
                "invalid value '{seed}' for '--seed <N>': a seed is a whole number from 0 to 18446744073709551615\n\n\
                 For more information, try '--help'."
            ),
        );
    }
    refuses_changed(
        "seed-key",
        ["seed = 7", "seed = -7"],
        "-7",
        "expected a whole number from 0 to 18446744073709551615, found integer `-7`",
    );
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    let folder = folder("out");
    let below_a_file = "a file stands where a folder is needed; name another with `--out`";
    for out in ["tunnel.txt", "tunnel.txt/reports"] {
        refuses(
            &folder,
            &["run", "clean-login", "--out", out],
            &format!("cannot write to the folder {out}: {below_a_file}"),
        );
    }
    if Path::new("/proc/self").exists() {
        refuses(
            &folder,
            &["run", "clean-login", "--out", "/proc/reports"],
            "cannot write to the folder /proc/reports: No such file or directory (os error 2); name another with \
             `--out`",
        );
    }
    // The outer of the two folders could be made; it does not stay behind.
    let long = format!("outer/{}", "x".repeat(300));
    let output = sim(&folder, &["run", "clean-login", "--out", &long]);
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.join("outer").exists());
}

#[test]
fn a_report_that_cannot_be_written_leaves_none_of_the_others() {
    let folder = folder("half");
    fs::create_dir_all(folder.join("reports/trace.jsonl/in-the-way")).unwrap();
    let output = sim(&folder, &["run", "clean-login", "--out", "reports"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).starts_with("error: cannot write reports/trace.jsonl: "));
    assert_eq!(
        names_in(&folder.join("reports")),
        BTreeSet::from(["trace.jsonl".into()])
    );
}

#[test]
fn a_missing_key_is_refused_at_its_table() {
    refuses_changed(
        "missing-key",
        ["duration = \"60s\"\n", ""],
        "",
        "missing key `duration`; add it to this table",
    );
    refuses_changed(
        "missing-login",
        ["login = \"alice\"\n", ""],
        "[[server.user]]",
        "missing key `login`; add it to this table",
    );
    refuses_changed_json(
        "missing-key-json",
        ["\"duration\": \"60s\",\n  ", ""],
        "",
        "missing key `duration`; add it to this table",
    );
}

#[test]
fn a_step_with_two_actions_or_none_is_refused() {
    refuses_changed(
        "two-actions",
        [
            "ping = {",
            "get = { from = \"10.9.0.1:80\", path = \"/tunnel.txt\" }\nping = {",
        ],
        "[[client.do]]",
        "a step does one thing; make a [[client.do]] of each",
    );
    refuses_changed(
        "no-action",
        ["ping = {", "at = \"1s\"\n# ping = {"],
        "[[client.do]]",
        "a step needs one of ping, echo, download, upload and get",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused_with_the_right_one() {
    refuses_changed(
        "type-time",
        ["\"60s\"", "60"],
        "60\n",
        "`60`: expected a time with its unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)",
    );
    refuses_changed(
        "type-list",
        ["\"60s\"", "[60]"],
        "[60]",
        "expected a time with its unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h), found a list",
    );
    refuses_changed(
        "type-address",
        ["192.0.2.1:4000", "192.0.2.1"],
        "\"192.0.2.1\"",
        "expected an address with a port, like `192.0.2.1:4000` or `[2001:db8::1]:4000`",
    );
    refuses_changed_json(
        "type-json",
        ["\"count\": 3", "\"count\": \"three\""],
        "\"three",
        "expected a whole number from 0 to 65535, found string \"three\"",
    );
}

#[test]
fn a_duplicated_key_is_refused() {
    let message = "the key `profile` stands here for the second time; take one of the two away";
    refuses_changed(
        "duplicate",
        [
            "profile = \"secure\"\n",
            "profile = \"secure\"\nprofile = \"secure\"\n",
        ],
        "profile = \"secure\"\nseed",
        message,
    );
    refuses_changed_json(
        "duplicate-json",
        [
            "  \"profile\": \"secure\"",
            "  \"profile\": \"secure\",\n  \"profile\": \"secure\"",
        ],
        "\"profile\": \"secure\",\n  \"seed",
        message,
    );
}

#[test]
fn what_would_keep_a_server_from_starting_is_refused_at_its_place() {
    refuses_changed(
        "two-users",
        [
            "addresses = [\"10.9.0.2\"]",
            "addresses = [\"10.9.0.2\"]\n[[server.user]]\nlogin = \"alice\"\npassword = \"another\"\naddresses = []",
        ],
        "\"alice\"\npassword = \"another",
        "there is already a user `alice`",
    );
    refuses_changed(
        "two-addresses",
        [
            "addresses = [\"10.9.0.2\"]",
            "addresses = [\"10.9.0.2\", \"10.9.0.2\"]",
        ],
        "\"10.9.0.2\"]",
        "another user already has 10.9.0.2",
    );
}

#[test]
fn an_event_after_the_end_is_refused() {
    refuses_changed(
        "late-event",
        [
            "[[link]]",
            "[[event]]\nat = \"60s\"\ncrash = \"server\"\n\n[[link]]",
        ],
        "\"60s\"\ncrash",
        "this event never happens: the run is over after 60s",
    );
}

#[test]
fn the_turmoil_engine_refuses_another_resolution() {
    let folder = folder("resolution");
    let text = source("clean-login").replacen("profile =", "resolution = \"500us\"\nprofile =", 1);
    fs::write(folder.join("fine.toml"), text).unwrap();
    refuses(
        &folder,
        &["run", "fine.toml", "--engine", "turmoil", "--out", "reports"],
        "the turmoil engine needs `resolution = \"1ms\"`; use `--engine event` for any other",
    );
    let event = sim(&folder, &["run", "fine.toml", "--engine", "event", "--quiet"]);
    assert!(event.status.success());
}

#[test]
fn an_empty_file_and_one_that_is_no_text_are_refused() {
    let folder = folder("no-text");
    let empty =
        "the scenario is empty; it needs at least title, profile, duration, a [[server]] and a [[client]]";
    let garbage =
        "cannot read the scenario: byte 4 is not UTF-8 text; a scenario is a text file, TOML or JSON";
    for ending in ["toml", "json"] {
        fs::write(folder.join(format!("empty.{ending}")), "\n").unwrap();
        fs::write(folder.join(format!("garbage.{ending}")), b"\x00\x01ab\xff\xfe").unwrap();
        let (empty_file, garbage_file) = (format!("empty.{ending}"), format!("garbage.{ending}"));
        refuses(&folder, &["run", &empty_file], &format!("{empty_file}: {empty}"));
        refuses(
            &folder,
            &["run", &garbage_file],
            &format!("{garbage_file}: {garbage}"),
        );
    }
}

#[test]
fn json_has_exactly_the_keys_of_the_contract_and_the_same_digest_twice_and_in_both_engines() {
    let folder = folder("json");
    let json = |arguments: &[&str]| -> Value {
        let output = sim(
            &folder,
            &[&["run", "first-light", "--seed", "7", "--json"], arguments].concat(),
        );
        assert!(output.status.success());
        assert_eq!(stderr(&output), "");
        serde_json::from_str(stdout(&output)).unwrap()
    };
    let (first, again, turmoil) = (json(&[]), json(&[]), json(&["--engine", "turmoil"]));
    let keys: Vec<&str> = first.as_object().unwrap().keys().map(String::as_str).collect();
    let contract = [
        "scenario",
        "seed",
        "engine",
        "digest",
        "passed",
        "outcome",
        "sim_seconds",
        "wall_seconds",
        "checks",
        "counters",
    ];
    assert_eq!(BTreeSet::from_iter(keys), BTreeSet::from(contract));
    for check in first["checks"].as_array().unwrap() {
        let keys: BTreeSet<&str> = check.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, BTreeSet::from(["name", "passed", "detail"]));
    }
    assert_eq!(first["digest"].as_str().unwrap().len(), 64);
    assert_eq!(first["digest"], again["digest"]);
    assert_eq!(first["digest"], turmoil["digest"]);
    assert_eq!(turmoil["engine"], "turmoil");
}

#[test]
fn an_expected_failure_passes_and_an_unexpected_one_ends_with_the_line_that_repeats_it() {
    for name in ["wrong-password", "auth-timeout"] {
        let folder = folder(name);
        assert_eq!(sim(&folder, &["run", name]).status.code(), Some(0));
        let expecting_nothing = source(name).split("[[expect]]").next().unwrap();
        fs::write(folder.join("it's.toml"), expecting_nothing).unwrap();
        let failed = sim(
            &folder,
            &["run", "it's.toml", "--seed", "3", "--engine", "turmoil", "--json"],
        );
        assert_eq!(failed.status.code(), Some(1));
        let line = stderr(&failed).lines().last().unwrap();
        assert_eq!(line, r"sandhog-sim run 'it'\''s.toml' --seed 3 --engine turmoil");
        let line = line.replacen("sandhog-sim", PROGRAM, 1) + " --json";
        let mut shell = Command::new("sh");
        let repeated = shell.current_dir(&folder).args(["-c", &line]).output().unwrap();
        assert_eq!(repeated.status.code(), Some(1));
        let digest =
            |output: &Output| serde_json::from_str::<Value>(stdout(output)).unwrap()["digest"].clone();
        assert_eq!(digest(&failed), digest(&repeated));
    }
}

#[test]
fn quiet_says_nothing_of_a_success_and_everything_of_a_failure() {
    let folder = folder("quiet");
    let success = sim(&folder, &["run", "clean-login", "--quiet"]);
    assert_eq!((stdout(&success), stderr(&success)), ("", ""));
    let text = source("wrong-password").split("[[expect]]").next().unwrap();
    fs::write(folder.join("fails.toml"), text).unwrap();
    let failure = sim(&folder, &["run", "fails.toml", "--quiet"]);
    assert!(stdout(&failure).contains("alice   has no tunnel: authentication-rejected"));
    assert!(stdout(&failure).contains("✗ alice: connected: authentication-rejected"));
}

#[test]
fn list_names_every_builtin_scenario() {
    let folder = folder("list");
    let names: Vec<&str> = builtin::ALL.iter().map(|builtin| builtin.name).collect();
    let people = sim(&folder, &["list"]);
    let first_words: Vec<&str> = stdout(&people)
        .lines()
        .map(|line| line.split_whitespace().next().unwrap())
        .collect();
    assert_eq!(first_words, names);
    let json: Value = serde_json::from_str(stdout(&sim(&folder, &["list", "--json"]))).unwrap();
    for (entry, name) in json.as_array().unwrap().iter().zip(&names) {
        assert_eq!(entry["name"], *name);
        assert!(entry["title"].as_str().unwrap().len() > 10 && entry["about"].as_str().unwrap().len() > 10);
    }
    assert_eq!(json.as_array().unwrap().len(), names.len());
}

#[test]
fn schema_prints_the_schema() {
    let schema: Value = serde_json::from_str(stdout(&sim(&folder("schema"), &["schema"]))).unwrap();
    assert_eq!(schema, sandhog_sim::scenario::schema());
}

#[test]
fn a_reader_that_goes_away_is_not_a_failure() {
    let folder = folder("pipe");
    for arguments in [&["run", "first-light"][..], &["schema"], &["list"], &["--help"]] {
        let mut command = Command::new(PROGRAM);
        command
            .current_dir(&folder)
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
