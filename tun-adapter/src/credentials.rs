//! Secrets that stand in no file of ours: what the service manager hands over (systemd's credentials), and the environment.

use std::env;
use std::path::{Component, Path, PathBuf};

/// The variable that holds a client's password. No program that is started gets to see it.
pub(crate) const PASSWORD_VARIABLE: &str = "SANDHOG_PASSWORD";
/// The credential that is a client's password.
pub(crate) const PASSWORD: &str = "sandhog.password";
/// What stands before a credential's name in place of a file's.
const PREFIX: &str = "credential:";

/// The name of the credential that `path` stands for, if it stands for one.
pub(crate) fn name_in(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}

/// Where the credential of this name is, which may not be there.
///
/// # Errors
///
/// What is wrong: the name, or that nobody hands over credentials.
pub(crate) fn locate(name: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(name).components();
    let is_name = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    if !is_name || name.ends_with('/') {
        return Err(format!("`{name}` is no name of a credential"));
    }
    let folder = env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    match folder {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(format!(
            "there is no credential `{name}`: CREDENTIALS_DIRECTORY is not set, as `LoadCredential=` in a unit of systemd does"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_has_a_name_and_no_path() {
        assert_eq!(name_in(Path::new("credential:sandhog.key")), Some("sandhog.key"));
        assert_eq!(name_in(Path::new("./credential:sandhog.key")), None);
        for name in ["", ".", "..", "/etc/shadow", "../key", "a/b", "key/"] {
            let refused = locate(name).expect_err("no name");
            assert_eq!(refused, format!("`{name}` is no name of a credential"));
        }
    }
}
