//! Form of source files: a first line with the subject, comments that start with a noun, a limited length.

use super::{Source, holds, sources};

/// Longest file, in lines. A longer one has more than one subject.
const FILE_LINES_MAX: usize = 600;
/// Longest function, in lines, so that it fits on a screen.
const FUNCTION_LINES_MAX: usize = 70;

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

/// Words that begin a question, a clause or a superlative in place of a noun, in a comment on a file or an item.
const NO_NOUNS: &[&str] = &[
    "what", "how", "which", "whether", "when", "where", "who", "that", "why", "most",
];
/// Further words that do not name the subject of a file.
const NO_SUBJECTS: &[&str] = &["this", "it"];

/// Returns the first word of a text, in lower case.
fn first_word(text: &str) -> Option<String> {
    let mut words = text.split(|letter: char| !letter.is_alphabetic());
    words.find(|word| !word.is_empty()).map(str::to_lowercase)
}

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
    let word = text.and_then(first_word);
    let is_right =
        word.is_some_and(|word| !NO_NOUNS.contains(&word.as_str()) && !NO_SUBJECTS.contains(&word.as_str()));
    (!is_right).then(|| format!("{}:{number}: {first}", source.path))
}

#[test]
fn the_documentation_of_an_item_starts_with_a_noun_or_a_verb() {
    let code = code().filter(|source| source.has_ending(&["rs"]));
    let wrong: Vec<_> = code.flat_map(|source| wrong_documentation(&source)).collect();
    holds("documentation (`///`) starts with a noun or a verb", wrong);
}

/// The lines at the start of a doc comment, or after one of its headings, that start with no noun and no verb.
fn wrong_documentation(source: &Source) -> Vec<String> {
    let mut begins = true;
    let mut wrong = Vec::new();
    for (line, number) in source.text.lines().zip(1..) {
        let Some(text) = line.trim_start().strip_prefix("///") else {
            begins = true;
            continue;
        };
        let text = text.trim();
        let starts_wrong = first_word(text).is_some_and(|word| NO_NOUNS.contains(&word.as_str()));
        if begins && text.starts_with(char::is_alphabetic) && starts_wrong {
            wrong.push(format!("{}:{number}: {}", source.path, line.trim()));
        }
        begins = text.starts_with("# ") || begins && text.is_empty();
    }
    wrong
}

#[test]
fn documentation_that_starts_with_a_question_word_is_shown() {
    let wrong = |text: &str| {
        wrong_documentation(&Source {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        })
    };
    assert_eq!(
        wrong("    /// Most bytes.\n    a: u8,\n"),
        ["a.rs:1: /// Most bytes."]
    );
    let errors = "/// Opens it.\n///\n/// # Errors\n///\n/// When the device is gone.\nfn open() {}\n";
    assert_eq!(wrong(errors), ["a.rs:5: /// When the device is gone."]);
    assert!(
        wrong("/// Opens a device.\n/// When it is gone, fails.\n///\n/// Why not.\nfn open() {}\n")
            .is_empty()
    );
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
    for word in ["what", "Most", "Why", "This", "It"] {
        assert!(
            offence("a.rs", &format!("//! {word} bytes.\n")).is_some(),
            "{word}"
        );
    }
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
    let line = line.trim_start();
    let after_pub = line.strip_prefix("pub").unwrap_or(line);
    let item = match after_pub.strip_prefix('(') {
        Some(scope) => scope.split_once(')').map_or("", |(_, item)| item),
        None => after_pub,
    };
    let mut words = item
        .split_whitespace()
        .skip_while(|word| matches!(*word, "async" | "const" | "unsafe" | "extern" | "\"C\""));
    words.next() == Some("fn")
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
pub(super) fn found(source: &Source, words: &[&str]) -> Vec<String> {
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
    let scoped = source(format!("    pub(in crate::z) fn long() {{\n{body}    }}\n"));
    assert_eq!(long_functions(&scoped), ["a.rs:1: 71 lines"]);
    let fits = body.replacen("    let x = 1;\n", "", 1);
    assert!(long_functions(&source(format!("fn fits() {{\n{fits}}}\n"))).is_empty());
}
