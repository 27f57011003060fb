//! Mistakes in scenario files: the program rejects them with the place and the valid values, and writes no files.

use std::fs;

use sandhog_sim::{Scenario, ScenarioError};

use crate::program::{PROGRAM, folder_with_scenario, place, rejects};
use crate::support::source;

/// Reads a scenario whose servers serve any file, each of one byte.
fn parse_with_files(text: &str) -> Result<Scenario, ScenarioError> {
    Scenario::parse("test.toml", text, &|_| Ok(vec![0].into()))
}

/// Checks that the program rejects `first-light` with one change and writes no reports. The error is at `mark`.
#[track_caller]
fn rejects_changed(test: &str, [from, to]: [&str; 2], mark: &str, message: &str) {
    let text = source("first-light");
    assert!(text.contains(from), "the text to change");
    rejects_text(test, "scenario.toml", &text.replacen(from, to, 1), mark, message);
}

/// The same as [`rejects_changed`], but in JSON.
#[track_caller]
fn rejects_changed_json(test: &str, [from, to]: [&str; 2], mark: &str, message: &str) {
    let table: toml::Table = source("first-light").parse().unwrap();
    let text = serde_json::to_string_pretty(&table).unwrap();
    assert!(text.contains(from), "the text to change in {text}");
    rejects_text(test, "scenario.json", &text.replacen(from, to, 1), mark, message);
}

#[track_caller]
fn rejects_text(test: &str, file: &str, text: &str, mark: &str, message: &str) {
    let folder = folder_with_scenario(test);
    fs::write(folder.join(file), text).unwrap();
    let message = format!("{file}:{}: {message}", place(text, mark));
    rejects(&folder, &["run", file, "--out", "reports"], &message);
}

#[test]
fn an_unknown_key_is_rejected_with_the_most_similar_one() {
    rejects_changed(
        "unknown-key",
        ["delay =", "dealy ="],
        "dealy",
        "unknown key `dealy`; did you mean `delay`?",
    );
    rejects_changed_json(
        "unknown-key-json",
        ["\"delay\"", "\"dealy\""],
        "\"dealy",
        "unknown key `dealy`; did you mean `delay`?",
    );
}

#[test]
fn a_negative_delay_is_rejected() {
    rejects_changed(
        "negative-delay",
        ["30ms 10ms", "-30ms 10ms"],
        "\"-30ms",
        "`-30ms`: a time cannot be negative",
    );
    rejects_changed(
        "negative-jitter",
        ["30ms 10ms", "30ms -10ms"],
        "\"30ms -10ms",
        "`-10ms`: a time cannot be negative",
    );
    rejects_changed_json(
        "negative-delay-json",
        ["30ms 10ms", "-30ms 10ms"],
        "\"-30ms",
        "`-30ms`: a time cannot be negative",
    );
}

#[test]
fn a_probability_above_one_is_rejected_as_text_and_as_number() {
    let message = "`1.2`: a probability is between 0 and 1, or 0% and 100%; did you mean `1.2%`?";
    rejects_changed(
        "probability",
        ["random 2%", "random 1.2"],
        "\"random 1.2",
        message,
    );
    rejects_changed("probability-number", ["\"random 2%\"", "1.2"], "1.2\n", message);
    rejects_changed_json("probability-json", ["\"random 2%\"", "1.2"], "1.2\n", message);
}

#[test]
fn an_unknown_host_is_rejected_in_every_table() {
    rejects_changed(
        "host-link",
        ["[\"alice\", \"server\"]", "[\"alcie\", \"server\"]"],
        "\"alcie",
        "there is no host `alcie`; did you mean `alice`?",
    );
    rejects_changed(
        "host-server",
        ["server = \"server\"", "server = \"sever\""],
        "\"sever\"",
        "there is no server `sever`; did you mean `server`?",
    );
    rejects_changed(
        "host-event",
        [
            "[[link]]",
            "[[event]]\nat = \"1s\"\ncrash = \"servr\"\n\n[[link]]",
        ],
        "\"servr",
        "there is no host `servr`; did you mean `server`?",
    );
    rejects_changed(
        "host-event-client",
        [
            "[[link]]",
            "[[event]]\nat = \"1s\"\nsleep = \"server\"\n\n[[link]]",
        ],
        "\"server\"\n\n[[link",
        "there is no client `server`; expected one of alice",
    );
    rejects_changed(
        "host-expect",
        [
            "[[link]]",
            "[[expect]]\nclient = \"alise\"\noutcome = \"connected\"\n\n[[link]]",
        ],
        "\"alise",
        "there is no client `alise`; did you mean `alice`?",
    );
    rejects_changed_json(
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
fn an_unknown_scenario_is_rejected_with_the_most_similar_name() {
    let folder = folder_with_scenario("no-scenario");
    rejects(
        &folder,
        &["run", "first-ligth"],
        "there is no built-in scenario and no file `first-ligth`; did you mean `first-light`?",
    );
    rejects(
        &folder,
        &["run", "nosuch"],
        &format!(
            "there is no built-in scenario and no file `nosuch`; `{PROGRAM} list` prints the built-in scenarios"
        ),
    );
    rejects(
        &folder,
        &["run", "scenari.toml"],
        "scenari.toml: cannot read the scenario: there is no such file; did you mean `scenario.toml`?",
    );
    rejects(
        &folder,
        &["run", "./auth-timeout.toml"],
        "./auth-timeout.toml: cannot read the scenario: there is no such file; correct the name, or create the file \
         (`auth-timeout` is a built-in scenario; use the name without folder and ending)",
    );
    rejects(
        &folder,
        &["run", "."],
        ".: cannot read the scenario: this is a folder; name a file in it",
    );
}

#[test]
fn a_missing_served_file_is_rejected_with_the_most_similar_name() {
    let message = "cannot read the file `tunel.txt` in the folder of the scenario: there is no such file; did you mean `tunnel.txt`?";
    let change = ["\"tunnel.txt\"", "\"tunel.txt\""];
    rejects_changed("no-file", change, "\"tunel", message);
    rejects_changed_json("no-file-json", change, "\"tunel", message);
}

#[test]
fn a_seed_that_is_not_a_number_is_rejected() {
    let folder = folder_with_scenario("seed");
    for seed in ["seven", "-1", "1.5", "18446744073709551616", ""] {
        rejects(
            &folder,
            &["run", "first-light", "--seed", seed, "--out", "reports"],
            &format!(
                "invalid value '{seed}' for '--seed <N>': a seed is a whole number from 0 to 18446744073709551615\n\n\
                 For more information, try '--help'."
            ),
        );
    }
    rejects_changed(
        "seed-key",
        ["seed = 7", "seed = -7"],
        "-7",
        "expected a whole number from 0 to 18446744073709551615, found integer `-7`",
    );
}

#[test]
fn a_missing_key_is_reported_at_its_table() {
    rejects_changed(
        "missing-key",
        ["duration = \"60s\"\n", ""],
        "",
        "missing key `duration`; add it to this table",
    );
    rejects_changed(
        "missing-login",
        ["login = \"alice\"\n", ""],
        "[[server.user]]",
        "missing key `login`; add it to this table",
    );
    rejects_changed_json(
        "missing-key-json",
        ["\"duration\": \"60s\",\n  ", ""],
        "",
        "missing key `duration`; add it to this table",
    );
}

#[test]
fn a_step_with_two_actions_or_none_is_rejected() {
    rejects_changed(
        "two-actions",
        [
            "ping = {",
            "get = { from = \"10.9.0.1:80\", path = \"/tunnel.txt\" }\nping = {",
        ],
        "[[client.do]]",
        "a step has only one action; write a [[client.do]] for each",
    );
    rejects_changed(
        "no-action",
        ["ping = {", "at = \"1s\"\n# ping = {"],
        "[[client.do]]",
        "a step needs one of ping, echo, download, upload and get",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_rejected_with_the_expected_type() {
    rejects_changed(
        "type-time",
        ["\"60s\"", "60"],
        "60\n",
        "`60`: expected a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)",
    );
    rejects_changed(
        "type-list",
        ["\"60s\"", "[60]"],
        "[60]",
        "expected a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h), found a list",
    );
    rejects_changed(
        "type-address",
        ["192.0.2.1:4000", "192.0.2.1"],
        "\"192.0.2.1\"",
        "expected an address with a port, like `192.0.2.1:4000` or `[2001:db8::1]:4000`",
    );
    rejects_changed_json(
        "type-json",
        ["\"count\": 3", "\"count\": \"three\""],
        "\"three",
        "expected a whole number from 0 to 65535, found string \"three\"",
    );
}

#[test]
fn a_duplicate_key_is_rejected() {
    let message = "duplicate key `profile`; remove one of the two";
    rejects_changed(
        "duplicate",
        [
            "profile = \"secure\"\n",
            "profile = \"secure\"\nprofile = \"secure\"\n",
        ],
        "profile = \"secure\"\nseed",
        message,
    );
    rejects_changed_json(
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
fn duplicate_users_and_addresses_are_rejected() {
    rejects_changed(
        "two-users",
        [
            "addresses = [\"10.9.0.2\"]",
            "addresses = [\"10.9.0.2\"]\n[[server.user]]\nlogin = \"alice\"\npassword = \"another\"\naddresses = []",
        ],
        "\"alice\"\npassword = \"another",
        "there is already a user `alice`",
    );
    rejects_changed(
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
fn an_event_after_the_end_is_rejected() {
    rejects_changed(
        "late-event",
        [
            "[[link]]",
            "[[event]]\nat = \"60s\"\ncrash = \"server\"\n\n[[link]]",
        ],
        "\"60s\"\ncrash",
        "this event never happens, because the run ends after 60s",
    );
}

#[test]
fn a_tunnel_or_step_that_starts_after_the_end_is_rejected() {
    let never = "never starts, because the run ends after 60s; increase `duration`";
    rejects_changed(
        "late-start",
        ["server = \"server\"", "server = \"server\"\nstart = \"1h\""],
        "\"1h\"",
        &format!("this tunnel {never}"),
    );
    rejects_changed(
        "late-step",
        ["ping = {", "at = \"60s\"\nping = {"],
        "\"60s\"\nping",
        &format!("this step {never}"),
    );
}

#[test]
fn more_hosts_than_the_simulator_can_number_are_rejected() {
    let client = "{\"name\":\"c\",\"address\":\"192.0.2.2:1\",\"server\":\"s\"},";
    let clients = client.repeat(65_535);
    let text = format!(
        "{{\"title\":\"many\",\"duration\":\"1s\",\"server\":[{{\"name\":\"s\",\"address\":\"192.0.2.1:1\",\
         \"inner\":[\"10.9.0.1/24\"]}}],\"client\":[{}]}}",
        clients.trim_end_matches(',')
    );
    rejects_text(
        "many-hosts",
        "many.json",
        &text,
        "[{\"name\":\"c\"",
        "there are 65536 hosts and adversaries; at most 65535 are possible, so remove some",
    );
}

#[test]
fn empty_and_binary_files_are_rejected() {
    let folder = folder_with_scenario("no-text");
    let empty = "the scenario is empty; it needs at least title, duration, a [[server]] and a [[client]]";
    let garbage = "cannot read the scenario: byte 4 is not UTF-8; a scenario is a text file in TOML or JSON";
    for ending in ["toml", "json"] {
        fs::write(folder.join(format!("empty.{ending}")), "\n").unwrap();
        fs::write(folder.join(format!("garbage.{ending}")), b"\x00\x01ab\xff\xfe").unwrap();
        let (empty_file, garbage_file) = (format!("empty.{ending}"), format!("garbage.{ending}"));
        rejects(&folder, &["run", &empty_file], &format!("{empty_file}: {empty}"));
        rejects(
            &folder,
            &["run", &garbage_file],
            &format!("{garbage_file}: {garbage}"),
        );
    }
}

/// Checks that the program rejects `first-light` with these tables before its link. The error is at `mark`.
#[track_caller]
fn rejects_expect(test: &str, tables: &str, mark: &str, message: &str) {
    let text = format!("{tables}\n\n[[link]]");
    rejects_changed(test, ["[[link]]", &text], mark, message);
}

#[test]
fn an_expected_timeout_of_a_client_that_tries_again_is_rejected() {
    let message = "this outcome can never happen: `alice` tries again until the server answers; add `once = true` to the client";
    for (test, key, other) in [
        ("once-outcome", "outcome", ""),
        ("once-or", "or", "outcome = \"connected\"\n"),
    ] {
        let tables = format!("[[expect]]\nclient = \"alice\"\n{other}{key} = \"connection-timed-out\"");
        rejects_expect(test, &tables, "\"connection-timed-out\"\n\n[[link", message);
    }
}

#[test]
fn an_expected_time_that_can_never_happen_is_rejected() {
    let at = |at: &str| format!("[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nat = \"{at}\"");
    let never = "this outcome can never happen: ";
    rejects_expect(
        "expect-late",
        &at("60s"),
        "\"60s\"\n\n[[link",
        &format!("{never}the work ends at 60.000 s, before this time"),
    );
    rejects_expect(
        "expect-grid",
        &at("1500us"),
        "\"1500us",
        &format!("{never}everything happens at a multiple of the resolution, 1 ms, and this time is none"),
    );
    let late_start = |expect: &str| {
        let text =
            source("first-light").replacen("server = \"server\"", "server = \"server\"\nstart = \"5s\"", 1);
        text.replacen("[[link]]", &format!("{expect}\n\n[[link]]"), 1)
    };
    rejects_text(
        "expect-early",
        "scenario.toml",
        &late_start(&at("4s")),
        "\"4s",
        &format!("{never}`alice` starts its tunnel at 5.000 s, after this time"),
    );
}

#[test]
fn an_expected_outcome_of_a_client_that_never_starts_is_rejected() {
    let expect = "[[expect]]\noutcome = \"connected\"\nclient = \"alice\"\n\n[[link]]";
    let text =
        source("first-light").replacen("server = \"server\"", "server = \"server\"\nstart = \"1h\"", 1);
    rejects_text(
        "expect-never",
        "scenario.toml",
        &text.replacen("[[link]]", expect, 1),
        "\"alice\"\n\n[[link",
        "`alice` starts its tunnel at 3600.000 s, and the work ends at 60.000 s, so it never has an outcome; increase `duration`",
    );
}

#[test]
fn a_final_status_that_contradicts_outcome_and_events_is_rejected() {
    let event = |at: u8, what: &str| format!("[[event]]\nat = \"{at}s\"\n{what} = \"alice\"\n");
    let expect = |outcome: &str, finally: &str| {
        format!("[[expect]]\nclient = \"alice\"\noutcome = \"{outcome}\"\nfinally = \"{finally}\"")
    };
    let never = "`alice` can never have this status at the end: ";
    let rejects = |test: &str, events: String, outcome: &str, finally: &str, problem: &str| {
        let tables = [events, expect(outcome, finally)].concat();
        let mark = format!("\"{finally}\"\n\n[[link");
        rejects_expect(test, &tables, &mark, &format!("{never}{problem}"));
    };
    let (none, refused) = (String::new(), "authentication-rejected");
    rejects(
        "finally-failed",
        none.clone(),
        refused,
        "connected",
        "its `start` fails, and no event starts it again; use `finally = \"disconnected\"`",
    );
    rejects(
        "finally-connecting",
        none,
        "connected",
        "connecting",
        "no event starts it again after its outcome; use `finally = \"reasserting\"`",
    );
    rejects(
        "finally-stopped",
        [event(1, "start"), event(2, "stop")].concat(),
        "connected",
        "connected",
        "its user stops the tunnel before, and does not start it again",
    );
    rejects(
        "finally-crashed",
        event(2, "crash"),
        "connected",
        "reasserting",
        "its host crashes before, and does not restart",
    );
    let scenario =
        |tables: String| source("first-light").replacen("[[link]]", &format!("{tables}\n\n[[link]]"), 1);
    let started_again = [event(2, "stop"), event(3, "start"), expect(refused, "connected")].concat();
    for possible in [started_again, expect("connected", "disconnected")] {
        assert!(parse_with_files(&scenario(possible)).is_ok());
    }
}
