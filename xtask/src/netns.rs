//! Tests in network namespaces, with a table of their times at the end.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Result, ensure};

use crate::{shell, table};

/// Prefix of the names of these tests.
const MODULE: &str = "netns::";

/// Size of the long download over a network with losses, in MiB.
const LONG_DOWNLOAD: &str = "1024";

/// Module of the tests that need the whole machine. They run first, because otherwise each would wait for all tests that have
/// started before.
const ALONE: &str = "netns::crowds::";

/// Number of the other tests that run at the same time. It exceeds the number of processors, because the tests mostly wait.
const AT_ONCE: &str = "12";

/// Runs all of them.
///
/// # Errors
/// A test fails, or there is none.
pub(crate) fn run(strict: bool, long: bool) -> Result<()> {
    let mut alone = tests(strict, long);
    alone.args([ALONE, "--test-threads", "1"]);
    let mut others = tests(strict, long);
    others.args([MODULE, "--skip", ALONE, "--test-threads", AT_ONCE]);
    print_with_table([alone, others])
}

/// The command for these tests, without their names. It names the whole workspace, because with the features of one package
/// everything would be compiled again.
fn tests(strict: bool, long: bool) -> Command {
    let mut command = shell::cargo("test --workspace --test main -- --nocapture");
    if strict {
        command.env("SANDHOG_STRICT", "1");
    }
    if long {
        command.env("SANDHOG_DOWNLOAD_MIB", LONG_DOWNLOAD);
        command.env("SANDHOG_LONG", "1");
    }
    command.env("INSTA_UPDATE", "no");
    command
}

fn print_with_table(commands: [Command; 2]) -> Result<()> {
    let mut tests = Tests::default();
    let results = commands.map(|mut command| {
        shell::read_lines(&mut command, |line| {
            if !tests.note(line) {
                println!("{line}");
            }
        })
    });
    println!("\n{}", tests.table());
    results.into_iter().collect::<Result<()>>()?;
    ensure!(!tests.0.is_empty(), "there is no test in the module `netns`");
    Ok(())
}

/// Result and seconds of each test, by its name.
#[derive(Default)]
struct Tests(BTreeMap<String, (String, Option<f64>)>);

impl Tests {
    /// Notes the result or the time of a test in a line. Returns true if the line need not be shown.
    fn note(&mut self, line: &str) -> bool {
        if let Some((name, seconds)) = line.strip_prefix("took: ").and_then(|rest| rest.split_once(' '))
            && let (Some(name), Ok(seconds)) = (name.strip_prefix(MODULE), seconds.parse::<f64>())
        {
            // A test may set up several networks, one after the other.
            let (_, sum) = self.0.entry(name.to_owned()).or_default();
            *sum = Some(sum.unwrap_or_default() + seconds);
            return true;
        }
        if let Some((name, result)) = line
            .strip_prefix("test ")
            .and_then(|rest| rest.split_once(" ... "))
            && let Some(name) = name.strip_prefix(MODULE)
        {
            result.clone_into(&mut self.0.entry(name.to_owned()).or_default().0);
        }
        false
    }

    /// A table of all tests, the longest first.
    fn table(&self) -> String {
        let mut tests: Vec<_> = self.0.iter().collect();
        let seconds = |(_, (_, seconds)): &(&String, &(String, Option<f64>))| seconds.unwrap_or_default();
        tests.sort_by(|one, other| seconds(other).total_cmp(&seconds(one)));
        let header = ["test in network namespaces", "seconds", "result"]
            .map(str::to_owned)
            .to_vec();
        let rows = tests.iter().map(|(name, (result, seconds))| {
            let seconds = seconds.map_or_else(String::new, |seconds| format!("{seconds:.1}"));
            vec![(*name).clone(), seconds, result.clone()]
        });
        table::render(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_every_test_with_its_total_time_the_longest_first() {
        let mut tests = Tests::default();
        let lines = [
            "running 3 tests",
            "took: netns::a::short 0.4",
            "test netns::a::short ... ok",
            "took: netns::b::long 2.5",
            "took: netns::b::long 9.0",
            "test netns::b::long ... FAILED",
            "test netns::c::without_a_network ... ok",
        ];
        let silent: Vec<_> = lines.into_iter().filter(|line| tests.note(line)).collect();
        assert_eq!(silent, [lines[1], lines[3], lines[4]]);
        let expected = "test in network namespaces  seconds  result\n\
                        b::long                        11.5  FAILED\n\
                        a::short                        0.4  ok\n\
                        c::without_a_network                 ok\n";
        assert_eq!(tests.table(), expected);
    }
}
