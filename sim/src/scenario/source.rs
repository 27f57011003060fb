//! From text to a scenario: TOML or JSON, with the place of every mistake.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

use jsonc_parser::ast::Value as JsonNode;
use jsonc_parser::common::Ranged;
use toml::de::{DeTable, DeValue};

use super::error::suggestion;
use super::{Scenario, ScenarioError, validate};

/// Files by the name that the scenario uses.
pub type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// Fetches a file beside the scenario, or says why not.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<Cow<'static, [u8]>, String> + 'a;

/// A key or an index on the way to a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Scenario {
    /// Reads a scenario file (`.toml`, or `.json`) and the files it serves from the same folder.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path)
            .map_err(|error| ScenarioError::of_file(&file, format!("cannot read the scenario: {error}")))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&file, &text, &|name| {
            std::fs::read(folder.join(name))
                .map(Cow::Owned)
                .map_err(|error| error.to_string())
        })
    }

    /// Reads a scenario from `text`; `file` is its name in errors and decides between TOML and JSON (`.json`).
    /// `read` fetches a file beside it.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn parse(file: &str, text: &str, read: &ReadFile<'_>) -> Result<Self, ScenarioError> {
        let json = Path::new(file)
            .extension()
            .is_some_and(|extension| extension == "json");
        let mut scenario: Self = if json {
            from_json(file, text)?
        } else {
            from_toml(file, text)?
        };
        scenario.name = Path::new(file)
            .file_stem()
            .map_or_else(|| file.into(), |stem| stem.to_string_lossy().into());
        validate::validate(&scenario).map_err(|mistake| {
            let offset = if json {
                locate_json(text, &mistake.path)
            } else {
                locate_toml(text, &mistake.path)
            };
            ScenarioError::at(file, text, offset, mistake.message)
        })?;
        for (index, server) in scenario.servers.iter().enumerate() {
            for (number, name) in server.serve.files.iter().enumerate() {
                let content = read(name).map_err(|error| {
                    let path = [
                        Step::Key("server"),
                        Step::Index(index),
                        Step::Key("serve"),
                        Step::Key("files"),
                        Step::Index(number),
                    ];
                    let offset = if json {
                        locate_json(text, &path)
                    } else {
                        locate_toml(text, &path)
                    };
                    ScenarioError::at(
                        file,
                        text,
                        offset,
                        format!("cannot read the file `{name}` beside the scenario: {error}"),
                    )
                })?;
                scenario.files.insert(name.clone(), content);
            }
        }
        Ok(scenario)
    }
}

fn from_toml(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    toml::from_str(text).map_err(|error| {
        let offset = error.span().map_or(0, |span| span.start);
        ScenarioError::at(file, text, offset, improved(error.message()))
    })
}

fn from_json(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let message = whole
            .rsplit_once(" at line ")
            .map_or(whole.as_str(), |(message, _)| message);
        ScenarioError {
            file: file.into(),
            place: Some((error.line(), error.column())),
            message: improved(message),
        }
    })
}

/// Serde's messages, with the nearest valid word in place of the whole list.
fn improved(message: &str) -> String {
    let message = message.trim_end();
    for (what, name) in [
        ("unknown field ", "unknown key"),
        ("unknown variant ", "unknown word"),
    ] {
        let Some(rest) = message.strip_prefix(what) else {
            continue;
        };
        let words: Vec<&str> = rest.split('`').skip(1).step_by(2).collect();
        if let Some((word, valid)) = words.split_first() {
            return format!("{name} `{word}`{}", suggestion(word, valid));
        }
    }
    message.replace("missing field", "missing key")
}

/// Where the value at `path` stands, as a byte offset; the nearest enclosing value if there is none.
fn locate_toml(text: &str, path: &[Step<'_>]) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 0 };
    let mut offset = table.span().start;
    let root = DeValue::Table(table.into_inner());
    let mut value = &root;
    for step in path {
        let next = match (value, step) {
            (DeValue::Table(table), Step::Key(key)) => table.get(*key),
            (DeValue::Array(array), Step::Index(index)) => array.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        offset = next.span().start;
        value = next.get_ref();
    }
    offset
}

/// The same for JSON.
fn locate_json(text: &str, path: &[Step<'_>]) -> usize {
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default());
    let Ok(Some(root)) = parsed.map(|result| result.value) else {
        return 0;
    };
    let mut value = &root;
    for step in path {
        let next = match (value, step) {
            (JsonNode::Object(object), Step::Key(key)) => object.get(key).map(|property| &property.value),
            (JsonNode::Array(array), Step::Index(index)) => array.elements.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
    }
    value.start()
}
