//! A terminal with somebody at it, who types a line and answers when a password is asked for.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::machine::Machine;

/// The password that is given wherever one is asked for.
const PASSWORD: &str = "correct horse battery staple";
/// How a question for it begins; it ends with a colon and a blank.
const QUESTIONS: [&str; 2] = ["Password", "Repeat password"];
/// Longest that anything may take that does not stay.
const PATIENCE: Duration = Duration::from_secs(60);

/// A line that was typed, and what has come of it.
pub(super) struct Terminal {
    child: Child,
    screen: Arc<Screen>,
}

/// What stands on the screen, and whether nothing more will come.
#[derive(Default)]
struct Screen {
    content: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Terminal {
    /// Types `line` on a machine.
    ///
    /// # Errors
    /// There is no `script`, which makes the terminal.
    pub(super) fn type_line(machine: &Machine, line: &str) -> Result<Self> {
        let mut child = machine
            .command(
                "script",
                &["--quiet", "--return", "--flush", "--command", line, "/dev/null"],
            )
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start a terminal")?;
        let screen = Arc::new(Screen::default());
        let (keyboard, output) = (child.stdin.take(), child.stdout.take());
        let (keyboard, output) = keyboard.zip(output).context("a pipe")?;
        let watched = Arc::clone(&screen);
        thread::spawn(move || watched.watch(output, keyboard));
        Ok(Self { child, screen })
    }

    /// Waits until `text` stands on the screen.
    ///
    /// # Errors
    /// The command has ended without it, or nothing comes.
    pub(super) fn wait_for(&self, text: &str) -> Result<()> {
        let (shown, is_over) = self.screen.wait_until(|shown| shown.contains(text));
        if shown.contains(text) {
            return Ok(());
        }
        let why = if is_over {
            "it has ended before"
        } else {
            "nothing more comes"
        };
        bail!("waiting for `{text}`: {why}; it says:\n{shown}")
    }

    /// Waits for the end, and gives it with all that was printed.
    ///
    /// # Errors
    /// It does not end.
    pub(super) fn wait(mut self) -> Result<(ExitStatus, String)> {
        let (shown, is_over) = self.screen.wait_until(|_| false);
        if !is_over {
            bail!("it does not end; it says:\n{shown}");
        }
        Ok((self.child.wait()?, shown))
    }
}

impl Screen {
    /// Takes what is printed until the end, and answers questions.
    fn watch(&self, mut output: ChildStdout, mut keyboard: ChildStdin) {
        let mut buffer = [0; 4096];
        loop {
            let len = output.read(&mut buffer).unwrap_or_default();
            let mut content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
            content.0.push_str(&String::from_utf8_lossy(&buffer[..len]));
            content.1 = len == 0;
            self.changed.notify_all();
            if len == 0 {
                return;
            }
            if asks_for_password(&content.0) {
                // Who does not listen has ended, which the next read tells.
                let _ = writeln!(keyboard, "{PASSWORD}");
            }
        }
    }

    /// Waits until the content is as wanted, nothing more can come, or the time is over; gives what there is then.
    fn wait_until(&self, is_wanted: impl Fn(&str) -> bool) -> (String, bool) {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |(shown, is_over): &mut (String, bool)| !*is_over && !is_wanted(shown);
        let woken = self.changed.wait_timeout_while(content, PATIENCE, waits);
        woken.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Whether a question stands in the last line. After the answer, the line is another one.
fn asks_for_password(shown: &str) -> bool {
    let last = shown.rsplit('\n').next().unwrap_or_default();
    QUESTIONS.iter().any(|question| last.starts_with(question)) && last.ends_with(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_the_last_line_and_stands_there_whole() {
        assert!(asks_for_password(
            "log\r\nPassword of kean at vpn.example.com:40404: "
        ));
        assert!(asks_for_password("Password: \r\nRepeat password: "));
        assert!(!asks_for_password("Password of kean at vpn.example.com:"));
        assert!(!asks_for_password("Password: \r\n"));
    }
}
