//! Keys and passwords: in the file itself or in a file of their own, and the warnings that go with either.

use std::path::PathBuf;

use sandhog_proto::classic::{Key, MAX_CREDENTIAL_LEN};
use toml::Spanned;
use zeroize::Zeroizing;

use super::source::Source;
use super::text::{Secret, Text};
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
}

impl SecretSetting {
    /// Finds the secret. A file's first line is the secret, as `echo` writes it.
    pub(super) fn find(self, source: &Source, warnings: &mut Vec<String>) -> Result<Found, Failure> {
        let name = self.name;
        match (self.inline, self.file) {
            (Some(inline), None) => {
                warn_if_world_readable(source, warnings);
                let place = Place::Inline(inline.span());
                Ok(Found {
                    value: inline.into_inner().0.0,
                    place,
                })
            }
            (None, Some(file)) => {
                let place = file.span();
                let file = Source::read(&source.resolve(file.get_ref()))
                    .map_err(|failure| source.error(place, &format!("{name}-file: {}", failure.message())))?;
                warn_if_world_readable(&file, warnings);
                let line = file.text().lines().next().unwrap_or_default();
                Ok(Found {
                    value: Zeroizing::new(line.to_owned()),
                    place: Place::File(file),
                })
            }
            (Some(_), Some(file)) => Err(source.error(
                file.span(),
                &format!("`{name}` and `{name}-file` exclude each other"),
            )),
            (None, None) => Err(source.error(0..0, &format!("missing field `{name}-file` (or `{name}`)"))),
        }
    }
}

impl Found {
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
        }
    }
}

/// Warns once for each file.
pub(super) fn warn_if_world_readable(source: &Source, warnings: &mut Vec<String>) {
    if source.world_readable {
        let path = source.path().display();
        let warning =
            format!("{path} holds secrets and every user of this machine may read it: `chmod 600 {path}`");
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    }
}
