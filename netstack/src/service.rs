//! Services of a host: UDP echo, the bulk server, the HTTP server, and how they accept connections.
//!
//! smoltcp's listening sockets own their buffers from the start and take one connection each. So no socket listens here:
//! a host that sees a valid SYN to the port of a service makes a socket for that one connection, with buffers of the size
//! the service needs, and lets it listen for just that packet. An idle service costs nothing, and any number of
//! connections up to [`MAX_CONNECTIONS`] is served side by side.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use smoltcp::iface::SocketHandle;
use smoltcp::socket::tcp::State;
use smoltcp::socket::udp;

use crate::echo::udp_socket;
use crate::http_server::Files;
use crate::stack::{MAX_CONNECTIONS, Stack, TCP_BUFFER};
use crate::{bulk, http_server};

/// What a host offers to others. A port of 0 can never be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// Sends each UDP datagram back to where it came from (RFC 862).
    UdpEcho {
        /// UDP port.
        port: u16,
    },
    /// Sends or takes content over TCP, for [`Task::Download`](crate::Task::Download) and
    /// [`Task::Upload`](crate::Task::Upload).
    Bulk {
        /// TCP port.
        port: u16,
    },
    /// Serves files over HTTP/1.1: GET alone, with `Content-Length` and `Content-Digest`.
    Http {
        /// TCP port.
        port: u16,
        /// The files by request target; a name without a leading `/` gets one.
        files: BTreeMap<String, Cow<'static, [u8]>>,
    },
}

/// How far one connection of a server is.
pub(crate) enum Served {
    /// There is more to come.
    Open,
    /// All has been said; the connection can be closed in order.
    Done,
    /// The client does not speak the protocol or has gone; the connection is reset.
    Broken,
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
    /// Room for one datagram on its way back.
    datagram: Vec<u8>,
}

impl Services {
    /// Adds a service. On a TCP port that is taken, the new service answers from now on.
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

    /// If `packet` opens a connection to a service, makes the socket that will take it. To be called before the stack
    /// sees the packet.
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
        if stack.tcp_sockets().count() >= MAX_CONNECTIONS && !forget_one(closing, stack) {
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

    /// Does all that can be done now; sockets that only have to close in order go to `closing`.
    pub(crate) fn step(&mut self, closing: &mut Vec<SocketHandle>, stack: &mut Stack) {
        for &echo in &self.echoes {
            echo_back(stack.sockets.get_mut(echo), &mut self.datagram);
        }
        let listeners = &self.listeners;
        self.connections.retain_mut(|connection| {
            let canary = *stack.canary();
            let socket = stack.tcp(connection.socket);
            let served = match socket.state() {
                // The packet it was made for was not taken, or its opening has been reset.
                State::Listen | State::Closed => Served::Broken,
                State::SynReceived => Served::Open,
                _ => match (&mut connection.conversation, listeners.get(&connection.port)) {
                    (Conversation::Bulk(server), _) => server.step(socket, &canary),
                    (Conversation::Http(server), Some(Listener::Http(files))) => server.step(socket, files),
                    (Conversation::Http(_), _) => Served::Broken,
                },
            };
            match served {
                Served::Open => return true,
                Served::Done => socket.close(),
                Served::Broken => socket.abort(),
            }
            closing.push(connection.socket);
            false
        });
    }
}

/// Makes room for one more connection by forgetting the one that has been in TIME-WAIT longest.
fn forget_one(closing: &mut Vec<SocketHandle>, stack: &mut Stack) -> bool {
    let waiting = closing
        .iter()
        .position(|&socket| stack.tcp(socket).state() == State::TimeWait);
    waiting
        .map(|place| stack.sockets.remove(closing.remove(place)))
        .is_some()
}

/// Sends all datagrams that have come back to their senders, from the address they were sent to.
fn echo_back(socket: &mut udp::Socket<'_>, datagram: &mut Vec<u8>) {
    while socket.can_send()
        && let Ok((payload, from)) = socket.recv()
    {
        datagram.clear();
        datagram.extend_from_slice(payload);
        // What cannot be answered, such as a datagram from port 0, is dropped.
        let _ = socket.send_slice(datagram, from);
    }
}
