//! Other programs that change this machine's network for us: `nft`, `resolvectl`, `resolvconf`.

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

/// Longest that such a program may take. They answer within some milliseconds; one that waits for a dead service does not.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where programs for administrators are, which are not always in the search path.
const MORE_FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin"];

/// Where the program of this name is, if there is one.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(MORE_FOLDERS.map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

/// Runs a program to its end, which must be a good one within ten seconds, and gives what it has printed.
///
/// # Errors
///
/// When it cannot be started, does not end in time or ends badly; the message has what it said itself.
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
    timer.arm(clock::now() + PATIENCE).map_err(explain)?;
    let output = tokio::select! {
        output = talk(child, input) => output.map_err(explain)?,
        _ = timer.expired() => return Err(explain(io::Error::new(io::ErrorKind::TimedOut, "it does not end"))),
    };
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim();
    let why = if said.is_empty() {
        output.status.to_string()
    } else {
        said.to_owned()
    };
    Err(Failure::runtime(format_args!("run `{shown}`"), why))
}

/// Gives the program its input and takes what it prints.
async fn talk(mut child: Child, input: &str) -> io::Result<std::process::Output> {
    if let Some(mut pipe) = child.stdin.take() {
        // A program that does not read closes the pipe; its exit code tells the rest.
        let _ = pipe.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
}
