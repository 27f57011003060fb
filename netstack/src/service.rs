//! Services of a host (UDP echo, bulk server, HTTP server) and how they accept connections.
//!
//! A listening socket of smoltcp allocates its buffers at once and accepts one connection. So no socket listens
//! permanently here. When a host sees a valid SYN to the port of a service, it creates a socket for that connection, with
//! buffers of the size that the service needs. The socket listens only for that packet. An idle service costs nothing,
//! and up to [`Limits::connections`](crate::Limits::connections) are served at the same time.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::udp;

use crate::describe::Description;
use crate::echo::udp_socket;
use crate::http_server::Files;
use crate::stack::{Stack, TCP_BUFFER};
use crate::tcp::Progress;
use crate::{bulk, http_server};

/// A service that a host offers to other hosts. A port of 0 can never be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends each UDP datagram back to its sender (RFC 862).
    UdpEcho {
        /// UDP port.
        port: u16,
    },
    /// Sends or receives content over TCP, for [`Task::Download`](crate::Task::Download) and
    /// [`Task::Upload`](crate::Task::Upload).
    Bulk {
        /// TCP port.
        port: u16,
    },
    /// Serves files over HTTP/1.1: only GET, with `Content-Length` and `Content-Digest`.
    Http {
        /// TCP port.
        port: u16,
        /// The files by request target. A name without a leading `/` gets one.
        files: BTreeMap<String, Cow<'static, [u8]>>,
    },
}

/// A TCP service on its port.
enum Listener {
    Bulk,
    Http(Files),
}

/// The conversation on an accepted connection.
enum Conversation {
    Bulk(bulk::Server),
    Http(http_server::Server),
}

/// An accepted connection.
struct Connection {
    socket: SocketHandle,
    port: u16,
    conversation: Conversation,
}

/// All services of one host.
#[derive(Default)]
pub(crate) struct Services {
    echoes: Vec<SocketHandle>,
    listeners: BTreeMap<u16, Listener>,
    connections: Vec<Connection>,
    /// Buffer for one datagram that is sent back.
    datagram: Vec<u8>,
}

impl Services {
    /// Adds a service. On a TCP port that is in use, the new service replaces the old one for new connections.
    pub(crate) fn add(&mut self, service: Service, stack: &mut Stack) {
        match service {
            Service::UdpEcho { port } => {
                let mut socket = udp_socket(stack.mtu());
                if socket.bind(port).is_ok() {
                    self.echoes.push(stack.sockets.add(socket));
                }
            }
            Service::Bulk { port } => {
                self.listeners.insert(port, Listener::Bulk);
            }
            Service::Http { port, files } => {
                self.listeners.insert(port, Listener::Http(Files::new(files)));
            }
        }
    }

    /// Creates the socket for a connection that `packet` opens to a service. Must be called before the stack processes
    /// the packet.
    pub(crate) fn accept(&mut self, packet: &[u8], closing: &mut Vec<SocketHandle>, stack: &mut Stack) {
        if self.listeners.is_empty() {
            return;
        }
        let Some((port, listener)) = stack
            .new_connection(packet)
            .and_then(|port| self.listeners.get_key_value(&port))
        else {
            return;
        };
        if stack.tcp_sockets().count() >= stack.limits.connections && !forget_one(closing, stack) {
            return;
        }
        let (receive, send) = match listener {
            Listener::Bulk => (TCP_BUFFER as u64, TCP_BUFFER as u64),
            Listener::Http(files) => files.buffers(),
        };
        let conversation = match listener {
            Listener::Bulk => Conversation::Bulk(bulk::Server::new()),
            Listener::Http(_) => Conversation::Http(http_server::Server::new()),
        };
        if let Some(socket) = stack.listen(*port, receive, send) {
            self.connections.push(Connection {
                socket,
                port: *port,
                conversation,
            });
        }
    }

    /// Does everything that is possible now. Sockets that only have to close are moved to `closing`.
    pub(crate) fn step(&mut self, closing: &mut Vec<SocketHandle>, stack: &mut Stack) {
        for &echo in &self.echoes {
            echo_back(stack.sockets.get_mut(echo), &mut self.datagram);
        }
        let listeners = &self.listeners;
        self.connections.retain_mut(|connection| {
            let canary = *stack.canary();
            let socket = stack.tcp(connection.socket);
            let progress = match socket.state() {
                // The stack did not accept the SYN, or the client reset the handshake.
                State::Listen | State::Closed => Progress::Broken,
                State::SynReceived => Progress::Open,
                _ => match (&mut connection.conversation, listeners.get(&connection.port)) {
                    (Conversation::Bulk(server), _) => server.step(socket, &canary),
                    (Conversation::Http(server), Some(Listener::Http(files))) => server.step(socket, files),
                    (Conversation::Http(_), _) => Progress::Broken,
                },
            };
            match progress {
                Progress::Open => return true,
                Progress::Done => socket.close(),
                Progress::Broken => socket.abort(),
            }
            closing.push(connection.socket);
            false
        });
    }

    /// Describes the services. Returns false if there are connections.
    pub(crate) fn describe(&self, to: &mut Description<'_>) -> bool {
        let Self {
            echoes,
            listeners,
            connections,
            datagram: _, // a buffer that is filled before each use
        } = self;
        to.len(echoes.len());
        // The stack describes the port of each socket.
        echoes.iter().for_each(|echo| to.text(echo));
        to.len(listeners.len());
        for (port, listener) in listeners {
            to.number((*port).into());
            match listener {
                Listener::Bulk => to.number(0),
                Listener::Http(files) => {
                    to.number(1);
                    files.describe(to);
                }
            }
        }
        connections.is_empty()
    }
}

/// Removes the connection that has been in TIME-WAIT longest. Returns false if there is none.
fn forget_one(closing: &mut Vec<SocketHandle>, stack: &mut Stack) -> bool {
    let waiting = closing
        .iter()
        .position(|&socket| stack.tcp(socket).state() == State::TimeWait);
    waiting
        .map(|place| stack.sockets.remove(closing.remove(place)))
        .is_some()
}

/// Sends all received datagrams back to their senders, from the address to which they were sent.
fn echo_back(socket: &mut udp::Socket<'_>, datagram: &mut Vec<u8>) {
    while socket.can_send()
        && let Ok((payload, from)) = socket.recv()
    {
        datagram.clear();
        datagram.extend_from_slice(payload);
        // A datagram that cannot be answered, such as one from port 0, is dropped.
        let _ = socket.send_slice(datagram, from);
    }
}
