//! Folder of `--out`. It is checked before the run. Either all files are written, or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Run, report};

/// A folder that can be written to.
pub(super) struct Folder {
    path: PathBuf,
    /// The folders that were made for it, outermost first.
    made: Vec<PathBuf>,
}

impl Folder {
    /// Makes the folder if it is not there, and tries whether files can be made in it.
    pub(super) fn prepare(path: &Path) -> Result<Self, String> {
        let mut made: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        made.reverse();
        let folder = Self {
            path: path.to_owned(),
            made,
        };
        let probe = path.join(".sandhog-sim.partial");
        let tried = fs::create_dir_all(path)
            .and_then(|()| fs::write(&probe, b""))
            .and_then(|()| fs::remove_file(&probe));
        tried.map_err(|error| {
            folder.abandon();
            let why = match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "a file stands where a folder is needed".to_owned()
                }
                _ => error.to_string(),
            };
            format!(
                "cannot write to the folder {}: {why}; name another with `--out`",
                path.display()
            )
        })?;
        Ok(folder)
    }

    /// Leaves nothing behind.
    pub(super) fn abandon(&self) {
        for folder in self.made.iter().rev() {
            // A folder that cannot be removed was not made, or somebody else uses it by now.
            let _ = fs::remove_dir(folder);
        }
    }

    /// Writes all reports. They get their names when all of them are whole, so that a full disk leaves no half.
    pub(super) fn write(&self, run: &Run) -> Result<(), String> {
        let files = [
            ("trace.jsonl", report::trace_jsonl(run).into_bytes()),
            ("capture.pcapng", report::capture(run)),
            ("diagram.mmd", report::mermaid(run).into_bytes()),
            ("diagram.svg", report::svg(run).into_bytes()),
        ];
        let partial = |name: &str| self.path.join(format!(".{name}.partial"));
        let written = files.iter().try_for_each(|(name, content)| {
            fs::write(partial(name), content).map_err(|error| (*name, error))
        });
        let written = written.and_then(|()| {
            files.iter().try_for_each(|(name, _)| {
                fs::rename(partial(name), self.path.join(name)).map_err(|error| (*name, error))
            })
        });
        written.map_err(|(name, error)| {
            for (name, _) in &files {
                // The first error is the one to tell; that the rest cannot be removed either changes nothing.
                let _ = fs::remove_file(partial(name));
            }
            self.abandon();
            format!("cannot write {}: {error}", self.path.join(name).display())
        })
    }
}
