//! The tapes of `sim/tapes/`: repaired failures must pass, and known faults must fail with the check of their first comment.

use std::ops::ControlFlow;

use sandhog_lab::replay::{Replay, record, replay};
use sandhog_lab::search::{Certificate, Failure, verify};
use sandhog_lab::tape::Tape;
use sandhog_sim::{Detail, Engine, RunOptions, Scenario};

macro_rules! tapes {
    ($($name:literal,)*) => {
        /// Names and texts of the tapes.
        const TAPES: &[(&str, &str)] = &[$(($name, include_str!(concat!("../tapes/", $name, ".tape"))),)*];
    };
}

tapes! {
    "rebind-before-session",
    "repeated-ke3-from-a-new-address",
    "lost-settings-of-reconnect",
    "rebind-before-ke3",
    "rebind-before-settings",
    "refused-account-changes-password",
    "server-restarts-in-login",
    "password-change-without-answer",
    "known/classic-server-restarts",
    "known/classic-server-restarts-in-login",
    "known/classic-rebind-before-answer",
    "known/classic-rebind-before-data",
    "first-login-without-login",
    "first-login-without-cookie",
    "first-login-without-login-cookie",
    "first-login-without-ke2",
    "first-login-without-ke3",
    "first-login-without-settings",
}

/// Names and texts of the scenarios of tapes that need one of their own. Each is beside its tape.
const SCENARIOS: &[(&str, &str)] = &[
    ("refused-account", include_str!("../tapes/refused-account.toml")),
    ("first-login", include_str!("../tapes/first-login.toml")),
];

/// The scenario with this name: a built-in one, or one beside the tapes.
fn scenario_of(name: &str) -> Scenario {
    match SCENARIOS.iter().find(|(other, _)| *other == name) {
        Some((name, text)) => {
            let file = format!("{name}.toml");
            Scenario::parse(&file, text, &|_| Err("there are no files".into())).unwrap()
        }
        None => Scenario::builtin(name).unwrap(),
    }
}

/// The check that a tape of a known fault fails, from its first comment.
fn expected_failure(text: &str) -> Option<&str> {
    text.lines().find_map(|line| line.strip_prefix("# fails: "))
}

fn replayed(text: &str, engine: Engine) -> Replay {
    let tape: Tape = text.parse().unwrap();
    let scenario = scenario_of(&tape.setup);
    let options = RunOptions {
        engine,
        detail: Detail::Digest,
        ..RunOptions::default()
    };
    replay(&scenario.setup(), &tape, &options).unwrap()
}

#[test]
fn every_tape_has_the_result_that_it_names() {
    for (name, text) in TAPES {
        let replay = replayed(text, Engine::Event);
        assert_eq!(replay.divergence, None, "{name}");
        let failure = Failure::of(&replay.run);
        let found = failure.as_ref().map(|failure| failure.primary.as_str());
        assert_eq!(found, expected_failure(text), "{name}: {failure:?}");
    }
}

#[test]
fn a_known_fault_names_its_check_and_every_other_tape_passes() {
    for (name, text) in TAPES {
        assert_eq!(
            name.starts_with("known/"),
            expected_failure(text).is_some(),
            "{name}"
        );
    }
}

#[test]
#[cfg(feature = "turmoil")]
fn both_engines_replay_every_tape_with_the_same_digest() {
    for (name, text) in TAPES {
        let digests = [Engine::Event, Engine::Turmoil].map(|engine| replayed(text, engine).run.digest);
        assert_eq!(digests[0], digests[1], "{name}");
    }
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn every_tape_of_the_folder_is_replayed() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tapes");
    let mut found = Vec::new();
    for prefix in ["", "known/"] {
        for entry in std::fs::read_dir(folder.join(prefix)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "tape") {
                found.push(format!("{prefix}{}", path.file_stem().unwrap().to_str().unwrap()));
            }
        }
    }
    found.sort();
    let mut listed: Vec<_> = TAPES.iter().map(|(name, _)| (*name).to_owned()).collect();
    listed.sort();
    assert_eq!(found, listed);
}

/// The certificates of `sim/tapes/certificates`.
const CERTIFICATES: &[(&str, &str)] = &[
    (
        "clean-login",
        include_str!("../tapes/certificates/clean-login.json"),
    ),
    (
        "password-change",
        include_str!("../tapes/certificates/password-change.json"),
    ),
    ("reconnect", include_str!("../tapes/certificates/reconnect.json")),
];

#[test]
fn every_certificate_is_confirmed_by_a_new_search() {
    for (name, text) in CERTIFICATES {
        let certificate = Certificate::from_json(text).unwrap();
        let setup = Scenario::builtin(&certificate.setup).unwrap().setup();
        let verified = verify(&setup, &certificate, &mut |_| ControlFlow::Continue(()));
        let verified = verified.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(verified.wrong, [], "{name}");
    }
}

#[test]
#[cfg(not(target_family = "wasm"))]
fn every_known_fault_is_explained_in_the_documents() {
    let page = include_str!("../../docs/known-faults.md");
    for (name, _) in TAPES.iter().filter(|(name, _)| name.starts_with("known/")) {
        assert!(page.contains(&format!("`sim/tapes/{name}.tape`")), "{name}");
    }
}

#[test]
fn two_hundred_recorded_seeds_replay_with_the_same_digest() {
    for scenario in ["first-light", "lossy-login", "reordered", "handshake-dup"] {
        let setup = Scenario::builtin(scenario).unwrap().setup();
        for seed in 1..=50 {
            let options = RunOptions {
                seed,
                detail: Detail::Digest,
                ..RunOptions::default()
            };
            let (run, tape) = record(&setup, &options).unwrap();
            let again = replay(&setup, &tape, &options).unwrap();
            assert_eq!(again.run.digest, run.digest, "{scenario} {seed}");
            assert_eq!(again.divergence, None);
        }
    }
}
