//! Sockets and clock of a relay. No other module of the crate lets a clock decide.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use sandhog_peer::Instant;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Config;
use super::core::{Direction, RelayCore};

/// Largest number of client addresses. Each has its own socket, as behind a NAT.
const MAX_CLIENTS: u16 = 512;
/// Idle time after which a new client may replace a client.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Largest number of datagrams received from one socket before the next socket.
const MAX_BATCH: usize = 64;
/// Receive buffer of each socket in the kernel, in bytes.
const BUFFER: usize = 8 << 20;

/// Real time since the start of the relay.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "a relay works in real time; no run sees it"
)]
mod clock {
    use sandhog_peer::Instant;

    pub(super) struct Clock(std::time::Instant);

    impl Clock {
        pub(super) fn start() -> Self {
            Self(std::time::Instant::now())
        }

        pub(super) fn now(&self) -> Instant {
            Instant::ZERO + self.0.elapsed()
        }
    }
}

/// A client address and its socket towards the server.
struct Client {
    address: SocketAddr,
    socket: UdpSocket,
    /// Time of its last datagram.
    last_received: Instant,
}

struct Relay {
    listening: UdpSocket,
    to: SocketAddr,
    /// Length of the IP header in bytes.
    header_len: u64,
    clients: BTreeMap<u16, Client>,
    numbers: BTreeMap<SocketAddr, u16>,
    core: RelayCore,
    clock: clock::Clock,
    scratch: Vec<u8>,
}

/// Runs a relay until SIGTERM or SIGINT. Passes lines of text to `print`: first its address, at the end the counters.
///
/// # Errors
///
/// A socket cannot be opened or polled, or a line cannot be printed.
pub(crate) fn run(config: Config, print: &mut dyn FnMut(String) -> Result<(), String>) -> Result<(), String> {
    let mut stop = catch_signals().map_err(|error| format!("cannot catch signals: {error}"))?;
    let Config {
        listen,
        to,
        link,
        seed,
    } = config;
    let listening = open(listen)
        .map_err(|error| format!("cannot listen on UDP {listen}: {error}; choose another `--listen`"))?;
    let address = listening.local_addr().map_err(|error| error.to_string())?;
    let [to_server, to_client] = link.each_ref().map(|direction| match direction.describe() {
        text if text.is_empty() => "perfect".to_owned(),
        text => text,
    });
    print(format!(
        "ready: {address} to {to}; to the server: {to_server}; to the clients: {to_client}"
    ))?;
    let mut relay = Relay {
        listening,
        to,
        header_len: if to.is_ipv4() { 20 } else { 40 },
        clients: BTreeMap::new(),
        numbers: BTreeMap::new(),
        core: RelayCore::new(link, seed),
        clock: clock::Clock::start(),
        scratch: vec![0; 1 << 16],
    };
    while !relay
        .step(&mut stop)
        .map_err(|error| format!("cannot wait for datagrams: {error}"))?
    {}
    relay.core.describe().into_iter().try_for_each(print)
}

/// A stream that gets one byte for each SIGTERM and SIGINT.
fn catch_signals() -> io::Result<UnixStream> {
    let (reader, writer) = UnixStream::pair()?;
    reader.set_nonblocking(true)?;
    for signal in [SIGTERM, SIGINT] {
        signal_hook::low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(reader)
}

fn open(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // Without CAP_NET_ADMIN, the kernel limits the size.
    if sockopt::set_socket_recv_buffer_size(&socket, BUFFER).is_err() {
        return Ok(socket);
    }
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
    Ok(socket)
}

impl Relay {
    /// Sends all copies that are due, waits, and receives. Returns true after a signal.
    fn step(&mut self, stop: &mut UnixStream) -> io::Result<bool> {
        self.deliver();
        let (listening, readable) = self.wait(stop)?;
        if stop.read(&mut [0]).is_ok() {
            return Ok(true);
        }
        if listening {
            self.receive_from_clients();
        }
        for number in readable {
            self.receive_from_server(number);
        }
        Ok(false)
    }

    fn deliver(&mut self) {
        while let Some(arrival) = self.core.arrive(self.clock.now()) {
            let Some(client) = self.clients.get(&arrival.client) else {
                continue;
            };
            let sent = match arrival.direction {
                Direction::ToServer => client.socket.send(&arrival.payload),
                Direction::ToClient => self.listening.send_to(&arrival.payload, client.address),
            };
            if sent.is_err() {
                self.core.lose(arrival.direction, "not-sent");
            }
        }
    }

    /// Waits for a datagram, a signal, or the time of the next copy. Returns true if the socket for clients is readable, and the
    /// numbers of the clients whose sockets are readable.
    fn wait(&self, stop: &UnixStream) -> io::Result<(bool, Vec<u16>)> {
        let mut sockets = vec![
            PollFd::new(stop, PollFlags::IN),
            PollFd::new(&self.listening, PollFlags::IN),
        ];
        let clients = self.clients.values();
        sockets.extend(clients.map(|client| PollFd::new(&client.socket, PollFlags::IN)));
        let now = self.clock.now();
        let left = self.core.next().map(|at| at.saturating_duration_since(now));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut sockets, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = sockets.iter().skip(1).map(|socket| !socket.revents().is_empty());
        let listening = ready.next().unwrap_or_default();
        let readable = self.clients.keys().zip(ready);
        let readable = readable.filter(|(_, ready)| *ready).map(|(number, _)| *number);
        Ok((listening, readable.collect()))
    }

    fn receive_from_clients(&mut self) {
        for _ in 0..MAX_BATCH {
            let (len, address) = match self.listening.recv_from(&mut self.scratch) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // For example an ICMP error of an earlier datagram. Reading the error clears it.
                Err(_) => continue,
            };
            let now = self.clock.now();
            let Some(number) = self.number_of(address, now) else {
                self.core.lose(Direction::ToServer, "too-many-clients");
                continue;
            };
            let payload = &self.scratch[..len];
            self.core
                .send(now, number, Direction::ToServer, self.header_len, payload);
        }
    }

    fn receive_from_server(&mut self, number: u16) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        for _ in 0..MAX_BATCH {
            match client.socket.recv(&mut self.scratch) {
                Ok(len) => {
                    let (now, payload) = (self.clock.now(), &self.scratch[..len]);
                    self.core
                        .send(now, number, Direction::ToClient, self.header_len, payload);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// The number of the client with this address. `None` if the relay has too many clients.
    fn number_of(&mut self, address: SocketAddr, now: Instant) -> Option<u16> {
        if let Some(number) = self.numbers.get(&address) {
            self.clients.get_mut(number)?.last_received = now;
            return Some(*number);
        }
        let number = self.free_number(now)?;
        let any: SocketAddr = if self.to.is_ipv4() {
            (Ipv4Addr::UNSPECIFIED, 0).into()
        } else {
            (Ipv6Addr::UNSPECIFIED, 0).into()
        };
        let socket = open(any)
            .and_then(|socket| socket.connect(self.to).map(|()| socket))
            .ok()?;
        let client = Client {
            address,
            socket,
            last_received: now,
        };
        self.clients.insert(number, client);
        self.numbers.insert(address, number);
        Some(number)
    }

    fn free_number(&mut self, now: Instant) -> Option<u16> {
        if let Some(number) = (0..MAX_CLIENTS).find(|number| !self.clients.contains_key(number)) {
            return Some(number);
        }
        let (number, client) = self
            .clients
            .iter()
            .min_by_key(|(_, client)| client.last_received)?;
        if now.saturating_duration_since(client.last_received) < IDLE_TIMEOUT {
            return None;
        }
        let (number, address) = (*number, client.address);
        self.clients.remove(&number);
        self.numbers.remove(&address);
        self.core.forget(number);
        Some(number)
    }
}
