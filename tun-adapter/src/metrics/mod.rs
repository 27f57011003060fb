//! Metrics for Prometheus: a small HTTP server that asks the tunnel how it is, as `sandhog status` does, and writes that
//! down in the text format.
//!
//! The loop that carries packets answers by itself, so a scrape that succeeds shows that it turns. `http` reads requests and
//! writes answers, `families` says which metrics there are, `page` how they are written.
//!
//! The head of a request is parsed by httparse and the rest is here: one page and one request for each connection need no
//! more of HTTP, and nothing but the listener stays between two scrapes.

mod families;
mod http;
mod page;

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
use crate::control::desk::Line;
use crate::control::{Answer, Question};
use crate::failure::Failure;
use crate::{clock, connections};
use http::{Asked, Refusal};
use page::Page;

/// Most connections at a time; others wait in the kernel.
const CONNECTIONS: usize = 4;
/// Most connections that wait there.
const BACKLOG: u32 = 16;
/// How long, and for how many bytes, is listened to who still talks after the answer. To close at once would take the answer
/// from them.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 1 << 16);

/// Gives out the metrics of one tunnel until it is dropped.
#[derive(Debug)]
pub(crate) struct Exporter(JoinHandle<()>);

/// How long is waited for others.
#[derive(Clone, Copy, Debug)]
struct Patience {
    /// For a connection, to send its request, and to take the answer.
    connection: Duration,
    /// For the tunnel, to answer: less than Prometheus waits, so that it hears why.
    tunnel: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(5),
            tunnel: Duration::from_secs(5),
        }
    }
}

/// What every connection needs.
#[derive(Debug)]
struct Counter {
    line: Line,
    patience: Patience,
    login_names: bool,
    /// Since when the tunnel runs, in seconds of Unix time.
    started: u64,
}

impl Exporter {
    /// Listens where the configuration says, and has every scrape answered over `line`.
    ///
    /// # Errors
    ///
    /// When the address cannot be had.
    pub(crate) fn open(config: &Metrics, line: Line) -> Result<Self, Failure> {
        Self::open_with(config, line, Patience::default())
    }

    fn open_with(config: &Metrics, line: Line, patience: Patience) -> Result<Self, Failure> {
        let (listener, address) = bind(config.listen).map_err(|error| explain_bind(config.listen, &error))?;
        info!(event = "metrics", listen = %address, "metrics: http://{address}{}", http::PATH);
        let counter = Counter {
            line,
            patience,
            login_names: config.login_names,
            started: clock::unix_now(),
        };
        Ok(Self(tokio::spawn(serve(listener, counter.into()))))
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Listens, and gives the address that has come of it.
fn bind(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A new start need not wait for the connections of the old one.
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
            "another program has this port; `ss -ltnp 'sport = :{}'` tells which. End it, or choose another `listen` under \
             [metrics]",
            address.port()
        )),
        io::ErrorKind::AddrNotAvailable => failure.with_help(
            "this machine does not have that address, or does not have it yet: the tunnel's own come later. 127.0.0.1 and \
             [::1] are always there",
        ),
        io::ErrorKind::PermissionDenied => {
            failure.with_help("ports below 1024 need root or CAP_NET_BIND_SERVICE")
        }
        _ => failure,
    }
}

async fn serve(listener: TcpListener, counter: Arc<Counter>) {
    let accept = |context: &mut Context<'_>| listener.poll_accept(context).map_ok(|(stream, _)| stream);
    connections::serve("metrics", CONNECTIONS, accept, |stream| {
        let counter = Arc::clone(&counter);
        async move { attend(stream, &counter).await }
    })
    .await;
}

/// One connection: a request, its answer, the end.
async fn attend(mut stream: TcpStream, counter: &Counter) -> io::Result<()> {
    let asked = match timeout(counter.patience.connection, receive(&mut stream)).await {
        Ok(Ok(Some(asked))) => asked,
        // Who goes away in the middle wants no answer.
        Ok(Ok(None)) => return Ok(()),
        Ok(Err(error)) => return Err(error),
        Err(_) => Asked::refused(Refusal::TooSlow),
    };
    let answer = match asked.page {
        Ok(()) => counter.page().await,
        Err(refusal) => Err(refusal),
    };
    let bytes = http::answer(&answer, asked.wants_body);
    timeout(counter.patience.connection, stream.write_all(&bytes)).await??;
    stream.shutdown().await?;
    let mut rest = stream.take(LINGER.1 as u64);
    let mut nowhere = tokio::io::sink();
    // The answer is out; what the other side does with it is its own affair.
    let _ = timeout(LINGER.0, tokio::io::copy(&mut rest, &mut nowhere)).await;
    Ok(())
}

/// Reads a request up to the end of its head; `None` if the other side closes before.
async fn receive(stream: &mut TcpStream) -> io::Result<Option<Asked>> {
    let (mut head, mut room) = (Vec::new(), [0; 1024]);
    loop {
        let len = stream.read(&mut room).await?;
        let Some(more) = room.get(..len).filter(|more| !more.is_empty()) else {
            return Ok(None);
        };
        head.extend_from_slice(more);
        // Only the end of a line can be that of the head.
        if more.contains(&b'\n')
            && let Some(asked) = http::understand(&head)
        {
            return Ok(Some(asked));
        }
        if head.len() > http::LONGEST_HEAD {
            return Ok(Some(Asked::refused(Refusal::TooLong)));
        }
    }
}

impl Counter {
    /// Asks the tunnel and writes down what it says.
    async fn page(&self) -> Result<String, Refusal> {
        match timeout(self.patience.tunnel, self.line.ask(Question::Status)).await {
            Ok(Some(Answer::Status(status))) => Ok(Page {
                status: &status,
                started: self.started,
                login_names: self.login_names,
            }
            .to_string()),
            Ok(_) | Err(_) => Err(Refusal::Hangs),
        }
    }
}

#[cfg(test)]
mod tests;
