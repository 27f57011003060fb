//! Table of `docs/survival.md`: it has a row for each number, and everything that a row names exists.

use super::{Source, holds, sources};

const PAGE: &str = include_str!("../../../docs/survival.md");

/// Numbers of the rows, in the order of the page. Missing numbers are reserved.
const NUMBERS: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 39, 40, 56,
    57, 58, 59, 63, 64, 50, 65, 66,
];

/// Folders of the tests that a row may name.
const FOLDERS: &[&str] = &["peer/tests/", "proto/src/", "proto/tests/", "sim/tests/"];

/// The number of each row, and the words in backquotes in its last column.
fn rows(page: &str) -> Vec<(u32, Vec<&str>)> {
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line
            .strip_prefix("| ")?
            .trim_end_matches(" |")
            .split(" | ")
            .collect();
        let number = cells.first()?.parse().ok()?;
        let shown_by = cells.get(4)?.split('`').skip(1).step_by(2);
        Some((number, shown_by.collect()))
    });
    rows.collect()
}

fn tests() -> Vec<Source> {
    let is_test = |source: &Source| {
        source.has_ending(&["rs"]) && FOLDERS.iter().any(|folder| source.path.starts_with(folder))
    };
    sources().into_iter().filter(is_test).collect()
}

/// Returns true if `source` is the file `stem.rs` and has the test `name`.
fn has_test(source: &Source, stem: &str, name: &str) -> bool {
    let is_named = source.path.ends_with(&format!("/{stem}.rs"));
    let before = source
        .text
        .split_once(&format!("fn {name}("))
        .map(|(before, _)| before);
    is_named && before.is_some_and(|before| before.trim_end().ends_with("#[test]"))
}

/// The error in a name of a row; none if the test or scenario exists.
fn offence(tests: &[Source], word: &str) -> Option<String> {
    let Some((stem, name)) = word.split_once("::") else {
        let is_known = sandhog_tests::names().any(|known| known == word);
        return (!is_known).then(|| format!("there is no built-in scenario `{word}`"));
    };
    match tests.iter().filter(|source| has_test(source, stem, name)).count() {
        1 => None,
        0 => Some(format!("there is no test `{word}`")),
        count => Some(format!("{count} files have a test `{word}`")),
    }
}

#[test]
fn every_number_has_a_row_and_every_row_names_scenarios_and_tests_that_exist() {
    let (rows, tests) = (rows(PAGE), tests());
    assert_eq!(
        rows.iter().map(|(number, _)| *number).collect::<Vec<_>>(),
        NUMBERS
    );
    let offences = rows.iter().flat_map(|(number, words)| {
        let missing = words
            .is_empty()
            .then(|| "it names no test and no scenario".to_owned());
        let wrong = words
            .iter()
            .filter_map(|word| offence(&tests, word))
            .chain(missing);
        wrong
            .map(|wrong| format!("row {number}: {wrong}"))
            .collect::<Vec<_>>()
    });
    holds("a row names tests and scenarios that exist", offences);
}

#[test]
fn the_table_names_every_survival_test_of_the_laboratory() {
    let rows = rows(PAGE);
    let survival = tests()
        .into_iter()
        .filter(|source| source.path.starts_with("sim/tests/survival/"));
    let offences = survival.flat_map(|source| {
        let stem = source
            .path
            .rsplit(['/', '.'])
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        let names = source.text.split("#[test]").skip(1).filter_map(|rest| {
            let (_, rest) = rest.split_once("fn ")?;
            rest.split_once('(').map(|(name, _)| format!("{stem}::{name}"))
        });
        let is_named = |name: &String| rows.iter().any(|(_, words)| words.contains(&name.as_str()));
        names.filter(|name| !is_named(name)).collect::<Vec<_>>()
    });
    holds("a survival test has a row", offences);
}

#[test]
fn a_row_is_read_by_its_columns_and_a_wrong_test_name_is_found() {
    let page = "| # | name |\n|---|---|\n| 7 | a `b` | c | d | `clean-login`, `x::y` and `no-such` |\n";
    assert_eq!(rows(page), [(7, vec!["clean-login", "x::y", "no-such"])]);
    let source = Source {
        path: "sim/tests/x.rs".to_owned(),
        text: "#[test]\nfn y() {}\nfn z() {}\n".to_owned(),
    };
    let tests = [source];
    assert_eq!(offence(&tests, "x::y"), None);
    for wrong in ["x::z", "z::y", "no-such"] {
        assert!(offence(&tests, wrong).is_some(), "{wrong}");
    }
}
