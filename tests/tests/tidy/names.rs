//! Names of tests: subject and behaviour, in at most 80 characters.

use super::{Source, holds, sources};

/// Longest name of a test, in characters.
const NAME_MAX: usize = 80;

#[test]
fn the_name_of_a_test_has_at_most_80_characters() {
    let code = sources().into_iter().filter(|source| source.has_ending(&["rs"]));
    let long: Vec<_> = code.flat_map(|source| long_names(&source)).collect();
    holds("the name of a test has at most 80 characters", long);
}

/// The tests of a file whose names are too long, each with its line.
fn long_names(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.text.lines().map(str::trim).collect();
    let is_test = |index: usize| {
        let before = lines[..index].iter().rev();
        let mut attributes = before.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
        attributes.any(|line| line.starts_with("#[test]") || line.contains("::test"))
    };
    let named = lines.iter().enumerate().filter_map(|(index, line)| {
        let (_, rest) = line.split_once("fn ")?;
        let (name, _) = rest.split_once('(')?;
        Some((index, name, name.chars().count()))
    });
    named
        .filter(|(index, _, length)| *length > NAME_MAX && is_test(*index))
        .map(|(index, name, length)| format!("{}:{}: {name}: {length} characters", source.path, index + 1))
        .collect()
}

#[test]
fn a_name_of_81_characters_is_shown_and_one_of_80_is_not() {
    let source = |name: &str| Source {
        path: "a.rs".to_owned(),
        text: format!("#[test]\n#[ignore = \"slow\"]\nfn {name}() {{}}\n\nfn {name}_helps() {{}}\n"),
    };
    let name = "a".repeat(NAME_MAX);
    assert!(long_names(&source(&name)).is_empty());
    let long = long_names(&source(&format!("{name}b")));
    assert_eq!(long, [format!("a.rs:3: {name}b: 81 characters")]);
}
