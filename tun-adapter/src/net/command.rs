//! External programs that change this machine's network: `nft`, `resolvectl` and `resolvconf`.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};
use tracing::debug;

use crate::clock::{self, Timer};
use crate::credentials::PASSWORD_VARIABLE;
use crate::failure::Failure;

/// Timeout for a program. A program normally takes some milliseconds, but may wait for a service that does
/// not respond.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Folders that are not always in PATH.
const EXTRA_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Path of a program. Returns `None` if it is not installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(EXTRA_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a program and returns its standard output. The program must succeed within ten seconds.
///
/// # Errors
///
/// If the program cannot be started, does not end in time, or fails. The message contains its standard error.
pub(crate) async fn run(program: &Path, arguments: &[&str], input: &str) -> Result<String, Failure> {
    let shown = format!("{} {}", program.display(), arguments.join(" "));
    let shown = shown.trim_end();
    debug!("running {shown}");
    let explain = |error: io::Error| Failure::runtime(format_args!("run `{shown}`"), error);
    let child = Command::new(program)
        .args(arguments)
        .env_remove(PASSWORD_VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(explain)?;
    let mut timer = Timer::new().map_err(explain)?;
    timer.arm(clock::now() + TIMEOUT).map_err(explain)?;
    let output = tokio::select! {
        output = communicate(child, input) => output.map_err(explain)?,
        _ = timer.expired() => return Err(explain(io::Error::new(io::ErrorKind::TimedOut, "no result within 10 s"))),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stderr = stderr.trim();
    let why = if stderr.is_empty() {
        output.status.to_string()
    } else {
        stderr.to_owned()
    };
    Err(Failure::runtime(format_args!("run `{shown}`"), why))
}

/// Writes the program's standard input and collects its output.
async fn communicate(mut child: Child, input: &str) -> io::Result<std::process::Output> {
    if let Some(mut pipe) = child.stdin.take() {
        // A program may close the pipe without reading it. Its exit code shows whether it succeeded.
        let _ = pipe.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}
