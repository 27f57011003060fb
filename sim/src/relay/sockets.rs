//! Sockets and clock of a relay. This is the only module of the crate that reads a clock to decide something.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt;
use sandhog_peer::Instant;
use signal_hook::consts::{SIGINT, SIGTERM};

use super::Order;
use super::core::{Direction, RelayCore};

/// Most client addresses at a time; each has a socket of its own, as behind a NAT.
const MOST_CLIENTS: u16 = 512;
/// Who has sent nothing for so long makes room for another.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
/// Most datagrams taken from one socket before the others get their turn.
const AT_ONCE: usize = 64;
/// What the kernel may keep for a socket while the relay is busy.
const BUFFER: usize = 8 << 20;

/// The clock of the world, from the start of the relay.
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

/// One client address and the socket that stands for it before the server.
struct Client {
    address: SocketAddr,
    socket: UdpSocket,
    heard: Instant,
}

struct Relay {
    listening: UdpSocket,
    to: SocketAddr,
    /// The kernel's part of each datagram.
    header_len: u64,
    clients: BTreeMap<u16, Client>,
    numbers: BTreeMap<SocketAddr, u16>,
    core: RelayCore,
    clock: clock::Clock,
    scratch: Vec<u8>,
}

/// Relays until SIGTERM or SIGINT. Gives to `tell` where it listens, and at the end what has happened, in lines.
///
/// # Errors
///
/// When a socket cannot be had; in one sentence.
pub(crate) fn run(order: Order, tell: &mut dyn FnMut(String)) -> Result<(), String> {
    let mut stop = catch_signals().map_err(|error| format!("cannot catch signals: {error}"))?;
    let Order {
        listen,
        to,
        link,
        seed,
    } = order;
    let listening = open(listen)
        .map_err(|error| format!("cannot listen on UDP {listen}: {error}; choose another `--listen`"))?;
    let address = listening.local_addr().map_err(|error| error.to_string())?;
    let [there, back] = link.each_ref().map(|direction| match direction.describe() {
        words if words.is_empty() => "perfect".to_owned(),
        words => words,
    });
    tell(format!("ready: {address} to {to}; there: {there}; back: {back}"));
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
    relay.core.describe().into_iter().for_each(tell);
    Ok(())
}

/// A stream in which a byte comes with each SIGTERM and SIGINT.
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
    // With the right to have it a large buffer; without it, what the machine gives to everybody.
    if sockopt::set_socket_recv_buffer_size(&socket, BUFFER).is_err() {
        return Ok(socket);
    }
    #[cfg(target_os = "linux")]
    let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
    Ok(socket)
}

impl Relay {
    /// Passes on what is due, waits for the next thing, takes what has come. Tells whether it is over.
    fn step(&mut self, stop: &mut UnixStream) -> io::Result<bool> {
        self.deliver();
        let (listening, readable) = self.wait(stop)?;
        if stop.read(&mut [0]).is_ok() {
            return Ok(true);
        }
        if listening {
            self.take_from_clients();
        }
        for number in readable {
            self.take_from_server(number);
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

    /// Waits until something comes, is due, or a signal; which sockets have something.
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

    fn take_from_clients(&mut self) {
        for _ in 0..AT_ONCE {
            let (len, address) = match self.listening.recv_from(&mut self.scratch) {
                Ok(received) => received,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // What ICMP says of an earlier datagram, for instance; reading it has cleared it.
                Err(_) => continue,
            };
            let now = self.clock.now();
            let Some(number) = self.number_of(address, now) else {
                self.core.lose(Direction::ToServer, "too-many-clients");
                continue;
            };
            let payload = &self.scratch[..len];
            self.core
                .send_on(now, number, Direction::ToServer, self.header_len, payload);
        }
    }

    fn take_from_server(&mut self, number: u16) {
        let Some(client) = self.clients.get(&number) else {
            return;
        };
        for _ in 0..AT_ONCE {
            match client.socket.recv(&mut self.scratch) {
                Ok(len) => {
                    let (now, payload) = (self.clock.now(), &self.scratch[..len]);
                    self.core
                        .send_on(now, number, Direction::ToClient, self.header_len, payload);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(_) => {}
            }
        }
    }

    /// The client of an address; a new one if there is room for it.
    fn number_of(&mut self, address: SocketAddr, now: Instant) -> Option<u16> {
        if let Some(number) = self.numbers.get(&address) {
            self.clients.get_mut(number)?.heard = now;
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
            heard: now,
        };
        self.clients.insert(number, client);
        self.numbers.insert(address, number);
        Some(number)
    }

    fn free_number(&mut self, now: Instant) -> Option<u16> {
        if let Some(number) = (0..MOST_CLIENTS).find(|number| !self.clients.contains_key(number)) {
            return Some(number);
        }
        let (number, client) = self.clients.iter().min_by_key(|(_, client)| client.heard)?;
        if now.saturating_duration_since(client.heard) < FORGOTTEN_AFTER {
            return None;
        }
        let (number, address) = (*number, client.address);
        self.clients.remove(&number);
        self.numbers.remove(&address);
        self.core.forget(number);
        Some(number)
    }
}
