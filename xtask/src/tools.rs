//! What the steps need beside Rust: how to see whether it is there, how to get it, and which of it installs itself.

use std::process::Command;

use anyhow::Result;

use crate::shell;

/// A program, target or right that a step needs.
pub(crate) struct Tool {
    /// How it is called in messages.
    pub(crate) name: &'static str,
    /// Whether it is there.
    pub(crate) present: fn() -> bool,
    /// One sentence or command that tells a person how to get it.
    pub(crate) advice: &'static str,
    /// The command that gets it in strict mode, where that needs no rights over the machine.
    pub(crate) install: Option<fn() -> Command>,
}

/// Node.js, which runs WebAssembly for WASI and drives the browser.
pub(crate) const NODE: Tool = Tool {
    name: "node",
    present: || shell::on_path("node"),
    advice: "install Node.js 20 or newer",
    install: None,
};

/// npm, which installs what the browser tests need.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    present: || shell::on_path("npm"),
    advice: "it comes with Node.js",
    install: None,
};

/// The browser.
pub(crate) const CHROMIUM: Tool = Tool {
    name: "chromium",
    present: || shell::on_path("chromium"),
    advice: "apt-get install chromium",
    install: None,
};

/// Wireshark's command line, which reads the captures as an outsider.
pub(crate) const TSHARK: Tool = Tool {
    name: "tshark",
    present: || shell::on_path("tshark"),
    advice: "apt-get install tshark",
    install: None,
};

/// Network namespaces: root on Linux, and iproute2.
pub(crate) const NAMESPACES: Tool = Tool {
    name: "network namespaces",
    present: namespaces_can_be_made,
    advice: "run as root on Linux with /dev/net/tun, after apt-get install iproute2 iputils-ping nftables",
    install: None,
};

/// What makes machines and terminals for somebody who types.
pub(crate) const TERMINAL: Tool = Tool {
    name: "script, unshare and nsenter",
    present: || ["script", "unshare", "nsenter"].into_iter().all(shell::on_path),
    advice: "apt-get install bsdutils util-linux",
    install: None,
};

/// What fetches pages through tunnels.
pub(crate) const CURL: Tool = Tool {
    name: "curl",
    present: || shell::on_path("curl"),
    advice: "apt-get install curl",
    install: None,
};

/// What serves pages behind tunnels.
pub(crate) const PYTHON: Tool = Tool {
    name: "python3",
    present: || shell::on_path("python3"),
    advice: "apt-get install python3",
    install: None,
};

/// The target of the browser and of the proof that the core imports nothing.
pub(crate) const WASM_UNKNOWN: Tool = Tool {
    name: "target wasm32-unknown-unknown",
    present: || has_target("wasm32-unknown-unknown"),
    advice: "rustup target add wasm32-unknown-unknown",
    install: Some(|| shell::command("rustup", "target add wasm32-unknown-unknown")),
};

/// The target of the WebAssembly tests.
pub(crate) const WASM_WASI: Tool = Tool {
    name: "target wasm32-wasip1",
    present: || has_target("wasm32-wasip1"),
    advice: "rustup target add wasm32-wasip1",
    install: Some(|| shell::command("rustup", "target add wasm32-wasip1")),
};

/// The check of licences, bans and sources, without its advisory database client.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    present: || shell::on_path("cargo-deny"),
    advice: "cargo install cargo-deny@0.20.2 --locked --debug --no-default-features",
    install: Some(|| install("cargo-deny@0.20.2")),
};

/// The target of the static program.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// Rust's half of what the static program needs.
pub(crate) const MUSL_TARGET: Tool = Tool {
    name: "target x86_64-unknown-linux-musl",
    present: || has_target(MUSL),
    advice: "rustup target add x86_64-unknown-linux-musl",
    install: Some(|| shell::command("rustup", "target add x86_64-unknown-linux-musl")),
};

/// C's half: `ring` has parts in C and assembler.
pub(crate) const MUSL_GCC: Tool = Tool {
    name: "musl-gcc",
    present: || shell::on_path("musl-gcc"),
    advice: "apt-get install musl-tools",
    install: None,
};

/// What takes debug information off a program and looks into it.
pub(crate) const BINUTILS: Tool = Tool {
    name: "binutils",
    present: || shell::on_path("strip") && shell::on_path("readelf"),
    advice: "apt-get install binutils",
    install: None,
};

/// What compresses the Debian package; cargo-deb can do it itself, but then has to be built with it.
pub(crate) const XZ: Tool = Tool {
    name: "xz",
    present: || shell::on_path("xz"),
    advice: "apt-get install xz-utils",
    install: None,
};

/// What knows Debian packages: unpacks them, installs them, and finds the libraries that a program needs.
pub(crate) const DPKG: Tool = Tool {
    name: "dpkg",
    present: || {
        ["dpkg", "dpkg-deb", "dpkg-shlibdeps"]
            .into_iter()
            .all(shell::on_path)
    },
    advice: "apt-get install dpkg dpkg-dev",
    install: None,
};

/// What makes a Debian package of a crate.
pub(crate) const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    present: || shell::on_path("cargo-deb"),
    advice: "cargo install cargo-deb@3.8.0 --locked --debug --no-default-features",
    install: Some(|| install("cargo-deb@3.8.0")),
};

/// Builds a program of cargo's without optimisation and debug information: one minute on two cores instead of five, and what
/// it does here takes a second either way.
fn install(program: &str) -> Command {
    let mut command = shell::cargo("install --locked --debug --no-default-features");
    command.arg(program).env("CARGO_PROFILE_DEV_DEBUG", "0");
    command
}

impl Tool {
    /// Installs the tool where that is possible; whether it is there afterwards.
    ///
    /// # Errors
    /// The installing command fails.
    pub(crate) fn obtain(&self) -> Result<bool> {
        if let Some(install) = self.install {
            shell::run(&mut install())?;
        }
        Ok((self.present)())
    }
}

fn has_target(target: &str) -> bool {
    let Ok(folder) = shell::read(shell::command("rustc", "--print target-libdir --target").arg(target))
    else {
        return false;
    };
    std::path::Path::new(folder.trim()).is_dir()
}

fn namespaces_can_be_made() -> bool {
    let root = shell::read(&mut shell::command("id", "-u")).is_ok_and(|id| id.trim() == "0");
    let programs = ["ip", "ping", "nft"].into_iter().all(shell::on_path);
    cfg!(target_os = "linux") && root && programs && std::path::Path::new("/dev/net/tun").exists()
}
