//! `sandhog doctor`: looks at everything on this machine that a tunnel needs, changes nothing, and says what to do.

mod machine;
mod tunnel;

use std::fmt;
use std::path::Path;

use crate::check::CheckedConfig;
use crate::failure::Failure;

/// How good or bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// As it should be.
    Ok,
    /// A tunnel runs all the same, but something will be missing.
    Warn,
    /// A tunnel cannot run.
    Fail,
}

/// Something that was looked at.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What was looked at: `rights`.
    subject: &'static str,
    /// What was seen.
    text: String,
    /// What to do about it.
    help: Option<String>,
}

impl Finding {
    fn ok(subject: &'static str, text: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            subject,
            text: text.into(),
            help: None,
        }
    }

    fn warn(subject: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            level: Level::Warn,
            subject,
            text: text.into(),
            help: Some(help.into()),
        }
    }

    fn fail(subject: &'static str, text: impl Into<String>, help: impl Into<String>) -> Self {
        Self {
            level: Level::Fail,
            ..Self::warn(subject, text, help)
        }
    }

    /// The same as a failure of the program says it.
    fn from_failure(subject: &'static str, failure: &Failure) -> Self {
        Self {
            level: Level::Fail,
            subject,
            text: failure.message().to_owned(),
            help: failure.help().map(str::to_owned),
        }
    }
}

/// Looks at the machine, and with the file at `config` at what that tunnel needs besides; prints each finding.
///
/// # Errors
///
/// When something fails.
pub async fn run(config: Option<&Path>) -> Result<(), Failure> {
    let mut findings = machine::look();
    if let Some(path) = config {
        match CheckedConfig::load(path) {
            Ok(checked) => {
                findings.push(Finding::ok("configuration", path.display().to_string()));
                findings.extend(tunnel::look(&checked).await);
            }
            Err(failure) => findings.push(Finding::from_failure("configuration", &failure)),
        }
    }
    for finding in &findings {
        println!("{finding}");
    }
    let count = findings
        .iter()
        .filter(|finding| finding.level == Level::Fail)
        .count();
    match count {
        0 => Ok(()),
        1 => Err(Failure::machine("one thing stands in the way of a tunnel")),
        _ => Err(Failure::machine(format!(
            "{count} things stand in the way of a tunnel"
        ))),
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Ok => "ok  ",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        };
        write!(f, "{level}  {}: {}", self.subject, self.text)?;
        match &self.help {
            Some(help) => write!(f, "\n      help: {help}"),
            None => Ok(()),
        }
    }
}
