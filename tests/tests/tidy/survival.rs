//! The table in `docs/survival.md`: a row for each number of the list, and everything that a row names exists.

use super::{Source, holds, sources};

const PAGE: &str = include_str!("../../../docs/survival.md");

/// The numbers of the rows, in the order of the page. The gaps are left for later.
const NUMBERS: &[u32] = &[
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28, 39, 40, 56,
    57, 58, 59, 63, 64, 50, 65, 66,
];

/// Where a test that a row names may stand.
const FOLDERS: &[&str] = &["peer/tests/", "proto/src/", "proto/tests/", "sim/tests/"];

/// Each row's number and the words in backquotes of its last column.
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

/// Whether `source` is the file called `stem` and has the test `name`.
fn has_test(source: &Source, stem: &str, name: &str) -> bool {
    let is_named = source.path.ends_with(&format!("/{stem}.rs"));
    let before = source
        .text
        .split_once(&format!("fn {name}("))
        .map(|(before, _)| before);
    is_named && before.is_some_and(|before| before.trim_end().ends_with("#[test]"))
}

/// What is wrong with something that a row names.
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
        let missing = words.is_empty().then(|| "it names nothing".to_owned());
        let wrong = words
            .iter()
            .filter_map(|word| offence(&tests, word))
            .chain(missing);
        wrong
            .map(|wrong| format!("row {number}: {wrong}"))
            .collect::<Vec<_>>()
    });
    holds("what the table promises can be run", offences);
}

#[test]
fn every_survival_test_of_the_laboratory_stands_in_the_table() {
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
    holds("a test says which row it is for", offences);
}

#[test]
fn a_row_is_read_by_its_columns_and_a_test_that_is_none_is_found() {
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
