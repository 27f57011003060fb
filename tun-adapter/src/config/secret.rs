//! Keys and passwords: in the file itself or in a file of their own, and the warnings that go with either.

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

/// The key in the published sources of the article that the classic profile comes from. Everybody has it.
const PUBLISHED_KEY: &str = "KGiEbfJODclOCzUVfWXBO7Y/ohnEVxf7+RnwaAA1/78=";

/// A secret that stands either in the configuration or in a file named there.
pub(super) struct SecretSetting {
    /// The key of the secret itself; that of the file is the same with `-file`.
    pub(super) name: &'static str,
    pub(super) inline: Option<Spanned<Text<Secret>>>,
    pub(super) file: Option<Spanned<PathBuf>>,
}

/// A secret and where it was found.
pub(super) struct Found {
    value: Zeroizing<String>,
    place: Place,
}

enum Place {
    Inline(std::ops::Range<usize>),
    File(Source),
    /// The variable of this name.
    Environment(&'static str),
}

impl SecretSetting {
    /// Finds the secret.
    pub(super) fn find(self, source: &Source, warnings: &mut Vec<String>) -> Result<Found, Failure> {
        let name = self.name;
        match (self.inline, self.file) {
            (Some(inline), None) => {
                warn_if_world_readable(source.path(), warnings);
                let place = Place::Inline(inline.span());
                Ok(Found {
                    value: inline.into_inner().0.0,
                    place,
                })
            }
            (None, Some(file)) => read_secret(&format!("{name}-file"), &file, source, warnings),
            (Some(_), Some(file)) => Err(source.error(
                file.span(),
                &format!("`{name}` and `{name}-file` exclude each other"),
            )),
            (None, None) => Err(Self::missing(name, source)),
        }
    }

    /// The error of a secret that is nowhere.
    pub(super) fn missing(name: &str, source: &Source) -> Failure {
        source.error(0..0, &format!("missing field `{name}-file` (or `{name}`)"))
    }
}

/// The password of a client, unless it is to be asked for: that of the environment, or else that of its file, or else that of
/// the service manager.
pub(super) fn find_password(
    setting: SecretSetting,
    source: &Source,
    warnings: &mut Vec<String>,
) -> Result<Option<Found>, Failure> {
    if let Some(value) = env::var_os(PASSWORD_VARIABLE) {
        let place = Place::Environment(PASSWORD_VARIABLE);
        return match value.into_string() {
            Ok(value) => Ok(Some(Found {
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

/// Reads the secret file that `source` names under `name`. Its first line is the secret, as `echo` writes it.
pub(super) fn read_secret(
    name: &str,
    path: &Spanned<PathBuf>,
    source: &Source,
    warnings: &mut Vec<String>,
) -> Result<Found, Failure> {
    read_file(source.open(name, path)?, warnings)
}

fn read_file(file: Source, warnings: &mut Vec<String>) -> Result<Found, Failure> {
    warn_if_world_readable(file.path(), warnings);
    let line = file.text().lines().next().unwrap_or_default();
    Ok(Found {
        value: Zeroizing::new(line.to_owned()),
        place: Place::File(file),
    })
}

impl Found {
    /// The secret as a key of the secure profile, which takes none that is no secret.
    pub(super) fn into_psk(self, source: &Source) -> Result<Psk, Failure> {
        Psk::from_base64(self.value.trim()).map_err(|error| self.error(source, &error.to_string()))
    }

    /// The secret as a password of the secure profile.
    pub(super) fn into_new_password(self, source: &Source) -> Result<Zeroizing<String>, Failure> {
        if self.value.is_empty() {
            return Err(self.error(source, "the password is empty"));
        }
        Ok(self.value)
    }

    /// The secret as a key.
    pub(super) fn into_key(self, source: &Source, warnings: &mut Vec<String>) -> Result<Key, Failure> {
        let text = self.value.trim();
        let key = Key::from_base64(text).map_err(|error| {
            self.error(source, &format!("{error}; expected 32 bytes in base64"))
                .with_help("`head -c 32 /dev/urandom | base64` makes a key")
        })?;
        if text == PUBLISHED_KEY {
            warnings.push(
                "THIS KEY IS PUBLIC: it was printed in the article the classic profile comes from, so anybody can \
                 read and forge everything in this tunnel; make another with `head -c 32 /dev/urandom | base64`"
                    .to_owned(),
            );
        }
        Ok(key)
    }

    /// The secret as a password.
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

/// Warns once for each file that holds secrets and that every user of the machine may read.
pub(super) fn warn_if_world_readable(path: &Path, warnings: &mut Vec<String>) {
    // One that cannot be looked at cannot be read either.
    let is_readable = fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0);
    if is_readable {
        let path = path.display();
        let warning =
            format!("{path} holds secrets and every user of this machine may read it: `chmod 600 {path}`");
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}
