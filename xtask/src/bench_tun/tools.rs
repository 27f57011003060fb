//! What the measurement needs besides ours: checked before anything is started, so that all of it is named at once.

use std::path::PathBuf;

use anyhow::{Result, bail};

use super::Name;
use crate::shell;
use crate::tools::NAMESPACES;

/// The version that the promises are about.
const BORINGTUN: &str = "boringtun-cli@0.7.1";

/// Programs by peer, with the Debian package that has them.
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

/// Whether everything is there for these peers. `boringtun-cli` is built if it is not.
///
/// # Errors
/// Something is missing; the error says all of it and how to get it.
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
            "missing: {}; to get them: apt-get install --no-install-recommends {}",
            programs.join(", "),
            packages.join(" ")
        );
    }
    if !(NAMESPACES.present)() {
        bail!(
            "{} are missing; to get them: {}",
            NAMESPACES.name,
            NAMESPACES.advice
        );
    }
    if peers.contains(&Name::Boringtun) && !boringtun().is_file() {
        println!("building {BORINGTUN}, once; this takes some minutes");
        let root = shell::target_dir().join("tools");
        let mut install = shell::cargo("install --quiet --locked");
        shell::run(install.arg("--root").arg(root).arg(BORINGTUN))?;
    }
    Ok(())
}

/// Where `boringtun-cli` is, or will be.
pub(super) fn boringtun() -> PathBuf {
    shell::target_dir().join("tools/bin/boringtun-cli")
}
