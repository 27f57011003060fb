//! Sources of nondeterminism, which must not occur in the code that decides a run.
//!
//! clippy.toml bans the same types. These tests also find floating point, for which there is no lint, and code for other
//! targets, which clippy does not compile on this machine.

use super::imports::Tree;
use super::tokens::{Token, tokens};
use super::{Source, holds, sources};

/// Folders with the code that decides a run.
const DECIDING: &[&str] = &["peer/src/", "proto/src/", "netstack/src/", "lab/src/", "sim/src/"];

/// Files below those folders that only measure or draw the results.
const REPORTING: &[&str] = &["sim/src/main.rs", "sim/src/cli/", "lab/src/report/"];

/// Banned words, each with the reason.
const ABSENT: &[(&str, &str)] = &[
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("SystemTime", "time is an input"),
    ("thread_rng", "randomness is a seed"),
    ("OsRng", "randomness is a seed"),
    ("f32", "functions of floating point differ between platforms"),
    ("f64", "functions of floating point differ between platforms"),
];

/// The name of a literal such as `1.5` in these rules.
const FLOAT: &str = "float literal";

/// Allowed uses: file, word and reason.
const HARMLESS: &[(&str, &str, &str)] = &[
    (
        "proto/src/secure/strict.rs",
        "f64",
        "a number under an unknown key is skipped, never used",
    ),
    (
        "lab/src/engine/turmoil.rs",
        FLOAT,
        "turmoil's rate of failures is set to 0, because the links of the laboratory lose datagrams",
    ),
    (
        "lab/src/engine/turmoil.rs",
        "SystemTime",
        "turmoil's epoch is set to a constant, and never read",
    ),
    (
        "lab/src/values/text.rs",
        "f64",
        "a number in a file is turned into an integer by its decimal digits",
    ),
];

#[test]
fn no_source_of_nondeterminism_decides_a_run() {
    let deciding = sources().into_iter().filter(decides);
    let offences = deciding.flat_map(|source| offences(&source)).collect::<Vec<_>>();
    holds("a run depends on its scenario and seed alone", offences);
}

fn decides(source: &Source) -> bool {
    let below = |folders: &[&str]| folders.iter().any(|folder| source.path.starts_with(folder));
    source.has_ending(&["rs"]) && below(DECIDING) && !below(REPORTING)
}

fn offences(source: &Source) -> Vec<String> {
    let found = tokens(&source.text).into_iter().filter_map(|(line, token)| {
        let (word, why) = match token {
            Token::Name(name) => *ABSENT.iter().find(|(absent, _)| *absent == name)?,
            Token::Number(number) if is_float(number) => (FLOAT, "floating point rounds"),
            _ => return None,
        };
        let is_harmless = HARMLESS
            .iter()
            .any(|(path, harmless, _)| (*path, *harmless) == (&*source.path, word));
        (!is_harmless).then(|| format!("{}:{line}: {word}: {why}", source.path))
    });
    found.collect()
}

/// Returns true for `1.5`, `1.`, `1e6` and `1f64`.
fn is_float(number: &str) -> bool {
    let rest = number.trim_start_matches(|letter: char| letter.is_ascii_digit() || letter == '_');
    let exponent = rest.strip_prefix(['e', 'E']);
    rest.starts_with('.')
        || rest == "f32"
        || rest == "f64"
        || exponent.is_some_and(|digits| {
            digits.starts_with(|letter: char| letter.is_ascii_digit() || "+-_".contains(letter))
        })
}

#[test]
fn a_banned_word_is_found_in_code_but_not_in_comments_or_longer_words() {
    let lines = |text: &str| {
        let source = Source {
            path: "lab/src/link.rs".to_owned(),
            text: text.to_owned(),
        };
        let places = offences(&source).into_iter();
        places
            .map(|place| place.split(": ").take(2).collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    };
    assert_eq!(lines("\nlet x: f64 = 1;\n"), ["lab/src/link.rs:2 f64"]);
    assert_eq!(
        lines("let x = \"a//b\"; let y: f32;\n"),
        ["lab/src/link.rs:1 f32"]
    );
    for literal in ["1.5", "1.", "2e-3", "1f32.sqrt()"] {
        assert_eq!(
            lines(&format!("let x = {literal};")),
            ["lab/src/link.rs:1 float literal"],
            "{literal}"
        );
    }
    assert!(
        lines("// f64 would differ\nlet f64_free = (0..5, 0x1e5, 1usize, 5.max(pair.0.1), \"1.5\");\n")
            .is_empty()
    );
}

/// Files that may read the real clock.
const REAL_TIME: &[&str] = &[
    "sim/src/cli/progress.rs",
    "sim/src/relay/sockets.rs",
    "lab/src/engine/turmoil.rs",
];

#[test]
fn no_run_reads_the_real_clock() {
    let deciding = sources().into_iter().filter(|source| {
        source.has_ending(&["rs"])
            && DECIDING.iter().any(|folder| source.path.starts_with(folder))
            && !REAL_TIME.contains(&&*source.path)
    });
    let clocks: Vec<_> = deciding.flat_map(|source| std_clocks(&source)).collect();
    holds(
        "time is an input: of `std::time`, only `Duration` is used, by its full path",
        clocks,
    );
}

/// The lines of a file that name a clock of `std`, or a module under whose name a clock could be used.
fn std_clocks(source: &Source) -> Vec<String> {
    let tree = Tree::read(&source.path, &|path| {
        (path == source.path).then_some(&*source.text)
    });
    let uses = tree.modules.values().flat_map(|module| &module.uses);
    let clocks = uses.filter(|(path, _)| {
        let path: Vec<_> = path.iter().map(String::as_str).collect();
        match path.as_slice() {
            ["std"] | ["std", "time"] => true,
            ["std", "time", item, ..] => *item != "Duration",
            _ => false,
        }
    });
    clocks
        .map(|(path, line)| format!("{}:{line}: {}", source.path, path.join("::")))
        .collect()
}

#[test]
fn a_clock_of_std_is_found_in_every_form_of_import() {
    let clocks = |text: &str| {
        std_clocks(&Source {
            path: "lab/src/link.rs".to_owned(),
            text: text.to_owned(),
        })
    };
    let forms = [
        "use std::time::{Duration, Instant};",
        "use std::{fmt, time::Instant as Clock};",
        "use std::time::SystemTime;",
        "use std::time;",
        "use std::time::{self, Duration};",
        "use std::time::*;",
        "use std::{self as s};",
        "use ::std::time::UNIX_EPOCH;",
        "fn a() { std::time::Instant::now(); }",
        "fn a() { ::std::time::Instant::now(); }",
    ];
    for form in forms {
        let found = clocks(&format!("\n{form}\n"));
        assert_eq!(found.len(), 1, "{form}");
        assert!(found[0].starts_with("lab/src/link.rs:2: std"), "{form}");
    }
    assert!(clocks("use std::time::Duration;\nuse smoltcp::time::Instant;\n").is_empty());
}

/// Allowed clocks besides `tun-adapter/src/clock.rs`: file, word, and the reason why no deadline of a tunnel depends on it.
const OTHER_CLOCKS: &[(&str, &str, &str)] = &[
    (
        "clock.rs",
        "Realtime",
        "the time in login messages, and the expiry of users; a step is only passed on",
    ),
    (
        "doctor/machine.rs",
        "Realtime",
        "the check that the real clock is set",
    ),
    (
        "notify.rs",
        "Monotonic",
        "systemd requires this clock for a reload",
    ),
    ("control/socket.rs", "tokio::time", "the timeout of a request"),
    ("metrics/mod.rs", "tokio::time", "the timeout of a scrape"),
    (
        "connections.rs",
        "tokio::time",
        "the pause before the next attempt to accept a connection",
    ),
    (
        "control/queue.rs",
        "tokio::time",
        "the interval of the watchdog messages to systemd",
    ),
    (
        "fs/atomic_file.rs",
        "thread::sleep",
        "the interval of the checks of a lock",
    ),
    (
        "status/command.rs",
        "thread::sleep",
        "the interval of the status display",
    ),
];

/// Words that read another clock.
const CLOCKS: &[&str] = &[
    "SystemTime",
    "Realtime",
    "Monotonic",
    "Instant::now",
    "tokio::time",
    "thread::sleep",
];

#[test]
fn the_program_has_one_clock_for_all_deadlines() {
    let program = sources()
        .into_iter()
        .filter_map(|source| {
            let path = source.path.strip_prefix("tun-adapter/src/")?.to_owned();
            Some(Source { path, ..source })
        })
        .collect::<Vec<_>>();
    let reads = |source: &Source, clock: &str| {
        let words: Vec<_> = clock.split("::").collect();
        let names: Vec<_> = tokens(&source.text)
            .into_iter()
            .filter_map(|(_, token)| match token {
                Token::Name(name) => Some(name),
                Token::Separator => None,
                _ => Some(""),
            })
            .collect();
        names.windows(words.len()).any(|found| found == words)
    };
    let is_known = |path: &str, clock: &str| {
        OTHER_CLOCKS
            .iter()
            .any(|(known, word, _)| (*known, *word) == (path, clock))
    };
    let unknown = program.iter().flat_map(|source| {
        let seen = CLOCKS.iter().filter(|clock| reads(source, clock));
        seen.filter(|clock| !is_known(&source.path, clock))
            .map(|clock| format!("{}: {clock}", source.path))
    });
    let gone = OTHER_CLOCKS
        .iter()
        .filter(|(path, clock, _)| {
            !program
                .iter()
                .any(|source| source.path == *path && reads(source, clock))
        })
        .map(|(path, clock, _)| format!("{path}: {clock} is no longer used"));
    holds(
        "deadlines of a tunnel depend on CLOCK_BOOTTIME only",
        unknown.chain(gone).collect::<Vec<_>>(),
    );
}
