//! Parser messages with the terms of scenario files instead of Rust.

use sandhog_lab::suggest::suggestion;

/// What a Rust type is called in a scenario file.
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

/// A parser's message, with the nearest valid word in place of the whole list.
pub(super) fn improved(message: &str) -> String {
    let message = message.trim().replace('\n', ", ");
    let quoted = || message.split('`').skip(1).step_by(2).collect::<Vec<&str>>();
    if message.starts_with("unknown field ")
        && let Some((word, valid)) = quoted().split_first()
    {
        return format!("unknown key `{word}`{}", suggestion(word, valid));
    }
    if message.starts_with("unknown variant ")
        && let Some((word, valid)) = quoted().split_first()
    {
        return format!("unknown word `{word}`{}", suggestion(word, valid));
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
        // What TOML's reader says where one of several words belongs.
        "wanted string or table" => "expected a word in quotes".into(),
        _ => message,
    }
}

/// A key that stands twice in one table.
pub(super) fn duplicate(key: &str) -> String {
    format!("the key `{key}` stands here for the second time; take one of the two away")
}

/// A scenario that says nothing.
pub(super) const EMPTY: &str =
    "the scenario is empty; it needs at least title, profile, duration, a [[server]] and a [[client]]";

/// What a parser expected or found.
fn name(what: &str) -> String {
    if what.starts_with("struct ") {
        return "a table".into();
    }
    let known = TYPES.iter().find(|(rust, _)| *rust == what);
    known.map_or_else(|| what.to_owned(), |(_, ours)| (*ours).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_as_a_scenario_shows_them() {
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
    fn the_nearest_word_stands_in_place_of_the_list() {
        assert_eq!(
            improved("unknown field `dealy`, expected one of `between`, `delay`, `loss`"),
            "unknown key `dealy`; did you mean `delay`?"
        );
    }
}
