//! Profiles: scenario keys that a profile requires or does not support, and its built-in scenarios.

use std::collections::BTreeSet;

use sandhog_sim::profile::{Classic, PROFILES, Profile, Secure};
use sandhog_sim::scenario::ScenarioError;
use sandhog_sim::{Scenario, builtin};

use crate::support::{AliceAndServer, parse};

/// The error for the scenario of alice and a server after a change of its text. The error is at `mark`.
#[track_caller]
fn error(profile: &str, [from, to]: [&str; 2], mark: &str) -> String {
    let scenario = AliceAndServer {
        profile,
        ..AliceAndServer::default()
    };
    let text = scenario.text();
    assert!(text.contains(from), "the text to change");
    let text = text.replacen(from, to, 1);
    let ScenarioError { place, message, .. } = parse(&text).expect_err("a mistake");
    let before = text.split_once(mark).expect("the mark").0;
    let line = before.matches('\n').count() + 1;
    assert_eq!(place.map(|(line, _)| line), Some(line), "{message}");
    message
}

#[test]
fn every_builtin_scenario_is_valid_and_has_a_profile() {
    let mut names = BTreeSet::new();
    for profile in PROFILES {
        for builtin in profile.scenarios() {
            let scenario = builtin.scenario().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(scenario.profile.name(), profile.name());
            assert_eq!(scenario.name, builtin.name);
            names.insert(builtin.name);
        }
    }
    let all = builtin::ALL.iter().map(|builtin| builtin.name);
    assert_eq!(names, all.collect());
}

#[test]
fn the_first_profile_is_the_default() {
    let text = AliceAndServer::default()
        .text()
        .replace("profile = \"secure\"\n", "");
    let parse = |profiles: &[&'static dyn Profile]| {
        let scenario = Scenario::parse_with(profiles, "test.toml", &text, &|_| Err("no files".into()));
        scenario.map(|scenario| scenario.profile.name())
    };
    assert_eq!(parse(&[&Secure, &Classic]), Ok("secure"));
    assert_eq!(parse(&[&Classic, &Secure]), Ok("classic"));
    assert_eq!(parse(&[]).unwrap_err().message, "this program has no profiles");
}

#[test]
fn an_unknown_profile_is_rejected_with_the_valid_names() {
    let change = |name| ["profile = \"secure\"", name];
    assert_eq!(
        error("secure", change("profile = \"secrue\""), "profile"),
        "there is no profile `secrue`; did you mean `secure`?"
    );
    assert_eq!(
        error("secure", change("profile = \"wireguard\""), "profile"),
        "this program has no profile `wireguard`; expected one of secure, classic; a program of your own can add a \
         profile, see docs/your-protocol.md"
    );
}

#[test]
fn a_profile_with_a_login_requires_user_name_and_password() {
    for profile in ["secure", "classic"] {
        for (key, line) in [
            ("login", "login = \"alice\"\npassword"),
            ("password", "password = \"correct horse\"\n"),
        ] {
            let rest = if key == "login" { "password" } else { "" };
            assert_eq!(
                error(profile, [line, rest], "[[client]]"),
                format!("missing key `{key}`; add it to this table")
            );
        }
    }
}

#[test]
fn keys_that_a_profile_does_not_support_are_rejected() {
    let cases = [
        (
            ["serve = {", "cipher = \"aes-256-gcm\"\nserve = {"],
            "cipher",
            "profile `classic` has no choice of cipher; remove this key",
        ),
        (
            [
                "server = \"server\"\n",
                "server = \"server\"\ncipher = \"aes-256-gcm\"\n",
            ],
            "cipher",
            "profile `classic` has no choice of cipher; remove this key",
        ),
        (
            [
                "server = \"server\"\n",
                "server = \"server\"\nmtu-search = true\n",
            ],
            "mtu-search",
            "profile `classic` has no path MTU discovery; remove this key",
        ),
        (
            ["inner = [\"10.9.0.2/24\"]\n", ""],
            "[[client]]",
            "missing key `inner`; servers of profile `classic` assign no addresses",
        ),
    ];
    for (change, mark, message) in cases {
        assert_eq!(error("classic", change, mark), message);
    }
}

#[test]
fn an_unknown_outcome_is_rejected_with_the_most_similar_one() {
    let expect = "[[expect]]\nclient = \"alice\"\noutcome = \"conected\"\n[[link]]";
    assert_eq!(
        error("secure", ["[[link]]", expect], "outcome"),
        "there is no outcome `conected`; did you mean `connected`?"
    );
    let or = "[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nor = \"timed-out\"\n[[link]]";
    let message = error("secure", ["[[link]]", or], "or = ");
    assert!(
        message.starts_with("there is no outcome `timed-out`; "),
        "{message}"
    );
}
