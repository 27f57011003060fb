//! The command `shrink` and the folders of `sweep`: output, files and errors.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use crate::program::{folder, json, names_in, rejects, sim, stderr, stdout};

const TAPE: &str = "sandhog tape 1\nscenario classic-clean-login\nseed 1\nalice→server data #1: rebind alice to 198.51.100.2:50001\n\
                    alice→server auth-request #1: double\nend\n";
const FILES: [&str; 5] = [
    "capture.pcapng",
    "failure.tape",
    "scenario.toml",
    "story.md",
    "test.rs",
];

/// A new folder for a test, with a failing tape.
fn folder_with_tape(test: &str) -> std::path::PathBuf {
    let folder = folder(test);
    fs::write(folder.join("my.tape"), TAPE).unwrap();
    folder
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn shrink_writes_files_that_repeat_the_failure() {
    let folder = folder_with_tape("shrink-out");
    let output = sim(&folder, &["shrink", "my.tape", "--out", "small"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let small = folder.join("small");
    assert_eq!(names_in(&small), FILES.map(str::to_owned).into());
    assert!(
        stdout(&output)
            .starts_with("alice→server data #1: rebind alice to 198.51.100.2:50001 makes P9 fail: ")
    );
    let replay = sim(&folder, &["replay", "small/failure.tape"]);
    assert_eq!(replay.status.code(), Some(1), "{}", stderr(&replay));
    assert!(stdout(&replay).contains("✗ P9 ping passes with faults off"));
    let story = read(&small.join("story.md"));
    assert!(
        story.contains("```mermaid\n") && story.contains("alice->>server"),
        "{story}"
    );
}

#[test]
fn shrink_without_a_folder_prints_sentence_scenario_tape_and_test() {
    let folder = folder_with_tape("shrink-print");
    let output = sim(&folder, &["shrink", "my.tape"]);
    let text = stdout(&output);
    let parts = [
        "makes P9 fail: ",
        "\n\ntitle = ",
        "\n\nsandhog tape 1\n",
        "\n\n#[test]\n",
    ];
    let places: Vec<_> = parts.iter().map(|part| text.find(part).expect(part)).collect();
    assert!(places.is_sorted(), "{text}");
    let json = json(&sim(&folder, &["shrink", "my.tape", "--json"]));
    for key in ["sentence", "scenario", "tape", "test"] {
        let value = json[key].as_str().unwrap();
        assert!(text.contains(value), "{key}: {value}");
    }
    assert_eq!(json["faults"], 1);
}

#[test]
fn shrink_of_a_passing_tape_leaves_no_folder() {
    let folder = folder("shrink-passing");
    fs::write(
        folder.join("my.tape"),
        "sandhog tape 1\nscenario clean-login\nseed 1\nend\n",
    )
    .unwrap();
    rejects(
        &folder,
        &["shrink", "my.tape", "--out", "outer/small"],
        "my.tape: the replay of this tape passes, so there is no failure to shrink",
    );
    assert!(!folder.join("outer").exists());
}

#[test]
fn a_shrunk_failure_is_written_completely_or_not_at_all() {
    let folder = folder_with_tape("shrink-half");
    fs::create_dir_all(folder.join("small/story.md/in-the-way")).unwrap();
    let output = sim(&folder, &["shrink", "my.tape", "--out", "small"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("error: cannot write small/story.md: "),
        "{}",
        stderr(&output)
    );
    assert_eq!(
        names_in(&folder.join("small")),
        BTreeSet::from(["story.md".into()])
    );
}

#[test]
fn a_sweep_writes_a_folder_for_each_failing_seed() {
    let folder = folder("sweep-out");
    let text = crate::support::source("clean-login").replace("delay = \"20ms\"", "loss = \"100%\"");
    fs::write(folder.join("lost.toml"), text).unwrap();
    let output = sim(
        &folder,
        &[
            "sweep",
            "lost.toml",
            "--seeds",
            "4..6",
            "--jobs",
            "1",
            "--out",
            "found",
        ],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let found = folder.join("found");
    let names = ["lost-4", "lost-4.tape", "lost-5", "lost-5.tape"];
    assert_eq!(names_in(&found), names.map(str::to_owned).into());
    assert_eq!(names_in(&found.join("lost-5")), FILES.map(str::to_owned).into());
    let replay = sim(&folder, &["replay", "found/lost-4/failure.tape"]);
    assert_eq!(replay.status.code(), Some(1), "{}", stderr(&replay));
}
