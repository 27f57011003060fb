//! Deserialisation and JSON Schema of the values. Scenario files contain them as text.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::{Chance, Delay, Rate, Size, Span};

/// Reads a value from a string or a number. A number is read like the same number in quotes.
struct FromText<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String> + Describe> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::DESCRIPTION)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    // Only the shortest decimal text of the number is used. Nothing is computed with it.
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

/// Description of a value, for the schema and for type errors.
trait Describe {
    /// One line with an example.
    const DESCRIPTION: &'static str;
    /// The name of the type in the schema.
    const NAME: &'static str;
}

/// A decimal number, as a regular expression of the schema.
macro_rules! number {
    () => {
        r"[0-9]{1,18}(\.[0-9]{0,9})?"
    };
}

/// A time with its unit.
macro_rules! time {
    ($space:literal) => {
        concat!("(", number!(), $space, "(ns|us|µs|ms|s|min|h)|0)")
    };
}

/// A probability: up to 100 %, or up to 1.
macro_rules! probability {
    () => {
        r"(0*(100(\.0{0,9})?|[0-9]{1,2}(\.[0-9]{0,9})?)%|0*(1(\.0{0,9})?|0(\.[0-9]{0,9})?))"
    };
}

macro_rules! textual {
    ($($type:ident: $description:literal, $schema:tt,)*) => {$(
        impl Describe for $type {
            const DESCRIPTION: &'static str = $description;
            const NAME: &'static str = stringify!($type);
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(FromText(std::marker::PhantomData))
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                Cow::Borrowed(Self::NAME)
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = json_schema!($schema);
                schema.insert("description".into(), Self::DESCRIPTION.into());
                schema
            }
        }
    )*};
}

textual! {
    Span: "a time with a unit, like `30ms` or `1.5s` (ns, us, ms, s, min, h)", {
        "type": ["string", "number"],
        "pattern": concat!(r"^\s*", time!(r"\s*"), r"\s*$"),
        "minimum": 0,
        "maximum": 0
    },
    Size: "a number of bytes, like `512`, `256 KiB` or `10 MiB`", {
        "type": ["string", "number"],
        "pattern": concat!(r"^\s*", number!(), r"\s*(B|kB|KiB|MB|MiB|GB|GiB)?\s*$"),
        "minimum": 0,
        "maximum": 999_999_999_999_999_999_u64
    },
    Rate: "a bit rate, like `100mbit` (bit, kbit, mbit, gbit)", {
        "type": "string",
        "pattern": r"^\s*(0*[1-9][0-9]{0,17}(\.[0-9]{0,9})?\s*[kmg]?bit|0+\.[0-9]{0,8}[1-9][0-9]{0,8}\s*[kmg]bit)\s*$"
    },
    Delay: "`TIME [JITTER [CORRELATION]]`, like `30ms 10ms 25%`", {
        "type": ["string", "number"],
        "pattern": concat!(r"^\s*", time!(""), r"(\s+", time!(""), r"(\s+", probability!(), r")?)?\s*$"),
        "minimum": 0,
        "maximum": 0
    },
    Chance: "`[random] P [CORRELATION]`, like `2%` or `random 2% 25%`", {
        "type": ["string", "number"],
        "pattern": concat!(r"^\s*(random\s+)?", probability!(), r"(\s+", probability!(), r")?\s*$"),
        "minimum": 0,
        "maximum": 1
    },
}
