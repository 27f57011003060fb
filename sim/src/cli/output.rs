//! Folder of `--out`, and reports in one file. They are checked before the run. Either all files are written, or none.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{Run, report};

/// Ending of the temporary name of a file that is not complete.
const PARTIAL: &str = ".partial";

/// Name and content of a file. The name is relative to the folder.
pub(super) type File = (String, Vec<u8>);

/// A folder that can be written to. It is created with its first file.
pub(super) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Checks that the folder exists or can be created, and that files can be created in it. Leaves nothing behind.
    pub(super) fn prepare(path: &Path) -> Result<Self, String> {
        let created = missing(path);
        let probe = path.join(format!(".sandhog-sim{PARTIAL}"));
        let result = fs::create_dir_all(path)
            .and_then(|()| fs::write(&probe, b""))
            .and_then(|()| fs::remove_file(&probe));
        remove(&created);
        result.map_err(|error| {
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
        Ok(Self {
            path: path.to_owned(),
        })
    }

    /// The path of a file in the folder.
    pub(super) fn path_of(&self, name: &str) -> String {
        self.path.join(name).to_string_lossy().into_owned()
    }

    /// Writes all reports.
    pub(super) fn write(&self, run: &Run) -> Result<(), String> {
        self.write_all(&[
            ("trace.jsonl".into(), report::trace_jsonl(run).into_bytes()),
            ("capture.pcapng".into(), report::capture(run)),
            ("diagram.mmd".into(), report::mermaid(run).into_bytes()),
            ("diagram.svg".into(), report::svg(run).into_bytes()),
        ])
    }

    /// Writes all files, and then removes the other files of an earlier run. Without new files, the earlier ones stay.
    pub(super) fn replace_all(
        &self,
        files: &[File],
        is_earlier: impl Fn(&str) -> bool,
    ) -> Result<(), String> {
        if files.is_empty() {
            return Ok(());
        }
        self.write_all(files)?;
        for entry in fs::read_dir(&self.path).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if is_earlier(&name) && files.iter().all(|(new, _)| *new != name) {
                let removed = fs::remove_file(entry.path());
                removed.map_err(|error| {
                    let path = entry.path();
                    format!("cannot remove {} of an earlier run: {error}", path.display())
                })?;
            }
        }
        Ok(())
    }

    /// Writes all files under temporary names, and then renames them. So a full disk leaves no incomplete report.
    pub(super) fn write_all(&self, files: &[File]) -> Result<(), String> {
        let mut created = Vec::new();
        let mut renamed = 0;
        let written = files.iter().try_for_each(|(name, content)| {
            let path = self.path.join(name);
            // A file can be in a folder of its own.
            let folder = path.parent().unwrap_or(&self.path);
            created.extend(missing(folder));
            fs::create_dir_all(folder)
                .and_then(|()| fs::write(partial(&path), content))
                .map_err(|error| (name, error))
        });
        let written = written.and_then(|()| {
            files.iter().try_for_each(|(name, _)| {
                let path = self.path.join(name);
                fs::rename(partial(&path), path).map_err(|error| (name, error))?;
                renamed += 1;
                Ok(())
            })
        });
        written.map_err(|(name, error)| {
            for (number, (name, _)) in files.iter().enumerate() {
                let path = self.path.join(name);
                // Only the first error is reported.
                let _ = match number < renamed {
                    true => fs::remove_file(path),
                    false => fs::remove_file(partial(&path)),
                };
            }
            remove(&created);
            format!(
                "cannot write {}: {error}; free some space, or choose another folder with `--out`",
                self.path.join(name).display()
            )
        })
    }
}

/// The folders that do not exist on the way to `folder`, outermost first.
fn missing(folder: &Path) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = folder
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .map(Path::to_owned)
        .collect();
    folders.reverse();
    folders
}

/// Removes created folders.
fn remove(created: &[PathBuf]) {
    for folder in created.iter().rev() {
        // If this fails, the folder was not created, or it contains files of another program.
        let _ = fs::remove_dir(folder);
    }
}

/// The temporary name of a file.
fn partial(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}{PARTIAL}"))
}

/// A report in one file, named by an option.
pub(super) struct Report<'a> {
    path: &'a Path,
    option: &'a str,
}

impl<'a> Report<'a> {
    /// Checks that the file can be created. Leaves nothing behind.
    pub(super) fn prepare(path: &'a Path, option: &'a str) -> Result<Self, String> {
        let report = Self { path, option };
        let result = if report.is_special() {
            // A folder gives an error here.
            fs::File::options().write(true).open(path).map(drop)
        } else {
            fs::write(partial(path), b"").and_then(|()| fs::remove_file(partial(path)))
        };
        result.map_err(|error| report.error(&error))?;
        Ok(report)
    }

    /// Returns true for a folder, a device or a pipe. A rename would replace it.
    fn is_special(&self) -> bool {
        self.path.exists() && !self.path.is_file()
    }

    /// Writes the file under a temporary name, and then renames it. So a full disk leaves no incomplete file.
    pub(super) fn write(&self, content: &[u8]) -> Result<(), String> {
        if self.is_special() {
            return fs::write(self.path, content).map_err(|error| self.error(&error));
        }
        let partial = partial(self.path);
        let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, self.path));
        written.map_err(|error| {
            let _ = fs::remove_file(&partial);
            self.error(&error)
        })
    }

    fn error(&self, error: &io::Error) -> String {
        let why = match error.kind() {
            io::ErrorKind::NotFound => "there is no such folder".to_owned(),
            _ => error.to_string(),
        };
        format!(
            "cannot write {}: {why}; choose another file with `{}`",
            self.path.display(),
            self.option
        )
    }
}
