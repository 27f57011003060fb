//! The command `sandhog doctor`: checks this machine for a tunnel, without changes, and explains how to fix
//! problems.

mod machine;
mod tunnel;

use std::fmt;
use std::path::Path;

use crate::check::CheckedConfig;
use crate::failure::Failure;

/// Severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    /// No problem.
    Ok,
    /// A tunnel can run, but some functions are not available.
    Warn,
    /// A tunnel cannot run.
    Fail,
}

/// The result of one check.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// Subject of the check, for example `privileges`.
    subject: &'static str,
    /// The result.
    text: String,
    /// Advice.
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

    /// A finding with the text of a failure.
    fn from_failure(subject: &'static str, failure: &Failure) -> Self {
        Self {
            level: Level::Fail,
            subject,
            text: failure.message().to_owned(),
            help: failure.help().map(str::to_owned),
        }
    }
}

/// Checks the machine, and with `config` also the tunnel of that configuration file. Prints each finding.
///
/// # Errors
///
/// If a finding has the level `Fail`.
pub async fn run(config: Option<&Path>) -> Result<(), Failure> {
    let mut findings = machine::check().await;
    if let Some(path) = config {
        match CheckedConfig::load(path) {
            Ok(checked) => {
                findings.push(Finding::ok("configuration", path.display().to_string()));
                findings.extend(tunnel::check(&checked).await);
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
        1 => Err(Failure::machine("1 problem prevents a tunnel")),
        _ => Err(Failure::machine(format!("{count} problems prevent a tunnel"))),
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
