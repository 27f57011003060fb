//! Text of a scenario as a tree of keys, which can be changed and written in a compact form.

use std::fmt;
use std::path::Path;

use serde_json::Value as JsonValue;
use toml::{Table, Value};

use crate::scenario::{Builtin, Profile, ReadFile, Scenario, ScenarioError};

/// The name of a shrunk scenario: its file is `scenario.toml`.
pub const NAME: &str = "scenario";

/// Largest number of lines of the compact form. Lists with several elements take one line for each element only up to here.
const MAX_LINES: usize = 12;

/// The order in which keys are written. All others follow.
const ORDER: &[&str] = &[
    "title",
    "about",
    "profile",
    "seed",
    "resolution",
    "duration",
    "ends-early",
    "liveness",
    "at",
    "every",
    "times",
    "name",
    "between",
    "address",
    "inner",
    "mtu",
    "server",
    "client",
    "link",
    "event",
    "adversary",
    "expect",
    "login",
    "password",
    "addresses",
    "start",
    "to",
    "from",
    "kind",
    "nth",
];

/// The text of a valid scenario as a tree of keys.
#[derive(Clone)]
pub struct Document<'a> {
    profiles: &'a [&'static dyn Profile],
    root: Table,
    scenario: Scenario,
}

impl<'a> Document<'a> {
    /// The document of a scenario text: see [`Scenario::parse_with`].
    ///
    /// ```
    /// use sandhog_sim::profile::PROFILES;
    /// use sandhog_sim::shrink::Document;
    ///
    /// let text = "
    /// title = 'one server'
    /// duration = '1s'
    /// client = []
    ///
    /// [[server]]
    /// name = 's'
    /// address = '192.0.2.1:4000'
    /// inner = ['10.9.0.1/24']
    /// ";
    /// let document = Document::parse_with(PROFILES, "mine.toml", text, &|_| Err("no files".into())).unwrap();
    /// let compact = document.to_string();
    /// assert_eq!(compact.lines().count(), 4);
    /// assert!(compact.contains(r#"server = [{ name = "s", address = "192.0.2.1:4000", inner = ["10.9.0.1/24"] }]"#));
    /// ```
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn parse_with(
        profiles: &'a [&'static dyn Profile],
        file: &str,
        text: &str,
        read: &ReadFile<'_>,
    ) -> Result<Self, ScenarioError> {
        let scenario = Scenario::parse_with(profiles, file, text, read)?;
        Ok(Self::of(profiles, scenario, file, text))
    }

    /// The document of a built-in scenario.
    ///
    /// # Errors
    ///
    /// A mistake in the scenario.
    pub fn of_builtin(
        profiles: &'a [&'static dyn Profile],
        builtin: &Builtin,
    ) -> Result<Self, ScenarioError> {
        let scenario = builtin.scenario_with(profiles)?;
        Ok(Self::of(profiles, scenario, builtin.name, builtin.source))
    }

    /// The document of a scenario that was read from `text` in `file`.
    pub(crate) fn of(
        profiles: &'a [&'static dyn Profile],
        mut scenario: Scenario,
        file: &str,
        text: &str,
    ) -> Self {
        let ending = Path::new(file).extension();
        // The text is that of a valid scenario, so both parsers accept it.
        let mut root = match ending.is_some_and(|ending| ending == "json") {
            true => serde_json::from_str(text).map(table).unwrap_or_default(),
            false => text.parse::<Table>().unwrap_or_default(),
        };
        // A built-in scenario can have another profile than its text.
        root.remove("profile");
        let (default, own) = (
            profiles.first().map(|first| first.name()),
            scenario.profile.name(),
        );
        if default != Some(own) {
            root.insert("profile".into(), own.into());
        }
        scenario.name = NAME.into();
        Self {
            profiles,
            root,
            scenario,
        }
    }

    /// The scenario, with the name [`NAME`].
    #[must_use]
    pub const fn scenario(&self) -> &Scenario {
        &self.scenario
    }

    /// The keys.
    pub(super) const fn root(&self) -> &Table {
        &self.root
    }

    /// The document with other keys. `None` if these are not a valid scenario.
    pub(super) fn with_root(&self, root: Table) -> Option<Self> {
        let read = |name: &str| self.scenario.files.get(name).cloned().ok_or_else(String::new);
        let text = Compact(&root).to_string();
        let scenario = Scenario::parse_with(self.profiles, &format!("{NAME}.toml"), &text, &read).ok()?;
        Some(Self {
            profiles: self.profiles,
            root,
            scenario,
        })
    }

    /// The served files, with their contents.
    pub fn files(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let files = self.scenario.files.iter();
        files.map(|(name, content)| (name.as_str(), content.as_ref()))
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Document<'_> {
    /// Writes the compact form: one line for each key, and one line for each element of a list, if there are few.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Compact(&self.root).fmt(f)
    }
}

/// The compact form of the keys of a scenario.
struct Compact<'a>(&'a Table);

impl fmt::Display for Compact<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<(String, &Value)> = sorted(self.0)
            .map(|(key, value)| (format!("{key} = "), value))
            .collect();
        let mut free = MAX_LINES.saturating_sub(lines.len());
        for (key, value) in lines {
            let elements = value
                .as_array()
                .filter(|list| list.len() > 1 && list.len() < free);
            match elements {
                Some(list) => {
                    free -= list.len() + 1;
                    writeln!(f, "{key}[")?;
                    for element in list {
                        writeln!(f, "  {},", inline(element))?;
                    }
                    writeln!(f, "]")?;
                }
                None => writeln!(f, "{key}{}", inline(value))?,
            }
        }
        Ok(())
    }
}

/// The keys of a table, the important ones first.
fn sorted(table: &Table) -> impl Iterator<Item = (&String, &Value)> {
    let mut keys: Vec<_> = table.iter().collect();
    let rank = |key: &str| {
        ORDER
            .iter()
            .position(|known| *known == key)
            .unwrap_or(ORDER.len())
    };
    keys.sort_by_key(|(key, _)| rank(key));
    keys.into_iter()
}

/// A value on one line.
fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(list) => {
            let elements: Vec<String> = list.iter().map(inline).collect();
            format!("[{}]", elements.join(", "))
        }
        Value::Table(table) => {
            let keys: Vec<String> = sorted(table)
                .map(|(key, value)| format!("{key} = {}", inline(value)))
                .collect();
            format!("{{ {} }}", keys.join(", "))
        }
        other => other.to_string(),
    }
}

/// A basic string of TOML.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.push_str(&format!("\\U{:08X}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// The keys of a JSON object. Keys with the value `null` are left out, because `null` is an absent key.
fn table(object: serde_json::Map<String, JsonValue>) -> Table {
    let keys = object.into_iter();
    keys.filter_map(|(key, value)| Some((key, toml_value(value)?)))
        .collect()
}

fn toml_value(value: JsonValue) -> Option<Value> {
    Some(match value {
        JsonValue::Null => return None,
        JsonValue::Bool(flag) => Value::Boolean(flag),
        JsonValue::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            // A decimal fraction is read from the same text in quotes.
            None => Value::String(number.to_string()),
        },
        JsonValue::String(text) => Value::String(text),
        JsonValue::Array(list) => Value::Array(list.into_iter().filter_map(toml_value).collect()),
        JsonValue::Object(object) => Value::Table(table(object)),
    })
}
