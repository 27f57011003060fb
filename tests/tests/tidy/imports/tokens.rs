//! Tokens of Rust source that import paths are made of: names, `::` and punctuation, each with its line.

/// A token. Comments, texts, numbers and lifetimes are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or a keyword.
    Name(&'a str),
    /// `::`
    Separator,
    /// Any other sign.
    Sign(char),
}

/// The tokens of `text`, each with the number of its line, from 1.
pub(super) fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => block_comment(rest),
            '"' => 1 + quoted(&rest[1..], '"'),
            '\'' => character_or_lifetime(rest),
            ':' if rest.starts_with("::") => {
                found.push((line, Token::Separator));
                2
            }
            _ if first.is_alphabetic() || first == '_' => {
                let len = word(rest);
                match raw_string(&rest[len..], &rest[..len]) {
                    Some(string) => len + string,
                    None => {
                        found.push((line, Token::Name(&rest[..len])));
                        len
                    }
                }
            }
            _ if first.is_ascii_digit() => word(rest),
            _ => {
                if !first.is_whitespace() {
                    found.push((line, Token::Sign(first)));
                }
                first.len_utf8()
            }
        };
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    found
}

/// Length of the name or number at the start.
fn word(text: &str) -> usize {
    text.find(|letter: char| !letter.is_alphanumeric() && letter != '_')
        .unwrap_or(text.len())
}

/// Length of a block comment, with those inside it.
fn block_comment(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest.starts_with("*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                break;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    at
}

/// Length of a quoted text with its closing quote.
fn quoted(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            _ if letter == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of `'a'`, `'\n'`, or of the `'a` that names a lifetime.
fn character_or_lifetime(text: &str) -> usize {
    let mut letters = text[1..].chars();
    match (letters.next(), letters.next()) {
        (Some('\\'), _) => 1 + quoted(&text[1..], '\''),
        (Some(letter), Some('\'')) => 2 + letter.len_utf8(),
        _ => 1 + word(&text[1..]),
    }
}

/// Length of what follows the prefix of a string such as `r#"…"#` or `b"…"`; none if it is no such prefix.
fn raw_string(rest: &str, prefix: &str) -> Option<usize> {
    match prefix {
        "b" | "c" => rest.starts_with('"').then(|| 1 + quoted(&rest[1..], '"')),
        "r" | "br" | "cr" => {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            let inside = rest[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            let len = inside.find(&end)?;
            Some(hashes + 1 + len + end.len())
        }
        _ => None,
    }
}

#[test]
fn comments_strings_and_lifetimes_hold_no_names() {
    let text = "a /* b /* c */ */ // d\n::e<'f>('g', '\\'', b\"h\", r#\"i\"j\"#, \"k\\\"l\", 1u8);";
    let names: Vec<_> = tokens(text)
        .into_iter()
        .filter_map(|(line, token)| match token {
            Token::Name(name) => Some((line, name)),
            Token::Separator | Token::Sign(_) => None,
        })
        .collect();
    assert_eq!(names, [(1, "a"), (2, "e")]);
}
