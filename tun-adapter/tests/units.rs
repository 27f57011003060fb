//! Systemd units: validity and sandboxing. Needs `systemd-analyze`, but no running systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{Folder, text};

/// Highest exposure level of `systemd-analyze security`, in tenths. `docs/running.md` lists its components.
const MAX_EXPOSURE: u32 = 23;

/// The units, each with its usual instance.
const UNITS: [(&str, &str); 2] = [
    ("sandhog-server@.service", "sandhog-server@server.service"),
    ("sandhog-client@.service", "sandhog-client@client.service"),
];

/// Copies of the units that start the program under test. `None` if the tool is missing.
fn instances() -> Option<(Folder, Vec<PathBuf>)> {
    if Command::new("systemd-analyze").arg("--version").output().is_err() {
        let is_strict = std::env::var_os("SANDHOG_STRICT").is_some_and(|strict| strict == "1");
        assert!(
            !is_strict,
            "cannot run in strict mode: systemd-analyze is missing (apt-get install systemd)"
        );
        println!("skipped: systemd-analyze is missing (apt-get install systemd)");
        return None;
    }
    let folder = Folder::new();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    let copy = |(unit, instance): (&str, &str)| {
        let text = fs::read_to_string(source.join(unit)).expect("a unit");
        assert_eq!(
            text.matches("=/usr/bin/sandhog ").count(),
            text.matches("/usr/bin/sandhog").count()
        );
        folder.write(
            instance,
            &text.replace("/usr/bin/sandhog", env!("CARGO_BIN_EXE_sandhog")),
        );
        folder.path(instance)
    };
    let paths = UNITS.map(copy).to_vec();
    Some((folder, paths))
}

fn analyze(arguments: &[&str], unit: &Path) -> (bool, String) {
    let output = Command::new("systemd-analyze")
        .args(arguments)
        .arg(unit)
        .output()
        .expect("the tool is installed");
    (
        output.status.success(),
        text(&output.stdout) + &text(&output.stderr),
    )
}

#[test]
fn systemd_accepts_the_units() {
    let Some((_folder, units)) = instances() else {
        return;
    };
    for unit in units {
        let (is_good, said) = analyze(&["verify", "--man=no"], &unit);
        // The output may contain other units of the machine.
        let ours: Vec<_> = said.lines().filter(|line| line.contains("sandhog")).collect();
        assert!(is_good && ours.is_empty(), "{said}");
    }
}

#[test]
fn the_exposure_of_the_units_is_at_most_the_documented_one() {
    let Some((_folder, units)) = instances() else {
        return;
    };
    for unit in units {
        let threshold = format!("--threshold={MAX_EXPOSURE}");
        let (is_good, said) = analyze(&["security", "--offline=true", "--no-pager", &threshold], &unit);
        assert!(is_good, "{said}");
    }
}
