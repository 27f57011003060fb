//! Parser of scenario files in TOML and JSON. Each mistake has a line and a column.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

use jsonc_parser::ast::Value as JsonNode;
use jsonc_parser::common::{Range, Ranged};
use toml::de::{DeTable, DeValue};

use sandhog_lab::suggest::nearest;

use crate::plain_text::escaped;

use super::error::PathPart;
use super::profile::{Profile, find};
use super::{Builtin, Scenario, ScenarioError, messages, validate};

/// Contents of files by the names that the scenario uses.
pub type Files = BTreeMap<String, Cow<'static, [u8]>>;

/// Reads a file from the folder of the scenario, by its name. Returns an error text if that is not possible.
pub type ReadFile<'a> = dyn Fn(&str) -> Result<Cow<'static, [u8]>, String> + 'a;

impl Scenario {
    /// Reads a scenario file (`.toml` or `.json`), and from its folder the files that its servers serve. The first profile is
    /// the default.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn load_with(profiles: &[&'static dyn Profile], path: &Path) -> Result<Self, ScenarioError> {
        let file = path.display().to_string();
        let fail =
            |error: String| ScenarioError::of_file(&file, format!("cannot read the scenario: {error}"));
        let bytes = std::fs::read(path).map_err(|error| fail(unreadable(path, &error)))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            fail(format!(
                "byte {at} is not UTF-8; a scenario is a text file in TOML or JSON"
            ))
        })?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse_with(profiles, &file, &text, &|name| {
            let path = folder.join(name);
            std::fs::read(&path)
                .map(Cow::Owned)
                .map_err(|error| unreadable(&path, &error))
        })
    }

    /// Reads a scenario from `text`. `file` is its name in errors. A name that ends in `.json` selects JSON, any other TOML.
    /// `read` reads the files that the servers serve. The first profile is the default.
    ///
    /// ```
    /// use sandhog_sim::Scenario;
    /// use sandhog_sim::profile::{Classic, Secure};
    ///
    /// let text = sandhog_sim::builtin::ALL[1].source.replace("secure", "secrue");
    /// let error = Scenario::parse_with(&[&Secure, &Classic], "mine.toml", &text, &|_| Err("no files".into()));
    /// let error = error.unwrap_err();
    /// assert_eq!(error.message, "there is no profile `secrue`; did you mean `secure`?");
    /// ```
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
            .map_or_else(|| escaped(file), |stem| escaped(&stem.to_string_lossy()));
        let locate = |path: &[PathPart<'_>]| match json {
            true => locate_json(text, path),
            false => locate_toml(text, path),
        };
        scenario.profile = resolve(profiles, scenario.profile_name.as_deref())
            .map_err(|message| ScenarioError::at(file, text, locate(&[PathPart::Key("profile")]), message))?;
        validate::validate(&scenario)
            .map_err(|mistake| ScenarioError::at(file, text, locate(&mistake.path), mistake.message))?;
        for (index, server) in scenario.servers.iter().enumerate() {
            for (number, name) in server.serve.files.iter().enumerate() {
                let content = read(name).map_err(|error| {
                    let path = [
                        PathPart::Key("server"),
                        PathPart::Index(index),
                        PathPart::Key("serve"),
                        PathPart::Key("files"),
                        PathPart::Index(number),
                    ];
                    let message =
                        format!("cannot read the file `{name}` in the folder of the scenario: {error}");
                    ScenarioError::at(file, text, locate(&path), message)
                })?;
                scenario.files.insert(name.clone(), content);
            }
        }
        Ok(scenario)
    }
}

impl Builtin {
    /// The scenario, with these profiles. The first profile is the default.
    ///
    /// # Errors
    ///
    /// A mistake in the scenario.
    pub fn scenario_with(&self, profiles: &[&'static dyn Profile]) -> Result<Scenario, ScenarioError> {
        let read = |wanted: &str| {
            let file = self.files.iter().find(|(name, _)| *name == wanted);
            file.map(|(_, content)| Cow::Borrowed(*content))
                .ok_or_else(|| "it is not built in".to_owned())
        };
        let mut scenario =
            Scenario::parse_with(profiles, &format!("{}.toml", self.name), self.source, &read)?;
        if let Some(profile) = self.profile.and_then(|name| find(profiles, name)) {
            scenario.profile = profile;
            scenario.title = format!("{} ({} profile)", scenario.title, profile.name());
        }
        Ok(scenario)
    }
}

/// The profile with this name, or the first one for a scenario without the key `profile`.
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
    Err(match nearest(name, names.iter().copied()) {
        Some(nearest) => format!("there is no profile `{name}`; did you mean `{nearest}`?"),
        None => format!(
            "this program has no profile `{name}`; expected one of {}; a program of your own can add a profile, see \
             docs/your-protocol.md",
            names.join(", ")
        ),
    })
}

/// The reason why a file cannot be read, with the most similar name in its folder.
pub(crate) fn unreadable(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let neighbours = neighbours(path);
            match nearest(&name, neighbours.iter().map(String::as_str)) {
                Some(neighbour) => format!("there is no such file; did you mean `{neighbour}`?"),
                None => "there is no such file; correct the name, or create the file".into(),
            }
        }
        io::ErrorKind::IsADirectory => "this is a folder; name a file in it".into(),
        _ => error.to_string(),
    }
}

/// The names of all files in the folder of `path`.
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

/// The offset of the last byte that serde_json read. Its errors have the line and column (in bytes) of the end of the wrong value.
fn end_of_token(text: &str, line: usize, column: usize) -> usize {
    let lines = text.split_inclusive('\n').take(line.saturating_sub(1));
    lines.map(str::len).sum::<usize>() + column.saturating_sub(1)
}

/// The start of the smallest value or key that contains the byte at `offset`.
fn begin_of_token(text: &str, offset: usize) -> usize {
    // Between a colon or comma and a value, the value is the wrong one.
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

/// The byte offset of the value at `path` in TOML. If there is no such value, the offset of the innermost value around it.
fn locate_toml(text: &str, path: &[PathPart<'_>]) -> usize {
    let Ok(table) = DeTable::parse(text) else { return 0 };
    let mut offset = table.span().start;
    let root = DeValue::Table(table.into_inner());
    let mut value = &root;
    for step in path {
        let next = match (value, step) {
            (DeValue::Table(table), PathPart::Key(key)) => table.get(*key),
            (DeValue::Array(array), PathPart::Index(index)) => array.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        offset = next.span().start;
        value = next.get_ref();
    }
    offset
}

/// The byte offset of the value at `path` in JSON, in the same way.
fn locate_json(text: &str, path: &[PathPart<'_>]) -> usize {
    let parsed = jsonc_parser::parse_to_ast(text, &Default::default(), &Default::default());
    let Ok(Some(root)) = parsed.map(|result| result.value) else {
        return 0;
    };
    let mut value = &root;
    for step in path {
        let next = match (value, step) {
            (JsonNode::Object(object), PathPart::Key(key)) => object.get(key).map(|property| &property.value),
            (JsonNode::Array(array), PathPart::Index(index)) => array.elements.get(*index),
            _ => None,
        };
        let Some(next) = next else { break };
        value = next;
    }
    value.start()
}
