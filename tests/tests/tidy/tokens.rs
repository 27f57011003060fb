//! Tokens of Rust source, each with its line.

/// A token. Comments, characters and lifetimes are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A name or a keyword. A raw name is without its `r#`.
    Name(&'a str),
    /// The content of a string, with its escapes.
    Text(&'a str),
    /// A number with its suffix.
    Number(&'a str),
    /// `::`
    Separator,
    /// `..`, also as the beginning of `..=`.
    Range,
    /// Any other sign.
    Sign(char),
}

/// The tokens of `text`, each with the number of its line, from 1.
pub(super) fn tokens(text: &str) -> Vec<(usize, Token<'_>)> {
    let mut found: Vec<(usize, Token<'_>)> = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_index = matches!(found.last(), Some((_, Token::Sign('.'))));
        let (len, token) = match first {
            '/' if rest.starts_with("//") => (rest.find('\n').unwrap_or(rest.len()), None),
            '/' if rest.starts_with("/*") => (block_comment(rest), None),
            '"' => {
                let len = quoted(&rest[1..], '"');
                (1 + len, Some(Token::Text(&rest[1..len])))
            }
            '\'' => (character_or_lifetime(rest), None),
            ':' if rest.starts_with("::") => (2, Some(Token::Separator)),
            '.' if rest.starts_with("..") => (2, Some(Token::Range)),
            _ if first.is_alphabetic() || first == '_' => name_or_string(rest),
            _ if first.is_ascii_digit() => {
                let len = number(rest, is_index);
                (len, Some(Token::Number(&rest[..len])))
            }
            _ => {
                let sign = (!first.is_whitespace()).then_some(Token::Sign(first));
                (first.len_utf8(), sign)
            }
        };
        found.extend(token.map(|token| (line, token)));
        line += rest[..len].matches('\n').count();
        rest = &rest[len..];
    }
    found
}

/// The attributes of `tokens`: the index of each `#`, and the index after its `]`.
pub(super) fn attributes(tokens: &[(usize, Token<'_>)]) -> Vec<(usize, usize)> {
    let sign =
        |at: usize, sign: char| matches!(tokens.get(at), Some((_, Token::Sign(found))) if *found == sign);
    let starts = (0..tokens.len()).filter(|&at| sign(at, '#'));
    let ranges = starts.filter_map(|start| {
        let open = if sign(start + 1, '!') {
            start + 2
        } else {
            start + 1
        };
        let mut depth = 0_usize;
        let end = (open..tokens.len()).find(|&at| {
            depth += usize::from(sign(at, '['));
            depth -= usize::from(depth > 0 && sign(at, ']'));
            depth == 0
        })?;
        sign(open, '[').then_some((start, end + 1))
    });
    ranges.collect()
}

/// Length and token of a name, a raw name, or a string with a prefix.
fn name_or_string(text: &str) -> (usize, Option<Token<'_>>) {
    let len = word(text);
    if let Some((before, content, after)) = prefixed_string(&text[len..], &text[..len]) {
        let start = len + before;
        return (
            start + content + after,
            Some(Token::Text(&text[start..start + content])),
        );
    }
    match text.strip_prefix("r#") {
        Some(raw) if word(raw) > 0 => (2 + word(raw), Some(Token::Name(&raw[..word(raw)]))),
        _ => (len, Some(Token::Name(&text[..len]))),
    }
}

/// Length of the number at the start. The index of a tuple has no fraction: `pair.0.1`.
fn number(text: &str, is_index: bool) -> usize {
    let mut len = word(text);
    let begins_fraction = |rest: &str| {
        let mut letters = rest.chars();
        letters.next() == Some('.')
            && !letters
                .next()
                .is_some_and(|next| next == '.' || next == '_' || next.is_alphabetic())
    };
    if !is_index && begins_fraction(&text[len..]) {
        len += 1 + word(&text[len + 1..]);
    }
    let is_decimal = !text.starts_with("0x");
    if is_decimal && text[..len].ends_with(['e', 'E']) && text[len..].starts_with(['-', '+']) {
        len += 1 + word(&text[len + 1..]);
    }
    len
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

/// Lengths of the parts of a string such as `r#"…"#` or `b"…"` after its prefix: before, in and after the content. None for
/// other text.
fn prefixed_string(rest: &str, prefix: &str) -> Option<(usize, usize, usize)> {
    match prefix {
        "b" | "c" => rest
            .starts_with('"')
            .then(|| (1, quoted(&rest[1..], '"').saturating_sub(1), 1)),
        "r" | "br" | "cr" => {
            let hashes = rest.len() - rest.trim_start_matches('#').len();
            let inside = rest[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            Some((hashes + 1, inside.find(&end)?, end.len()))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept<'a>(text: &'a str, keep: impl Fn(&Token<'a>) -> bool) -> Vec<(usize, Token<'a>)> {
        let mut found = tokens(text);
        found.retain(|(_, token)| keep(token));
        found
    }

    #[test]
    fn comments_strings_and_lifetimes_hold_no_names() {
        let text = "a /* b /* c */ */ // d\n::e<'f>('g', '\\'', b\"h\", r#\"i\"j\"#, \"k\\\"l\", 1u8); r#m";
        let names = kept(text, |token| matches!(token, Token::Name(_)));
        assert_eq!(
            names,
            [
                (1, Token::Name("a")),
                (2, Token::Name("e")),
                (2, Token::Name("m"))
            ]
        );
        let texts = kept(text, |token| matches!(token, Token::Text(_)));
        assert_eq!(texts, ["h", "i\"j", "k\\\"l"].map(|text| (2, Token::Text(text))));
    }

    #[test]
    fn numbers_are_told_from_ranges_methods_and_indices() {
        let numbers = kept("1.5 2. 3..4 5.max(6) 7e-8 a.0.1 0xe-1", |token| {
            matches!(token, Token::Number(_))
        });
        let expected = ["1.5", "2.", "3", "4", "5", "6", "7e-8", "0", "1", "0xe", "1"];
        assert_eq!(numbers, expected.map(|number| (1, Token::Number(number))));
    }

    #[test]
    fn an_attribute_ends_at_its_own_bracket() {
        let found = tokens("#[a([1])] #![b] fn c() {}");
        assert_eq!(attributes(&found), [(0, 9), (9, 14)]);
    }
}
