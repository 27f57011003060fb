//! The folder of `--out`: checked before the run, each file written whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::{Run, Scenario, report};

/// A folder that can be written to.
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder if it is not there, and tries whether files can be made in it.
    pub(super) fn prepare(path: &Path) -> Result<Self, String> {
        let refused =
            |error: std::io::Error| format!("cannot write to the folder {}: {error}", path.display());
        fs::create_dir_all(path).map_err(refused)?;
        let probe = path.join(".sandhog-sim.partial");
        fs::write(&probe, b"").map_err(refused)?;
        fs::remove_file(&probe).map_err(refused)?;
        Ok(Self(path.to_owned()))
    }

    /// Writes all reports.
    pub(super) fn write(&self, scenario: &Scenario, run: &Run) -> Result<(), String> {
        self.write_file("trace.jsonl", report::trace_jsonl(run).as_bytes())?;
        self.write_file("capture.pcapng", &report::capture(scenario, run))?;
        self.write_file("diagram.mmd", report::mermaid(scenario, run).as_bytes())?;
        self.write_file("diagram.svg", report::svg(scenario, run).as_bytes())
    }

    /// Writes beside the target and renames, so that a full disk leaves no half of a file under its name.
    fn write_file(&self, name: &str, content: &[u8]) -> Result<(), String> {
        let (target, partial) = (self.0.join(name), self.0.join(format!(".{name}.partial")));
        let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, &target));
        written.map_err(|error| {
            // The first error is the one to tell; that the rest cannot be removed either changes nothing.
            let _ = fs::remove_file(&partial);
            format!("cannot write {}: {error}", target.display())
        })
    }
}
