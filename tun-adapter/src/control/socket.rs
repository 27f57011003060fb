//! Server side of the control socket: accessible only by the owner, limited connections, one short line each.

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

use super::handle::Handle;
use super::{Reply, RequestLine, socket_name};
use crate::config::DeviceName;
use crate::connections;
use crate::failure::{Exit, Failure};

/// Largest request that is read, in bytes.
const MAX_REQUEST: u64 = 1024;
/// Maximum number of concurrent connections. Others wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 8;
/// Timeout for a connection to send its request, and to receive its reply.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(5);
/// Timeout for the tunnel to reply. Reading the users may have to wait for a lock.
const REPLY_TIMEOUT: Duration = Duration::from_secs(30);

/// The control socket of a running tunnel. Dropping it removes the file.
#[derive(Debug)]
pub(super) struct Socket {
    path: PathBuf,
    task: JoinHandle<()>,
}

/// An error that prevents a control socket.
#[derive(Debug)]
pub(super) enum OpenError {
    /// A running tunnel, or another file, has this path.
    InUse(PathBuf),
    /// The socket cannot be created.
    Io(PathBuf, io::Error),
}

impl Socket {
    /// Creates the socket and accepts connections. A stale socket of a tunnel that no longer runs is
    /// replaced.
    pub(super) fn open(folder: &Path, device: &DeviceName, handle: Handle) -> Result<Self, OpenError> {
        let path = folder.join(socket_name(device.as_str()));
        let io_error = |error| OpenError::Io(path.clone(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(folder)
            .map_err(io_error)?;
        remove_stale(&path)?;
        let listener = bind(&path).map_err(|error| match error.kind() {
            // Another process has bound it since `remove_stale`.
            io::ErrorKind::AddrInUse => OpenError::InUse(path.clone()),
            _ => io_error(error),
        })?;
        let task = tokio::spawn(serve(listener, handle));
        Ok(Self { path, task })
    }
}

/// Binds the socket and restricts its mode before it listens, so that no other user can connect in between.
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

/// Removes a socket without a listener. Any other file is left unchanged.
fn remove_stale(path: &Path) -> Result<(), OpenError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let is_stale = metadata.file_type().is_socket()
        && matches!(net::UnixStream::connect(path), Err(error) if error.kind() == io::ErrorKind::ConnectionRefused);
    if !is_stale {
        return Err(OpenError::InUse(path.to_owned()));
    }
    fs::remove_file(path).map_err(|error| OpenError::Io(path.to_owned(), error))
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
        // The file may already have been removed.
        let _ = fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, handle: Handle) {
    let accept = |context: &mut Context<'_>| listener.poll_accept(context).map_ok(|(stream, _)| stream);
    connections::serve("control socket", MAX_CONNECTIONS, accept, |stream| {
        let handle = handle.clone();
        async move { handle_connection(stream, &handle).await }
    })
    .await;
}

/// Reads one request, sends its reply and closes the connection.
async fn handle_connection(stream: UnixStream, handle: &Handle) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut text = String::new();
    let mut limited = BufReader::new(read.take(MAX_REQUEST));
    timeout(CONNECTION_TIMEOUT, limited.read_line(&mut text)).await??;
    let reply = match serde_json::from_str::<RequestLine>(&text) {
        Ok(RequestLine { request }) => timeout(REPLY_TIMEOUT, handle.send(request)).await?,
        Err(error) => Some(Reply::Refused {
            error: format!("invalid request: {error}"),
            exit: Exit::Input as u8,
        }),
    };
    let Some(reply) = reply else {
        return Ok(());
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    timeout(CONNECTION_TIMEOUT, write.write_all(&text)).await?
}

impl OpenError {
    pub(super) const fn is_in_use(&self) -> bool {
        matches!(self, Self::InUse(_))
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "{} is in use", path.display()),
            Self::Io(path, error) => write!(f, "cannot create {}: {error}", path.display()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        Self::runtime("open the control socket", error).with_help(
            "a running tunnel may have a device of this name: `sandhog status` shows it. Choose another `name` under \
             [device]. For a tunnel in another network namespace, set the environment variable RUNTIME_DIRECTORY to \
             another folder",
        )
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;

    use tokio::sync::mpsc;

    use super::*;
    use crate::control::Request;
    use crate::control::handle::PendingRequest;

    /// Opens a socket that replies to each reload with three users.
    fn open(folder: &Path) -> Result<Socket, OpenError> {
        let (sender, mut requests) = mpsc::channel::<PendingRequest>(1);
        tokio::spawn(async move {
            while let Some(pending) = requests.recv().await {
                pending.reply_with(|request| match request {
                    Request::Reload => Reply::Reloaded { users: 3 },
                    Request::Status | Request::Forget => panic!("unexpected request"),
                });
            }
        });
        Socket::open(folder, &DeviceName::default(), Handle::new(sender))
    }

    /// Sends text from another thread and returns the reply.
    async fn send(folder: &Path, text: &'static [u8]) -> String {
        let path = folder.join("sandhog0.sock");
        let exchange = move || {
            let mut stream = net::UnixStream::connect(path).expect("a listener");
            // The server may close before it has read everything.
            let _ = stream.write_all(text);
            let mut reply = String::new();
            let _ = stream.read_to_string(&mut reply);
            reply
        };
        tokio::task::spawn_blocking(exchange).await.expect("no panic")
    }

    #[tokio::test]
    async fn a_request_line_gets_one_reply_line() {
        let folder = tempfile::tempdir().expect("a folder");
        let _socket = open(folder.path()).expect("a free name");
        let reply = send(folder.path(), b"{\"request\":\"reload\"}\n").await;
        assert_eq!(reply, "{\"reloaded\":{\"users\":3}}\n");
    }

    #[tokio::test]
    async fn invalid_requests_are_refused_and_later_requests_succeed() {
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
            let reply = send(folder.path(), line).await;
            let is_refused = reply.starts_with("{\"refused\":{\"error\":\"invalid request: ")
                && reply.ends_with("\"exit\":2}}\n");
            // Invalid UTF-8 gets no reply. A client that is still sending may not receive it.
            assert!(is_refused || reply.is_empty(), "{reply}");
        }
        let reply = send(folder.path(), b"{\"request\":\"reload\"}\n").await;
        assert_eq!(reply, "{\"reloaded\":{\"users\":3}}\n");
    }

    #[tokio::test]
    async fn the_socket_is_only_for_its_owner_and_is_removed_with_the_tunnel() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sandhog0.sock");
        let socket = open(folder.path()).expect("a free name");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        drop(socket);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn the_socket_of_a_running_tunnel_is_kept_and_a_stale_one_is_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let first = open(folder.path()).expect("a free name");
        assert!(open(folder.path()).is_err_and(|error| error.is_in_use()));
        // A killed process leaves the file without a listener.
        first.task.abort();
        std::mem::forget(first);
        while net::UnixStream::connect(folder.path().join("sandhog0.sock")).is_ok() {
            tokio::task::yield_now().await;
        }
        open(folder.path()).expect("a free name again");
    }

    #[tokio::test]
    async fn a_file_that_is_not_a_socket_is_left_unchanged() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("sandhog0.sock");
        fs::write(&path, "mine").expect("our folder");
        assert!(open(folder.path()).is_err_and(|error| error.is_in_use()));
        assert_eq!(fs::read_to_string(&path).expect("our file"), "mine");
    }
}
