//! Unfinished work: stubs, marks in comments, and attributes that hide dead code.

use super::shape::found;
use super::tokens::{Token, attributes, tokens};
use super::{Source, holds, sources};

/// Marks in any file, in pieces, because this file must not contain them.
const MARKS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX")];

/// Macros of unfinished code and of debugging.
const MACROS: &[&str] = &["todo", "unimplemented", "dbg"];

/// Macros that are unfinished code if their text begins with one of [`STUBS`].
const PANICS: &[&str] = &["panic", "unreachable"];
const STUBS: &[&str] = &[
    "not implemented",
    "not yet implemented",
    "unimplemented",
    "todo",
    "to do",
];

/// Lints for dead code.
const DEAD_CODE: &[&str] = &["dead_code", "unused"];

#[test]
fn no_work_is_left_unfinished() {
    let is_generated = |source: &Source| source.has_ending(&["snap", "lock", "json"]);
    let marks = sources()
        .into_iter()
        .filter(|source| !is_generated(source))
        .flat_map(|source| {
            let mut marks = found(&source, MARKS);
            if source.has_ending(&["rs"]) {
                marks.extend(unfinished(&source));
            }
            marks
        });
    holds("unfinished work is not committed", marks.collect::<Vec<_>>());
}

/// Files that may hide dead code.
const HARMLESS: &[(&str, &str)] = &[
    (
        "proto/benches/",
        "a benchmark shares a file with the tests, and uses a part of it",
    ),
    (
        "tun-adapter/benches/",
        "a benchmark shares a file with the tests, and uses a part of it",
    ),
    ("tests/tests/netns/tunnel.rs", "a guard is held and never read"),
];

fn is_harmless(path: &str) -> bool {
    HARMLESS.iter().any(|(start, _)| path.starts_with(start))
}

/// Unfinished code of a Rust file, as `path:line: word`.
fn unfinished(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.text);
    let calls = tokens.windows(2).enumerate().filter_map(|(at, pair)| match pair {
        [(line, Token::Name(name)), (_, Token::Sign('!'))] => {
            let text = match tokens.get(at + 3) {
                Some((_, Token::Text(text))) => text.to_lowercase(),
                _ => String::new(),
            };
            let is_stub = PANICS.contains(name) && STUBS.iter().any(|stub| text.starts_with(stub));
            (is_stub || MACROS.contains(name)).then(|| (*line, format!("{name}!")))
        }
        _ => None,
    });
    let hidden = attributes(&tokens).into_iter().filter_map(|(start, end)| {
        let has = |words: &[&str]| {
            let attribute = &tokens[start..end];
            attribute
                .iter()
                .any(|(_, token)| matches!(token, Token::Name(name) if words.contains(name)))
        };
        let hides = has(&["allow", "expect"]) && has(DEAD_CODE) && !is_harmless(&source.path);
        hides.then(|| (tokens[start].0, "dead code is allowed".to_owned()))
    });
    calls
        .chain(hidden)
        .map(|(line, word)| format!("{}:{line}: {word}", source.path))
        .collect()
}

#[test]
fn stubs_and_attributes_for_dead_code_are_shown_with_their_lines() {
    let cases = [
        ("\nfn a() { todo! (); }\n", "a.rs:2: todo!"),
        (
            "#[allow(unused_mut,\n    dead_code)]\nfn a() {}\n",
            "a.rs:1: dead code is allowed",
        ),
        (
            "#[expect(dead_code)]\nfn a() {}\n",
            "a.rs:1: dead code is allowed",
        ),
        (
            "#![cfg_attr(test, allow(dead_code))]\n",
            "a.rs:1: dead code is allowed",
        ),
        ("fn a() {\n    panic!(\"not implemented\")\n}\n", "a.rs:2: panic!"),
    ];
    let shown = |text: &str| {
        unfinished(&Source {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        })
    };
    for (text, offence) in cases {
        assert_eq!(shown(text), [offence], "{text}");
    }
    assert!(shown("#[allow(clippy::panic)]\nfn a() { panic!(\"the file is {}\", todo) }\n").is_empty());
}
