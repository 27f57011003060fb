//! The file with the users of the secure profile: read whole, changed under a lock, replaced whole.

pub mod command;
mod expiry;

use std::path::{Path, PathBuf};
use std::{fs, io};

use sandhog_proto::secure::{ConfigError, Login, StoreError, Suite, UserStore};

use crate::failure::Failure;
use crate::fs::atomic_file::LockedFolder;

/// A file with users, which may be changed by several programs at a time.
#[derive(Clone, Debug)]
pub struct UsersFile {
    /// The path as it was given, for people.
    path: PathBuf,
    /// The file itself, behind whatever links lead to it: a replaced link would leave the file as it was.
    target: PathBuf,
}

impl UsersFile {
    /// The file at `path`.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            target: fs::canonicalize(path)?,
        })
    }

    /// Where it is, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all users.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or at its first line that is wrong: then none of the users is read.
    pub fn load(&self) -> Result<UserStore, Failure> {
        let text = fs::read_to_string(&self.target)
            .map_err(|error| Failure::input(format!("cannot read {}: {error}", self.path.display())))?;
        UserStore::parse(&text).map_err(|error| self.misread(&error))
    }

    /// Reads the users, has them changed and writes them, in one step as far as others are concerned. Users that come
    /// out as they were are not written.
    ///
    /// # Errors
    ///
    /// Those of [`load`](Self::load) and of `work`; nothing has been written then. When the file cannot be written; then
    /// it is as it was.
    pub fn change<T>(&self, work: impl FnOnce(&mut UserStore) -> Result<T, Failure>) -> Result<T, Failure> {
        let folder = self.lock()?;
        let mut users = self.load()?;
        let before = users.to_text();
        let result = work(&mut users)?;
        let after = users.to_text();
        if before != after {
            folder
                .replace(self.name(), &after)
                .map_err(|error| Failure::write(&self.path, error))?;
        }
        Ok(result)
    }

    /// Writes the records that differ between `before`, the users that a running server knew, and `after`, the text of
    /// the users as it wants them. What others have changed in the file since stays.
    ///
    /// # Errors
    ///
    /// When a user whose record is to be changed is gone from the file, or has got another record or been disabled
    /// there: whoever did that meant it. When the file cannot be read or written. Nothing has changed then.
    pub fn save_changes(&self, before: &UserStore, after: &str) -> Result<(), Failure> {
        let after = UserStore::parse(after)
            .map_err(|error| Failure::runtime("take over the server's users", error))?;
        self.change(|users| {
            for new in after.iter() {
                let Some(old) = before.get(&new.login) else {
                    continue;
                };
                let (old, record) = (old.record.to_bytes(), new.record.to_bytes());
                if old == record {
                    continue;
                }
                let is_unchanged = users
                    .get(&new.login)
                    .is_some_and(|user| !user.disabled && [old, record].contains(&user.record.to_bytes()));
                if !is_unchanged {
                    let message = format!(
                        "{} was changed in {} by somebody else",
                        new.login,
                        self.path.display()
                    );
                    return Err(Failure::input(message));
                }
                users
                    .change(&new.login, new.record.clone())
                    .map_err(|error| Failure::input(error.to_string()))?;
            }
            Ok(())
        })
    }

    /// Leaves word for a running server to forget the failed logins of `login`.
    ///
    /// # Errors
    ///
    /// When that cannot be written.
    pub fn ask_to_unlock(&self, login: &Login) -> Result<(), Failure> {
        let folder = self.lock()?;
        let mut logins = self.unlocks()?;
        if !logins.contains(login) {
            logins.push(login.clone());
        }
        let text: String = logins.iter().map(|login| format!("{login}\n")).collect();
        folder
            .replace(&self.unlocks_name(), &text)
            .map_err(|error| Failure::write(&self.unlocks_path(), error))
    }

    /// Whose failed logins are to be forgotten. They are given once.
    ///
    /// # Errors
    ///
    /// When the list cannot be read or removed.
    pub fn take_unlocks(&self) -> Result<Vec<Login>, Failure> {
        if self.unlocks()?.is_empty() {
            return Ok(Vec::new());
        }
        let folder = self.lock()?;
        let logins = self.unlocks()?;
        folder.remove(&self.unlocks_name()).map_err(|error| {
            Failure::runtime(format_args!("remove {}", self.unlocks_path().display()), error)
        })?;
        Ok(logins)
    }

    /// Why the protocol does not take these users.
    #[must_use]
    pub fn explain(&self, error: &ConfigError) -> Failure {
        let failure = Failure::input(format!("{}: {error}", self.path.display()));
        match error {
            ConfigError::Suite(login) => failure.with_help(format!(
                "only suite {} is safe enough for a real server; `sandhog user passwd` moves {login} to it",
                Suite::Standard.byte()
            )),
            _ => failure,
        }
    }

    /// The error of a line, in the form that all files have: path, line, what is wrong.
    fn misread(&self, error: &StoreError) -> Failure {
        let message = error.to_string();
        let line = format!("line {}: ", error.line);
        let message = message.strip_prefix(&line).unwrap_or(&message);
        Failure::input(format!("{}:{}: {message}", self.path.display(), error.line))
    }

    fn lock(&self) -> Result<LockedFolder, Failure> {
        LockedFolder::around(&self.target).map_err(|error| {
            Failure::runtime(format_args!("lock the folder of {}", self.path.display()), error)
        })
    }

    fn name(&self) -> &Path {
        self.target.file_name().map_or(&self.target, Path::new)
    }

    fn unlocks_name(&self) -> PathBuf {
        self.name().with_added_extension("unlock")
    }

    fn unlocks_path(&self) -> PathBuf {
        self.target.with_file_name(self.unlocks_name())
    }

    /// The logins on the list. A line that is no login was not written by this program and asks for nothing.
    fn unlocks(&self) -> Result<Vec<Login>, Failure> {
        match fs::read_to_string(self.unlocks_path()) {
            Ok(text) => Ok(text.lines().filter_map(|line| Login::new(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Failure::runtime(
                format_args!("read {}", self.unlocks_path().display()),
                error,
            )),
        }
    }
}
