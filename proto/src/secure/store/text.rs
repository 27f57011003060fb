//! Text format of the user store: a header, a JSON object for each user, and a last line with the number of
//! users.
//!
//! ```text
//! {"sandhog":"users","version":1}
//! {"login":"kean","record":"…","suite":1,"disabled":false,"address4":"10.9.0.7","max_sessions":2}
//! {"end":1}
//! ```
//!
//! Records are base64url without padding (RFC 4648, section 5). Only `expires`, `address4` and `address6` are
//! optional. Unknown keys are errors. Users may have any order; they are written sorted by name. The last
//! line ends with a line feed too, so a truncated store is never valid.

use alloc::string::String;
use core::error::Error;
use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use serde::Deserialize;

use super::line::{Header, read_object};
use super::{StoreOpError, User, UserStore};
use crate::secure::opaque::Record;
use crate::secure::{Login, LoginError, Suite};

/// The first line, without its line feed.
const HEADER: &str = r#"{"sandhog":"users","version":1}"#;

const VERSION: u64 = 1;

/// Reason why a text is not a valid store, with the number of the line (the first is 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreError {
    /// Number of the line.
    pub line: usize,
    /// Kind of the error.
    pub kind: StoreErrorKind,
}

/// Kind of error in a line of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreErrorKind {
    /// The first line is not the header of a store.
    NotAStore,
    /// This program does not support the version of the store.
    UnsupportedVersion(u64),
    /// The text is incomplete, or the last line has the wrong number of users.
    Cut,
    /// Not a user: invalid JSON, a missing or unknown key, or an invalid value. The text has the details.
    BadLine(String),
    /// The user name is invalid.
    BadLogin(LoginError),
    /// A line above has the same user name.
    DuplicateLogin(Login),
    /// The record of this user is invalid.
    BadRecord(Login),
    /// A user above has the same address.
    DuplicateAddress(IpAddr),
    /// No suite has this number.
    BadSuite(u64),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.kind {
            StoreErrorKind::NotAStore => write!(f, "not a user store; the file must begin with {HEADER}"),
            StoreErrorKind::UnsupportedVersion(version) => write!(
                f,
                "version {version} of the user store; this program supports version {VERSION}: use a newer program"
            ),
            StoreErrorKind::Cut => f.write_str(
                "the last line is missing or has the wrong number of users: part of the file is lost; \
                 restore it from a backup, or correct the number if you removed a user by hand",
            ),
            StoreErrorKind::BadLine(what) => write!(f, "{what}; correct the line or remove it"),
            StoreErrorKind::BadLogin(error) => error.fmt(f),
            StoreErrorKind::DuplicateLogin(login) => {
                write!(
                    f,
                    "a line above has the same user name, {login}; remove one of them"
                )
            }
            StoreErrorKind::BadRecord(login) => write!(
                f,
                "the record of {login} is damaged; restore it from a backup, or remove and add the user"
            ),
            StoreErrorKind::DuplicateAddress(address) => write!(
                f,
                "a user above has the same address, {address}; give this user another one"
            ),
            StoreErrorKind::BadSuite(suite) => {
                write!(
                    f,
                    "suite {suite} does not exist; use the suite that the user was added with, 1"
                )
            }
        }
    }
}

impl Error for StoreError {}

impl UserStore {
    /// Parses a store. All records are decoded here, so that a login does not take longer if its user exists.
    ///
    /// # Errors
    ///
    /// [`StoreError`] for the first invalid line. There is no partial result.
    pub fn parse(text: &str) -> Result<Self, StoreError> {
        let mut store = Self::new();
        let mut is_ended = false;
        let mut number = 0usize;
        for line in text.split_inclusive('\n') {
            number = number.saturating_add(1);
            let in_this_line = |kind| StoreError { line: number, kind };
            if number == 1 {
                check_header(line).map_err(in_this_line)?;
            } else if is_ended {
                let kind = StoreErrorKind::BadLine("text after the last line".into());
                return Err(in_this_line(kind));
            } else {
                is_ended = store.read_line(line).map_err(in_this_line)?;
            }
        }
        if is_ended {
            Ok(store)
        } else {
            Err(StoreError {
                line: number.saturating_add(1),
                kind: StoreErrorKind::Cut,
            })
        }
    }

    /// Writes the store as text for [`parse`](Self::parse).
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::from(HEADER);
        text.push('\n');
        for user in self.iter() {
            write_user(&mut text, user);
        }
        // Writing to a string cannot fail.
        let _ = writeln!(text, r#"{{"end":{}}}"#, self.len());
        text
    }

    /// Parses a line after the first. Returns true if it was the last line.
    fn read_line(&mut self, line: &str) -> Result<bool, StoreErrorKind> {
        if !line.ends_with('\n') {
            return Err(StoreErrorKind::Cut);
        }
        if let Ok(LastLine { end }) = read_object(line) {
            let is_whole = u64::try_from(self.len()) == Ok(end);
            return if is_whole {
                Ok(true)
            } else {
                Err(StoreErrorKind::Cut)
            };
        }
        let user = read_object::<UserLine>(line)
            .map_err(StoreErrorKind::BadLine)?
            .into_user()?;
        let login = user.login.clone();
        self.add(user).map_err(|error| match error {
            StoreOpError::AlreadyThere => StoreErrorKind::DuplicateLogin(login),
            StoreOpError::AddressTaken(address) => StoreErrorKind::DuplicateAddress(address),
            StoreOpError::NoSessions | StoreOpError::NoSuchUser => {
                StoreErrorKind::BadLine(alloc::format!("{error}"))
            }
        })?;
        Ok(false)
    }
}

fn check_header(line: &str) -> Result<(), StoreErrorKind> {
    if !line.ends_with('\n') {
        let is_cut = HEADER.starts_with(line);
        return Err(if is_cut {
            StoreErrorKind::Cut
        } else {
            StoreErrorKind::NotAStore
        });
    }
    match read_object::<Header>(line) {
        Ok(header) if header.sandhog != "users" => Err(StoreErrorKind::NotAStore),
        Ok(header) if header.version != VERSION => Err(StoreErrorKind::UnsupportedVersion(header.version)),
        Ok(_) => Ok(()),
        Err(_) => Err(StoreErrorKind::NotAStore),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LastLine {
    end: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserLine {
    login: String,
    record: String,
    suite: u64,
    disabled: bool,
    expires: Option<u64>,
    address4: Option<Ipv4Addr>,
    address6: Option<Ipv6Addr>,
    max_sessions: u16,
}

impl UserLine {
    fn into_user(self) -> Result<User, StoreErrorKind> {
        let login = Login::new(&self.login).map_err(StoreErrorKind::BadLogin)?;
        let suite = [Suite::Laboratory, Suite::Standard]
            .into_iter()
            .find(|suite| u64::from(suite.byte()) == self.suite)
            .ok_or(StoreErrorKind::BadSuite(self.suite))?;
        let record = BASE64.decode(&self.record).ok();
        let Some(record) = record.and_then(|bytes| Record::from_bytes(&bytes).ok()) else {
            return Err(StoreErrorKind::BadRecord(login));
        };
        Ok(User {
            login,
            record,
            suite,
            disabled: self.disabled,
            expires: self.expires,
            address4: self.address4,
            address6: self.address6,
            max_sessions: self.max_sessions,
        })
    }
}

/// Appends the line of a user. Nothing needs an escape: user names, base64, numbers and addresses contain
/// neither quotes nor backslashes.
fn write_user(text: &mut String, user: &User) {
    let record = BASE64.encode(user.record.to_bytes());
    let (login, suite, disabled) = (&user.login, user.suite.byte(), user.disabled);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        r#"{{"login":"{login}","record":"{record}","suite":{suite},"disabled":{disabled}"#
    );
    if let Some(expires) = user.expires {
        let _ = write!(text, r#","expires":{expires}"#);
    }
    if let Some(address) = user.address4 {
        let _ = write!(text, r#","address4":"{address}""#);
    }
    if let Some(address) = user.address6 {
        let _ = write!(text, r#","address6":"{address}""#);
    }
    let _ = writeln!(text, r#","max_sessions":{}}}"#, user.max_sessions);
}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::string::ToString;
    use alloc::vec::Vec;

    use super::super::tests::samples::{record, store, user};
    use super::*;

    /// A line with the keys and values of `kean`, with some values replaced: `("suite", "7")`. An empty value
    /// removes the key.
    fn line_with(changes: &[(&str, &str)]) -> String {
        let record = format!("{:?}", BASE64.encode(record(0).to_bytes()));
        let mut pairs = Vec::from([
            ("login", r#""kean""#),
            ("record", &record),
            ("suite", "0"),
            ("disabled", "false"),
            ("max_sessions", "1"),
        ]);
        for (key, value) in changes {
            match pairs.iter_mut().find(|(name, _)| name == key) {
                Some(pair) => pair.1 = value,
                None => pairs.push((key, value)),
            }
        }
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<_> = pairs.map(|(key, value)| format!("{key:?}:{value}")).collect();
        format!("{{{}}}", pairs.join(","))
    }

    fn text_of(lines: &[&str]) -> String {
        format!("{HEADER}\n{}\n{{\"end\":{}}}\n", lines.join("\n"), lines.len())
    }

    #[track_caller]
    fn check(text: &str, line: usize, kind: StoreErrorKind) {
        let error = UserStore::parse(text).unwrap_err();
        assert_eq!(error, StoreError { line, kind });
        assert!(
            error.to_string().starts_with(&format!("line {line}: ")),
            "{error}"
        );
    }

    /// Checks that the line is rejected and that the message contains `names`.
    #[track_caller]
    fn check_bad_line(line: &str, names: &str) {
        let good = line_with(&[("login", r#""alice""#)]);
        let error = UserStore::parse(&text_of(&[&good, line])).unwrap_err();
        assert_eq!(error.line, 3, "{error}");
        assert!(matches!(error.kind, StoreErrorKind::BadLine(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains(names), "{text:?} does not contain {names:?}");
        assert_eq!(text.matches("line ").count(), 2, "two line numbers: {text}");
    }

    #[test]
    fn a_store_is_written_as_documented() {
        let mut users = UserStore::new();
        assert_eq!(
            users.to_text(),
            "{\"sandhog\":\"users\",\"version\":1}\n{\"end\":0}\n"
        );
        let kean = User {
            expires: Some(1_800_000_000),
            address4: Some([10, 9, 0, 7].into()),
            address6: Some("fd00::7".parse().unwrap()),
            ..user("kean")
        };
        users.add(kean).unwrap();
        users.add(user("alice")).unwrap();
        let record = BASE64.encode(record(0).to_bytes());
        let alice =
            format!(r#"{{"login":"alice","record":"{record}","suite":0,"disabled":false,"max_sessions":1}}"#);
        let kean = format!(
            r#"{{"login":"kean","record":"{record}","suite":0,"disabled":false,"expires":1800000000,"address4":"10.9.0.7","address6":"fd00::7","max_sessions":1}}"#
        );
        assert_eq!(users.to_text(), text_of(&[&alice, &kean]));
    }

    #[test]
    fn a_written_store_is_read_back() {
        let text = store().to_text();
        let again = UserStore::parse(&text).unwrap();
        assert_eq!(again.to_text(), text);
        assert_eq!(format!("{again:?}"), format!("{:?}", store()));
        for (read, written) in again.iter().zip(store().iter()) {
            assert_eq!(read.record.to_bytes(), written.record.to_bytes());
        }
        assert!(UserStore::parse(&UserStore::new().to_text()).unwrap().is_empty());
    }

    #[test]
    fn a_hand_edited_store_is_read_in_any_order_and_with_any_line_ends() {
        let kean = line_with(&[("expires", "null"), ("address4", r#""10.9.0.7""#)]);
        let alice = line_with(&[("login", r#""alice""#)]);
        let text = text_of(&[&kean, &alice])
            .replace(',', " , ")
            .replace('\n', "\r\n");
        let store = UserStore::parse(&text).unwrap();
        let names: Vec<_> = store.iter().map(|user| user.login.as_str()).collect();
        assert_eq!(names, ["alice", "kean"]);
    }

    #[test]
    fn a_store_cut_at_any_byte_is_refused() {
        let text = store().to_text();
        for len in 0..text.len() {
            let cut = &text[..len];
            let line = cut.lines().count() + usize::from(cut.is_empty() || cut.ends_with('\n'));
            check(cut, line, StoreErrorKind::Cut);
        }
    }

    #[test]
    fn a_store_that_has_lost_a_line_is_refused() {
        let text = store().to_text();
        let lines: Vec<_> = text.split_inclusive('\n').collect();
        for lost in 1..=3 {
            let mut rest = lines.clone();
            rest.remove(lost);
            check(&rest.concat(), 4, StoreErrorKind::Cut);
        }
        check(&lines[..4].concat(), 5, StoreErrorKind::Cut);
        check(&lines[1..].concat(), 1, StoreErrorKind::NotAStore);
    }

    #[test]
    fn other_files_are_rejected() {
        for first in [
            "",
            "[]",
            r#"["users",1]"#,
            r#"{"sandhog":"server-setup","version":1}"#,
            r#"{"sandhog":"users"}"#,
            r#"{"sandhog":"users","version":-1}"#,
            r#"{"sandhog":"users","version":1}}"#,
            r#"{"sandhog":"users","version":1,"version":1}"#,
            "root:x:0:0:root:/root:/bin/bash",
        ] {
            check(&format!("{first}\n"), 1, StoreErrorKind::NotAStore);
        }
        check("no line feed", 1, StoreErrorKind::NotAStore);
    }

    #[test]
    fn an_unsupported_version_is_reported_even_if_the_header_has_more_keys() {
        for header in [
            r#"{"sandhog":"users","version":2}"#,
            r#"{"sandhog":"users","hash":"x","version":2}"#,
        ] {
            check(
                &format!("{header}\nwhatever\n"),
                1,
                StoreErrorKind::UnsupportedVersion(2),
            );
        }
    }

    #[test]
    fn an_invalid_line_is_rejected_and_the_error_names_the_key() {
        check_bad_line("", "not a JSON object");
        check_bad_line("kean", "not a JSON object");
        check_bad_line(r#"["kean","",0,false,null,null,null,1]"#, "not a JSON object");
        check_bad_line("{", "EOF");
        check_bad_line(&format!("{}x", line_with(&[])), "trailing");
        check_bad_line(&line_with(&[("groups", "[]")]), "`groups`");
        for key in ["login", "record", "suite", "disabled", "max_sessions"] {
            check_bad_line(&line_with(&[(key, "")]), &format!("`{key}`"));
        }
        let twice = line_with(&[]).replace('}', r#","suite":0}"#);
        check_bad_line(&twice, "duplicate field `suite`");
        check_bad_line(r#"{"end":2,"login":"kean"}"#, "`end`");
    }

    #[test]
    fn an_invalid_value_is_rejected() {
        check_bad_line(
            &line_with(&[("max_sessions", "0")]),
            "max_sessions must be at least 1",
        );
        check_bad_line(&line_with(&[("max_sessions", "65536")]), "65536");
        check_bad_line(&line_with(&[("expires", "-1")]), "-1");
        check_bad_line(&line_with(&[("expires", "1.5")]), "1.5");
        check_bad_line(&line_with(&[("disabled", "0")]), "0");
        check_bad_line(&line_with(&[("address4", r#""10.9.0.256""#)]), "IPv4");
        check_bad_line(&line_with(&[("address6", r#""10.9.0.7""#)]), "IPv6");
    }

    #[test]
    fn nothing_may_follow_the_last_line() {
        for more in ["\n", "{\"end\":3}\n", "x"] {
            let error = UserStore::parse(&(store().to_text() + more)).unwrap_err();
            assert_eq!(error.line, 6);
            assert!(matches!(error.kind, StoreErrorKind::BadLine(_)), "{error}");
        }
    }

    #[test]
    fn a_bad_login_is_refused() {
        let text = text_of(&[&line_with(&[("login", r#""Kean""#)])]);
        check(&text, 2, StoreErrorKind::BadLogin(LoginError::Character('K')));
        let text = text_of(&[&line_with(&[("login", r#""""#)])]);
        check(&text, 2, StoreErrorKind::BadLogin(LoginError::Length(0)));
    }

    #[test]
    fn two_users_with_the_same_name_are_rejected() {
        let other = line_with(&[("disabled", "true")]);
        let kean = Login::new("kean").unwrap();
        check(
            &text_of(&[&line_with(&[]), &other]),
            3,
            StoreErrorKind::DuplicateLogin(kean),
        );
    }

    #[test]
    fn two_users_with_the_same_address_are_rejected() {
        for (key, address) in [("address4", "10.9.0.7"), ("address6", "fd00::7")] {
            let quoted = format!("{address:?}");
            let kean = line_with(&[(key, &quoted)]);
            let alice = line_with(&[("login", r#""alice""#), (key, &quoted)]);
            let kind = StoreErrorKind::DuplicateAddress(address.parse().unwrap());
            check(&text_of(&[&kean, &alice]), 3, kind);
        }
    }

    #[test]
    fn a_damaged_record_is_refused_when_the_store_is_loaded() {
        let good = record(0).to_bytes();
        let zeros = [0u8; 192];
        for bad in [
            BASE64.encode(zeros),
            BASE64.encode(&good[..191]),
            BASE64.encode([&good[..], &[0]].concat()),
            BASE64.encode(good).replace(|_: char| true, "!"),
            format!("{}=", BASE64.encode(good)),
            String::new(),
        ] {
            let kind = StoreErrorKind::BadRecord(Login::new("kean").unwrap());
            check(
                &text_of(&[&line_with(&[("record", &format!("{bad:?}"))])]),
                2,
                kind,
            );
        }
    }

    #[test]
    fn an_unknown_suite_is_rejected() {
        for suite in [2, 256, u64::MAX] {
            let text = text_of(&[&line_with(&[("suite", &suite.to_string())])]);
            check(&text, 2, StoreErrorKind::BadSuite(suite));
        }
    }
}
