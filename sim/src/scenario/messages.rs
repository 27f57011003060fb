//! Parser messages with the terms of scenario files instead of Rust.

use sandhog_lab::suggest::suggestion;

/// Names of types: the parser's, and the one for users.
const TYPES: [(&str, &str); 12] = [
    ("a sequence", "a list"),
    ("sequence", "a list"),
    ("an array of length 2", "a list of two"),
    ("map", "a table"),
    ("a map", "a table"),
    ("null", "`null`"),
    ("bool", "true or false"),
    ("a boolean", "true or false"),
    ("u8", "a whole number from 0 to 255"),
    ("u16", "a whole number from 0 to 65535"),
    ("u32", "a whole number from 0 to 4294967295"),
    ("u64", "a whole number from 0 to 18446744073709551615"),
];

/// Wrong keys with the meaning of a valid one.
const SYNONYMS: [(&str, &str); 1] = [("host", "client")];

/// Messages of the JSON parser: its own, and the one for users.
const JSON: [(&str, &str); 9] = [
    (
        "EOF while parsing an object",
        "the file ends inside a table; add the missing keys and `}`",
    ),
    ("EOF while parsing a list", "the file ends inside a list; add `]`"),
    (
        "EOF while parsing a string",
        "the file ends inside a text; add `\"`",
    ),
    (
        "EOF while parsing a value",
        "the file ends before a value; add the value",
    ),
    (
        "expected value",
        "expected a value: a text in quotes, a number, true, false, a list or a table",
    ),
    ("key must be a string", "expected a key in quotes"),
    ("trailing comma", "remove the comma after the last entry"),
    (
        "trailing characters",
        "the scenario ends before this character; remove the rest of the file",
    ),
    (
        "expected `,` or `}`",
        "expected a comma before the next key, or `}` at the end of the table",
    ),
];

/// A message of the parser in the terms of a scenario file. The most similar valid word replaces the list of all words.
pub(super) fn improved(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    if let Some((_, ours)) = JSON.iter().find(|(parsers, _)| *parsers == message) {
        return (*ours).to_owned();
    }
    let quoted = || message.split('`').skip(1).step_by(2).collect::<Vec<&str>>();
    if message.starts_with("unknown field ")
        && let Some((word, valid)) = quoted().split_first()
    {
        let synonym = SYNONYMS
            .iter()
            .find(|(other, key)| other == word && valid.contains(key));
        return match synonym {
            Some((_, key)) => format!("unknown key `{word}`; did you mean `{key}`?"),
            None => format!("unknown key `{word}`{}", suggestion(word, valid)),
        };
    }
    if message.starts_with("unknown variant ")
        && let Some((word, valid)) = quoted().split_first()
    {
        return format!("unknown value `{word}`{}", suggestion(word, valid));
    }
    if message.starts_with("missing field ")
        && let [key] = quoted()[..]
    {
        return format!("missing key `{key}`; add it to this table");
    }
    if message.starts_with("duplicate field ")
        && let [key] = quoted()[..]
    {
        return duplicate(key);
    }
    for start in ["invalid type: ", "invalid value: ", "invalid length "] {
        if let Some((found, expected)) = message
            .strip_prefix(start)
            .and_then(|rest| rest.split_once(", expected "))
        {
            return format!("expected {}, found {}", name(expected), name(found));
        }
    }
    match message.as_str() {
        "invalid socket address syntax" => {
            "expected an address with a port, like `192.0.2.1:4000` or `[2001:db8::1]:4000`".into()
        }
        "invalid IP address syntax" => {
            "expected an address without a port, like `10.9.0.1` or `fd00::1`".into()
        }
        // The message of the TOML parser for an enum value of the wrong type.
        "wanted string or table" => "expected a text in quotes".into(),
        _ => message,
    }
}

/// The message for a key that is twice in one table.
pub(super) fn duplicate(key: &str) -> String {
    format!("duplicate key `{key}`; remove one of the two")
}

/// The message for an empty file.
pub(super) const EMPTY: &str =
    "the scenario is empty; it needs at least title, duration, a [[server]] and a [[client]]";

/// The name for users of a type that the parser expected or found.
fn name(parsers: &str) -> String {
    if parsers.starts_with("struct ") {
        return "a table".into();
    }
    let known = TYPES.iter().find(|(rust, _)| *rust == parsers);
    known.map_or_else(|| parsers.to_owned(), |(_, ours)| (*ours).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_names_of_scenario_files() {
        assert_eq!(
            improved("invalid type: sequence, expected u16"),
            "expected a whole number from 0 to 65535, found a list"
        );
        assert_eq!(
            improved("invalid value: integer `-1`, expected u64"),
            "expected a whole number from 0 to 18446744073709551615, found integer `-1`"
        );
        assert_eq!(
            improved("invalid type: string \"x\", expected struct Ping"),
            "expected a table, found string \"x\""
        );
    }

    #[test]
    fn the_most_similar_word_replaces_the_list() {
        assert_eq!(
            improved("unknown field `dealy`, expected one of `between`, `delay`, `loss`"),
            "unknown key `dealy`; did you mean `delay`?"
        );
        assert_eq!(
            improved("unknown field `host`, expected one of `client`, `outcome`"),
            "unknown key `host`; did you mean `client`?"
        );
    }

    #[test]
    fn an_incomplete_json_file_is_explained() {
        assert_eq!(
            improved("EOF while parsing an object"),
            "the file ends inside a table; add the missing keys and `}`"
        );
    }
}
