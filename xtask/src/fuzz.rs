//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`, and property tests of segmentation offload with many generated packets.
//!
//! `cargo test` tests the same properties with a few cases, the same ones each time.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    shell, step, table,
    tools::{CARGO_FUZZ, CXX, NIGHTLY},
};

/// Options of `cargo xtask fuzz`.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Time for each target in seconds.
    #[arg(long, value_name = "N", default_value_t = 10)]
    seconds: u32,
    /// Only this target, without the property tests; may be given several times.
    #[arg(long, value_name = "NAME")]
    target: Vec<String>,
    /// Number of cases for each property.
    #[arg(long, value_name = "N", default_value_t = 50_000)]
    cases: u32,
    /// Seed of the cases; by default another one each time.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// Result of one target.
struct Fuzzed {
    name: String,
    /// Number of inputs that ran. Empty if the target stopped at a fault.
    runs: String,
    is_good: bool,
}

/// Runs the property tests and all targets, or only the chosen targets. Returns true if none found a fault.
///
/// # Errors
/// A tool or a chosen target does not exist, or the targets cannot be built.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if let Some(missing) = step::missing(&[NIGHTLY, CARGO_FUZZ, CXX]) {
        bail!("{missing}");
    }
    let targets = chosen(&options.target)?;
    let holds = !options.target.is_empty() || properties(options.cases, options.seed)?;
    shell::run(&mut cargo_fuzz("build", ""))?;
    let results = targets
        .iter()
        .map(|target| fuzz(target, options.seconds))
        .collect::<Result<Vec<_>>>()?;
    let mut rows = vec![["target", "runs", "result"].map(str::to_owned).to_vec()];
    rows.extend(results.iter().map(|fuzzed| {
        let word = if fuzzed.is_good { "passed" } else { "FAILED" };
        vec![fuzzed.name.clone(), fuzzed.runs.clone(), word.to_owned()]
    }));
    println!("\n{}", table::render(&rows));
    Ok(holds && results.iter().all(|fuzzed| fuzzed.is_good))
}

/// Tests segmentation offload. Returns true if all properties hold.
fn properties(cases: u32, seed: Option<u64>) -> Result<bool> {
    let seed = seed.map_or_else(another_seed, Ok)?;
    println!(
        "{cases} cases of each property. To repeat them: cargo xtask fuzz --cases {cases} --seed {seed}"
    );
    let mut tests = shell::cargo("test --quiet --release --package sandhog --test main offload::");
    tests.env("SANDHOG_FUZZ_CASES", cases.to_string());
    tests.env("SANDHOG_FUZZ_SEED", seed.to_string());
    Ok(tests.status()?.success())
}

/// A seed that differs from that of the previous run.
///
/// # Errors
/// The clock is before 1970.
pub(crate) fn another_seed() -> Result<u64> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    Ok(now.as_secs())
}

/// The wanted targets, or all.
fn chosen(wanted: &[String]) -> Result<Vec<String>> {
    let folder = shell::root().join("fuzz/targets");
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        all.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
    }
    all.sort();
    if let Some(unknown) = wanted.iter().find(|name| !all.contains(name)) {
        bail!(
            "there is no target `{unknown}`; the targets are {}",
            all.join(", ")
        );
    }
    Ok(if wanted.is_empty() { all } else { wanted.to_vec() })
}

/// A command of cargo-fuzz with the nightly compiler. What it builds stays apart from the other builds.
fn cargo_fuzz(command: &str, rest: &str) -> Command {
    let mut cargo = shell::command(
        "rustup",
        &format!("run nightly cargo fuzz {command} --fuzz-dir fuzz --target-dir"),
    );
    cargo
        .arg(shell::target_dir().join("fuzz"))
        .args(rest.split_whitespace());
    cargo
}

/// Lets a target run for some seconds. It starts from the committed corpus, and writes new inputs to a scratch folder.
fn fuzz(target: &str, seconds: u32) -> Result<Fuzzed> {
    let found = shell::scratch(&format!("fuzz/{target}"))?;
    let corpus = shell::root().join("fuzz/corpus").join(target);
    ensure!(corpus.is_dir(), "there is no folder {}", corpus.display());
    let mut command = cargo_fuzz("run", target);
    command.args([&found, &corpus]).arg("--");
    command.args(["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048"]);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-artifact_prefix={}/fault-", found.display()));
    println!("$ {}", shell::display(&command));
    let output = command.stdin(Stdio::null()).output()?;
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_good = output.status.success();
    if !is_good {
        println!("{log}\nto repeat it: {}", repetition(target, &found));
    }
    let runs = runs(&log).unwrap_or_default();
    println!("{target}: {} runs", if runs.is_empty() { "no" } else { runs });
    Ok(Fuzzed {
        name: target.to_owned(),
        runs: runs.to_owned(),
        is_good,
    })
}

/// The command that runs a target with the input of its fault.
fn repetition(target: &str, found: &Path) -> String {
    let files = fs::read_dir(found).into_iter().flatten().flatten();
    let fault = files
        .map(|file| file.path())
        .find(|path| path.to_string_lossy().contains("/fault-"));
    let fault = fault.map_or_else(|| "FILE".to_owned(), |path| path.display().to_string());
    format!("cargo +nightly fuzz run {target} {fault}")
}

/// The number of runs in the output of libFuzzer: `Done 1234 runs in 11 second(s)`.
fn runs(log: &str) -> Option<&str> {
    let line = log.lines().rev().find_map(|line| line.strip_prefix("Done "))?;
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_runs_is_in_the_last_line_of_the_fuzzer() {
        let log = "#1234\tDONE   cov: 5 ft: 6\nDone 1234 runs in 11 second(s)\n";
        assert_eq!(runs(log), Some("1234"));
        assert_eq!(runs("==7== ERROR: libFuzzer: deadly signal\n"), None);
    }

    #[test]
    fn an_unknown_target_is_rejected_with_the_list_of_names() {
        let error = chosen(&["tapes".to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("`tapes`") && error.contains("users_file"),
            "{error}"
        );
    }

    #[test]
    fn every_target_has_a_small_corpus() {
        for target in chosen(&[]).unwrap() {
            let folder = shell::root().join("fuzz/corpus").join(&target);
            let files: Vec<_> = fs::read_dir(folder).unwrap().map(|file| file.unwrap()).collect();
            assert!((1..=20).contains(&files.len()), "{target}: {} files", files.len());
            let longest = files.iter().map(|file| file.metadata().unwrap().len()).max();
            assert!(longest <= Some(2048), "{target}: {longest:?} bytes");
        }
    }
}
