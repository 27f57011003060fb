//! The tunnel's end of the control socket: for root alone, a few connections at a time, one short line each.

use std::fmt;
use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::desk::Line;
use super::{Answer, Request, socket_name};
use crate::config::DeviceName;
use crate::connections;
use crate::failure::{Exit, Failure};

/// Longest line that is read, in bytes.
const LONGEST_REQUEST: u64 = 1024;
/// Most connections at a time; others wait in the kernel.
const CONNECTIONS: usize = 8;
/// How long a connection may take to send its line, and to take the answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the tunnel may take to answer: to read users it may have to wait for a lock.
const ANSWER_PATIENCE: Duration = Duration::from_secs(30);

/// The socket of a running tunnel. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// Why there is no socket.
#[derive(Debug)]
pub(super) enum OpenError {
    /// A running tunnel has the name.
    Taken(PathBuf),
    /// There is no place for it.
    NoPlace(PathBuf, io::Error),
}

impl Socket {
    /// Makes the socket and serves it. That of a tunnel that runs no more is replaced.
    pub(super) fn open(folder: &Path, device: &DeviceName, line: Line) -> Result<Self, OpenError> {
        let path = folder.join(socket_name(device.as_str()));
        let no_place = |error| OpenError::NoPlace(path.clone(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(no_place)?;
        remove_stale(&path)?;
        let listener = bind(&path).map_err(|error| match error.kind() {
            // Somebody was quicker.
            io::ErrorKind::AddrInUse => OpenError::Taken(path.clone()),
            _ => no_place(error),
        })?;
        let task = tokio::spawn(serve(listener, line));
        Ok(Self { path, task })
    }
}

/// Binds and closes the file to everybody else before anybody can connect: nobody listens yet.
fn bind(path: &Path) -> io::Result<UnixListener> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::UNIX,
        rustix::net::SocketType::STREAM,
        rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK,
        None,
    )?;
    rustix::net::bind(&socket, &rustix::net::SocketAddrUnix::new(path)?)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))?;
    rustix::net::listen(&socket, 16)?;
    UnixListener::from_std(net::UnixListener::from(socket))
}

/// Removes a socket that nobody listens on. Anything else is left alone.
fn remove_stale(path: &Path) -> Result<(), OpenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_stale = metadata.file_type().is_socket()
        && matches!(net::UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if !is_stale {
        return Err(OpenError::Taken(path.to_owned()));
    }
    fs::remove_file(path).map_err(|error| OpenError::NoPlace(path.to_owned(), error))
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        // Who has removed it before us has done our work.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, line: Line) {
    let accept = |context: &mut Context<'_>| listener.poll_accept(context).map_ok(|(stream, _)| stream);
    connections::serve("control socket", CONNECTIONS, accept, |stream| {
        let line = line.clone();
        async move { attend(stream, &line).await }
    })
    .await;
}

/// One connection: a line, its answer, the end.
async fn attend(stream: UnixStream, line: &Line) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut text = String::new();
    let mut limited = BufReader::new(read.take(LONGEST_REQUEST));
    timeout(PATIENCE, limited.read_line(&mut text)).await??;
    let answer = match serde_json::from_str::<Request>(&text) {
        Ok(Request { request }) => timeout(ANSWER_PATIENCE, line.ask(request)).await?,
        Err(error) => Some(Answer::Refused {
            error: format!("not a request: {error}"),
            exit: Exit::Input as u8,
        }),
    };
    let Some(answer) = answer else {
        return Ok(());
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    timeout(PATIENCE, write.write_all(&text)).await?
}

impl OpenError {
    pub(super) const fn is_taken(&self) -> bool {
        matches!(self, Self::Taken(_))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(path) => write!(f, "{} is in use", path.display()),
            Self::NoPlace(path, error) => write!(f, "cannot make {}: {error}", path.display()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::runtime("open the control socket", error).with_help(
            "a running tunnel has a device of that name; `sandhog status` shows it. Choose another `name` under [device], \
             or, in another network namespace, another folder by the environment variable RUNTIME_DIRECTORY",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use tokio::sync::mpsc;

    use super::*;
    use crate::control::Question;
    use crate::control::desk::Call;

    /// A socket whose questions are all answered by the number of users.
    fn open(folder: &Path) -> Result<Socket, OpenError> {
        let (sender, mut calls) = mpsc::channel::<Call>(1);
        tokio::spawn(async move {
            while let Some(call) = calls.recv().await {
                call.answer_with(|question| match question {
                    Question::Reload => Answer::Reloaded { users: 3 },
                    Question::Status => panic!("nobody asks for that"),
                });
            }
        });
        Socket::open(folder, &DeviceName::default(), Line::new(sender))
    }

    /// Sends text from another thread and gives what comes back.
    async fn say(folder: &Path, text: &'static [u8]) -> String {
        let path = folder.join("sandhog0.sock");
        let talk = move || {
            let mut stream = net::UnixStream::connect(path).expect("somebody listens");
            // Who has heard enough closes.
            let _ = stream.write_all(text);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            answer
        };
        tokio::task::spawn_blocking(talk).await.expect("no panic")
    }

    #[tokio::test]
    async fn one_line_brings_one_line_and_the_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let _socket = open(folder.path()).expect("a free name");
        let answer = say(folder.path(), b"{\"request\":\"reload\"}\n").await;
        assert_eq!(answer, "{\"reloaded\":{\"users\":3}}\n");
    }

    #[tokio::test]
    async fn what_is_no_request_is_refused_and_harms_nobody() {
        let folder = tempfile::tempdir().expect("a folder");
        let _socket = open(folder.path()).expect("a free name");
        let lines: [&'static [u8]; 5] = [
            b"\n",
            b"{\"request\":\"explode\"}\n",
            b"{\"request\":\"reload\",\"now\":1}\n",
            b"\xff\n",
            &[b'['; 100_000],
        ];
        for line in lines {
            let answer = say(folder.path(), line).await;
            let is_refused = answer.starts_with("{\"refused\":{\"error\":\"not a request: ")
                && answer.ends_with("\"exit\":2}}\n");
            // What is no text gets no answer, nor does who still talks when it is closed.
            assert!(is_refused || answer.is_empty(), "{answer}");
        }
        let answer = say(folder.path(), b"{\"request\":\"reload\"}\n").await;
        assert_eq!(answer, "{\"reloaded\":{\"users\":3}}\n");
    }

    #[tokio::test]
    async fn the_socket_is_for_its_owner_alone_and_goes_with_the_tunnel() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sandhog0.sock");
        let socket = open(folder.path()).expect("a free name");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_name_of_a_running_tunnel_is_taken_and_that_of_a_dead_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path()).expect("a free name");
        assert!(open(folder.path()).is_err_and(|error| error.is_taken()));
        // What a killed process leaves: the file, and nobody behind it.
        first.task.abort();
        std::mem::forget(first);
        while net::UnixStream::connect(folder.path().join("sandhog0.sock")).is_ok() {
            tokio::task::yield_now().await;
        }
        open(folder.path()).expect("a free name again");
    }

    #[tokio::test]
    async fn what_is_no_socket_is_left_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sandhog0.sock");
        fs::write(&path, "mine").expect("our folder");
        assert!(open(folder.path()).is_err_and(|error| error.is_taken()));
        assert_eq!(fs::read_to_string(&path).expect("our file"), "mine");
    }
}
