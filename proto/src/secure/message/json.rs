//! Canonical JSON output, and binary values as base64url without padding.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{Display, Write};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{Deserialize, Deserializer, Error};
use zeroize::Zeroizing;

/// Exactly `N` bytes, read from base64url without padding. There is only one valid encoding: padding, another
/// alphabet or non-zero trailing bits are rejected.
pub(super) struct Bytes<const N: usize>(pub(super) [u8; N]);

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Text::deserialize(deserializer)?.0;
        let bytes = Zeroizing::new(
            URL_SAFE_NO_PAD
                .decode(text.as_bytes())
                .map_err(|_| D::Error::custom("not base64url"))?,
        );
        let bytes = bytes.as_slice().try_into();
        bytes
            .map(Self)
            .map_err(|_| D::Error::custom("wrong number of bytes"))
    }
}

/// A string, copied only if it contains escapes.
#[derive(serde::Deserialize)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// Writes one object without white space. Keys have the order of the calls.
pub(super) struct Object(String);

impl Object {
    pub(super) const fn new() -> Self {
        Self(String::new())
    }

    /// Begins with `t`, as nearly every message does.
    pub(super) fn of_type(name: &str) -> Self {
        Self::new().text("t", name)
    }

    /// A number or a boolean, which JSON and Rust write in the same way.
    pub(super) fn plain(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        // Writing into memory cannot fail.
        let _ = write!(self.0, "{value}");
        self
    }

    pub(super) fn text(mut self, key: &str, value: impl Display) -> Self {
        self.key(key);
        self.string(value);
        self
    }

    pub(super) fn bytes(mut self, key: &str, value: &[u8]) -> Self {
        self.key(key);
        self.0.push('"');
        URL_SAFE_NO_PAD.encode_string(value, &mut self.0);
        self.0.push('"');
        self
    }

    pub(super) fn list<T: Display>(mut self, key: &str, values: &[T]) -> Self {
        self.key(key);
        self.0.push('[');
        for (n, value) in values.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            self.string(value);
        }
        self.0.push(']');
        self
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        if self.0.is_empty() {
            self.0.push('{');
        }
        self.0.push('}');
        self.0.into_bytes()
    }

    fn key(&mut self, key: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.string(key);
        self.0.push(':');
    }

    fn string(&mut self, value: impl Display) {
        self.0.push('"');
        let _ = write!(Escaped(&mut self.0), "{value}");
        self.0.push('"');
    }
}

/// Escapes text for a JSON string (RFC 8259, section 7).
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for char in text.chars() {
            match char {
                '"' | '\\' => {
                    self.0.push('\\');
                    self.0.push(char);
                }
                '\0'..' ' => write!(self.0, "\\u{:04x}", u32::from(char))?,
                _ => self.0.push(char),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn an_object_is_written_without_white_space_in_the_order_of_the_calls() {
        let json = Object::of_type("x")
            .plain("b", 1)
            .plain("a", true)
            .bytes("c", &[0xfb, 0xff])
            .list("d", &["e", "f"])
            .list::<&str>("g", &[])
            .end();
        assert_eq!(
            json,
            br#"{"t":"x","b":1,"a":true,"c":"-_8","d":["e","f"],"g":[]}"#
        );
        assert_eq!(Object::new().end(), b"{}");
    }

    #[test]
    fn every_character_is_written_and_read_back() {
        let text: String = ('\0'..='\u{2fff}').chain(['\u{10ffff}', '\u{2028}']).collect();
        let json = Object::new().text("a", &text).end();
        let read: alloc::collections::BTreeMap<String, String> = serde_json::from_slice(&json).unwrap();
        assert_eq!(read["a"], text);
    }

    #[test]
    fn bytes_have_exactly_one_encoding() {
        let read = |text: &str| serde_json::from_str::<Bytes<4>>(&format!("\"{text}\"")).map(|bytes| bytes.0);
        assert_eq!(read("-_8AAQ").unwrap(), [0xfb, 0xff, 0, 1]);
        assert_eq!(read("\\u002d_8AAQ").unwrap(), [0xfb, 0xff, 0, 1]);
        for text in [
            "-_8AAQ==", "+/8AAQ", "-_8AAR", "-_8AA", "-_8AAQA", "-_8A", "", " -_8AAQ", "-_8A AQ",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(serde_json::from_str::<Bytes<4>>("[251,255,0,1]").is_err());
    }
}
