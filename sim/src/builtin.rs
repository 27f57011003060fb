//! The built-in scenarios, compiled in, so that an installed laboratory runs them anywhere.

use std::borrow::Cow;

use crate::scenario::{Scenario, ScenarioError};

/// A scenario that comes with the laboratory.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The name to run it by.
    pub name: &'static str,
    /// Its TOML.
    pub source: &'static str,
    /// The files that it serves.
    pub files: &'static [(&'static str, &'static [u8])],
}

macro_rules! builtins {
    ($($name:literal $([$($file:literal),*])?,)*) => {
        /// Every built-in scenario, in the order in which to read them.
        pub const ALL: &[Builtin] = &[$(
            Builtin {
                name: $name,
                source: include_str!(concat!("../scenarios/", $name, ".toml")),
                files: &[$($(($file, include_bytes!(concat!("../scenarios/", $file)))),*)?],
            },
        )*];
    };
}

builtins! {
    "first-light" ["tunnel.txt"],
    "clean-login",
    "standard",
    "lossy-login",
    "reordered",
    "late-answer",
    "auth-timeout",
    "wrong-password",
    "bulk",
    "ipv6-inside" ["tunnel.txt"],
}

impl Builtin {
    /// The scenario.
    ///
    /// # Errors
    ///
    /// Never for a released laboratory: a test reads them all.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        let read = |wanted: &str| {
            let file = self.files.iter().find(|(name, _)| *name == wanted);
            file.map(|(_, content)| Cow::Borrowed(*content))
                .ok_or_else(|| "it is not built in".to_owned())
        };
        Scenario::parse(&format!("{}.toml", self.name), self.source, &read)
    }
}

impl Scenario {
    /// The built-in scenario of this name.
    #[must_use]
    pub fn builtin(name: &str) -> Option<Self> {
        ALL.iter().find(|builtin| builtin.name == name)?.scenario().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_builtin_scenario_is_valid() {
        for builtin in ALL {
            if let Err(error) = builtin.scenario() {
                panic!("{error}");
            }
        }
    }
}
