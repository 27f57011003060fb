//! List of the planted bugs: the files `xtask/mutants/*.diff`, whose format is in the README beside them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell;

/// The line of an entry whose bug is reached by faults of the network.
const REACHABLE: &str = "reached by network faults";

/// The words before property and command in the line of an entry whose bug violates a property.
const FOUND_AS: &str = "found as ";

/// Number of properties: P1, P2, and so on.
pub(super) const PROPERTIES: u8 = 14;

/// The commands that search for failures.
const COMMANDS: &[&str] = &["sweep", "exhaust"];

/// A property that a bug violates, and the search that finds the bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Violation {
    /// The number of the property.
    pub(super) property: u8,
    /// The command line of the simulator, without its name.
    pub(super) command: String,
}

/// A bug that can be planted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bug {
    /// Name on the command line, in kebab case.
    pub(super) name: String,
    /// Consequence of the bug, in one sentence.
    pub(super) meaning: String,
    /// True if faults of the network reach the bug, so that the search commands of the simulator find it.
    pub(super) reachable: bool,
    /// The property that the bug violates, if the entry names one.
    pub(super) violation: Option<Violation>,
    /// List file and line of the entry, for error messages.
    pub(super) entry: String,
    /// Changes to the sources.
    pub(super) places: Vec<Place>,
}

/// One change to a source file. The lines are without indentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Path from the root of the workspace.
    pub(super) file: String,
    /// Consecutive lines of the correct source.
    pub(super) correct: Vec<String>,
    /// Lines in their place in the faulty source.
    pub(super) faulty: Vec<String>,
}

/// The folder of the list files, and of the scenario files that their commands name.
pub(super) fn folder() -> PathBuf {
    shell::root().join("xtask/mutants")
}

/// Returns all bugs, sorted by list file.
///
/// # Errors
/// A list file cannot be read or has a syntax error, or two bugs have one name.
pub(super) fn read() -> Result<Vec<Bug>> {
    let folder = folder();
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = Vec::new();
    for entry in entries {
        paths.push(entry?.path());
    }
    paths.sort();
    let mut bugs = Vec::new();
    for path in paths
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "diff"))
    {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        bugs.extend(parse(&display_name(path), &text)?);
    }
    let mut names = BTreeSet::new();
    for bug in &bugs {
        ensure!(
            names.insert(&bug.name),
            "{}: bug `{}` exists already",
            bug.entry,
            bug.name
        );
    }
    Ok(bugs)
}

fn display_name(path: &Path) -> String {
    let path = path.strip_prefix(shell::root()).unwrap_or(path);
    path.display().to_string()
}

/// Parses the list file `name`.
fn parse(name: &str, text: &str) -> Result<Vec<Bug>> {
    let mut bugs: Vec<Bug> = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("bug ") {
            bugs.push(Bug {
                name: name.to_owned(),
                meaning: String::new(),
                reachable: false,
                violation: None,
                entry: at,
                places: Vec::new(),
            });
            continue;
        }
        let bug = bugs
            .last_mut()
            .with_context(|| format!("{at}: a line before the first `bug NAME`"))?;
        if line == REACHABLE {
            bug.reachable = true;
        } else if let Some(rest) = line.strip_prefix(FOUND_AS) {
            let violation = Violation::parse(rest).with_context(|| at.clone())?;
            ensure!(bug.violation.is_none(), "{at}: a second line `{FOUND_AS}…`");
            bug.violation = Some(violation);
        } else if let Some(file) = line.strip_prefix("file ") {
            bug.places.push(Place {
                file: file.to_owned(),
                correct: Vec::new(),
                faulty: Vec::new(),
            });
        } else if let Some(place) = bug.places.last_mut() {
            place.push(line).with_context(|| at)?;
        } else {
            ensure!(
                bug.meaning.is_empty(),
                "{at}: expected `file PATH`, found `{line}`"
            );
            bug.meaning = line.to_owned();
        }
    }
    for bug in &bugs {
        bug.check().with_context(|| bug.entry.clone())?;
    }
    Ok(bugs)
}

impl Violation {
    /// Parses the rest of the line, such as `P7 by sweep standard`.
    fn parse(text: &str) -> Result<Self> {
        let (property, command) = text
            .split_once(" by ")
            .with_context(|| format!("expected `{FOUND_AS}P1 by COMMAND`, found `{FOUND_AS}{text}`"))?;
        let number = property.strip_prefix('P').and_then(|number| number.parse().ok());
        let known = number.filter(|number| (1..=PROPERTIES).contains(number));
        let property = known.with_context(|| {
            format!("there is no property `{property}`; the properties are P1 to P{PROPERTIES}")
        })?;
        let word = command.split(' ').next().unwrap_or_default();
        ensure!(
            COMMANDS.contains(&word),
            "`{command}` does not begin with a command that searches: {}",
            COMMANDS.join(", ")
        );
        Ok(Self {
            property,
            command: command.to_owned(),
        })
    }
}

impl Place {
    fn push(&mut self, line: &str) -> Result<()> {
        let (mark, code) = line.split_at_checked(1).unwrap_or_default();
        let code = code.trim().to_owned();
        match mark {
            "-" => self.correct.push(code),
            "+" => self.faulty.push(code),
            " " => {
                self.correct.push(code.clone());
                self.faulty.push(code);
            }
            _ => bail!("expected a line that starts with `-`, `+` or a blank, found `{line}`"),
        }
        Ok(())
    }
}

impl Bug {
    fn check(&self) -> Result<()> {
        let Self { name, places, .. } = self;
        let is_kebab = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ensure!(
            name.bytes().all(is_kebab),
            "bug `{name}`: the name is not in kebab case"
        );
        ensure!(!self.meaning.is_empty(), "bug `{name}` has no meaning");
        ensure!(!places.is_empty(), "bug `{name}` changes no file");
        for place in places {
            ensure!(
                !place.correct.is_empty(),
                "bug `{name}`: {} has no correct line",
                place.file
            );
            ensure!(
                place.correct != place.faulty,
                "bug `{name}`: {} stays as it is",
                place.file
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str =
        "# A comment.\n\nbug a-bug\nPackets are lost.\nfile a/src/lib.rs\n- one();\n+ two();\n  three();\n";

    #[test]
    fn an_entry_has_correct_and_faulty_lines() {
        let bugs = parse("a.diff", ENTRY).unwrap();
        let [bug] = bugs.as_slice() else {
            panic!("{bugs:?}")
        };
        assert_eq!(
            (&*bug.name, &*bug.meaning, &*bug.entry),
            ("a-bug", "Packets are lost.", "a.diff:3")
        );
        assert!(!bug.reachable);
        assert_eq!(bug.places[0].correct, ["one();", "three();"]);
        assert_eq!(bug.places[0].faulty, ["two();", "three();"]);
    }

    #[test]
    fn an_entry_may_say_that_network_faults_reach_its_bug() {
        let entry = ENTRY.replace("file ", "reached by network faults\nfile ");
        assert!(parse("a.diff", &entry).unwrap()[0].reachable);
    }

    #[test]
    fn an_entry_may_name_a_property_and_the_command_that_finds_its_bug() {
        let entry = ENTRY.replace("file ", "found as P7 by sweep standard --swarm\nfile ");
        let violation = parse("a.diff", &entry).unwrap()[0].violation.clone();
        let expected = Violation {
            property: 7,
            command: "sweep standard --swarm".to_owned(),
        };
        assert_eq!(violation, Some(expected));
        assert_eq!(parse("a.diff", ENTRY).unwrap()[0].violation, None);
    }

    #[test]
    fn each_property_of_the_manual_can_be_named() {
        let path = shell::root().join("docs/scenarios.md");
        let manual = fs::read_to_string(path).unwrap();
        let names = |number: u8| {
            let name = format!("P{number}");
            let mut words = manual.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| word == name)
        };
        assert!((1..=PROPERTIES).all(names));
        assert!(!(PROPERTIES + 1..100).any(names));
    }

    #[test]
    fn a_syntax_error_names_the_line() {
        for (entry, expected) in [
            (
                "bug a\nMeaning.\nfound as P15 by sweep standard",
                "a.diff:3: there is no property `P15`; the properties are P1 to P14",
            ),
            (
                "bug a\nMeaning.\nfound as P7",
                "a.diff:3: expected `found as P1 by COMMAND`, found `found as P7`",
            ),
            (
                "bug a\nMeaning.\nfound as P7 by ",
                "a.diff:3: `` does not begin with a command that searches: sweep, exhaust",
            ),
            (
                "bug a\nMeaning.\nfound as P7 by run standard",
                "a.diff:3: `run standard` does not begin with a command",
            ),
            (
                "bug a\nMeaning.\nfound as P7 by sweep a\nfound as P8 by sweep a",
                "a.diff:4: a second line `found as …`",
            ),
            ("- one();", "a.diff:1: a line before the first"),
            (
                "bug a\nMeaning.\nfile f\n* one();",
                "a.diff:4: expected a line that starts with",
            ),
            ("bug a\nMeaning.\nMore.", "a.diff:3: expected `file PATH`"),
            ("bug a\nMeaning.", "a.diff:1: bug `a` changes no file"),
            (
                "bug a\nMeaning.\nfile f\n+ one();",
                "a.diff:1: bug `a`: f has no correct line",
            ),
            (
                "bug a\nMeaning.\nfile f\n- one();\n+ one();",
                "a.diff:1: bug `a`: f stays as it is",
            ),
            (
                "bug A_b\nMeaning.",
                "a.diff:1: bug `A_b`: the name is not in kebab case",
            ),
        ] {
            let error = format!("{:#}", parse("a.diff", entry).unwrap_err());
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
