//! The built-in scenarios, compiled in, so that an installed laboratory runs them anywhere.

use std::borrow::Cow;

use crate::scenario::{Profile, Scenario, ScenarioError};

/// A scenario that comes with the laboratory.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The name to run it by.
    pub name: &'static str,
    /// Its TOML.
    pub source: &'static str,
    /// The files that it serves.
    pub files: &'static [(&'static str, &'static [u8])],
    /// The profile it runs with, whatever its TOML says: some scenarios come with both.
    pub profile: Option<Profile>,
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
    (@profile $source:literal) => { Some(Profile::Classic) };
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
        let mut scenario = Scenario::parse(&format!("{}.toml", self.name), self.source, &read)?;
        if let Some(profile) = self.profile {
            scenario.profile = profile;
            scenario.title = format!("{} (classic profile)", scenario.title);
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
