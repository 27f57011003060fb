//! Reports about a shrunk failure: one sentence, a page with a sequence diagram, and a test in Rust.

use std::fmt::Write as _;

use sandhog_lab::report::mermaid;
use sandhog_lab::search::Failure;
use sandhog_lab::tape::Tape;

use super::ShrunkScenario;
use crate::Run;
use crate::profile::PROFILES;

/// Longest name of a test.
const MAX_NAME_LEN: usize = 80;

/// A failure and its faults in one sentence.
#[must_use]
pub fn sentence(tape: &Tape, failure: &Failure) -> String {
    let check = match property(&failure.primary) {
        Some(property) => property.to_owned(),
        None => format!("the check `{}`", failure.primary),
    };
    let faults: Vec<String> = tape
        .entries
        .iter()
        .map(|entry| format!("{}: {}", entry.datagrams, entry.fault))
        .collect();
    let detail = &failure.detail;
    match faults.as_slice() {
        [] => format!("without any fault, {check} fails: {detail}"),
        [fault] => format!("{fault} makes {check} fail: {detail}"),
        faults => format!("{} make {check} fail: {detail}", faults.join(", ")),
    }
}

/// The number of a property, such as `P9`. `None` for an expectation.
fn property(name: &str) -> Option<&str> {
    let first = name.split(' ').next()?;
    let number = first.strip_prefix('P')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(first)
}

/// A page in Markdown: the sentence, scenario, tape, failed checks and the sequence diagram of `run`.
#[must_use]
pub fn story(shrunk: &ShrunkScenario<'_>, run: &Run) -> String {
    let mut text = format!(
        "# {}\n\n```toml\n{}```\n\n```text\n{}```\n\n",
        sentence(&shrunk.tape, &shrunk.failure),
        shrunk.document,
        shrunk.tape
    );
    for check in run.checks.iter().filter(|check| !check.passed) {
        let _ = writeln!(text, "- ✗ {}: {}", check.name, check.detail);
    }
    let diagram = mermaid(run);
    let _ = write!(text, "\n```mermaid\n{}\n```\n", diagram.trim_end());
    text
}

/// A test in Rust with the scenario and the tape. It passes while the tape fails with this check. Without its attribute
/// `should_panic`, it passes once the failure is repaired.
///
/// The test needs the crates `sandhog-lab` and `sandhog-sim`. Served files must be beside it.
#[must_use]
pub fn test(shrunk: &ShrunkScenario<'_>) -> String {
    let ShrunkScenario {
        document,
        tape,
        failure,
        ..
    } = shrunk;
    let expected = format!("{:?}", failure.primary);
    let files: Vec<String> = document
        .files()
        .map(|(name, _)| format!("        {name:?} => Ok(include_bytes!({name:?}).as_slice().into()),\n"))
        .collect();
    let read = match files.as_slice() {
        [] => "|_: &str| Err(\"there are no files\".into())".to_owned(),
        files => format!(
            "|name: &str| match name {{\n{}        _ => Err(\"there is no such file\".into()),\n    }}",
            files.concat()
        ),
    };
    let profile = document.scenario().profile.name();
    let own = PROFILES.iter().any(|known| known.name() == profile);
    let parse = match own {
        true => "let scenario = Scenario::parse(\"scenario.toml\", SCENARIO, &read).unwrap();",
        false => {
            "// `PROFILES` is the list that your program passes to `cli::main_with`.
    let scenario = Scenario::parse_with(PROFILES, \"scenario.toml\", SCENARIO, &read).unwrap();"
        }
    };
    format!(
        "#[test]
// Remove this line once the failure is repaired.
#[should_panic(expected = {expected})]
fn {name}() {{
    use sandhog_lab::replay::replay;
    use sandhog_lab::search::Failure;
    use sandhog_lab::tape::Tape;
    use sandhog_sim::{{RunOptions, Scenario}};

    const SCENARIO: &str = {scenario};
    const TAPE: &str = {tape};
    let read = {read};
    {parse}
    let tape: Tape = TAPE.parse().unwrap();
    let replayed = replay(&scenario.setup(), &tape, &RunOptions::default());
    if let Some(failure) = Failure::of(&replayed.unwrap().run) {{
        panic!(\"{{failure}}\");
    }}
}}
",
        name = test_name(failure),
        scenario = raw(&document.to_string()),
        tape = raw(&tape.to_string()),
    )
}

/// A name of the test: the check that must hold.
fn test_name(failure: &Failure) -> String {
    let mut words = vec!["does_not_break"];
    let lower = failure.primary.to_lowercase();
    words.extend(
        lower
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty()),
    );
    let mut name = "this_tape".to_owned();
    for word in words {
        if name.len() + 1 + word.len() > MAX_NAME_LEN {
            break;
        }
        let _ = write!(name, "_{word}");
    }
    name
}

/// A raw string of Rust that begins with a line of its own.
fn raw(text: &str) -> String {
    let mut hashes = String::from("#");
    while text.contains(&format!("\"{hashes}")) {
        hashes.push('#');
    }
    format!("r{hashes}\"{text}\"{hashes}")
}
