//! `cargo xtask coverage`: the share of the regions of the core that the tests execute.
//!
//! A region is a piece of code without a branch. Tests inside the sources do not count, only the code that is shipped.

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::{shell, table};

/// The sources that are measured.
const SOURCES: &str = "proto/src";

/// Smallest share of executed regions in percent.
const LIMIT: f64 = 95.5;

/// The packages whose tests run, with their features.
const OWN: &str = "--package sandhog-proto --features ring";
const WITH_SIMULATOR: &str =
    "--package sandhog-proto --package sandhog-sim --package sandhog-lab --features sandhog-proto/ring";

/// The variable with which this program is the wrapper of the compiler.
const WRAPPED: &str = "SANDHOG_COVERAGE";

/// Place of a region: line and column of its start, and of its end.
type Place = [u64; 4];

/// The regions of each file, and if they were executed.
type Files = BTreeMap<String, BTreeMap<Place, bool>>;

/// Measures, and prints a table. Returns true if the share is not below the limit.
///
/// # Errors
/// A test fails, or the component `llvm-tools` is missing.
pub(crate) fn run(with_simulator: bool, lists: bool) -> Result<bool> {
    let tools = Tools::find()?;
    let packages = if with_simulator { WITH_SIMULATOR } else { OWN };
    let profiles = shell::scratch("coverage")?;
    let programs = test_programs(packages, &profiles)?;
    shell::run(&mut instrumented(&format!("test --quiet {packages}"), &profiles)?)?;
    let files = regions(&tools.export(&programs, &profiles)?)?;
    println!("{}", report(&files));
    if lists {
        println!("{}", missing(&files));
    }
    let (executed, all) = files
        .values()
        .map(count)
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    ensure!(all > 0, "no region of {SOURCES} was found");
    let share = percent(executed, all);
    println!("{executed} of {all} regions are executed: {share:.2} %. The limit is {LIMIT} %.");
    Ok(share >= LIMIT)
}

/// Programs of the component `llvm-tools`.
struct Tools(PathBuf);

impl Tools {
    fn find() -> Result<Self> {
        let root = shell::read(&mut shell::command("rustc", "--print sysroot"))?;
        let version = shell::read(&mut shell::command("rustc", "-vV"))?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.context("rustc does not name this machine")?;
        let folder = Path::new(root.trim()).join("lib/rustlib").join(host).join("bin");
        ensure!(
            folder.join("llvm-cov").is_file(),
            "`llvm-cov` is missing: rustup component add llvm-tools"
        );
        Ok(Self(folder))
    }

    /// The coverage of `programs` as JSON.
    fn export(&self, programs: &[String], folder: &Path) -> Result<Value> {
        let data = folder.join("all.profdata");
        let mut merge = Command::new(self.0.join("llvm-profdata"));
        merge.args(["merge", "--sparse", "-o"]).arg(&data).arg(folder);
        shell::run(&mut merge)?;
        let mut export = Command::new(self.0.join("llvm-cov"));
        export
            .args(["export", "--format=text", "--instr-profile"])
            .arg(&data);
        for program in programs {
            export.args(["--object", program]);
        }
        export.arg("--sources").arg(shell::root().join(SOURCES));
        Ok(serde_json::from_str(&shell::read(&mut export)?)?)
    }
}

/// A call of cargo that counts the executed regions of this workspace. It compiles into a folder of its own. This program is the
/// compiler's wrapper, so the dependencies stay as fast as they are.
fn instrumented(line: &str, profiles: &Path) -> Result<Command> {
    let mut command = shell::cargo(line);
    command
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(WRAPPED, "1")
        .env("CARGO_TARGET_DIR", shell::target_dir().join("coverage"))
        .env("LLVM_PROFILE_FILE", profiles.join("%p-%m.profraw"))
        .env("INSTA_UPDATE", "no");
    Ok(command)
}

/// Runs the compiler with counters, if cargo has started this program as the wrapper of the compiler.
pub(crate) fn as_wrapper() -> Option<ExitCode> {
    env::var_os(WRAPPED)?;
    let mut words = env::args_os().skip(1);
    let compiler = words.next()?;
    let status = Command::new(compiler)
        .args(words)
        .arg("-Cinstrument-coverage")
        .status();
    Some(ExitCode::from(u8::from(
        !status.is_ok_and(|status| status.success()),
    )))
}

/// The paths of the test programs of these packages.
fn test_programs(packages: &str, profiles: &Path) -> Result<Vec<String>> {
    let line = format!("test --no-run --quiet --message-format json {packages}");
    let text = shell::read(&mut instrumented(&line, profiles)?)?;
    let messages = text.lines().map(serde_json::from_str::<Value>);
    let mut programs = Vec::new();
    for message in messages {
        programs.extend(message?["executable"].as_str().map(str::to_owned));
    }
    ensure!(!programs.is_empty(), "there is no test program");
    Ok(programs)
}

/// The regions of the sources without their tests. A generic function has several copies; one that was executed counts.
fn regions(coverage: &Value) -> Result<Files> {
    let functions = coverage["data"][0]["functions"].as_array();
    let mut files = Files::new();
    let mut ends = BTreeMap::new();
    for function in functions.context("llvm-cov lists no functions")? {
        let names = function["filenames"]
            .as_array()
            .context("a function without a file")?;
        for region in function["regions"]
            .as_array()
            .context("a function without regions")?
        {
            let number = |place: usize| region[place].as_u64().context("a region has numbers");
            let name = names.get(usize::try_from(number(5)?)?).and_then(Value::as_str);
            let Some(file) = name.and_then(source) else {
                continue;
            };
            let end = match ends.get(&file) {
                Some(end) => *end,
                None => *ends.entry(file.clone()).or_insert(first_test(&file)?),
            };
            // Kind 0 is code. The others are gaps between regions, and expansions of macros.
            if number(7)? == 0 && number(0)? < end {
                let place = [number(0)?, number(1)?, number(2)?, number(3)?];
                *files.entry(file).or_default().entry(place).or_default() |= number(4)? > 0;
            }
        }
    }
    Ok(files)
}

/// The path of a measured file below the folder of the sources. `None` for tests and for files of other crates.
fn source(path: &str) -> Option<String> {
    let file = Path::new(path)
        .strip_prefix(shell::root().join(SOURCES))
        .ok()?
        .to_str()?;
    let is_test = file.split('/').any(|part| part == "tests" || part == "tests.rs");
    (!is_test).then(|| file.to_owned())
}

/// The line at which the tests in a file begin.
fn first_test(file: &str) -> Result<u64> {
    let path = shell::root().join(SOURCES).join(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(tests_begin(&text))
}

fn tests_begin(text: &str) -> u64 {
    let lines: Vec<_> = text.lines().collect();
    let is_tests =
        |pair: &&[&str]| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{');
    let place = lines.windows(2).position(|pair| is_tests(&pair));
    place.map_or(u64::MAX, |place| place as u64 + 1)
}

fn count(places: &BTreeMap<Place, bool>) -> (usize, usize) {
    (places.values().filter(|seen| **seen).count(), places.len())
}

#[expect(clippy::cast_precision_loss, reason = "some thousands of regions")]
fn percent(executed: usize, all: usize) -> f64 {
    100.0 * executed as f64 / all as f64
}

/// A row for each file that is not executed completely.
fn report(files: &Files) -> String {
    let mut rows = vec![
        ["file", "regions", "not executed", "%"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for (file, places) in files {
        let (executed, all) = count(places);
        if executed < all {
            let share = format!("{:.1}", percent(executed, all));
            rows.push(vec![
                file.clone(),
                all.to_string(),
                (all - executed).to_string(),
                share,
            ]);
        }
    }
    table::render(&rows)
}

/// The places of the regions that were not executed, one on each line.
fn missing(files: &Files) -> String {
    let mut lines = Vec::new();
    for (file, places) in files {
        let unseen = places.iter().filter(|(_, seen)| !**seen);
        lines.extend(
            unseen.map(|([line, column, to, end], _)| {
                format!("{SOURCES}/{file}:{line}:{column} to {to}:{end}")
            }),
        );
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_of_tests_and_of_other_crates_do_not_count() {
        let root = shell::root().join(SOURCES);
        let path = |file: &str| root.join(file).to_str().unwrap().to_owned();
        assert_eq!(
            source(&path("secure/session.rs")),
            Some("secure/session.rs".to_owned())
        );
        for file in ["secure/session/tests/cipher.rs", "secure/message/tests.rs"] {
            assert_eq!(source(&path(file)), None);
        }
        assert_eq!(source("/rustc/library/core/src/option.rs"), None);
    }

    #[test]
    fn the_tests_of_a_file_begin_at_their_module() {
        let text = "fn a() {}\n#[cfg(test)]\nfn b() {}\n\n#[cfg(test)]\nmod tests {\n}\n";
        assert_eq!(tests_begin(text), 5);
        assert_eq!(tests_begin("fn a() {}\n#[cfg(test)]\nmod tests;\n"), u64::MAX);
    }

    #[test]
    fn a_region_counts_if_one_copy_of_its_function_was_executed() {
        let file = shell::root().join(SOURCES).join("kem.rs");
        let function = |executed: u64| {
            let regions = serde_json::json!([
                [1, 1, 2, 2, executed, 0, 0, 0],
                [3, 1, 4, 2, 0, 0, 0, 0],
                [5, 1, 6, 2, 0, 0, 0, 3]
            ]);
            serde_json::json!({ "filenames": [file], "regions": regions })
        };
        let coverage = serde_json::json!({ "data": [{ "functions": [function(0), function(7)] }] });
        let files = regions(&coverage).unwrap();
        assert_eq!(count(&files["kem.rs"]), (1, 2));
        assert_eq!(missing(&files), "proto/src/kem.rs:3:1 to 4:2");
    }
}
