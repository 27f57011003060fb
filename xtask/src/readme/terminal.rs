//! Pseudo-terminal in which a line is typed and password prompts are answered.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use super::machine::Machine;

/// The answer to every password prompt.
const PASSWORD: &str = "correct horse battery staple";
/// Beginnings of the password prompts. They end with a colon and a blank.
const PROMPTS: [&str; 2] = ["Password", "Repeat password"];
/// Timeout of a command that does not go on running.
const TIMEOUT: Duration = Duration::from_secs(60);

/// A typed line, and its output.
pub(super) struct Terminal {
    child: Child,
    screen: Arc<Screen>,
}

/// Output so far, and true if it has ended.
#[derive(Default)]
struct Screen {
    content: Mutex<(String, bool)>,
    changed: Condvar,
}

impl Terminal {
    /// Types `line` on a machine.
    ///
    /// # Errors
    /// The program `script`, which creates the terminal, cannot be started.
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
        let (keyboard, output) = keyboard.zip(output).context("the terminal has no pipes")?;
        let watched = Arc::clone(&screen);
        thread::spawn(move || watched.watch(output, keyboard));
        Ok(Self { child, screen })
    }

    /// Waits for `text` in the output.
    ///
    /// # Errors
    /// The command has ended without it, or the timeout has expired.
    pub(super) fn wait_for(&self, text: &str) -> Result<()> {
        let (shown, is_over) = self.screen.wait_until(|shown| shown.contains(text));
        if shown.contains(text) {
            return Ok(());
        }
        let why = if is_over {
            "the command has ended without it"
        } else {
            "timeout"
        };
        bail!("waiting for `{text}`: {why}. The output:\n{shown}")
    }

    /// Waits for the end of the command. Returns its exit status and its output.
    ///
    /// # Errors
    /// The timeout has expired.
    pub(super) fn wait(mut self) -> Result<(ExitStatus, String)> {
        let (shown, is_over) = self.screen.wait_until(|_| false);
        if !is_over {
            bail!("the command does not end. Its output:\n{shown}");
        }
        Ok((self.child.wait()?, shown))
    }
}

impl Screen {
    /// Reads the output to its end, and answers password prompts.
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
                // If the program has ended, the write fails, and the next read finds the end.
                let _ = writeln!(keyboard, "{PASSWORD}");
            }
        }
    }

    /// Waits until the output is as wanted or has ended, or until the timeout. Returns the output at that time.
    fn wait_until(&self, is_wanted: impl Fn(&str) -> bool) -> (String, bool) {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = |(shown, is_over): &mut (String, bool)| !*is_over && !is_wanted(shown);
        let woken = self.changed.wait_timeout_while(content, TIMEOUT, waits);
        woken.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

/// Returns true if the last line is a password prompt. After the answer, the last line is another one.
fn asks_for_password(shown: &str) -> bool {
    let last = shown.rsplit('\n').next().unwrap_or_default();
    PROMPTS.iter().any(|prompt| last.starts_with(prompt)) && last.ends_with(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_prompt_is_the_whole_last_line() {
        assert!(asks_for_password(
            "log\r\nPassword of kean at vpn.example.com:40404: "
        ));
        assert!(asks_for_password("Password: \r\nRepeat password: "));
        assert!(!asks_for_password("Password of kean at vpn.example.com:"));
        assert!(!asks_for_password("Password: \r\n"));
    }
}
