//! Tasks of a host, and their state while they run.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::bulk::{Download, Upload};
use crate::client::{Client, Conversation, Ended};
use crate::describe::Description;
use crate::echo::{Echo, Plan};
use crate::event::{EventKind, Summary, TaskError};
use crate::http::check_path;
use crate::http_client::Get;
use crate::options::TcpOptions;
use crate::stack::Stack;

/// A task that a host runs against another host.
///
/// ```
/// use core::time::Duration;
/// use sandhog_netstack::{Config, EventKind, Host, Service, Task};
///
/// # let host = |last| {
/// #     Host::new(Config { addresses: vec![([10, 9, 0, last].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" })
/// # };
/// let (mut alice, mut bob) = (host(2), host(1));
/// bob.serve(Service::UdpEcho { port: 7 });
/// let echo = Task::UdpEcho {
///     to: ([10, 9, 0, 1], 7).into(),
///     count: 3,
///     interval: Duration::ZERO,
///     payload_len: 100,
///     timeout: Duration::from_secs(1),
/// };
/// alice.start(Duration::ZERO, echo);
///
/// // Three datagrams leave at once, and each one comes back.
/// let (now, mut packet) = (Duration::from_millis(20), Vec::new());
/// while alice.poll_packet(&mut packet) {
///     bob.handle_packet(now, &packet);
/// }
/// while bob.poll_packet(&mut packet) {
///     alice.handle_packet(now, &packet);
/// }
/// for seq in 0..3 {
///     assert_eq!(alice.poll_event().unwrap().kind, EventKind::EchoReply { seq, rtt: now });
/// }
/// let EventKind::Done(summary) = alice.poll_event().unwrap().kind else { panic!("the task has ended") };
/// assert_eq!((summary.received, summary.bytes), (3, 300));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// ICMP or ICMPv6 echo requests (RFC 792, RFC 4443). Lost pings are events, not a failure.
    Ping {
        /// The address to ping.
        to: IpAddr,
        /// Number of requests.
        count: u16,
        /// Time from one request to the next.
        interval: Duration,
        /// Number of bytes after the ICMP header. From 16 bytes on, they contain the complete canary.
        payload_len: u16,
        /// Time after which a request without a reply is lost.
        timeout: Duration,
    },
    /// UDP datagrams that [`Service::UdpEcho`](crate::Service::UdpEcho) sends back. Lost datagrams are events, not a
    /// failure.
    UdpEcho {
        /// Address and port of the service.
        to: SocketAddr,
        /// Number of datagrams.
        count: u16,
        /// Time from one datagram to the next.
        interval: Duration,
        /// Length of the UDP payload in bytes. The minimum is 24, for the canary and the number.
        payload_len: u16,
        /// Time after which a datagram that has not come back is lost.
        timeout: Duration,
    },
    /// Receives content from [`Service::Bulk`](crate::Service::Bulk) and verifies its SHA-256.
    Download {
        /// Address and port of the service.
        from: SocketAddr,
        /// Length of the content in bytes.
        bytes: u64,
    },
    /// Sends content to [`Service::Bulk`](crate::Service::Bulk), which replies with its SHA-256.
    Upload {
        /// Address and port of the service.
        to: SocketAddr,
        /// Length of the content in bytes.
        bytes: u64,
    },
    /// Gets a file from [`Service::Http`](crate::Service::Http) and verifies its `Content-Digest`.
    HttpGet {
        /// Address and port of the service.
        from: SocketAddr,
        /// The request target, such as `/index.html`.
        path: String,
    },
    /// A TCP task with options. They have no effect on a ping or UDP echo.
    WithOptions {
        /// The task.
        task: Box<Self>,
        /// The options.
        options: TcpOptions,
    },
}

impl Task {
    /// The same TCP task with options.
    #[must_use]
    pub fn with_options(self, options: TcpOptions) -> Self {
        let task = Box::new(self);
        Self::WithOptions { task, options }
    }
}

/// A running task.
pub(crate) enum Running {
    Echo(Echo),
    Tcp(Box<Client>),
}

impl Running {
    /// Opens the socket of the task.
    pub(crate) fn start(
        now: Duration,
        task: Task,
        options: TcpOptions,
        stack: &mut Stack,
    ) -> Result<Self, TaskError> {
        let tcp = |socket, conversation, stack: &Stack| {
            let timeout = stack.timeout(&options);
            let client = Client::new(now, socket, conversation, options, timeout);
            Self::Tcp(Box::new(client))
        };
        match task {
            Task::WithOptions { task, options } => Self::start(now, *task, options, stack),
            Task::Ping {
                to,
                count,
                interval,
                payload_len,
                timeout,
            } => {
                let plan = Plan {
                    count,
                    interval,
                    payload_len,
                    timeout,
                };
                Echo::ping(now, to, plan, stack).map(Self::Echo)
            }
            Task::UdpEcho {
                to,
                count,
                interval,
                payload_len,
                timeout,
            } => {
                let plan = Plan {
                    count,
                    interval,
                    payload_len,
                    timeout,
                };
                Echo::udp(now, to, plan, stack).map(Self::Echo)
            }
            Task::Download { from, bytes } => {
                let (socket, download) = Download::start(from, bytes, &options, stack)?;
                Ok(tcp(socket, Conversation::Download(download), stack))
            }
            Task::Upload { to, bytes } => {
                let (socket, upload) = Upload::start(to, bytes, &options, stack)?;
                Ok(tcp(socket, Conversation::Upload(upload), stack))
            }
            Task::HttpGet { from, path } => {
                check_path(&path)?;
                let (socket, get) = Get::start(from, &path, &options, stack)?;
                Ok(tcp(socket, Conversation::Get(get), stack))
            }
        }
    }

    /// Does everything that is possible now. A result ends the task. The caller then closes the socket of a TCP task.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        stack: &mut Stack,
        ended: Ended,
        emit: &mut dyn FnMut(EventKind),
    ) -> Option<Result<Summary, TaskError>> {
        match self {
            Self::Echo(echo) => echo.step(now, stack, emit).map(Ok),
            Self::Tcp(client) => client.step(now, stack, ended, emit),
        }
    }

    /// The next deadline of the task itself. The stack knows the deadlines of its socket.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Echo(echo) => echo.deadline(),
            Self::Tcp(client) => client.deadline(),
        }
    }

    /// Describes the task. Returns false if it has a TCP connection.
    pub(crate) fn describe(&self, to: &mut Description<'_>) -> bool {
        match self {
            Self::Echo(echo) => {
                echo.describe(to);
                true
            }
            Self::Tcp(_) => false,
        }
    }
}
