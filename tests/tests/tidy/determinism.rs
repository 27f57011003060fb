//! Sources of nondeterminism, which must not occur in the code that decides a run.
//!
//! clippy.toml bans the same types. These tests also find floating point, for which there is no lint, and code for other
//! targets, which clippy does not compile on this machine.

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

/// Allowed uses: file, word and reason.
const HARMLESS: &[(&str, &str, &str)] = &[
    (
        "proto/src/secure/strict.rs",
        "f64",
        "a number under an unknown key is skipped, never used",
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
    let code = source
        .text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    let words = code.enumerate().flat_map(|(index, line)| {
        let words = line.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        words.map(move |word| (index + 1, word))
    });
    words
        .filter_map(|(line, word)| {
            let (_, why) = ABSENT.iter().find(|(absent, _)| *absent == word)?;
            if HARMLESS
                .iter()
                .any(|(path, harmless, _)| (*path, *harmless) == (&*source.path, word))
            {
                return None;
            }
            Some(format!("{}:{line}: {word}: {why}", source.path))
        })
        .collect()
}

#[test]
fn a_banned_word_is_found_in_code_but_not_in_comments_or_longer_words() {
    let source = |text: &str| Source {
        path: "lab/src/link.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(offences(&source("let x: f64 = 1.0;\n")).len(), 1);
    assert!(offences(&source("// f64 would differ\nlet f64_free = 1;\n")).is_empty());
}

/// Files that may read the real clock.
const REAL_TIME: &[&str] = &["sim/src/cli/mod.rs", "sim/src/relay/sockets.rs"];

#[test]
fn no_run_reads_the_real_clock() {
    let readers = sources().into_iter().filter(|source| {
        source.has_ending(&["rs"])
            && DECIDING.iter().any(|folder| source.path.starts_with(folder))
            && source.text.contains("std::time::Instant")
            && !REAL_TIME.contains(&&*source.path)
    });
    holds("time is an input", readers.map(|source| source.path));
}

/// Allowed clocks besides `tun-adapter/src/clock.rs`: file, word, and the reason why no deadline of a tunnel depends on it.
const OTHER_CLOCKS: &[(&str, &str, &str)] = &[
    (
        "clock.rs",
        "Realtime",
        "the day on which users expire, read once, at the start",
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
        let mut code = source
            .text
            .lines()
            .map(|line| line.split("//").next().unwrap_or_default());
        code.any(|line| line.contains(clock))
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
