//! Built-in scenarios. They are part of the program, so an installed `sandhog-sim` runs them without files.

pub use crate::scenario::Builtin;

macro_rules! builtins {
    ($($name:literal $(is classic $source:literal)? $([$($file:literal),*])?,)*) => {
        /// The built-in scenarios, in the order in which a reader should study them.
        ///
        /// ```
        /// let names: Vec<&str> = sandhog_sim::builtin::ALL.iter().map(|builtin| builtin.name).collect();
        /// assert_eq!(names[..2], ["first-light", "clean-login"]);
        ///
        /// let scenario = sandhog_sim::builtin::ALL[1].scenario().unwrap();
        /// assert_eq!(scenario.clients[0].name, "alice");
        /// ```
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
    "password-change",
    "simultaneous-init",
    "init-flood-spoofed",
    "amplification",
    "recorded-logins",
    "rebind-port",
    "rebind-addr",
    "path-mtu",
    "cipher-change",
    "reconnect",
    "classic-first-light" is classic "first-light" ["tunnel.txt"],
    "classic-clean-login" is classic "clean-login",
    "classic-auth-timeout" is classic "auth-timeout",
    "classic-wrong-password" is classic "wrong-password",
}

/// The built-in scenarios of a profile of this crate.
pub(crate) fn of_profile(name: &str) -> Vec<Builtin> {
    let is_of = |builtin: &&Builtin| profile_name(builtin) == name;
    ALL.iter().filter(is_of).copied().collect()
}

/// The name of the profile of a built-in scenario.
fn profile_name(builtin: &Builtin) -> &'static str {
    let key = |line: &'static str| line.strip_prefix("profile = \"")?.strip_suffix('"');
    let name = builtin.profile.or_else(|| builtin.source.lines().find_map(key));
    name.unwrap_or("secure")
}
