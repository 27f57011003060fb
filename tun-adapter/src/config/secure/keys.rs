//! Pre-shared keys of a server: one or two files that its configuration names.

use std::fmt;
use std::path::PathBuf;

use sandhog_proto::secure::Psk;
use toml::Spanned;

use crate::config::secret::read_secret;
use crate::config::source::Source;
use crate::failure::Failure;

/// The pre-shared keys of a server. Datagrams that are not sealed under one of them get no reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Keys {
    /// The first key.
    pub first: Psk,
    /// A second key, which clients may use as well.
    pub second: Option<Psk>,
}

impl Keys {
    /// Reads the key files that the configuration `source` names.
    pub(super) fn read(
        source: &Source,
        (first_file, second_file): (&Spanned<PathBuf>, Option<&Spanned<PathBuf>>),
        warnings: &mut Vec<String>,
    ) -> Result<Self, Failure> {
        let first = read_secret("key-file", first_file, source, warnings)?.into_psk(source)?;
        let Some(second_file) = second_file else {
            return Ok(Self { first, second: None });
        };
        let second = read_secret("second-key-file", second_file, source, warnings)?.into_psk(source)?;
        if second == first {
            return Err(explain_equal_keys(source, first_file, second_file));
        }
        Ok(Self {
            first,
            second: Some(second),
        })
    }
}

/// Hides the keys.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys([hidden])")
    }
}

/// The error for two pre-shared keys that are equal.
fn explain_equal_keys(source: &Source, first: &Spanned<PathBuf>, second: &Spanned<PathBuf>) -> Failure {
    let message = format!(
        "{} (key-file) and {} (second-key-file) have the same key",
        first.get_ref().display(),
        second.get_ref().display()
    );
    source.error(second.span(), &message).with_help(
        "remove `second-key-file`, or write a new key into one of the files: `openssl rand -base64 32`",
    )
}
