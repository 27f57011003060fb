//! `cargo xtask package`: the release files, built and tested. They are the Debian package and a static program.

mod content;
mod deb;
mod installed;
mod licences;
mod manual;
mod static_program;

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};
use clap::{Args, ValueEnum};

use crate::{
    shell,
    step::{self, Session},
    table,
    tools::{BINUTILS, CARGO_DEB, DPKG, MUSL_GCC, MUSL_TARGET, Tool, XZ},
};

/// Options of the command.
#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Only this file.
    #[arg(long, value_name = "KIND")]
    only: Option<Kind>,
}

/// A release file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// The Debian package.
    Deb,
    /// A program without shared libraries, for any Linux on x86-64.
    Static,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Deb, Self::Static];

    const fn needs(self) -> &'static [Tool] {
        match self {
            Self::Deb => &[DPKG, CARGO_DEB, BINUTILS, XZ],
            Self::Static => &[MUSL_TARGET, MUSL_GCC, BINUTILS],
        }
    }

    fn build(self) -> Result<PathBuf> {
        match self {
            Self::Deb => {
                shell::run(&mut shell::cargo(
                    "build --release --locked --package sandhog --bin sandhog",
                ))?;
                let package = deb::build(&deb::RELEASE)?;
                installed::check(&package)?;
                Ok(package)
            }
            Self::Static => static_program::build(),
        }
    }
}

/// Builds and tests the release files, and prints their paths.
///
/// # Errors
/// A tool is missing, a build fails, or a test fails.
pub(crate) fn run(options: &Options) -> Result<bool> {
    let kinds: Vec<_> = Kind::ALL
        .into_iter()
        .filter(|kind| options.only.is_none_or(|only| only == *kind))
        .collect();
    // A build takes minutes, so missing tools are named before the first one.
    let missing: Vec<_> = kinds
        .iter()
        .filter_map(|kind| step::missing(kind.needs()))
        .collect();
    if !missing.is_empty() {
        bail!(missing.join("\n       "));
    }
    let mut rows = vec![vec!["bytes".to_owned(), "file".to_owned()]];
    for kind in kinds {
        let path = kind.build()?;
        let bytes = fs::metadata(&path)?.len();
        rows.push(vec![bytes.to_string(), path.display().to_string()]);
    }
    println!("\n{}", table::render(&rows));
    Ok(true)
}

/// The step `package`: the same Debian package, but with the program of the shared build.
///
/// Only `cargo xtask package` builds the static program, because that compiles everything again.
///
/// # Errors
/// The package cannot be built, or a test fails.
pub(crate) fn check(_: &Session) -> Result<()> {
    let package = deb::build(&deb::DEBUG)?;
    installed::check(&package)
}

/// Tools of the step.
pub(crate) const STEP_NEEDS: &[Tool] = &[DPKG, CARGO_DEB];

/// Runs a program with `input` as its standard input, and returns its standard output.
fn answer(program: &Path, arguments: &[&str], input: &str) -> Result<String> {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut stdin = child.stdin.take().context("standard input is not a pipe")?;
    // A program may end without reading. It then closes the pipe, and the write fails.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    let output = child.wait_with_output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(
        output.status.success(),
        "`{} {}` ended with {}\n{text}",
        program.display(),
        arguments.join(" "),
        output.status
    );
    Ok(text)
}

/// Lets `program` create the files of a server in a new folder, and a user. This shows that it runs on this machine.
fn set_up_a_server(program: &Path, folder: &Path) -> Result<()> {
    let version = answer(program, &["--version"], "")?;
    ensure!(
        version.trim() == format!("sandhog {}", env!("CARGO_PKG_VERSION")),
        "{} has the version `{}`",
        program.display(),
        version.trim()
    );
    let name = |path: &Path| -> Result<String> {
        Ok(path
            .to_str()
            .context("the path of the checkout is UTF-8")?
            .to_owned())
    };
    let config = name(&folder.join("server.toml"))?;
    answer(program, &["init", "--folder", &name(folder)?], "")?;
    answer(
        program,
        &["user", "add", "--config", &config, "--password-stdin", "kean"],
        "correct horse\n",
    )?;
    let users = answer(program, &["user", "list", "--config", &config], "")?;
    ensure!(
        users.contains("kean"),
        "the new user is missing in the list:\n{users}"
    );
    let checked = answer(program, &["check", &config], "")?;
    ensure!(checked.contains("1 user"), "{checked}");
    println!(
        "{}: --version, init, user add, user list, check work",
        program.display()
    );
    Ok(())
}
