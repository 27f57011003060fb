//! Programs that the measurement needs. They are checked first, so that all missing ones are named at once.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Name;
use crate::shell;
use crate::tools::NAMESPACES;

/// The version in the promises.
const BORINGTUN: &str = "boringtun-cli@0.7.1";

/// Programs for all peers, each with its Debian package.
const EVERYWHERE: &[(&str, &str)] = &[
    ("iperf3", "iperf3"),
    ("ip", "iproute2"),
    ("ping", "iputils-ping"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("setsid", "util-linux"),
];
const WIREGUARD: (&str, &str) = ("wg", "wireguard-tools");
const WIREGUARD_GO: (&str, &str) = ("wireguard-go", "wireguard-go");

/// Checks that all programs for these peers are there. Builds `boringtun-cli` if it is missing.
///
/// # Errors
/// A program is missing. The error names all missing programs and how to install them.
pub(super) fn check(peers: &[Name]) -> Result<()> {
    let mut needs = EVERYWHERE.to_vec();
    if peers
        .iter()
        .any(|peer| matches!(peer, Name::Boringtun | Name::WireguardGo))
    {
        needs.push(WIREGUARD);
    }
    if peers.contains(&Name::WireguardGo) {
        needs.push(WIREGUARD_GO);
    }
    let missing: Vec<_> = needs
        .into_iter()
        .filter(|(program, _)| !shell::on_path(program))
        .collect();
    if !missing.is_empty() {
        let (programs, mut packages): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        packages.sort_unstable();
        packages.dedup();
        bail!(
            "missing: {}. To install them: apt-get install --no-install-recommends {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    if !(NAMESPACES.present)() {
        bail!(
            "{} are missing. To get them: {}",
            NAMESPACES.name,
            NAMESPACES.advice
        );
    }
    if peers.contains(&Name::Boringtun) && !boringtun().is_file() {
        println!("building {BORINGTUN}; this takes some minutes the first time");
        let root = shell::target_dir().join("tools");
        let mut install = shell::cargo("install --quiet --locked");
        shell::run(install.arg("--root").arg(root).arg(BORINGTUN))?;
    }
    Ok(())
}

/// Path of `boringtun-cli`, which may not exist yet.
pub(super) fn boringtun() -> PathBuf {
    shell::target_dir().join("tools/bin/boringtun-cli")
}
