//! Scenarios with the two profiles of this crate.

use std::path::Path;

use crate::builtin::ALL;
use crate::profile::PROFILES;
use crate::scenario::{Builtin, ReadFile, Scenario, ScenarioError};

impl Scenario {
    /// Reads a scenario file (`.toml` or `.json`), and from its folder the files that its servers serve.
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn load(path: &Path) -> Result<Self, ScenarioError> {
        Self::load_with(PROFILES, path)
    }

    /// Reads a scenario from `text`. `file` is its name in errors. A name that ends in `.json` selects JSON, any other TOML.
    /// `read` reads the files that the servers serve.
    ///
    /// ```
    /// use sandhog_sim::Scenario;
    ///
    /// let text = r#"
    /// title = "a server without clients"
    /// duration = "1s"
    /// client = []
    ///
    /// [[server]]
    /// name = "server"
    /// adress = "192.0.2.1:4000"
    /// "#;
    /// let error = Scenario::parse("mine.toml", text, &|_| Err("no files".into())).unwrap_err();
    /// assert_eq!(error.place, Some((8, 1)));
    /// assert_eq!(error.to_string(), "mine.toml:8:1: unknown key `adress`; did you mean `address`?");
    /// ```
    ///
    /// # Errors
    ///
    /// The first mistake, with file, line and column.
    pub fn parse(file: &str, text: &str, read: &ReadFile<'_>) -> Result<Self, ScenarioError> {
        Self::parse_with(PROFILES, file, text, read)
    }

    /// The built-in scenario of this name.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        ALL.iter().find(|builtin| builtin.name == name)?.scenario().ok()
    }

    /// The JSON Schema of a scenario file (draft 2020-12).
    #[must_use]
    pub fn schema() -> serde_json::Value {
        Self::schema_with(PROFILES)
    }
}

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    ///
    /// A mistake in the scenario. A test reads all built-in scenarios, so a release has none.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        self.scenario_with(PROFILES)
    }
}
