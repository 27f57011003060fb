//! From text to a scenario: TOML or JSON, with the place of every mistake.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jsonc_parser::ast::Value as JsonNode;
use jsonc_parser::common::{Range, Ranged};
use toml::de::{DeTable, DeValue};

use sandhog_lab::suggest::{nearest, suggestion};

use super::error::Step;
use super::{Scenario, ScenarioError, messages, validate};
use crate::profile::{PROFILES, Profile, find};

/// Files by the name that the scenario uses.
pub type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// Fetches a file beside the scenario, or says why not.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<Cow<'static, [u8]>, String> + 'a;

impl Scenario {
    /// Reads a scenario file (`.toml`, or `.json`) and the files it serves from the same folder.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        Self::load_with(PROFILES, path)
    }

    /// [`load`](Self::load) with other profiles.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn load_with(profiles: &[&'static dyn Profile], path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let unreadable =
            |error: String| ScenarioError::of_file(&file, format!("cannot read the scenario: {error}"));
        let bytes = std::fs::read(path).map_err(|error| unreadable(in_words(path, &error)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            unreadable(format!(
                "byte {at} is not UTF-8 text; a scenario is a text file, TOML or JSON"
            ))
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse_with(profiles, &file, &text, &|name| {
            let path = folder.join(name);
            std::fs::read(&path)
                .map(Cow::Owned)
                .map_err(|error| in_words(&path, &error))
        })
    }

    /// Reads a scenario from `text`; `file` is its name in errors and decides between TOML and JSON (`.json`).
    /// `read` fetches a file beside it.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn parse(file: &str, text: &str, read: &ReadFile<'_>) -> Result<Self, ScenarioError> {
        Self::parse_with(PROFILES, file, text, read)
    }

    /// [`parse`](Self::parse) with other profiles. The first is the default.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn parse_with(
        profiles: &[&'static dyn Profile],
        file: &str,
        text: &str,
        read: &ReadFile<'_>,
    ) -> Result<Self, ScenarioError> {
        let json = Path::new(file)
            .extension()
            .is_some_and(|extension| extension == "json");
        if text.trim().is_empty() {
            return Err(ScenarioError::of_file(file, messages::EMPTY));
        }
        let mut scenario: Self = if json {
            from_json(file, text)?
        } else {
            from_toml(file, text)?
        };
        scenario.name = Path::new(file)
            .file_stem()
            .map_or_else(|| file.into(), |stem| stem.to_string_lossy().into());
        let locate = |path: &[Step<'_>]| match json {
            true => locate_json(text, path),
            false => locate_toml(text, path),
        };
        scenario.profile = resolve(profiles, scenario.profile_name.as_deref())
            .map_err(|message| ScenarioError::at(file, text, locate(&[Step::Key("profile")]), message))?;
        validate::validate(&scenario)
            .map_err(|mistake| ScenarioError::at(file, text, locate(&mistake.path), mistake.message))?;
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
                    ScenarioError::at(
                        file,
                        text,
                        locate(&path),
                        format!("cannot read the file `{name}` beside the scenario: {error}"),
                    )
                })?;
                scenario.files.insert(name.clone(), content);
            }
        }
        Ok(scenario)
    }
}

/// The profile `name`, or the first one for a scenario that names none.
fn resolve(profiles: &[&'static dyn Profile], name: Option<&str>) -> Result<&'static dyn Profile, String> {
    let Some(name) = name else {
        return profiles
            .first()
            .copied()
            .ok_or_else(|| "this program has no profiles".to_owned());
    };
    if let Some(profile) = find(profiles, name) {
        return Ok(profile);
    }
    let names: Vec<&str> = profiles.iter().map(|profile| profile.name()).collect();
    Err(format!(
        "there is no profile `{name}`{}",
        suggestion(name, &names)
    ))
}

/// Why a file cannot be read, and which one beside it was probably meant.
fn in_words(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let neighbours = neighbours(path);
            match nearest(&name, neighbours.iter().map(String::as_str)) {
                Some(neighbour) => format!("there is no such file; did you mean `{neighbour}`?"),
                None => "there is no such file; correct the name, or put it there".into(),
            }
        }
        io::ErrorKind::IsADirectory => "it is a folder; name a file in it".into(),
        _ => error.to_string(),
    }
}

/// The names of the files in the folder in which `path` was looked for.
fn neighbours(path: &Path) -> BTreeSet<String> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let entries = std::fs::read_dir(folder.unwrap_or_else(|| Path::new(".")));
    let files = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().is_file());
    files
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

fn from_toml(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    toml::from_str(text).map_err(|error| {
        let span = error.span().unwrap_or(0..0);
        let message = match error.message() {
            "duplicate key" => messages::duplicate(text.get(span.clone()).unwrap_or_default().trim()),
            message => messages::improved(message),
        };
        ScenarioError::at(file, text, span.start, message)
    })
}

fn from_json(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    serde_json::from_str(text).map_err(|error| {
        let whole = error.to_string();
        let message = whole
            .rsplit_once(" at line ")
            .map_or(whole.as_str(), |(message, _)| message);
        let offset = end_of_token(text, error.line(), error.column());
        let offset = if error.is_data() {
            begin_of_token(text, offset)
        } else {
            offset
        };
        ScenarioError::at(file, text, offset, messages::improved(message))
    })
}

/// The byte that serde_json read last: it tells line and column (in bytes) of the end of what it did not like.
fn end_of_token(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    lines.map(str::len).sum::<usize>() + column.saturating_sub(1)
}

/// Where the smallest value or key begins that the byte at `offset` belongs to.
fn begin_of_token(text: &str, offset: usize) -> usize {
    // Between a colon or comma and a value, it is the value that was looked at.
    let between = |byte: &u8| byte.is_ascii_whitespace() || matches!(byte, b':' | b',');
    let rest = text.as_bytes().get(offset..).unwrap_or_default();
    let offset = offset + rest.iter().take_while(|byte| between(byte)).count();
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default());
    let Ok(Some(root)) = parsed.map(|result| result.value) else {
        return offset;
    };
    let around = |range: Range| (range.start..range.end).contains(&offset);
    let mut value = &root;
    loop {
        let inside = match value {
            JsonNode::Object(object) => {
                let property = object.properties.iter().find(|property| around(property.range()));
                match property {
                    Some(property) if around(property.name.range()) => return property.name.start(),
                    property => property.map(|property| &property.value),
                }
            }
            JsonNode::Array(array) => array.elements.iter().find(|element| around(element.range())),
            _ => None,
        };
        match inside {
            Some(inside) if around(inside.range()) => value = inside,
            _ => return value.start(),
        }
    }
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
