//! User names. A name is validated once, when it is created.

use alloc::borrow::ToOwned;
use alloc::string::String;
use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// Longest user name in bytes.
pub const MAX_LOGIN_LEN: usize = 64;

/// A user name: 1 to 64 characters of `a` to `z`, `0` to `9`, `.`, `_`, `@` and `-`. Names are compared byte
/// by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Login(String);

impl Login {
    /// Creates a user name.
    ///
    /// # Errors
    ///
    /// [`LoginError`] if `name` is not a valid user name.
    pub fn new(name: &str) -> Result<Self, LoginError> {
        if name.is_empty() || name.len() > MAX_LOGIN_LEN {
            return Err(LoginError::Length(name.len()));
        }
        match name.chars().find(|char| !is_allowed(*char)) {
            Some(char) => Err(LoginError::Character(char)),
            None => Ok(Self(name.to_owned())),
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

const fn is_allowed(char: char) -> bool {
    matches!(char, 'a'..='z' | '0'..='9' | '.' | '_' | '@' | '-')
}

impl FromStr for Login {
    type Err = LoginError;

    fn from_str(name: &str) -> Result<Self, LoginError> {
        Self::new(name)
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Reason why a text is not a valid user name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// The name has this number of bytes instead of 1 to [`MAX_LOGIN_LEN`].
    Length(usize),
    /// The name contains this character.
    Character(char),
}

impl fmt::Display for LoginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length(len) => write!(f, "a user name has 1 to {MAX_LOGIN_LEN} bytes, not {len}"),
            Self::Character(char) => {
                write!(
                    f,
                    "{char:?} is not allowed in a user name: use a to z, 0 to 9 and . _ @ -"
                )
            }
        }
    }
}

impl Error for LoginError {}

#[cfg(test)]
mod tests {
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn the_length_is_1_to_64() {
        assert_eq!(Login::new(""), Err(LoginError::Length(0)));
        assert_eq!(Login::new(&"a".repeat(65)), Err(LoginError::Length(65)));
        assert_eq!(Login::new(&"a".repeat(64)).unwrap().as_str().len(), 64);
    }

    #[test]
    fn the_error_names_the_invalid_character() {
        assert!(Login::new("kean-01_x.y@example").is_ok());
        for (name, char) in [("Kean", 'K'), ("a b", ' '), ("ä", 'ä'), ("a\0", '\0')] {
            assert_eq!(Login::new(name), Err(LoginError::Character(char)));
        }
        assert!(Login::new("A").unwrap_err().to_string().contains("'A'"));
    }
}
