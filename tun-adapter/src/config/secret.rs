//! Keys and passwords: inline in the configuration or in a separate file, with warnings about file
//! permissions.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sandhog_proto::classic::{Key, MAX_CREDENTIAL_LEN};
use sandhog_proto::secure::Psk;
use toml::Spanned;
use zeroize::Zeroizing;

use super::source::Source;
use super::text::{Secret, Text};
use crate::credentials::{self, PASSWORD_VARIABLE};
use crate::failure::Failure;

/// The key in the published source code of the article about the classic profile. It is public.
const PUBLISHED_KEY: &str = "KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=";

/// A secret that is given either inline or by the name of a file.
pub(super) struct SecretSetting {
    /// Configuration key of the inline secret. The key for the file has the suffix `-file`.
    pub(super) name: &'static str,
    pub(super) inline: Option<Spanned<Text<Secret>>>,
    pub(super) file: Option<Spanned<PathBuf>>,
}

/// A secret and its source.
pub(super) struct FoundSecret {
    value: Zeroizing<String>,
    place: Place,
}

enum Place {
    Inline(std::ops::Range<usize>),
    File(Source),
    /// Environment variable with this name.
    Environment(&'static str),
}

impl SecretSetting {
    /// Reads the secret from its source.
    pub(super) fn find(self, source: &Source, warnings: &mut Vec<String>) -> Result<FoundSecret, Failure> {
        let name = self.name;
        match (self.inline, self.file) {
            (Some(inline), None) => {
                warn_if_world_readable(source.path(), warnings);
                let place = Place::Inline(inline.span());
                Ok(FoundSecret {
                    value: inline.into_inner().0.0,
                    place,
                })
            }
            (None, Some(file)) => read_secret(&format!("{name}-file"), &file, source, warnings),
            (Some(_), Some(file)) => Err(source.error(
                file.span(),
                &format!("`{name}` and `{name}-file` cannot both be set"),
            )),
            (None, None) => Err(Self::missing(name, source)),
        }
    }

    /// The error for a missing secret.
    pub(super) fn missing(name: &str, source: &Source) -> Failure {
        source.error(0..0, &format!("missing key `{name}-file` (or `{name}`)"))
    }
}

/// Returns the password of a client, or `None` if the user must be asked. Order of precedence: environment
/// variable, configuration file, credential of the service manager.
pub(super) fn find_password(
    setting: SecretSetting,
    source: &Source,
    warnings: &mut Vec<String>,
) -> Result<Option<FoundSecret>, Failure> {
    if let Some(value) = env::var_os(PASSWORD_VARIABLE) {
        let place = Place::Environment(PASSWORD_VARIABLE);
        return match value.into_string() {
            Ok(value) => Ok(Some(FoundSecret {
                value: Zeroizing::new(value),
                place,
            })),
            Err(_) => Err(Failure::input(format!("{PASSWORD_VARIABLE} is not UTF-8"))),
        };
    }
    if setting.inline.is_some() || setting.file.is_some() {
        return setting.find(source, warnings).map(Some);
    }
    match credentials::locate(credentials::PASSWORD) {
        Ok(path) if path.exists() => read_file(Source::read(&path)?, warnings).map(Some),
        _ => Ok(None),
    }
}

/// Reads the secret file named by the key `name` in `source`. Its first line is the secret.
pub(super) fn read_secret(
    name: &str,
    path: &Spanned<PathBuf>,
    source: &Source,
    warnings: &mut Vec<String>,
) -> Result<FoundSecret, Failure> {
    read_file(source.open(name, path)?, warnings)
}

fn read_file(file: Source, warnings: &mut Vec<String>) -> Result<FoundSecret, Failure> {
    warn_if_world_readable(file.path(), warnings);
    let line = file.text().lines().next().unwrap_or_default();
    Ok(FoundSecret {
        value: Zeroizing::new(line.to_owned()),
        place: Place::File(file),
    })
}

impl FoundSecret {
    /// Returns the secret as a pre-shared key of the secure profile, which rejects well-known keys.
    pub(super) fn into_psk(self, source: &Source) -> Result<Psk, Failure> {
        Psk::from_base64(self.value.trim()).map_err(|error| self.error(source, &error.to_string()))
    }

    /// Returns the secret as a password of the secure profile.
    pub(super) fn into_new_password(self, source: &Source) -> Result<Zeroizing<String>, Failure> {
        if self.value.is_empty() {
            return Err(self.error(source, "the password is empty"));
        }
        Ok(self.value)
    }

    /// Returns the secret as a key of the classic profile.
    pub(super) fn into_key(self, source: &Source, warnings: &mut Vec<String>) -> Result<Key, Failure> {
        let text = self.value.trim();
        let key = Key::from_base64(text).map_err(|error| {
            self.error(source, &format!("{error}; expected 32 bytes in base64"))
                .with_help("create one with `head -c 32 /dev/urandom | base64`")
        })?;
        if text == PUBLISHED_KEY {
            warnings.push(
                "THIS KEY IS PUBLIC: it was printed in the article about the classic profile, so anyone can \
                 read and forge everything in this tunnel; create a new one with `head -c 32 /dev/urandom | base64`"
                    .to_owned(),
            );
        }
        Ok(key)
    }

    /// Returns the secret as a password of the classic profile.
    pub(super) fn into_password(self, source: &Source) -> Result<Zeroizing<String>, Failure> {
        if !(1..=MAX_CREDENTIAL_LEN).contains(&self.value.len()) {
            let message = format!("expected a password of 1 to {MAX_CREDENTIAL_LEN} bytes");
            return Err(self.error(source, &message));
        }
        Ok(self.value)
    }

    fn error(&self, source: &Source, message: &str) -> Failure {
        match &self.place {
            Place::Inline(place) => source.error(place.clone(), message),
            Place::File(file) => file.error(0..0, message),
            Place::Environment(variable) => Failure::input(format!("{variable}: {message}")),
        }
    }
}

/// Warns once per file if it contains secrets and every user of the machine can read it.
pub(super) fn warn_if_world_readable(path: &Path, warnings: &mut Vec<String>) {
    // A file without readable metadata is not readable either.
    let is_readable = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if is_readable {
        let path = path.display();
        let warning = format!(
            "{path} contains secrets, and every user of this machine can read it: `chmod 600 {path}`"
        );
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}
