//! Folder of `--out`. It is checked before the run. Either all files are written, or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Run, report};

/// A folder that can be written to.
pub(super) struct Folder {
    path: PathBuf,
    /// The folders that were created for it, outermost first.
    created: Vec<PathBuf>,
}

impl Folder {
    /// Creates the folder if it does not exist, and checks that files can be created in it.
    pub(super) fn prepare(path: &Path) -> Result<Self, String> {
        let mut created: Vec<PathBuf> = path
            .ancestors()
            .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
            .map(Path::to_owned)
            .collect();
        created.reverse();
        let folder = Self {
            path: path.to_owned(),
            created,
        };
        let probe = path.join(".sandhog-sim.partial");
        let result = fs::create_dir_all(path)
            .and_then(|()| fs::write(&probe, b""))
            .and_then(|()| fs::remove_file(&probe));
        result.map_err(|error| {
            folder.abandon();
            let why = match error.kind() {
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    "a file has the name of the folder".to_owned()
                }
                _ => error.to_string(),
            };
            format!(
                "cannot write to the folder {}: {why}; choose another one with `--out`",
                path.display()
            )
        })?;
        Ok(folder)
    }

    /// Removes the created folders.
    pub(super) fn abandon(&self) {
        for folder in self.created.iter().rev() {
            // If this fails, the folder was not created, or it contains files of another program.
            let _ = fs::remove_dir(folder);
        }
    }

    /// The path of a file in the folder.
    pub(super) fn path_of(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }

    /// Writes one file.
    pub(super) fn write_one(&self, name: &str, content: &[u8]) -> Result<(), String> {
        write_file(&self.path.join(name), content)
    }

    /// Writes all reports.
    pub(super) fn write(&self, run: &Run) -> Result<(), String> {
        self.write_all(&[
            ("trace.jsonl", report::trace_jsonl(run).into_bytes()),
            ("capture.pcapng", report::capture(run)),
            ("diagram.mmd", report::mermaid(run).into_bytes()),
            ("diagram.svg", report::svg(run).into_bytes()),
        ])
    }

    /// Writes all files under temporary names, and then renames them. So a full disk leaves no incomplete report.
    pub(super) fn write_all(&self, files: &[(&str, Vec<u8>)]) -> Result<(), String> {
        let partial = |name: &str| {
            let path = self.path.join(name);
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            path.with_file_name(format!(".{file}.partial"))
        };
        let mut renamed = 0;
        let written = files.iter().try_for_each(|(name, content)| {
            // A served file can be in a folder of its own.
            let folder = self.path.join(name).parent().map_or(Ok(()), fs::create_dir_all);
            folder
                .and_then(|()| fs::write(partial(name), content))
                .map_err(|error| (*name, error))
        });
        let written = written.and_then(|()| {
            files.iter().try_for_each(|(name, _)| {
                fs::rename(partial(name), self.path.join(name)).map_err(|error| (*name, error))?;
                renamed += 1;
                Ok(())
            })
        });
        written.map_err(|(name, error)| {
            for (number, (name, _)) in files.iter().enumerate() {
                // Only the first error is reported.
                let _ = match number < renamed {
                    true => fs::remove_file(self.path.join(name)),
                    false => fs::remove_file(partial(name)),
                };
            }
            self.abandon();
            format!(
                "cannot write {}: {error}; free some space, or choose another folder with `--out`",
                self.path.join(name).display()
            )
        })
    }
}

/// Writes a file under a temporary name, and then renames it. So a full disk leaves no incomplete file.
pub(super) fn write_file(path: &Path, content: &[u8]) -> Result<(), String> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, path));
    written.map_err(|error| {
        let _ = fs::remove_file(&partial);
        format!("cannot write {}: {error}", path.display())
    })
}
