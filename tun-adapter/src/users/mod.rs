//! Users file of the secure profile. It is changed under a lock and replaced atomically.

pub mod command;

use std::path::{Path, PathBuf};
use std::{fs, io};

use sandhog_proto::secure::{ConfigError, Login, StoreError, StoreOpError, Suite, UserStore};

use crate::failure::Failure;
use crate::fs::atomic_file::LockedFolder;

/// A number of users as text, for example "1 user" or "2 users".
pub(crate) fn count_users(count: usize) -> String {
    match count {
        1 => "1 user".to_owned(),
        _ => format!("{count} users"),
    }
}

/// The error if a change of the user `login` was refused.
pub(crate) fn refused(login: &Login, error: StoreOpError) -> Failure {
    let failure = Failure::input(format!("{login}: {error}"));
    match error {
        StoreOpError::AlreadyThere => failure.with_help("`sandhog user passwd` changes the password"),
        StoreOpError::NoSuchUser => failure.with_help("`sandhog user list` shows all users"),
        _ => failure,
    }
}

/// A users file. Several programs may change it concurrently.
#[derive(Clone, Debug)]
pub struct UsersFile {
    /// Path for messages, as given.
    path: PathBuf,
    /// Path with all symbolic links resolved. Replacing a link would leave the file itself unchanged.
    target: PathBuf,
}

impl UsersFile {
    /// Opens the users file at `path`.
    ///
    /// # Errors
    ///
    /// If it does not exist.
    pub fn at(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            target: fs::canonicalize(path)?,
        })
    }

    /// Path of the file, as given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads all users.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or at the first invalid line. Then no users are returned.
    pub fn load(&self) -> Result<UserStore, Failure> {
        let text = fs::read_to_string(&self.target)
            .map_err(|error| Failure::input(format!("cannot read {}: {error}", self.path.display())))?;
        UserStore::parse(&text).map_err(|error| self.parse_error(&error))
    }

    /// Reads the users, changes them with `work` and writes them, under the lock. If nothing has changed,
    /// nothing is written.
    ///
    /// # Errors
    ///
    /// If [`load`](Self::load) or `work` fails, or if the file cannot be written. The file is then unchanged.
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

    /// Writes the records that a running server has changed. `before` are the server's users before its
    /// change, `after` is the text of its users now. Other changes to the file are kept.
    ///
    /// # Errors
    ///
    /// If a user to be changed was removed, changed or disabled in the file, because that change takes
    /// precedence. If the file cannot be read or written. The file is then unchanged.
    pub fn save_changes(&self, before: &UserStore, after: &str) -> Result<(), Failure> {
        let after =
            UserStore::parse(after).map_err(|error| Failure::runtime("parse the server's users", error))?;
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
                        "the user {} was changed in {} at the same time",
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

    /// Writes a request to the running server to forget the failed logins of `login`.
    ///
    /// # Errors
    ///
    /// If the request cannot be written.
    pub fn request_unlock(&self, login: &Login) -> Result<(), Failure> {
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

    /// Returns and removes the requested unlocks.
    ///
    /// # Errors
    ///
    /// If the requests cannot be read or removed.
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

    /// The error for users that the protocol rejects.
    #[must_use]
    pub fn explain(&self, error: &ConfigError) -> Failure {
        let failure = Failure::input(format!("{}: {error}", self.path.display()));
        match error {
            ConfigError::Suite(login) => failure.with_help(format!(
                "a real server accepts only suite {}. `sandhog user passwd` converts {login} to it",
                Suite::Standard.byte()
            )),
            _ => failure,
        }
    }

    /// The error for an invalid line, in the format of all files: path, line, message.
    fn parse_error(&self, error: &StoreError) -> Failure {
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

    /// The requested unlocks. Invalid lines are ignored.
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
