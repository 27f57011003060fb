//! Prometheus exporter: a small HTTP server that reports the tunnel's status in Prometheus' text format.
//!
//! The packet loop itself answers each status request, so a successful scrape shows that the loop is running.
//! `http` parses requests and formats responses, `families` lists the metrics, and `page` writes their
//! samples.
//!
//! httparse parses the request head. The rest is here, because one page and one request per connection need
//! little of HTTP. Between two scrapes only the listener exists.

mod families;
mod http;
mod page;

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::info;

use crate::config::Metrics;
use crate::control::handle::Handle;
use crate::control::{Reply, Request};
use crate::failure::Failure;
use crate::{clock, connections};
use families::FAMILIES;
use http::{HttpError, ParsedRequest};
use page::{Page, Samples};

/// Maximum number of concurrent connections. Others wait in the kernel's backlog.
const MAX_CONNECTIONS: usize = 4;
/// Size of the backlog.
const BACKLOG: u32 = 16;
/// Limits in time and bytes for reading on after the response. Closing at once would reset the connection,
/// and a client that is still sending could lose the response.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 16);

/// Serves the metrics of one tunnel until it is dropped.
#[derive(Debug)]
pub(crate) struct Exporter(JoinHandle<()>);

/// Timeouts of the exporter.
#[derive(Clone, Copy, Debug)]
struct Timeouts {
    /// For a connection to send its request, and to receive its response.
    connection: Duration,
    /// For the tunnel to reply. It is shorter than Prometheus' own timeout, so that Prometheus receives the
    /// error.
    tunnel: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(5),
            tunnel: Duration::from_secs(5),
        }
    }
}

/// State shared by all connections.
#[derive(Debug)]
struct Service {
    handle: Handle,
    timeouts: Timeouts,
    login_names: bool,
    /// Start time of the tunnel, in seconds of Unix time.
    started: u64,
}

impl Exporter {
    /// Listens on the configured address. Each scrape sends a status request through `handle`.
    ///
    /// # Errors
    ///
    /// If the address is not available.
    pub(crate) fn open(config: &Metrics, handle: Handle) -> Result<Self, Failure> {
        Self::open_with(config, handle, Timeouts::default())
    }

    fn open_with(config: &Metrics, handle: Handle, timeouts: Timeouts) -> Result<Self, Failure> {
        let (listener, address) = bind(config.listen).map_err(|error| explain_bind(config.listen, &error))?;
        info!(event = "metrics", listen = %address, "metrics: http://{address}{}", http::PATH);
        let service = Service {
            handle,
            timeouts,
            login_names: config.login_names,
            started: clock::unix_now(),
        };
        Ok(Self(tokio::spawn(serve(listener, service.into()))))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Binds a listener. Returns it with its local address.
fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A restart need not wait for connections in TIME-WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    let listener = socket.listen(BACKLOG)?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

fn explain_bind(address: SocketAddr, error: &io::Error) -> Failure {
    let failure = Failure::runtime(format_args!("listen on TCP {address} for metrics"), error);
    match error.kind() {
        io::ErrorKind::AddrInUse => failure.with_help(format!(
            "another program uses this port: `ss -ltnp 'sport = :{}'` shows it. Stop that program, or choose another `listen` \
             under [metrics]",
            address.port()
        )),
        io::ErrorKind::AddrNotAvailable => failure.with_help(
            "this machine does not have that address, or not yet: the tunnel's own addresses are added later. 127.0.0.1 and \
             [::1] are always available",
        ),
        io::ErrorKind::PermissionDenied => {
            failure.with_help("ports below 1024 need root or CAP_NET_BIND_SERVICE")
        }
        _ => failure,
    }
}

async fn serve(listener: TcpListener, service: Arc<Service>) {
    let accept = |context: &mut Context<'_>| listener.poll_accept(context).map_ok(|(stream, _)| stream);
    connections::serve("metrics", MAX_CONNECTIONS, accept, |stream| {
        let service = Arc::clone(&service);
        async move { handle_connection(stream, &service).await }
    })
    .await;
}

/// Reads one request, sends its response and closes the connection.
async fn handle_connection(mut stream: TcpStream, service: &Service) -> io::Result<()> {
    let request = match timeout(service.timeouts.connection, read_request(&mut stream)).await {
        Ok(Ok(Some(request))) => request,
        // The client closed the connection before its request was complete.
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error),
        Err(_) => ParsedRequest::error(HttpError::Timeout),
    };
    let page = match request.page {
        Ok(()) => service.page().await,
        Err(error) => Err(error),
    };
    let bytes = http::response(&page, request.wants_body);
    timeout(service.timeouts.connection, stream.write_all(&bytes)).await??;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER.1 as u64);
    let mut sink = tokio::io::sink();
    // The response is sent. Errors of the connection no longer matter.
    let _ = timeout(LINGER.0, tokio::io::copy(&mut rest, &mut sink)).await;
    Ok(())
}

/// Reads a request up to the end of its head. Returns `None` if the client closes the connection first.
async fn read_request(stream: &mut TcpStream) -> io::Result<Option<ParsedRequest>> {
    let (mut head, mut buffer) = (Vec::new(), [0; 1024]);
    loop {
        let len = stream.read(&mut buffer).await?;
        let Some(new) = buffer.get(..len).filter(|new| !new.is_empty()) else {
            return Ok(None);
        };
        head.extend_from_slice(new);
        // The head can only end at a line feed.
        if new.contains(&b'\n')
            && let Some(request) = http::parse(&head)
        {
            return Ok(Some(request));
        }
        if head.len() > http::MAX_HEAD {
            return Ok(Some(ParsedRequest::error(HttpError::TooLong)));
        }
    }
}

impl Service {
    /// Requests the tunnel's status and formats it.
    async fn page(&self) -> Result<String, HttpError> {
        match timeout(self.timeouts.tunnel, self.handle.send(Request::Status)).await {
            Ok(Some(Reply::Status(status))) => Ok(Page {
                status: &status,
                started: self.started,
                login_names: self.login_names,
            }
            .to_string()),
            Ok(_) | Err(_) => Err(HttpError::NoReply),
        }
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        FAMILIES
            .iter()
            .try_for_each(|family| (family.write)(self, &mut Samples::new(f, family, &self.status.device)))
    }
}

#[cfg(test)]
mod tests;
