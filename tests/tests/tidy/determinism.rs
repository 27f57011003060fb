//! What could make two runs differ does not occur where runs are decided.
//!
//! clippy.toml bans the same by type; this finds floating point too, which no lint bans, and code that clippy does not see
//! on this machine.

use super::{Source, holds, sources};

/// Where every decision of a run is made.
const DECIDING: &[&str] = &["peer/src/", "proto/src/", "netstack/src/", "sim/src/"];

/// Files below those folders that decide nothing: they measure or draw what has been decided.
const REPORTING: &[&str] = &["sim/src/main.rs", "sim/src/cli/", "sim/src/report/"];

/// Words and why they are absent.
const ABSENT: &[(&str, &str)] = &[
    ("HashMap", "its order differs from run to run"),
    ("HashSet", "its order differs from run to run"),
    ("SystemTime", "time is an input"),
    ("thread_rng", "randomness is a seed"),
    ("OsRng", "randomness is a seed"),
    ("f32", "functions of floating point differ between platforms"),
    ("f64", "functions of floating point differ between platforms"),
];

/// Single uses that are none: file, word, and why it decides nothing.
const HARMLESS: &[(&str, &str, &str)] = &[
    (
        "proto/src/secure/strict.rs",
        "f64",
        "a number under an unknown key is skipped, never used",
    ),
    (
        "sim/src/engine/turmoil.rs",
        "SystemTime",
        "turmoil's epoch is set to a constant, and never read",
    ),
    (
        "sim/src/scenario/values.rs",
        "f64",
        "a number in a file is turned into an integer by its decimal digits",
    ),
];

#[test]
fn nothing_that_differs_between_runs_or_machines_decides() {
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
fn a_word_is_found_in_code_and_not_in_comments_or_longer_words() {
    let source = |text: &str| Source {
        path: "sim/src/link.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(offences(&source("let x: f64 = 1.0;\n")).len(), 1);
    assert!(offences(&source("// f64 would differ\nlet f64_free = 1;\n")).is_empty());
}

/// Where the laboratory may look at the clock of the world.
const WORLD_TIME: &[&str] = &["sim/src/cli/mod.rs", "sim/src/relay/live.rs"];

#[test]
fn the_clock_of_the_world_is_looked_at_where_no_run_sees_it() {
    let lookers = sources().into_iter().filter(|source| {
        source.has_ending(&["rs"])
            && DECIDING.iter().any(|folder| source.path.starts_with(folder))
            && source.text.contains("std::time::Instant")
            && !WORLD_TIME.contains(&&*source.path)
    });
    holds("time is an input", lookers.map(|source| source.path));
}

/// What the program may look at besides its one clock, `tun-adapter/src/clock.rs`: file, word, and why it moves no deadline of
/// a tunnel.
const OTHER_CLOCKS: &[(&str, &str, &str)] = &[
    (
        "clock.rs",
        "Realtime",
        "the day on which users expire, looked at once, at the start",
    ),
    (
        "doctor/machine.rs",
        "Realtime",
        "tells whether the clock of the world is set at all",
    ),
    (
        "notify.rs",
        "Monotonic",
        "systemd asks for this one with a reload",
    ),
    ("control/socket.rs", "tokio::time", "how long somebody may ask"),
    ("metrics/mod.rs", "tokio::time", "how long a scrape may take"),
    (
        "connections.rs",
        "tokio::time",
        "when to try again to take a connection",
    ),
    (
        "control/desk.rs",
        "tokio::time",
        "how often the service manager hears of the loop",
    ),
    ("users/whole.rs", "thread::sleep", "how often a lock is looked at"),
    (
        "status/command.rs",
        "thread::sleep",
        "how often a person is shown the status",
    ),
];

/// The ways to the other clocks.
const CLOCKS: &[&str] = &[
    "SystemTime",
    "Realtime",
    "Monotonic",
    "Instant::now",
    "tokio::time",
    "thread::sleep",
];

#[test]
fn the_program_has_one_clock_which_neither_jumps_nor_stands_still() {
    let program = sources()
        .into_iter()
        .filter_map(|source| {
            let path = source.path.strip_prefix("tun-adapter/src/")?.to_owned();
            Some(Source { path, ..source })
        })
        .collect::<Vec<_>>();
    let looks = |source: &Source, clock: &str| {
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
        let seen = CLOCKS.iter().filter(|clock| looks(source, clock));
        seen.filter(|clock| !is_known(&source.path, clock))
            .map(|clock| format!("{}: {clock}", source.path))
    });
    let gone = OTHER_CLOCKS
        .iter()
        .filter(|(path, clock, _)| {
            !program
                .iter()
                .any(|source| source.path == *path && looks(source, clock))
        })
        .map(|(path, clock, _)| format!("{path}: {clock} is not there any more"));
    holds(
        "deadlines of a tunnel go by CLOCK_BOOTTIME alone",
        unknown.chain(gone).collect::<Vec<_>>(),
    );
}
