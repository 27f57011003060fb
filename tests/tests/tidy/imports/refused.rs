//! Forms of imports that the search for cycles cannot follow. They are refused.

use super::super::tokens::{Token, attributes, tokens};
use super::{Source, holds, sources};

#[test]
fn every_module_and_crate_has_its_own_name() {
    // Benchmarks, examples and tests share files with `#[path]`.
    let code = sources()
        .into_iter()
        .filter(|source| source.has_ending(&["rs"]) && source.path.contains("src/"));
    let refused: Vec<_> = code.flat_map(|source| refused(&source)).collect();
    holds("no `#[path]` and no `extern crate self`", refused);
}

/// The lines of a file with `#[path = "…"]` or `extern crate self`.
fn refused(source: &Source) -> Vec<String> {
    let tokens = tokens(&source.text);
    let paths = attributes(&tokens).into_iter().filter(|&(start, end)| {
        let names_a_path =
            |pair: &[(usize, Token<'_>)]| matches!(pair, [(_, Token::Name("path")), (_, Token::Sign('='))]);
        let is_conditional = matches!(tokens[start + 2].1, Token::Name("cfg_attr"));
        let is_path = names_a_path(&tokens[start + 2..end.min(start + 4)]);
        is_path || is_conditional && tokens[start..end].windows(2).any(names_a_path)
    });
    let paths = paths.map(|(start, _)| format!("{}:{}: #[path]", source.path, tokens[start].0));
    let aliases = tokens.windows(3).filter_map(|three| match three {
        [
            (line, Token::Name("extern")),
            (_, Token::Name("crate")),
            (_, Token::Name("self")),
        ] => Some(format!("{}:{line}: extern crate self", source.path)),
        _ => None,
    });
    paths.chain(aliases).collect()
}

#[test]
fn a_path_attribute_and_an_alias_of_the_crate_are_shown() {
    let source = |text: &str| Source {
        path: "a.rs".to_owned(),
        text: text.to_owned(),
    };
    assert_eq!(
        refused(&source("//! A.\n#[path = \"x.rs\"]\nmod a;\n")),
        ["a.rs:2: #[path]"]
    );
    assert_eq!(
        refused(&source("#[cfg_attr(unix, path = \"x.rs\")]\nmod a;\n")),
        ["a.rs:1: #[path]"]
    );
    assert_eq!(
        refused(&source("\n\nextern crate self as me;\n")),
        ["a.rs:3: extern crate self"]
    );
    assert!(refused(&source("#[arg(path = \"x\")]\nlet path = 1;\n")).is_empty());
}
