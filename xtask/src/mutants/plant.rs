//! Source files with planted bugs: each function body exists once for every bug and once without any.
//!
//! The sources are formatted by rustfmt. So a body starts after the line that ends the header with `{`, and ends before the
//! next `}` with the indentation of the header.

use std::{collections::BTreeMap, ops::Range};

use anyhow::{Context as _, Result, bail, ensure};

use super::list::{Bug, Place};

/// Path of the function that returns true for the chosen bug.
const PLANTED: &str = "crate::planted::planted";

/// The lines of one function.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    /// Line of the keyword `fn`.
    start: usize,
    /// First line of the body.
    body: usize,
    /// Line of the closing brace.
    end: usize,
}

/// The lines of one body, with and without bugs.
type Variants<'a> = BTreeMap<&'a str, Vec<(Range<usize>, &'a [String])>>;

/// Returns the text of `file` with all bugs that change it.
///
/// # Errors
/// A bug does not fit: its correct lines are not in `text` exactly once, or they are not inside the body of a function.
pub(super) fn plant(file: &str, text: &str, bugs: &[Bug]) -> Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut functions: BTreeMap<(usize, usize, usize), Variants<'_>> = BTreeMap::new();
    for bug in bugs {
        for place in bug.places.iter().filter(|place| place.file == file) {
            let (function, range) =
                locate(&lines, place).with_context(|| format!("{}: bug `{}`", bug.entry, bug.name))?;
            functions
                .entry((function.start, function.body, function.end))
                .or_default()
                .entry(&bug.name)
                .or_default()
                .push((range, &place.faulty));
        }
    }
    let mut planted = String::new();
    let mut next = 0;
    for ((start, body, end), variants) in functions {
        ensure!(
            next <= start,
            "{file}:{}: a bug in a function inside another one",
            start + 1
        );
        push_lines(&mut planted, &lines[next..start]);
        // The choice happens at run time.
        push_lines(
            &mut planted,
            &[lines[start].replacen("const fn ", "fn ", 1).as_str()],
        );
        push_lines(&mut planted, &lines[start + 1..body]);
        for (name, changes) in variants {
            planted += &format!("if {PLANTED}(\"{name}\") {{\n");
            push_changed(&mut planted, &lines, body..end, changes);
            planted += "} else ";
        }
        planted += "{\n";
        push_lines(&mut planted, &lines[body..end]);
        planted += "}\n";
        next = end;
    }
    push_lines(&mut planted, &lines[next..]);
    Ok(planted)
}

fn push_lines(text: &mut String, lines: &[&str]) {
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
}

/// Appends the lines in `body` with the changes of one bug.
fn push_changed(
    text: &mut String,
    lines: &[&str],
    body: Range<usize>,
    mut changes: Vec<(Range<usize>, &[String])>,
) {
    changes.sort_by_key(|(range, _)| range.start);
    let mut next = body.start;
    for (range, faulty) in changes {
        push_lines(text, &lines[next..range.start]);
        for line in faulty {
            push_lines(text, &[line]);
        }
        next = range.end;
    }
    push_lines(text, &lines[next..body.end]);
}

/// Finds the correct lines of a place and the function around them.
fn locate(lines: &[&str], place: &Place) -> Result<(Function, Range<usize>)> {
    let Place { file, correct, .. } = place;
    let is_at = |start: &usize| {
        let found = lines[*start..].iter().map(|line| line.trim());
        found.take(correct.len()).eq(correct.iter().map(String::as_str))
    };
    let matches: Vec<usize> = (0..lines.len()).filter(is_at).collect();
    match matches.as_slice() {
        [start] => {
            let range = *start..*start + correct.len();
            let function = function_around(lines, &range)
                .with_context(|| format!("{file}:{} is not inside the body of a function", start + 1))?;
            Ok((function, range))
        }
        [] => {
            let is_missing = |line: &&String| !lines.iter().any(|other| other.trim() == *line);
            if let Some(missing) = correct.iter().find(is_missing) {
                bail!("{file} has no line `{missing}`; the source has changed, so change the entry");
            }
            bail!(
                "{file} has these lines, but not one after the other:\n{}",
                correct.join("\n")
            );
        }
        _ => {
            let numbers: Vec<String> = matches.iter().map(|start| (start + 1).to_string()).collect();
            bail!(
                "{file} has these lines {} times (lines {}); add a line that stays, to tell them apart:\n{}",
                matches.len(),
                numbers.join(", "),
                correct.join("\n")
            )
        }
    }
}

/// The innermost function whose body contains `range`.
fn function_around(lines: &[&str], range: &Range<usize>) -> Option<Function> {
    let starts = (0..range.start).rev().filter(|line| is_function(lines[*line]));
    starts
        .filter_map(|start| function_at(lines, start))
        .find(|function| function.body <= range.start && range.end <= function.end)
}

fn function_at(lines: &[&str], start: usize) -> Option<Function> {
    let depth = indentation(lines[start]);
    let is_edge = |line: usize| indentation(lines[line]) == depth;
    let header = (start..lines.len()).find(|line| is_edge(*line) && lines[*line].ends_with('{'))?;
    let end = (header + 1..lines.len()).find(|line| is_edge(*line) && lines[*line].trim() == "}")?;
    Some(Function {
        start,
        body: header + 1,
        end,
    })
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// True if a line starts a function.
fn is_function(line: &str) -> bool {
    let mut words = line.split_whitespace();
    words
        .find(|word| !word.starts_with("pub") && !word.starts_with("in ") && *word != "const")
        .is_some_and(|word| word == "fn")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "\
impl A {
    pub(crate) const fn long(
        a: u8,
    ) -> u8 {
        let b = a;
        b + 1
    }

    fn short(&self) {
        call();
        other();
        call();
    }
}

const OUTSIDE: u8 = 3;
";

    fn bug(name: &str, correct: &[&str], faulty: &[&str]) -> Bug {
        let owned = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect();
        Bug {
            name: name.to_owned(),
            reachable: false,
            violation: None,
            meaning: "Packets are lost.".to_owned(),
            entry: "a.diff:1".to_owned(),
            places: vec![Place {
                file: "a.rs".to_owned(),
                correct: owned(correct),
                faulty: owned(faulty),
            }],
        }
    }

    #[test]
    fn a_body_exists_once_for_each_bug_and_once_without() {
        let bugs = [
            bug("one", &["b + 1"], &["b + 2"]),
            bug("two", &["let b = a;"], &["let b = 0;"]),
        ];
        let planted = plant("a.rs", SOURCE, &bugs).unwrap();
        let expected = "\
    pub(crate) fn long(
        a: u8,
    ) -> u8 {
if crate::planted::planted(\"one\") {
        let b = a;
b + 2
} else if crate::planted::planted(\"two\") {
let b = 0;
        b + 1
} else {
        let b = a;
        b + 1
}
    }
";
        assert!(planted.contains(expected), "{planted}");
        assert!(planted.ends_with("const OUTSIDE: u8 = 3;\n"));
        assert_eq!(plant("b.rs", SOURCE, &bugs).unwrap(), SOURCE);
    }

    #[test]
    fn several_places_of_one_bug_are_changed_together() {
        let mut one = bug("one", &["call();", "other();"], &["other();"]);
        one.places
            .extend(bug("one", &["let b = a;"], &["let b = 0;"]).places);
        let planted = plant("a.rs", SOURCE, &[one]).unwrap();
        assert_eq!(planted.matches("planted(\"one\")").count(), 2);
        assert_eq!(planted.matches("call();").count(), 3);
    }

    #[test]
    fn an_entry_that_does_not_fit_names_entry_file_and_line() {
        for (correct, expected) in [
            (&["b + 3"][..], "a.diff:1: bug `one`: a.rs has no line `b + 3`"),
            (
                &["call();"],
                "a.diff:1: bug `one`: a.rs has these lines 2 times (lines 10, 12)",
            ),
            (
                &["b + 1", "let b = a;"],
                "a.diff:1: bug `one`: a.rs has these lines, but not one after",
            ),
            (
                &["const OUTSIDE: u8 = 3;"],
                "a.diff:1: bug `one`: a.rs:16 is not inside the body",
            ),
            (
                &["pub(crate) const fn long("],
                "a.diff:1: bug `one`: a.rs:2 is not inside the body",
            ),
        ] {
            let error = plant("a.rs", SOURCE, &[bug("one", correct, &[])]).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
