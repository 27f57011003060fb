//! Form of source files: a first line with the subject, a limited length, no unfinished work.

use super::{Source, holds, sources};

/// Longest file, in lines. A longer one has more than one subject.
const FILE_LINES_MAX: usize = 600;
/// Longest function, in lines, so that it fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

/// Marks of unfinished work, in pieces, because this file must not contain them.
const UNFINISHED: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("dbg", "!("),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("#[allow(", "dead_code"),
];

/// Paths of one machine, in pieces for the same reason.
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
];

const CODE: &[&str] = &["rs", "js", "mjs"];

fn code() -> impl Iterator<Item = Source> {
    sources().into_iter().filter(|source| source.has_ending(CODE))
}

#[test]
fn every_source_file_begins_with_a_comment_that_starts_with_a_noun() {
    let offences = code().filter_map(|source| first_line_offence(&source));
    holds(
        "the first line of a file is a comment (`//!` in Rust, `//` or `/**` in JavaScript) that starts with a noun",
        offences,
    );
}

/// Words that begin a question or a clause in place of a noun.
const NO_NOUNS: &[&str] = &["What", "How", "Which", "Whether", "When", "Where", "Who", "That"];

/// The first line, if it is no comment or its first word is no noun.
fn first_line_offence(source: &Source) -> Option<String> {
    let mut lines = source.text.lines().zip(1..);
    let (first, number) = lines
        .find(|(line, _)| !line.starts_with("#!/"))
        .unwrap_or_default();
    let starts: &[&str] = match source.has_ending(&["rs"]) {
        true => &["//!"],
        false => &["//", "/**"],
    };
    let text = starts.iter().find_map(|start| first.strip_prefix(start));
    let words = text.map(|text| text.split(|letter: char| !letter.is_alphabetic()));
    let word = words.and_then(|mut words| words.find(|word| !word.is_empty()));
    let is_right = word.is_some_and(|word| !NO_NOUNS.contains(&word));
    (!is_right).then(|| format!("{}:{number}: {first}", source.path))
}

#[test]
fn a_first_line_that_starts_with_no_noun_is_shown() {
    let offence = |path: &str, text: &str| {
        first_line_offence(&Source {
            path: path.to_owned(),
            text: text.to_owned(),
        })
    };
    assert_eq!(
        offence("a.rs", "//! What a receiver remembers.\n"),
        Some("a.rs:1: //! What a receiver remembers.".to_owned())
    );
    assert!(offence("a.rs", "use b::c;\n").is_some());
    assert!(offence("a.mjs", "#!/usr/bin/env node\n// Whether it runs.\n").is_some());
    assert_eq!(offence("a.rs", "//! Replay window (RFC 6479).\n"), None);
    assert_eq!(offence("a.js", "/** Colours of the page. */\n"), None);
}

#[test]
fn a_source_file_has_fewer_than_600_lines() {
    let long = code().map(|source| (source.text.lines().count(), source.path));
    let long = long
        .filter(|(lines, _)| *lines >= FILE_LINES_MAX)
        .map(|(lines, path)| format!("{path}: {lines} lines"));
    holds("a source file has fewer than 600 lines", long);
}

#[test]
fn a_function_has_at_most_70_lines() {
    let long = code()
        .filter(|source| source.has_ending(&["rs"]))
        .flat_map(|source| long_functions(&source));
    holds("a function has at most 70 lines", long.collect::<Vec<_>>());
}

/// Functions of a file that are too long. The sources are formatted. So a function of several lines ends at the first line
/// that has the indentation of its first line and begins with a brace. A function without body ends after its arguments.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.text.lines().collect();
    let starts = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| begins_a_function(line));
    starts
        .filter_map(|(start, line)| {
            let indentation = &line[..line.len() - line.trim_start().len()];
            let (end, without_body) = (format!("{indentation}}}"), format!("{indentation})"));
            let last = |line: &&str| {
                line.starts_with(&end) || line.starts_with(&without_body) && line.ends_with(';')
            };
            let length = 1 + lines[start..].iter().position(last)?;
            let one_line = line.ends_with('}') || line.ends_with(';');
            let long = !one_line && length > FUNCTION_LINES_MAX;
            long.then(|| format!("{}:{}: {length} lines", source.path, start + 1))
        })
        .collect()
}

fn begins_a_function(line: &str) -> bool {
    let mut words = line.split_whitespace().skip_while(|word| {
        word.starts_with("pub") || matches!(*word, "async" | "const" | "unsafe" | "extern" | "\"C\"")
    });
    words.next() == Some("fn")
}

#[test]
fn no_work_is_left_unfinished() {
    let this = |source: &Source| source.path == "Cargo.lock" || source.has_ending(&["snap", "lock", "json"]);
    let marks = sources()
        .into_iter()
        .filter(|source| !this(source))
        .flat_map(|source| found(&source, UNFINISHED));
    holds("unfinished work is not committed", marks.collect::<Vec<_>>());
}

#[test]
fn an_ignored_test_has_a_reason() {
    let bare = concat!("#[igno", "re]");
    holds(
        "an ignored test has a reason",
        code()
            .flat_map(|source| found(&source, &[bare]))
            .collect::<Vec<_>>(),
    );
}

#[test]
fn no_file_names_a_path_of_one_machine() {
    let paths = sources()
        .into_iter()
        .flat_map(|source| found(&source, MACHINE_PATHS));
    holds("paths are relative to the checkout", paths.collect::<Vec<_>>());
}

/// Lines with one of the words, as `path:line: word`.
fn found(source: &Source, words: &[&str]) -> Vec<String> {
    let lines = source.text.lines().enumerate();
    lines
        .flat_map(|(index, line)| {
            let hits = words.iter().filter(move |word| line.contains(**word));
            hits.map(move |word| format!("{}:{}: {word}", source.path, index + 1))
        })
        .collect()
}

#[test]
fn a_long_function_is_measured_to_its_closing_brace() {
    let body = "    let x = 1;\n".repeat(FUNCTION_LINES_MAX - 1);
    let source = |text| Source {
        path: "a.rs".to_owned(),
        text,
    };
    assert_eq!(
        long_functions(&source(format!("fn long() {{\n{body}}}\n"))),
        ["a.rs:1: 71 lines"]
    );
    let fits = body.replacen("    let x = 1;\n", "", 1);
    assert!(long_functions(&source(format!("fn fits() {{\n{fits}}}\n"))).is_empty());
}
