//! Built-in scenarios. They are part of the program, so an installed `sandhog-sim` runs them anywhere.

use std::borrow::Cow;

use crate::profile::{PROFILES, Profile, find};
use crate::scenario::{Scenario, ScenarioError};

/// A scenario that is part of the program.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its TOML.
    pub source: &'static str,
    /// The files that its servers serve: name and content.
    pub files: &'static [(&'static str, &'static [u8])],
    /// The profile that replaces the one in its TOML. Some scenarios exist with two profiles.
    pub profile: Option<&'static str>,
}

macro_rules! builtins {
    ($($name:literal $(is classic $source:literal)? $([$($file:literal),*])?,)*) => {
        /// Every built-in scenario, in the order in which to read them.
        pub const ALL: &[Builtin] = &[$(
            Builtin {
                name: $name,
                source: include_str!(concat!("../scenarios/", builtins!(@source $name $($source)?), ".toml")),
                profile: builtins!(@profile $($source)?),
                files: &[$($(($file, include_bytes!(concat!("../scenarios/", $file)))),*)?],
            },
        )*];
    };
    (@source $name:literal) => { $name };
    (@source $name:literal $source:literal) => { $source };
    (@profile) => { None };
    (@profile $source:literal) => { Some("classic") };
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
    "long-rtt",
    "crazy-rtt",
    "drop-each-datagram",
    "handshake-corrupt-30",
    "handshake-dup",
    "handshake-reorder",
    "handshake-ping-pong",
    "unknown-user",
    "user-guess-flood",
    "password-changed-mid-session",
    "simultaneous-init",
    "init-flood-spoofed",
    "amplification",
    "rebind-port",
    "rebind-addr",
    "path-mtu",
    "cipher-change",
    "classic-first-light" is classic "first-light" ["tunnel.txt"],
    "classic-clean-login" is classic "clean-login",
    "classic-auth-timeout" is classic "auth-timeout",
    "classic-wrong-password" is classic "wrong-password",
}

/// The built-in scenarios of a profile of this crate.
pub(crate) fn of_profile(name: &str) -> Vec<Builtin> {
    let is_of = |builtin: &&Builtin| builtin.profile.unwrap_or("secure") == name;
    ALL.iter().filter(is_of).copied().collect()
}

impl Builtin {
    /// The scenario, with the profiles of this crate.
    ///
    /// # Errors
    ///
    /// A mistake in the scenario. A test reads all built-in scenarios, so a release has none.
    pub fn scenario(&self) -> Result<Scenario, ScenarioError> {
        self.scenario_with(PROFILES)
    }

    /// The scenario, with other profiles.
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
