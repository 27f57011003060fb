//! Secrets from outside the configuration files: systemd credentials and the environment.

use std::env;
use std::path::{Component, Path, PathBuf};

/// Environment variable with a client's password. Child processes do not get it.
pub(crate) const PASSWORD_VARIABLE: &str = "SANDHOG_PASSWORD";
/// Name of the credential with a client's password.
pub(crate) const PASSWORD: &str = "sandhog.password";
/// Prefix that marks a path as the name of a credential.
const PREFIX: &str = "credential:";

/// Returns the name of the credential if `path` names one.
pub(crate) fn name_in(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(PREFIX)
}

/// Returns the path of the credential `name`. The file may not exist.
///
/// # Errors
///
/// If `name` is not a valid name, or when the service manager provides no credentials.
pub(crate) fn locate(name: &str) -> Result<PathBuf, String> {
    let mut components = Path::new(name).components();
    let is_name = matches!(components.next(), Some(Component::Normal(_))) && components.next().is_none();
    if !is_name || name.ends_with('/') {
        return Err(format!("`{name}` is not a valid name of a credential"));
    }
    let folder = env::var_os("CREDENTIALS_DIRECTORY").filter(|folder| !folder.is_empty());
    match folder {
        Some(folder) => Ok(Path::new(&folder).join(name)),
        None => Err(format!(
            "there is no credential `{name}`: CREDENTIALS_DIRECTORY is not set (systemd sets it for units with `LoadCredential=`)"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_a_plain_name_without_a_path() {
        assert_eq!(name_in(Path::new("credential:sandhog.key")), Some("sandhog.key"));
        assert_eq!(name_in(Path::new("./credential:sandhog.key")), None);
        for name in ["", ".", "..", "/etc/shadow", "../key", "a/b", "key/"] {
            let refused = locate(name).expect_err("no name");
            assert_eq!(refused, format!("`{name}` is not a valid name of a credential"));
        }
    }
}
