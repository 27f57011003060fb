//! Test of the properties: for each of them, the simulator must find a planted bug that violates it.

use anyhow::Result;

use super::{
    in_parallel,
    list::{self, Bug, PROPERTIES},
    search::{Outcome, Simulator, rows},
};
use crate::table;

/// Plants one bug for each property, and runs the search that its entry names. Prints the bug, the command, the number of runs,
/// the time and the shrunk failure of each property. Returns true if a bug of each property was found.
///
/// # Errors
/// An entry of the list does not fit the sources, or the simulator cannot be built.
pub(crate) fn run() -> Result<bool> {
    let bugs = list::read()?;
    let chosen: Vec<(String, Option<&Bug>)> = (1..=PROPERTIES)
        .map(|number| (format!("P{number}"), bug_of(&bugs, number)))
        .collect();
    let simulator = Simulator::build(&bugs)?;
    let outcomes = in_parallel(&chosen, |(property, bug)| {
        let Some((bug, violation)) = bug.and_then(|bug| Some((bug, bug.violation.as_ref()?))) else {
            return Ok(None);
        };
        let outcome = simulator.search(bug, &[&violation.command], Some(property))?;
        Ok(Some(outcome))
    })?;
    println!("\n{}", table::render(&table_of(&chosen, &outcomes)));
    let found = outcomes
        .iter()
        .flatten()
        .filter(|outcome| outcome.found.is_some());
    let found = found.count();
    println!("{PROPERTIES} properties, {found} violated by a planted bug that was found");
    Ok(found == usize::from(PROPERTIES))
}

/// The first bug that violates the property with this number.
fn bug_of(bugs: &[Bug], number: u8) -> Option<&Bug> {
    let violates = |bug: &&Bug| {
        let violation = bug.violation.as_ref();
        violation.is_some_and(|violation| violation.property == number)
    };
    bugs.iter().find(violates)
}

/// Table rows: those of each outcome, after the name of its property.
fn table_of(chosen: &[(String, Option<&Bug>)], outcomes: &[Option<Outcome<'_>>]) -> Vec<Vec<String>> {
    let labelled = |label: &str, rows: Vec<Vec<String>>| {
        let labels = std::iter::once(label).chain(std::iter::repeat(""));
        let rows = labels.zip(rows);
        rows.map(|(label, row)| std::iter::once(label.to_owned()).chain(row).collect())
            .collect::<Vec<Vec<String>>>()
    };
    let mut all = labelled("property", rows(&[]));
    for ((property, _), outcome) in chosen.iter().zip(outcomes) {
        let of_property = match outcome {
            Some(outcome) => rows(std::slice::from_ref(outcome)).split_off(1),
            None => vec![
                ["NONE", "", "", "no bug of the list violates it"]
                    .map(str::to_owned)
                    .to_vec(),
            ],
        };
        all.extend(labelled(property, of_property));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_property_has_a_planted_bug() {
        let bugs = list::read().unwrap();
        let without: Vec<u8> = (1..=PROPERTIES)
            .filter(|number| bug_of(&bugs, *number).is_none())
            .collect();
        assert!(
            without.is_empty(),
            "no bug violates these properties: {without:?}"
        );
    }

    #[test]
    fn every_scenario_file_of_a_command_exists() {
        for bug in &list::read().unwrap() {
            let words = bug
                .violation
                .iter()
                .flat_map(|violation| violation.command.split(' '));
            for file in words.filter(|word| word.ends_with(".toml")) {
                assert!(
                    list::folder().join(file).is_file(),
                    "{}: there is no {file}",
                    bug.entry
                );
            }
        }
    }

    #[test]
    fn a_property_without_a_bug_is_marked_in_the_table() {
        let rows = table_of(&[("P1".to_owned(), None)], &[None]);
        assert_eq!(rows[0][..2], ["property", "bug"]);
        assert_eq!(rows[1][..2], ["P1", "NONE"]);
    }
}
