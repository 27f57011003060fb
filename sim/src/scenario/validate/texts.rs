//! Validation of texts that reports show: no control characters, which a terminal would obey.

use super::{Checked, PathPart, mistake};
use crate::plain_text::is_control;
use crate::scenario::Scenario;

pub(super) fn validate(scenario: &Scenario) -> Checked<'_> {
    let title = [PathPart::Key("title")];
    check(&scenario.title, &title, "")?;
    check(&scenario.about, &[PathPart::Key("about")], "\r\n\t")?;
    for (index, server) in scenario.servers.iter().enumerate() {
        let table = [PathPart::Key("server"), PathPart::Index(index)];
        for (number, user) in server.users.iter().enumerate() {
            let keys = [
                PathPart::Key("user"),
                PathPart::Index(number),
                PathPart::Key("login"),
            ];
            check(&user.login, &[&table[..], &keys].concat(), "")?;
        }
        for (number, file) in server.serve.files.iter().enumerate() {
            let keys = [
                PathPart::Key("serve"),
                PathPart::Key("files"),
                PathPart::Index(number),
            ];
            check(file, &[&table[..], &keys].concat(), "")?;
        }
    }
    for (index, client) in scenario.clients.iter().enumerate() {
        for (key, text) in [("login", &client.login), ("password", &client.password)] {
            let path = [
                PathPart::Key("client"),
                PathPart::Index(index),
                PathPart::Key(key),
            ];
            check(text, &path, "")?;
        }
    }
    Ok(())
}

/// Checks that `text` has no control characters except `allowed` ones.
fn check<'a>(text: &str, path: &[PathPart<'a>], allowed: &str) -> Checked<'a> {
    let found = text.chars().find(|c| is_control(*c) && !allowed.contains(*c));
    match found {
        Some(c) => Err(mistake(
            path,
            format!(
                "the control character U+{:04X} is not allowed, because terminals obey it; remove it",
                u32::from(c)
            ),
        )),
        None => Ok(()),
    }
}
