//! One strict pass over JSON before anything in it is believed: what two parsers could read differently is refused.
//!
//! RFC 8259 leaves duplicate keys and depth to the reader. Here an object stands at the top, no key occurs twice in
//! any object (compared after unescaping), containers are nested at most [`MAX_DEPTH`] deep, and the text is at most
//! [`MAX_LEN`] bytes. The work is bounded by that, and so is the stack.

use alloc::collections::BTreeSet;
use alloc::string::String;
use core::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::message::trimmed;
use crate::mutant::{Mutant, planted};

/// Deepest nesting of objects and arrays; the object at the top is 1.
pub(crate) const MAX_DEPTH: usize = 4;
/// Longest text in bytes, spaces at the end not counted. A message with settings needs some 6,000 at most.
pub(crate) const MAX_LEN: usize = 8192;

/// JSON that is not taken. Says no more: it came from the network, and nobody reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Checks `json`, which may have white space around it.
///
/// # Errors
///
/// [`Malformed`] if it is not JSON as RFC 8259 says, or breaks a rule of this module.
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

/// What stands at the top: an object and nothing else.
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

/// Any value inside of `depth` containers.
#[derive(Clone, Copy)]
struct Nested {
    depth: usize,
}

impl Nested {
    /// One level further in, if that is not too deep.
    fn deeper<E: Error>(self) -> Result<Self, E> {
        if self.depth < MAX_DEPTH || planted(Mutant::DepthUnlimited) {
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

    /// Only the value of a key that nobody knows can be one, and it is ignored.
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
            if !keys.insert(key) && !planted(Mutant::DuplicateKeysTaken) {
                return Err(M::Error::custom("a key twice"));
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
    fn an_object_with_white_space_around_it_is_taken() {
        taken("{}");
        taken(" \t\r\n{\"a\": [1, -2, 3.5, 1e9, true, null, \"\\u00e4\"]}\n   ");
    }

    #[test]
    fn only_an_object_stands_at_the_top() {
        for json in ["", " ", "[]", "[{}]", "1", "null", "\"{}\"", "true"] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn four_levels_are_taken_and_five_are_not() {
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
    fn a_bomb_of_brackets_is_refused() {
        refused(&b"[".repeat(100_000));
        refused(format!("{{\"a\":{}", "[".repeat(8_000)).as_bytes());
        refused("{\"a\":".repeat(1_000).as_bytes());
    }

    #[test]
    fn no_key_occurs_twice_at_any_level() {
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
    fn nothing_but_white_space_follows() {
        for json in ["{}x", "{}{}", "{} null", "{},", "{}\0", "{}\u{c}", "{}\u{a0}"] {
            refused(json.as_bytes());
        }
    }

    #[test]
    fn what_is_not_json_is_refused() {
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
    fn the_text_has_a_longest_length_without_its_padding() {
        let text = |len: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8));
        taken(&text(MAX_LEN));
        taken(&format!("{}{}", text(MAX_LEN), " ".repeat(50_000)));
        refused(text(MAX_LEN + 1).as_bytes());
    }
}
