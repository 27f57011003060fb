//! Wrong tapes, certificates, traces and numbers: each command rejects them with one message, and writes no files.

use std::fs;
use std::path::{Path, PathBuf};

use crate::program::{folder, json, rejects, sim, stderr, stdout};
use crate::support::source;

/// A tape that fails: the session is lost by a rebinding.
const TAPE: &str = "sandhog tape 1\nscenario classic-clean-login\nseed 1\nalice→server data #1: rebind alice to 198.51.100.2:50001\nend\n";

/// The commands that read a tape, with the arguments around it.
const TAPE_COMMANDS: [(&[&str], &[&str]); 5] = [
    (&["replay"], &["--out", "reports"]),
    (&["shrink"], &["--out", "reports"]),
    (&["explain"], &["--packet", "1"]),
    (&["diff"], &["first-light:1"]),
    (&["diff", "first-light:1"], &[]),
];

/// Checks that every command that reads a tape rejects `tape` with this message.
#[track_caller]
fn rejects_tape(folder: &Path, tape: &str, message: &str) {
    for (before, after) in TAPE_COMMANDS {
        rejects(folder, &[before, &[tape], after].concat(), message);
    }
}

/// Checks that every command that reads a tape rejects a file with this content. The message follows the name of the file.
#[track_caller]
fn rejects_tape_file(test: &str, content: &[u8], message: &str) {
    let folder = folder(test);
    fs::write(folder.join("bad.tape"), content).unwrap();
    rejects_tape(&folder, "bad.tape", &format!("bad.tape: {message}"));
}

/// Checks that every command that reads a tape rejects [`TAPE`] with a change.
#[track_caller]
fn rejects_changed_tape(test: &str, [from, to]: [&str; 2], message: &str) {
    assert!(TAPE.contains(from), "the text to change");
    rejects_tape_file(test, TAPE.replacen(from, to, 1).as_bytes(), message);
}

/// The compact form of the smallest tape of [`TAPE`].
fn compact(folder: &Path) -> String {
    fs::write(folder.join("good.tape"), TAPE).unwrap();
    let classic = source("clean-login").replace("profile = \"secure\"", "profile = \"classic\"");
    fs::write(folder.join("scenario.toml"), classic).unwrap();
    let shrunk = json(&sim(folder, &["shrink", "good.tape", "--json"]));
    shrunk["compact"].as_str().unwrap().to_owned()
}

#[test]
fn a_cut_tape_is_rejected_at_its_last_line() {
    let middle = TAPE.find("data").unwrap() + 2;
    rejects_tape_file(
        "tape-cut-line",
        &TAPE.as_bytes()[..middle],
        "line 4: expected `SENDER→RECEIVER KIND #N: FAULT`, found `alice→server da`; the tape may be cut here",
    );
    let before_end = TAPE.find("end\n").unwrap();
    rejects_tape_file(
        "tape-cut-end",
        &TAPE.as_bytes()[..before_end],
        "line 5: the tape ends without the line `end`; it may be cut",
    );
    rejects_tape_file(
        "tape-empty",
        b"",
        "line 1: the tape is empty; its first line is `sandhog tape 1`",
    );
}

#[test]
fn a_tape_of_an_unknown_scenario_is_rejected() {
    rejects_changed_tape(
        "tape-other",
        ["classic-clean-login", "nosuch"],
        "the tape is of the scenario `nosuch`, which is not a built-in one; pass its file with `--scenario FILE`",
    );
}

#[test]
fn a_tape_is_rejected_with_the_scenario_of_another_one() {
    let folder = folder("tape-swapped");
    fs::write(folder.join("good.tape"), TAPE).unwrap();
    rejects(
        &folder,
        &["replay", "good.tape", "--scenario", "first-light"],
        "good.tape: the tape is of the scenario `classic-clean-login`, and this scenario is `first-light`",
    );
}

#[test]
fn an_unknown_fault_or_host_of_a_tape_is_rejected_with_the_most_similar_one() {
    rejects_changed_tape(
        "tape-fault",
        ["rebind alice to 198.51.100.2:50001", "dorp"],
        "line 4: `dorp` is not a fault; did you mean `drop`?",
    );
    rejects_changed_tape(
        "tape-host",
        ["alice→", "alcie→"],
        "fault 1: there is no host `alcie`; did you mean `alice`?",
    );
}

#[test]
fn an_unknown_kind_of_datagram_is_reported_as_a_divergence() {
    let folder = folder("tape-kind");
    fs::write(folder.join("kind.tape"), TAPE.replace("data", "dat")).unwrap();
    let message = "the run diverged from the tape: fault 1: alice→server dat #1 was never sent\n";
    let replay = sim(&folder, &["replay", "kind.tape"]);
    assert_eq!(stderr(&replay), message);
    assert_eq!(replay.status.code(), Some(0));
    let explain = sim(&folder, &["explain", "kind.tape", "--packet", "1"]);
    assert_eq!(stderr(&explain), format!("kind.tape: {message}"));
}

#[test]
fn an_address_that_a_host_cannot_have_is_rejected() {
    let address = "198.51.100.2:50001";
    rejects_changed_tape(
        "tape-port",
        [address, "198.51.100.2:0"],
        "fault 1: port 0 is not a valid port",
    );
    rejects_changed_tape(
        "tape-server",
        [address, "192.0.2.1:4000"],
        "fault 1: 192.0.2.1:4000 is the address of `server`; use an unused address",
    );
}

#[test]
fn a_tape_of_a_newer_version_is_rejected() {
    rejects_changed_tape(
        "tape-newer",
        ["tape 1", "tape 2"],
        "line 1: the tape has version 2, but this program reads version 1; use the program that recorded it",
    );
}

#[test]
fn a_file_that_is_no_tape_is_rejected() {
    rejects_tape_file(
        "tape-garbage",
        b"\x00\x01\xff\xfe",
        "cannot read the tape: byte 2 is not UTF-8; this is not a tape",
    );
    rejects_tape_file(
        "tape-junk",
        &b"junk ".repeat(2_000_000),
        "line 1: this is not a tape; the first line of a tape is `sandhog tape 1`",
    );
    let folder = folder("tape-folder");
    fs::create_dir(folder.join("folder.tape")).unwrap();
    rejects_tape(
        &folder,
        "folder.tape",
        "folder.tape: cannot read the tape: this is a folder; name a file in it",
    );
    rejects_tape(
        &folder,
        "folders.tape",
        "folders.tape: cannot read the tape: there is no such file; correct the name, or create the file; a compact \
         tape has only letters, digits, `-` and `_`",
    );
}

#[test]
fn the_compact_form_is_read_by_every_command_and_from_a_file() {
    let folder = folder("compact-good");
    let compact = compact(&folder);
    fs::write(folder.join("compact.tape"), format!("{compact}\n")).unwrap();
    for tape in [compact.as_str(), "compact.tape"] {
        for (before, after) in TAPE_COMMANDS {
            let after = after.iter().filter(|word| !["--out", "reports"].contains(word));
            let arguments: Vec<&str> = before.iter().chain([&tape]).chain(after).copied().collect();
            let output = sim(&folder, &arguments);
            assert!(
                output.status.code() < Some(2),
                "{arguments:?}: {}",
                stderr(&output)
            );
        }
    }
}

#[test]
fn a_cut_or_changed_compact_tape_is_rejected() {
    let folder = folder("compact-bad");
    let compact = compact(&folder);
    let changed = "the checksum of the compact tape is wrong; it is cut or changed, so copy it again";
    rejects_tape(&folder, &compact[..40], changed);
    rejects_tape(
        &folder,
        &format!("{}A{}", &compact[..30], &compact[31..]),
        changed,
    );
    rejects_tape(
        &folder,
        &compact[..41],
        "the compact tape contains a character that is not base64url, or is cut; copy it again",
    );
    rejects_tape(
        &folder,
        &format!("Ag{}", &compact[2..]),
        "the tape has version 2, but this program reads version 1; use the program that recorded it",
    );
    rejects_tape(
        &folder,
        &"A".repeat(40),
        "this is not a compact tape, and there is no file with this name",
    );
}

/// A folder with the certificate of a small search.
fn folder_with_certificate(test: &str) -> (PathBuf, serde_json::Value) {
    let folder = folder(test);
    let search = ["exhaust", "clean-login", "--datagrams", "4", "--out", "."];
    let output = sim(&folder, &search);
    assert!(output.status.code() < Some(2), "{}", stderr(&output));
    let text = fs::read_to_string(folder.join("certificate.json")).unwrap();
    (folder, serde_json::from_str(&text).unwrap())
}

#[test]
fn a_cut_or_wrong_certificate_is_rejected() {
    let (folder, good) = folder_with_certificate("certificate-bad");
    let bad = |content: &[u8], message: &str| {
        fs::write(folder.join("bad.json"), content).unwrap();
        rejects(&folder, &["verify", "bad.json"], &format!("bad.json: {message}"));
    };
    let again = "of the certificate is missing or wrong; it is cut or changed, so make a new one";
    bad(
        &good.to_string().as_bytes()[..100],
        "this is not a certificate, or it is cut: EOF while parsing a string at line 1 column 100",
    );
    bad(
        b"",
        "this is not a certificate, or it is cut: EOF while parsing a value at line 1 column 0",
    );
    bad(b"{}", &format!("the field `sandhog_certificate` {again}"));
    bad(
        b"\xff",
        "cannot read the certificate: byte 0 is not UTF-8; this is not a certificate",
    );
    let changed = |key: &str, value: serde_json::Value, message: &str| {
        let mut certificate = good.clone();
        certificate[key] = value;
        bad(certificate.to_string().as_bytes(), message);
    };
    changed(
        "sandhog_certificate",
        3.into(),
        "the certificate has version 3, but this program reads version 2; use the program that wrote it, or make a new certificate",
    );
    changed(
        "scenario_digest",
        "00".into(),
        &format!("the field `scenario_digest` {again}"),
    );
    changed(
        "from",
        "nap".into(),
        "the run without faults has no record `nap`; the field `what` of trace.jsonl, which `run --out` writes, has \
         their names",
    );
    // A number that contradicts the others.
    for (key, value, wrong) in [
        ("schedules", 1, "schedules"),
        ("datagrams", 5, "schedules"),
        ("faults", 2, "schedules"),
        ("pruned", 1, "pruned"),
        ("runs", 1, "pruned"),
        ("runs", 1_000, "runs"),
        ("stopped", 1_000, "stopped"),
    ] {
        changed(key, value.into(), &format!("the field `{wrong}` {again}"));
    }
    rejects(
        &folder,
        &["verify", "."],
        ".: cannot read the certificate: this is a folder; name a file in it",
    );
    rejects(
        &folder,
        &["verify", "certificat.json"],
        "certificat.json: cannot read the certificate: there is no such file; did you mean `certificate.json`?",
    );
}

#[test]
fn a_certificate_with_another_result_fails() {
    let (folder, good) = folder_with_certificate("certificate-other");
    let zeros = "0".repeat(64);
    for (key, value, message) in [
        (
            "scenario_digest",
            zeros.as_str().into(),
            "has changed since the certificate was made",
        ),
        (
            "states",
            1.into(),
            "the certificate has 1 explored states, and the repeated search has",
        ),
        (
            "failing",
            77.into(),
            "the certificate has 77 failing schedules, and the repeated search has",
        ),
        (
            "failing_digest",
            zeros.as_str().into(),
            "has other failing schedules than the certificate",
        ),
    ] {
        let mut changed: serde_json::Value = good.clone();
        changed[key] = value;
        fs::write(folder.join("changed.json"), changed.to_string()).unwrap();
        let output = sim(&folder, &["verify", "changed.json"]);
        assert_eq!(output.status.code(), Some(1), "{key}");
        let error = stderr(&output);
        assert!(
            error.starts_with("changed.json: ") && error.contains(message),
            "{key}: {error}"
        );
        assert_eq!((stdout(&output), error.lines().count()), ("", 1));
    }
}

#[test]
fn a_cut_or_wrong_trace_is_rejected() {
    let folder = folder("trace-bad");
    let good = [
        r#"{"id":1,"at_ns":0,"host":null,"cause":null,"what":"boot"}"#,
        r#"{"id":2,"at_ns":0,"host":null,"cause":1,"what":"boot"}"#,
    ];
    let missing = "does not follow the record before it; a part of the trace is missing";
    let last = good[0].replace("\"id\":1", &format!("\"id\":{}", u64::MAX));
    for (content, message) in [
        (
            String::new(),
            "line 1: the trace is empty; `run --out` writes one".into(),
        ),
        (
            format!("{}\n{}", good[0], &good[1][..20]),
            "line 2: this is not a record, or it is cut: EOF while parsing a string at line 1 column 20"
                .into(),
        ),
        (good[1].into(), format!("line 1: record 2 {missing}")),
        (
            format!("{last}\n{last}"),
            format!("line 1: record {} {missing}", u64::MAX),
        ),
        (
            format!("{}\n{}", good[0], good[1].replace("\"cause\":1", "\"cause\":2")),
            "line 2: the cause of record 2 is not an earlier record".into(),
        ),
    ] {
        fs::write(folder.join("bad.jsonl"), content).unwrap();
        let message: String = format!("bad.jsonl: {message}");
        rejects(&folder, &["explain", "bad.jsonl", "--packet", "1"], &message);
        rejects(&folder, &["diff", "first-light:1", "bad.jsonl"], &message);
    }
}

#[test]
fn a_record_that_a_trace_does_not_have_is_rejected() {
    rejects(
        &folder("record"),
        &["explain", "clean-login:1", "--packet", "999999"],
        "there is no record 999999; the trace has the records 1 to 71",
    );
}

/// Checks that a command rejects the value of an option.
#[track_caller]
fn rejects_value(command: &[&str], option: &str, value: &str, expected: &str) {
    let name = option.split(' ').next().unwrap_or_default();
    let message =
        format!("invalid value '{value}' for '{option}': {expected}\n\nFor more information, try '--help'.");
    // Tests run at the same time, and each option belongs to one test.
    let folder = folder(&format!("values{name}"));
    rejects(&folder, &[command, &[name, value]].concat(), &message);
}

#[test]
fn numbers_outside_of_their_range_are_rejected_with_the_range() {
    let (sweep, exhaust) = (["sweep", "clean-login"], ["exhaust", "clean-login"]);
    for seeds in ["5..5", "9..3", "0..18446744073709551616", "-1..5", "5", "x", ""] {
        let expected =
            "expected two numbers from 0 to 18446744073709551615, such as `1..1001`, the second one larger";
        rejects_value(&sweep, "--seeds <A..B>", seeds, expected);
    }
    for jobs in ["0", "-1", "1025", "100000", "x"] {
        rejects_value(
            &sweep,
            "--jobs <N>",
            jobs,
            "expected a whole number from 1 to 1024",
        );
    }
    for budget in ["0", "0s", "-1s", "x", "999999999h", ""] {
        let expected = "expected a time longer than 0, such as `10m` or `90s`";
        rejects_value(&sweep, "--budget <TIME>", budget, expected);
    }
    for count in ["0", "-1", "4294967296", "x"] {
        let expected = "expected a whole number from 1 to 4294967295";
        rejects_value(&exhaust, "--datagrams <K>", count, expected);
        rejects_value(&exhaust, "--faults <N>", count, expected);
    }
    let seed = "a seed is a whole number from 0 to 18446744073709551615";
    rejects_value(&exhaust, "--seed <N>", "-1", seed);
    let record = "expected a whole number from 1 to 18446744073709551615";
    rejects_value(&["explain", "clean-login:1"], "--packet <N>", "0", record);
}

#[test]
fn unknown_kinds_of_faults_are_rejected_with_the_most_similar_one() {
    let message = "`drp` is not a kind of fault; did you mean `drop`?";
    let sweep = ["sweep", "clean-login", "--swarm"];
    rejects_value(&sweep, "--with <KINDS>", "drp", message);
    rejects_value(&sweep, "--without <KINDS>", "drp", message);
    rejects_value(&["exhaust", "clean-login"], "--kinds <KINDS>", "drp", message);
}

#[test]
fn bounds_and_options_that_exclude_each_other_are_rejected() {
    let folder = folder("contradictions");
    rejects(
        &folder,
        &["exhaust", "clean-login", "--faults", "99", "--out", "found"],
        "clean-login: a schedule gives each datagram at most one fault, so 99 faults do not fit into 12 datagrams; use at \
         most 12 faults, or more datagrams",
    );
    rejects(
        &folder,
        &["exhaust", "clean-login", "--from", "wakes", "--out", "found"],
        "clean-login: the run without faults has no record `wakes`; the field `what` of trace.jsonl, which `run --out` \
         writes, has their names",
    );
    rejects(
        &folder,
        &["exhaust", "clean-login", "--from", "999999"],
        "clean-login: the run without faults has no record 999999; it has the records 1 to 71",
    );
    let sweep = ["sweep", "clean-login", "--swarm", "--out", "found"];
    rejects(
        &folder,
        &[&sweep[..], &["--with", "drop", "--without", "drop"]].concat(),
        "`drop` is in `--with` and in `--without`; remove it from one of them",
    );
    let all = "loss,duplicate,corrupt,jitter,outage,drop,double,late,hold,swap,damage,rebind,crash";
    rejects(
        &folder,
        &[&sweep[..], &["--without", all]].concat(),
        "`--without` excludes every kind of fault; remove some of them, or `--swarm`",
    );
    rejects(
        &folder,
        &["sweep", "clean-login", "reconnect", "clean-login"],
        "clean-login: there are two scenarios with the name `clean-login`; remove or rename one of them",
    );
}

#[test]
fn a_scenario_without_clients_runs() {
    let folder = folder("no-clients");
    let text = "title = \"one server\"\nduration = \"1s\"\nclient = []\n\n[[server]]\nname = \"s\"\n\
                address = \"192.0.2.1:4000\"\ninner = [\"10.9.0.1/24\"]\n";
    fs::write(folder.join("none.toml"), text).unwrap();
    let output = sim(&folder, &["run", "none.toml", "--json"]);
    assert_eq!(json(&output)["outcome"], "no clients");
    assert_eq!(output.status.code(), Some(0));
    fs::write(folder.join("missing.toml"), text.replace("client = []\n", "")).unwrap();
    rejects(
        &folder,
        &["run", "missing.toml"],
        "missing.toml:1:1: missing key `client`; add it to this table",
    );
}
