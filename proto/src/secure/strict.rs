//! Strict validation of JSON in one pass, before any value is used. Input that two parsers could read
//! differently is rejected.
//!
//! RFC 8259 leaves duplicate keys and nesting depth to the parser. Here these rules apply:
//!
//! - The top-level value is an object.
//! - No object contains a key twice (compared after unescaping).
//! - Containers are nested at most [`MAX_DEPTH`] deep.
//! - The text has at most [`MAX_LEN`] bytes.
//!
//! They also bound the work and the stack.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of objects and arrays. The top-level object is level 1.
pub(crate) const MAX_DEPTH: usize = 4;
/// Longest text in bytes, without the spaces at its end. A settings message needs at most about 6,000.
pub(crate) const MAX_LEN: usize = 8192;

/// Returns `body` without the padding: the spaces at its end.
pub(crate) fn trimmed(body: &[u8]) -> &[u8] {
    let len = body.iter().rposition(|byte| *byte != b' ');
    let len = len.map_or(0, |last| last.saturating_add(1));
    body.get(..len).unwrap_or_default()
}

/// Invalid JSON. It has no details, because the text came from the network and nobody reads them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Checks `json`, which may have white space around it.
///
/// # Errors
///
/// [`Malformed`] if it is not valid JSON (RFC 8259), or breaks a rule of this module.
pub(crate) fn check(json: &[u8]) -> Result<(), Malformed> {
    let json = trimmed(json);
    if json.len() > MAX_LEN {
        return Err(Malformed);
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    deserializer
        .deserialize_any(Top)
        .and_then(|()| deserializer.end())
        .map_err(|_| Malformed)
}

/// The top-level value: an object and nothing else.
struct Top;

impl<'de> Visitor<'de> for Top {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<(), M::Error> {
        Nested { depth: 0 }.visit_map(map)
    }
}

/// Any value inside `depth` containers.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

impl Nested {
    /// One level deeper, unless that is too deep.
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH {
            Ok(Self {
                depth: self.depth.saturating_add(1),
            })
        } else {
            Err(E::custom("too deep"))
        }
    }
}

impl<'de> DeserializeSeed<'de> for Nested {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Nested {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    /// Only the value of an unknown key can be a float, and it is ignored.
    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut elements: S) -> Result<(), S::Error> {
        let inside = self.deeper()?;
        while elements.next_element_seed(inside)?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let inside = self.deeper()?;
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !keys.insert(key) {
                return Err(M::Error::custom("duplicate key"));
            }
            map.next_value_seed(inside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[track_caller]
    fn taken(json: &str) {
        assert_eq!(check(json.as_bytes()), Ok(()), "{json}");
    }

    #[track_caller]
    fn refused(json: &[u8]) {
        assert_eq!(check(json), Err(Malformed), "{}", json.escape_ascii());
    }

    #[test]
    fn an_object_with_white_space_around_it_is_accepted() {
        taken("{}");
        taken(" \t\r\n{\"a\": [1, -2, 3.5, 1e9, true, null, \"\\u00e4\"]}\n   ");
    }

    #[test]
    fn the_top_level_value_must_be_an_object() {
        for json in ["", " ", "[]", "[{}]", "1", "null", "\"{}\"", "true"] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn four_levels_are_accepted_and_five_are_rejected() {
        taken(r#"{"a":{"b":{"c":{}}}}"#);
        taken(r#"{"a":[[[1]]]}"#);
        for json in [
            r#"{"a":{"b":{"c":{"d":{}}}}}"#,
            r#"{"a":[[[[]]]]}"#,
            r#"{"a":[{"b":[{}]}]}"#,
        ] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn deeply_nested_brackets_are_rejected() {
        refused(&b"[".repeat(100_000));
        refused(format!("{{\"a\":{}", "[".repeat(8_000)).as_bytes());
        refused("{\"a\":".repeat(1_000).as_bytes());
    }

    #[test]
    fn duplicate_keys_are_rejected_at_every_level() {
        taken(r#"{"a":{"a":{"a":1}},"b":[{"a":1},{"a":2}]}"#);
        for json in [
            r#"{"a":1,"a":1}"#,
            r#"{"unknown":1,"b":2,"unknown":3}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":[{"b":1},{"c":1,"c":2}]}"#,
            r#"{"a":[[{"b":1,"b":1}]]}"#,
            r#"{"a":1,"\u0061":2}"#,
        ] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn only_white_space_may_follow_the_object() {
        for json in ["{}x", "{}{}", "{} null", "{},", "{}\0", "{}\u{c}", "{}\u{a0}"] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn invalid_json_is_rejected() {
        for json in [
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{'a':1}",
            "{\"a\":NaN}",
            "{\"a\":Infinity}",
            "{\"a\":-}",
            "{\"a\":01}",
            "{\"a\":1.}",
            "{\"a\":+1}",
            "{\"a\":1e999}",
            "{\"a\":0x1}",
            "{\"a\":tru}",
            "{\"a\":\"\n\"}",
            "{\"a\":\"\\x\"}",
            "{\"a\":\"\\ud800\"}",
            "{/**/}",
            "\u{feff}{}",
            "{\"a\":[1,]}",
        ] {
            refused(json.as_bytes());
        }
        refused(b"{\"a\":\"\xff\"}");
        refused(b"{\"\xff\":1}");
    }

    #[test]
    fn the_text_without_its_padding_has_a_maximum_length() {
        let text = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        taken(&text(MAX_LEN));
        taken(&format!("{}{}", text(MAX_LEN), " ".repeat(50_000)));
        refused(text(MAX_LEN + 1).as_bytes());
    }
}
