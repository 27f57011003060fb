//! The example `arq-sim`: the command line with the profile of another protocol.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::program::{
    ARQ_SIM, command, folder, json, last_line, names_in, place, program_rejects, shell, stderr, stdout,
};

const SCENARIO: &str = include_str!("../examples/arq-download.toml");

fn run(test: &str, arguments: &[&str]) -> std::process::Output {
    let mut program = command(&*ARQ_SIM, &folder(test));
    program.args(arguments).output().unwrap()
}

/// Checks that the example rejects its scenario with one change. The error is at `mark`.
#[track_caller]
fn rejects_changed(test: &str, [from, to]: [&str; 2], mark: &str, message: &str) {
    assert!(SCENARIO.contains(from), "the text to change");
    let text = SCENARIO.replacen(from, to, 1);
    let folder = folder(test);
    fs::write(folder.join("mine.toml"), &text).unwrap();
    let message = format!("mine.toml:{}: {message}", place(&text, mark));
    program_rejects(&ARQ_SIM, &folder, &["run", "mine.toml"], &message);
}

#[test]
fn list_shows_the_scenarios_of_the_profile() {
    let list = run("arq-list", &["list"]);
    assert_eq!(
        stdout(&list),
        "arq-download  download 20 kB through a stop-and-wait tunnel over a lossy link\n"
    );
    let list = json(&run("arq-list", &["list", "--json"]));
    assert_eq!(list[0]["name"], "arq-download");
    assert_eq!(list.as_array().unwrap().len(), 1);
}

#[test]
fn run_writes_all_reports_and_both_engines_give_the_same_digest() {
    let folder = folder("arq-run");
    let run = |engine: &str| {
        let mut program = command(&*ARQ_SIM, &folder);
        program.args([
            "run",
            "arq-download",
            "--engine",
            engine,
            "--json",
            "--out",
            engine,
        ]);
        let output = program.output().unwrap();
        assert_eq!((stderr(&output), output.status.code()), ("", Some(0)));
        assert_eq!(
            names_in(&folder.join(engine)),
            ["capture.pcapng", "diagram.mmd", "diagram.svg", "trace.jsonl"]
                .map(String::from)
                .into()
        );
        json(&output)
    };
    let [event, turmoil] = ["event", "turmoil"].map(run);
    assert_eq!(event["scenario"], "arq-download");
    assert_eq!(event["passed"], true);
    assert_eq!(event["digest"], turmoil["digest"]);
    assert_eq!(event["counters"]["lost.scripted"], 1);
}

#[test]
fn the_schema_allows_only_the_names_of_the_profile() {
    let schema = json(&run("arq-schema", &["schema"]));
    let profile = &schema["properties"]["profile"];
    assert_eq!(profile["enum"], serde_json::json!(["arq"]));
    assert_eq!(profile["default"], "arq");
    let outcomes = schema["$defs"]["Expectation"]["properties"]["outcome"]["enum"].as_array();
    let outcomes: BTreeSet<&str> = outcomes.unwrap().iter().filter_map(Value::as_str).collect();
    assert!(outcomes.contains("connected") && outcomes.contains("connection-timed-out"));
}

#[test]
fn a_profile_of_another_program_is_rejected_with_the_valid_names() {
    let mark = "\"secure\"";
    rejects_changed(
        "arq-profile",
        ["\"arq\"", mark],
        mark,
        "this program has no profile `secure`; expected one of arq; a program of your own can add a profile, see \
         docs/your-protocol.md",
    );
}

#[test]
fn keys_for_a_login_are_rejected_by_a_profile_without_one() {
    let user = "user = [{ login = \"alice\", password = \"correct horse\", addresses = [] }]\n";
    rejects_changed(
        "arq-user",
        ["serve =", &format!("{user}serve =")],
        "[{ login",
        "profile `arq` has no login; remove the users",
    );
    rejects_changed(
        "arq-login",
        ["mtu = 1280\n", "mtu = 1280\nlogin = \"alice\"\n"],
        "\"alice\"\nserver",
        "profile `arq` has no login; remove this key",
    );
    rejects_changed(
        "arq-password",
        ["mtu = 1280\n", "mtu = 1280\npassword = \"correct horse\"\n"],
        "\"correct",
        "profile `arq` has no login; remove this key",
    );
}

#[test]
fn other_keys_are_rejected_by_a_profile_without_their_feature() {
    rejects_changed(
        "arq-cipher",
        ["mtu = 1280\n", "mtu = 1280\ncipher = \"aes-256-gcm\"\n"],
        "\"aes",
        "profile `arq` has no choice of cipher; remove this key",
    );
    rejects_changed(
        "arq-mtu-search",
        ["mtu = 1280\n", "mtu = 1280\nmtu-search = true\n"],
        "true",
        "profile `arq` has no path MTU discovery; remove this key",
    );
    let account = "account = { server = \"server\", login = \"alice\", becomes = \"removed\" }";
    rejects_changed(
        "arq-account",
        [
            "[[link]]",
            &format!("[[event]]\nat = \"1s\"\n{account}\n\n[[link]]"),
        ],
        "{ server = \"server\", login",
        "profile `arq` has no account changes; remove this event",
    );
    rejects_changed(
        "arq-inner",
        ["inner = [\"10.9.0.2/24\"]\n", ""],
        "[[client]]",
        "missing key `inner`; servers of profile `arq` assign no addresses",
    );
    rejects_changed(
        "arq-kind",
        ["kind = \"data\"", "kind = \"daat\""],
        "\"daat",
        "there is no kind of datagram `daat`; did you mean `data`?",
    );
}

#[test]
fn a_failed_run_ends_with_the_command_that_repeats_it() {
    let folder = folder("arq-fails");
    let expect = "[[expect]]\nclient = \"alice\"\noutcome = \"connection-timed-out\"\n\n[[link]]";
    fs::write(
        folder.join("fails.toml"),
        SCENARIO.replacen("[[link]]", expect, 1),
    )
    .unwrap();
    let mut program = command(&*ARQ_SIM, &folder);
    let failed = program.args(["run", "fails.toml"]).output().unwrap();
    assert_eq!(failed.status.code(), Some(1));
    let program = &*ARQ_SIM;
    assert_eq!(
        last_line(&failed),
        format!("{program} run fails.toml --seed 1 --engine event")
    );
    let repeated = shell(&folder, last_line(&failed));
    assert_eq!(repeated.status.code(), Some(1));
    let digest = |output| {
        let line = |line: &&str| line.starts_with("digest ");
        stdout(output).lines().find(line).unwrap().to_owned()
    };
    assert_eq!(digest(&failed), digest(&repeated));
}
