//! The server's own secrets as text, in a separate file.
//!
//! ```text
//! {"sandhog":"server-setup","version":2,"setup":"…"}
//! ```
//!
//! The setup is base64url without padding (RFC 4648, section 5). The line ends with a line feed.

use alloc::string::String;
use core::error::Error;
use core::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::line::{Header, read_object};
use crate::secure::setup::ServerSetup;

const BEFORE: &str = r#"{"sandhog":"server-setup","version":2,"setup":""#;

const AFTER: &str = "\"}\n";

const VERSION: u64 = 2;

/// Reason why a text is not a server's setup. It never contains a part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The text does not have the beginning of a setup.
    NotASetup,
    /// This program does not support the version of the setup.
    UnsupportedVersion(u64),
    /// The end of the text is missing.
    Cut,
    /// The line or the secrets in it are damaged.
    Damaged,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASetup => write!(f, "not a server's setup; the file must begin with {BEFORE}"),
            Self::UnsupportedVersion(1) => f.write_str(
                "the server's setup is of an earlier version, without keys against quantum computers: make a new one with \
                 `sandhog init`, and set the passwords of all users again",
            ),
            Self::UnsupportedVersion(version) => write!(
                f,
                "version {version} of the server's setup; this program supports version {VERSION}: use a newer program"
            ),
            Self::Cut => f.write_str("the end of the server's setup is missing; restore it from a backup"),
            Self::Damaged => f.write_str(
                "the server's setup is damaged; restore it from a backup, because no user can log in with another setup",
            ),
        }
    }
}

impl Error for SetupError {}

/// Writes a setup as text for [`setup_from_text`].
#[must_use]
pub fn setup_to_text(setup: &ServerSetup) -> Zeroizing<String> {
    // Large enough from the start, so that reallocation leaves no copy of the secrets.
    let mut text = Zeroizing::new(String::with_capacity(512));
    text.push_str(BEFORE);
    BASE64.encode_string(*setup.to_bytes(), &mut text);
    text.push_str(AFTER);
    text
}

/// Reads a setup.
///
/// # Errors
///
/// [`SetupError`].
pub fn setup_from_text(text: &str) -> Result<ServerSetup, SetupError> {
    let Some(line) = text.strip_suffix('\n') else {
        let is_ours = text.starts_with(BEFORE) || BEFORE.starts_with(text);
        return Err(if is_ours {
            SetupError::Cut
        } else {
            SetupError::NotASetup
        });
    };
    let header = read_object::<Header>(line).map_err(|_| {
        if line.starts_with(BEFORE) {
            SetupError::Damaged
        } else {
            SetupError::NotASetup
        }
    })?;
    if header.sandhog != "server-setup" {
        return Err(SetupError::NotASetup);
    }
    if header.version != VERSION {
        return Err(SetupError::UnsupportedVersion(header.version));
    }
    let line = read_object::<SetupLine<'_>>(line).map_err(|_| SetupError::Damaged)?;
    let bytes = BASE64.decode(line.setup).map_err(|_| SetupError::Damaged)?;
    ServerSetup::from_bytes(&Zeroizing::new(bytes)).map_err(|_| SetupError::Damaged)
}

/// Borrows the secrets from the text to avoid another copy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupLine<'a> {
    #[serde(rename = "sandhog")]
    _sandhog: &'a str,
    #[serde(rename = "version")]
    _version: u64,
    setup: &'a str,
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;

    use super::super::tests::samples::setup;
    use super::*;

    #[track_caller]
    fn check(text: &str, error: SetupError) {
        assert_eq!(setup_from_text(text).map(drop), Err(error), "{text}");
    }

    #[test]
    fn a_written_setup_is_read_back() {
        let text = setup_to_text(&setup());
        assert!(text.len() <= 512 && text.lines().count() == 1);
        let again = setup_from_text(&text).unwrap();
        assert_eq!(*again.to_bytes(), *setup().to_bytes());
    }

    #[test]
    fn a_setup_cut_at_any_byte_is_refused() {
        let text = setup_to_text(&setup());
        for len in 0..text.len() {
            check(&text[..len], SetupError::Cut);
        }
    }

    #[test]
    fn other_files_are_rejected() {
        for text in [
            "\n",
            "x",
            "x\n",
            "{\"sandhog\":\"users\",\"version\":1}\n{\"end\":0}\n",
            "[]\n",
        ] {
            check(text, SetupError::NotASetup);
        }
    }

    #[test]
    fn an_unsupported_version_is_reported() {
        for version in [1, 3] {
            let text = format!("{{\"sandhog\":\"server-setup\",\"version\":{version},\"keys\":[]}}\n");
            check(&text, SetupError::UnsupportedVersion(version));
        }
    }

    #[test]
    fn a_damaged_setup_is_refused_without_showing_it() {
        let text = setup_to_text(&setup());
        let secret = &text[BEFORE.len()..text.len() - AFTER.len()];
        let zeros = BASE64.encode([0; 256]);
        for (from, to) in [
            (secret, &secret[1..]),
            (secret, zeros.as_str()),
            (secret, "not base64!"),
            ("\"}", "\",\"more\":1}"),
            ("\"}", "\"}}"),
            ("setup\":", "set\":"),
        ] {
            let damaged = text.replace(from, to);
            let error = setup_from_text(&damaged).unwrap_err();
            assert_eq!(error, SetupError::Damaged, "{damaged}");
            assert!(!format!("{error}{error:?}").contains(&secret[..8]));
        }
    }

    #[test]
    fn an_error_says_what_to_do() {
        assert!(SetupError::Cut.to_string().contains("backup"));
        assert!(
            SetupError::UnsupportedVersion(3)
                .to_string()
                .contains("version 3")
        );
        assert!(
            SetupError::UnsupportedVersion(1)
                .to_string()
                .contains("sandhog init")
        );
    }
}
