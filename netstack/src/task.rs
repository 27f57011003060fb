//! What a host can be asked to do, and the running form of it.

use alloc::string::String;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use crate::echo::{Echo, Plan};
use crate::event::{EventKind, Summary, TaskError};
use crate::http_client;
use crate::stack::Stack;
use crate::tcp::{Client, Ended};
use crate::{bulk, http};

/// Something a host does against a service of another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// ICMP or ICMPv6 echo requests (RFC 792, RFC 4443). Lost pings are events, not a failure.
    Ping {
        /// Whom to ping.
        to: IpAddr,
        /// How many requests.
        count: u16,
        /// Time from one request to the next.
        interval: Duration,
        /// Bytes after the ICMP header; the canary is in them from 16 on.
        payload_len: u16,
        /// How long to wait for each reply.
        timeout: Duration,
    },
    /// UDP datagrams that [`Service::UdpEcho`](crate::Service::UdpEcho) sends back. Lost ones are events, not a failure.
    UdpEcho {
        /// The service.
        to: SocketAddr,
        /// How many datagrams.
        count: u16,
        /// Time from one datagram to the next.
        interval: Duration,
        /// UDP payload in bytes: at least 24, for it carries canary and number.
        payload_len: u16,
        /// How long to wait for each to come back.
        timeout: Duration,
    },
    /// Receives content from [`Service::Bulk`](crate::Service::Bulk) and checks its SHA-256.
    Download {
        /// The service.
        from: SocketAddr,
        /// How much content.
        bytes: u64,
    },
    /// Sends content to [`Service::Bulk`](crate::Service::Bulk), which checks its SHA-256 and confirms.
    Upload {
        /// The service.
        to: SocketAddr,
        /// How much content.
        bytes: u64,
    },
    /// Gets a file from [`Service::Http`](crate::Service::Http) and checks its `Content-Digest`.
    HttpGet {
        /// The service.
        from: SocketAddr,
        /// The request target, such as `/index.html`.
        path: String,
    },
}

/// A task under way.
pub(crate) enum Running {
    Echo(Echo),
    Tcp(Client),
}

impl Running {
    /// Opens the task's socket.
    pub(crate) fn start(now: Duration, task: Task, stack: &mut Stack) -> Result<Self, TaskError> {
        match task {
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
            Task::Download { from, bytes } => bulk::download(now, from, bytes, stack).map(Self::Tcp),
            Task::Upload { to, bytes } => bulk::upload(now, to, bytes, stack).map(Self::Tcp),
            Task::HttpGet { from, path } => {
                http::check_path(&path)?;
                http_client::get(now, from, &path, stack).map(Self::Tcp)
            }
        }
    }

    /// Does all that can be done now. A result is the end of the task; its socket is not its own any more then.
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

    /// When the task itself has something to do; what its socket has to do is the stack's knowledge.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self {
            Self::Echo(echo) => echo.deadline(),
            Self::Tcp(_) => None,
        }
    }
}
