//! Tools that the steps need besides Rust: a test for presence, installation instructions, and automatic installation.

use std::{process::Command, time::Instant};

use anyhow::Result;

use crate::shell;

/// A program, compile target or privilege that a step needs.
pub(crate) struct Tool {
    /// Name in messages.
    pub(crate) name: &'static str,
    /// Returns true if the tool is there.
    pub(crate) present: fn() -> bool,
    /// Instructions for a person.
    pub(crate) advice: &'static str,
    /// The command that installs the tool. None if only the package manager of the system has it.
    pub(crate) install: Option<fn() -> Command>,
}

/// Node.js, which runs WebAssembly for WASI and controls the browser.
pub(crate) const NODE: Tool = Tool {
    name: "node",
    present: || shell::on_path("node"),
    advice: "install Node.js 20 or newer (https://nodejs.org)",
    install: None,
};

/// npm, which installs the packages of the browser tests.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    present: || shell::on_path("npm"),
    advice: "apt-get install npm, or install Node.js, which contains it",
    install: None,
};

/// The browser.
pub(crate) const CHROMIUM: Tool = Tool {
    name: "chromium",
    present: || shell::on_path("chromium"),
    advice: "apt-get install chromium",
    install: None,
};

/// The command line of Wireshark, which reads the captures independently of our code.
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

/// Programs for namespaces and pseudo-terminals, which the step `readme` types into.
pub(crate) const TERMINAL: Tool = Tool {
    name: "script, unshare and nsenter",
    present: || ["script", "unshare", "nsenter"].into_iter().all(shell::on_path),
    advice: "apt-get install bsdutils util-linux",
    install: None,
};

/// The HTTP client of the tests.
pub(crate) const CURL: Tool = Tool {
    name: "curl",
    present: || shell::on_path("curl"),
    advice: "apt-get install curl",
    install: None,
};

/// The HTTP server of the tests.
pub(crate) const PYTHON: Tool = Tool {
    name: "python3",
    present: || shell::on_path("python3"),
    advice: "apt-get install python3",
    install: None,
};

/// The target of the browser, and of the check that the core imports nothing.
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

/// The check of licences, bans and sources, built without the client of its advisory database.
pub(crate) const CARGO_DENY: Tool = Tool {
    name: "cargo-deny",
    present: || shell::on_path("cargo-deny"),
    advice: "cargo install cargo-deny@0.20.2 --locked --debug --no-default-features",
    install: Some(|| install("cargo-deny@0.20.2")),
};

/// The compiler of the fuzz targets: the counters of the fuzzer are not stable.
pub(crate) const NIGHTLY: Tool = Tool {
    name: "the nightly toolchain",
    present: || {
        let toolchains = shell::read(&mut shell::command("rustup", "toolchain list"));
        toolchains.is_ok_and(|list| list.lines().any(|line| line.starts_with("nightly")))
    },
    advice: "rustup toolchain install nightly --profile minimal",
    install: None,
};

/// The interpreter of the nightly toolchain.
pub(crate) const MIRI: Tool = Tool {
    name: "Miri",
    present: || {
        let list = "component list --toolchain nightly --installed";
        let components = shell::read(&mut shell::command("rustup", list));
        components.is_ok_and(|list| list.lines().any(|line| line.starts_with("miri")))
    },
    advice: "rustup component add miri rust-src --toolchain nightly",
    install: None,
};

/// The program that builds and starts the fuzz targets.
pub(crate) const CARGO_FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    present: || shell::on_path("cargo-fuzz"),
    advice: "cargo install cargo-fuzz --locked",
    install: None,
};

/// The C++ compiler of the fuzzer.
pub(crate) const CXX: Tool = Tool {
    name: "a C++ compiler",
    present: || shell::on_path("c++"),
    advice: "apt-get install g++",
    install: None,
};

/// The target of the static program.
pub(crate) const MUSL: &str = "x86_64-unknown-linux-musl";

/// The standard library for the static program.
pub(crate) const MUSL_TARGET: Tool = Tool {
    name: "target x86_64-unknown-linux-musl",
    present: || has_target(MUSL),
    advice: "rustup target add x86_64-unknown-linux-musl",
    install: Some(|| shell::command("rustup", "target add x86_64-unknown-linux-musl")),
};

/// The C compiler for the static program: `ring` has parts in C and assembler.
pub(crate) const MUSL_GCC: Tool = Tool {
    name: "musl-gcc",
    present: || shell::on_path("musl-gcc"),
    advice: "apt-get install musl-tools",
    install: None,
};

/// Programs that strip and inspect executables.
pub(crate) const BINUTILS: Tool = Tool {
    name: "binutils",
    present: || shell::on_path("strip") && shell::on_path("readelf"),
    advice: "apt-get install binutils",
    install: None,
};

/// The compressor of the Debian package. cargo-deb has one of its own only with default features.
pub(crate) const XZ: Tool = Tool {
    name: "xz",
    present: || shell::on_path("xz"),
    advice: "apt-get install xz-utils",
    install: None,
};

/// Debian's package tools: they unpack and install packages, and find the libraries that a program needs.
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

/// The builder of the Debian package.
pub(crate) const CARGO_DEB: Tool = Tool {
    name: "cargo-deb",
    present: || shell::on_path("cargo-deb"),
    advice: "cargo install cargo-deb@3.8.0 --locked --debug --no-default-features",
    install: Some(|| install("cargo-deb@3.8.0")),
};

/// Installs a cargo subcommand without optimisation and debug information. This takes one minute on two cores instead of
/// five, and the subcommands run for a second either way.
fn install(program: &str) -> Command {
    let mut command = shell::cargo("install --quiet --locked --debug --no-default-features");
    command.arg(program).env("CARGO_PROFILE_DEV_DEBUG", "0");
    command
}

impl Tool {
    /// Installs the tool if a command for that is known, and shows the progress. Returns true if the tool is there now.
    ///
    /// # Errors
    /// The installing command fails.
    pub(crate) fn obtain(&self) -> Result<bool> {
        if let Some(install) = self.install {
            let started = Instant::now();
            println!("installing {}; this may take a minute", self.name);
            shell::run(&mut install())?;
            println!(
                "installed {} in {:.0} s",
                self.name,
                started.elapsed().as_secs_f64()
            );
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
