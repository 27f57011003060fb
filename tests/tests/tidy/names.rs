//! Names of tests: subject and behaviour, in at least three words and at most 80 characters.

use super::tokens::{Token, attributes, tokens};
use super::{Source, holds, sources};

/// Longest name of a test, in characters.
const NAME_MAX: usize = 80;
/// Smallest number of words in the name of a test.
const WORDS_MIN: usize = 3;

#[test]
fn the_name_of_a_test_has_at_least_three_words_and_at_most_80_characters() {
    let code = sources().into_iter().filter(|source| source.has_ending(&["rs"]));
    let wrong: Vec<_> = code.flat_map(|source| wrong_names(&source)).collect();
    holds(
        "the name of a test has at least three words and at most 80 characters",
        wrong,
    );
}

/// The tests of a file with a name that is too short or too long, each with its line.
fn wrong_names(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.text);
    let attributes = attributes(&tokens);
    let tests = attributes
        .iter()
        .filter(|(start, end)| is_test(&tokens[*start..*end]));
    let names = tests.filter_map(|(_, end)| {
        let rest = after_attributes(&tokens, &attributes, *end);
        let item = tokens[rest..]
            .split(|(_, token)| matches!(token, Token::Sign('{' | ';')))
            .next()?;
        let function = item.iter().position(|(_, token)| *token == Token::Name("fn"))?;
        match item.get(function + 1) {
            Some((line, Token::Name(name))) => Some((*line, *name)),
            _ => None,
        }
    });
    names
        .filter_map(|(line, name)| {
            let words = name.split('_').filter(|word| !word.is_empty()).count();
            let wrong = match name.chars().count() {
                length if length > NAME_MAX => format!("{length} characters"),
                _ if words < WORDS_MIN => format!("{words} of {WORDS_MIN} words"),
                _ => return None,
            };
            Some(format!("{}:{line}: {name}: {wrong}", source.path))
        })
        .collect()
}

/// The index of the first token after the attributes that begin at `at`.
fn after_attributes(tokens: &[(usize, Token<'_>)], attributes: &[(usize, usize)], mut at: usize) -> usize {
    while at < tokens.len()
        && let Some((_, end)) = attributes.iter().find(|(start, _)| *start == at)
    {
        at = *end;
    }
    at
}

/// Returns true for `#[test]`, `#[tokio::test(…)]`, and any other attribute with a name that ends in `test`.
fn is_test(attribute: &[(usize, Token<'_>)]) -> bool {
    let path = attribute.iter().skip(2).map_while(|(_, token)| match token {
        Token::Name(name) => Some(*name),
        Token::Separator => Some(""),
        _ => None,
    });
    path.last().is_some_and(|name| name.ends_with("test"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        wrong_names(&Source {
            path: "a.rs".to_owned(),
            text: text.to_owned(),
        })
    }

    #[test]
    fn a_name_of_81_characters_is_shown_and_one_of_80_is_not() {
        let test = |name: &str| {
            format!("#[test]\n#[ignore = \"slow\"]\nfn {name}() {{}}\n\nfn {name}_helps() {{}}\n")
        };
        let name = format!("a_b_{}", "c".repeat(NAME_MAX - 4));
        assert_eq!(wrong(&test(&name)), Vec::<String>::new());
        assert_eq!(
            wrong(&test(&format!("{name}d"))),
            [format!("a.rs:3: {name}d: 81 characters")]
        );
    }

    #[test]
    fn a_name_of_one_or_two_words_is_shown() {
        assert_eq!(wrong("#[test]\nfn test1() {}\n"), ["a.rs:2: test1: 1 of 3 words"]);
        assert_eq!(
            wrong("#[test]\nfn it_works() {}\n"),
            ["a.rs:2: it_works: 2 of 3 words"]
        );
    }

    #[test]
    fn every_attribute_that_ends_in_test_marks_a_test() {
        let name = "a".repeat(NAME_MAX + 1);
        let attributes = [
            "#[tokio::test(\n    flavor = \"current_thread\",\n)]\n#[cfg(\n    unix,\n)]\nasync ",
            "#[wasm_bindgen_test]\npub ",
            "#[a::test] // A comment.\n/// Documentation.\n#[should_panic(expected = \"]\")]\n",
        ];
        for attribute in attributes {
            assert_eq!(
                wrong(&format!("{attribute}fn {name}() {{}}")).len(),
                1,
                "{attribute}"
            );
        }
        assert!(wrong("#[cfg(test)]\nfn help() {}\n#[test_case]\nmod a { fn b() {} }\n").is_empty());
    }
}
