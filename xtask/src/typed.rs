//! Commands of the documentation, run with the programs of the shared build.
//!
//! A page says `cargo sim run first-light`. Cargo would build that program once more, optimised, which takes minutes. So the
//! alias and the options of `cargo run` are read here, and the same program of the shared build is started.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{shell, workspace};

/// A program of the workspace, with the arguments that a page gives it.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    package: String,
    /// Name of an example; none for a program.
    example: Option<String>,
    /// Name of a program; none for the only one of the package.
    program: Option<String>,
    arguments: Vec<String>,
}

/// The command for a line such as `cargo sim list` or `cargo run -p sandhog-lab --example arq -- --seed 7`.
///
/// # Errors
/// It is no such line, the workspace has no such program, or the program has not been built.
pub(crate) fn command(line: &str) -> Result<Command> {
    let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
    let run = Run::parse(&expand(&words)?).with_context(|| format!("`{line}`"))?;
    let metadata = shell::read(&mut shell::cargo(
        "metadata --no-deps --format-version 1 --locked",
    ))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata prints JSON")?;
    let name = run.target(&metadata)?;
    let path = match run.example {
        Some(_) => workspace::program(&format!("examples/{name}"))?,
        None => workspace::program(&name)?,
    };
    let mut command = shell::command(path.to_str().context("the path of the checkout is UTF-8")?, "");
    command.args(&run.arguments);
    Ok(command)
}

/// Replaces an alias of `.cargo/config.toml` by its words.
fn expand(words: &[String]) -> Result<Vec<String>> {
    let [cargo, name, rest @ ..] = words else {
        bail!("`{}` is not a command of cargo", words.join(" "));
    };
    ensure!(
        cargo == "cargo",
        "`{}` is not a command of cargo",
        words.join(" ")
    );
    if name == "run" {
        return Ok(words.to_vec());
    }
    let config = fs::read_to_string(shell::root().join(".cargo/config.toml"))?;
    let alias = config
        .lines()
        .find_map(|line| line.strip_prefix(name.as_str())?.trim().strip_prefix("= \""));
    let alias = alias.and_then(|text| text.strip_suffix('"'));
    let alias = alias.with_context(|| format!(".cargo/config.toml has no alias `{name}`"))?;
    let expanded = std::iter::once("cargo").chain(alias.split_whitespace());
    Ok(expanded.map(str::to_owned).chain(rest.iter().cloned()).collect())
}

impl Run {
    /// Reads `cargo run` with its options.
    fn parse(words: &[String]) -> Result<Self> {
        let [cargo, run, rest @ ..] = words else {
            bail!("it is not `cargo run`");
        };
        ensure!(cargo == "cargo" && run == "run", "it is not `cargo run`");
        let (mut package, mut example, mut program) = (None, None, None);
        let mut options = rest.iter();
        while let Some(option) = options.next() {
            match option.as_str() {
                "--quiet" | "-q" | "--release" => {}
                "--package" | "-p" => package = options.next().cloned(),
                "--example" => example = options.next().cloned(),
                "--bin" => program = options.next().cloned(),
                "--" => break,
                other => bail!("the option {other} of `cargo run` is not known here"),
            }
        }
        Ok(Self {
            package: package.context("it names no package")?,
            example,
            program,
            arguments: options.cloned().collect(),
        })
    }

    /// The name of the program or example, which must be a target of the package.
    fn target(&self, metadata: &Value) -> Result<String> {
        let packages = metadata["packages"].as_array().into_iter().flatten();
        let package = packages
            .filter(|package| package["name"] == *self.package)
            .find_map(|package| package["targets"].as_array())
            .with_context(|| format!("the workspace has no package {}", self.package))?;
        let kind = if self.example.is_some() { "example" } else { "bin" };
        let names: Vec<_> = package
            .iter()
            .filter(|target| target["kind"][0] == kind)
            .filter_map(|target| target["name"].as_str())
            .collect();
        match self.example.as_ref().or(self.program.as_ref()) {
            Some(name) if names.contains(&name.as_str()) => Ok(name.clone()),
            Some(name) => bail!("the package {} has no {kind} {name}", self.package),
            None => match names[..] {
                [name] => Ok(name.to_owned()),
                _ => bail!("the package {} has {} programs", self.package, names.len()),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn the_alias_of_the_simulator_names_its_package_and_program() {
        let run = Run::parse(&expand(&words("cargo sim run x --seed 7")).unwrap()).unwrap();
        assert_eq!(
            (&*run.package, run.program.as_deref()),
            ("sandhog-sim", Some("sandhog-sim"))
        );
        assert_eq!(run.arguments, ["run", "x", "--seed", "7"]);
        assert!(expand(&words("cargo no-such-alias")).is_err());
    }

    #[test]
    fn a_program_or_example_that_does_not_exist_is_an_error() {
        let target = |name: &str, kind: &str| json!({ "name": name, "kind": [kind] });
        let metadata = json!({ "packages": [
            { "name": "a", "targets": [target("a", "lib"), target("tool", "bin"), target("show", "example")] },
        ]});
        let name = |line: &str| Run::parse(&words(line)).and_then(|run| run.target(&metadata));
        assert_eq!(name("cargo run -p a").unwrap(), "tool");
        assert_eq!(
            name("cargo run --quiet -p a --example show -- x").unwrap(),
            "show"
        );
        for wrong in [
            "cargo run -p b",
            "cargo run -p a --bin show",
            "cargo run",
            "cargo run --all",
        ] {
            assert!(name(wrong).is_err(), "{wrong}");
        }
    }
}
