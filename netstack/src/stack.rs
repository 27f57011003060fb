//! The IP stack of a host: smoltcp's interface and sockets, and the queue of outgoing packets.

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use smoltcp::iface::{Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{Socket, tcp};
use smoltcp::time::{Duration as NetDuration, Instant};
use smoltcp::wire::{
    HardwareAddress, IpAddress, IpCidr, IpEndpoint, IpProtocol, IpVersion, Ipv4Packet, Ipv6Packet,
    TcpControl, TcpPacket, TcpRepr,
};

use crate::config::{Config, Limits, is_unicast, smallest_mtu};
use crate::content::{Content, split_mix};
use crate::describe::Description;
use crate::device::{Link, Queue};
use crate::event::TaskError;
use crate::options::{Pace, TcpOptions};

/// Maximum size of a TCP buffer, and so of the window, in bytes.
///
/// It is a little more than 100 Mbit/s times 40 ms (500,000 bytes), so it fills such a path. A much larger window would let
/// slow start overshoot, and Reno without SACK recovers slowly from that.
pub(crate) const TCP_BUFFER: usize = 512 * 1024;

/// First ephemeral port (RFC 6335, section 6); the range ends at 65535.
const EPHEMERAL_PORTS: u16 = 49_152;

/// Creates smoltcp's interface for these addresses.
fn interface(
    queue: &mut Queue,
    mtu: usize,
    random_seed: u64,
    addresses: impl IntoIterator<Item = IpCidr>,
) -> Interface {
    let mut link = Link {
        incoming: None,
        outgoing: queue,
        mtu,
    };
    let mut settings = smoltcp::iface::Config::new(HardwareAddress::Ip);
    settings.random_seed = random_seed;
    let mut iface = Interface::new(settings, &mut link, Instant::ZERO);
    iface.update_ip_addrs(|list| {
        for address in addresses {
            // `Config::check` has limited their number.
            let _ = list.push(address);
        }
    });
    iface
}

/// The IP stack of one host.
pub(crate) struct Stack {
    iface: Interface,
    pub(crate) sockets: SocketSet<'static>,
    pub(crate) queue: Queue,
    pub(crate) limits: Limits,
    mtu: usize,
    canary: [u8; 16],
    random: u64,
    next_port: u16,
    next_ident: u16,
}

impl Stack {
    pub(crate) fn new(config: &Config) -> Self {
        let mut random = config.seed;
        let mut queue = Queue::default();
        let addresses = config
            .addresses
            .iter()
            .map(|&(address, prefix)| IpCidr::new(address.into(), prefix));
        let iface = interface(&mut queue, config.mtu, split_mix(&mut random), addresses);
        let [a, b, c, d, ..] = split_mix(&mut random).to_be_bytes();
        Self {
            iface,
            sockets: SocketSet::new(Vec::new()),
            queue,
            limits: Limits::default(),
            mtu: config.mtu,
            canary: config.canary,
            random,
            next_port: u16::from_be_bytes([a, b]) | EPHEMERAL_PORTS,
            next_ident: u16::from_be_bytes([c, d]),
        }
    }

    /// Limits new packets to `mtu` bytes. Connections continue.
    ///
    /// smoltcp reads the MTU of a device only once. So the sockets get a new interface with the same addresses.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        let addresses: Vec<IpCidr> = self.iface.ip_addrs().to_vec();
        let families = addresses.iter().map(|address| address.address().version());
        let mtu = mtu.clamp(smallest_mtu(families), usize::from(u16::MAX));
        let seed = self.random();
        self.iface = interface(&mut self.queue, mtu, seed, addresses);
        self.mtu = mtu;
    }

    /// Lets smoltcp process one packet. Its replies go into the queue.
    pub(crate) fn ingress(&mut self, now: Duration, packet: &[u8]) {
        let mut link = Link {
            incoming: Some(packet),
            outgoing: &mut self.queue,
            mtu: self.mtu,
        };
        let result = self
            .iface
            .poll_ingress_single(instant(now), &mut link, &mut self.sockets);
        debug_assert!(
            result != PollIngressSingleResult::None,
            "the link has offered a packet"
        );
    }

    /// Moves all packets that the sockets can send now into the queue. Returns true if there were any.
    pub(crate) fn egress(&mut self, now: Duration) -> bool {
        let mut link = Link {
            incoming: None,
            outgoing: &mut self.queue,
            mtu: self.mtu,
        };
        let mut sent = false;
        while self.iface.poll_egress(instant(now), &mut link, &mut self.sockets)
            == PollResult::SocketStateChanged
        {
            sent = true;
        }
        sent
    }

    /// The time of the next poll that the sockets need. It is in the past if they need one at once.
    pub(crate) fn poll_at(&mut self, now: Duration) -> Option<Duration> {
        let at = self.iface.poll_at(instant(now), &self.sockets)?;
        Some(Duration::from_micros(
            u64::try_from(at.total_micros()).unwrap_or(0),
        ))
    }

    /// New content, different from all other content of this host. It depends on the seed and on the earlier calls.
    pub(crate) fn content(&mut self) -> Content {
        Content::new(self.random(), &self.canary)
    }

    pub(crate) fn random(&mut self) -> u64 {
        split_mix(&mut self.random)
    }

    /// The marker in all content.
    pub(crate) fn canary(&self) -> &[u8; 16] {
        &self.canary
    }

    /// Maximum length of an IP packet, in bytes.
    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Checks that `to` is a unicast address of a family that this host has.
    pub(crate) fn check_destination(&self, to: IpAddr) -> Result<(), TaskError> {
        if !is_unicast(to) {
            return Err(TaskError::BadDestination);
        }
        let same_family = |address: &IpCidr| (address.address().version() == IpVersion::Ipv4) == to.is_ipv4();
        self.iface
            .ip_addrs()
            .iter()
            .any(same_family)
            .then_some(())
            .ok_or(TaskError::NoSourceAddress)
    }

    /// The next identifier for echo requests. Identifiers repeat after 65536 calls.
    pub(crate) fn echo_ident(&mut self) -> u16 {
        self.next_ident = self.next_ident.wrapping_add(1);
        self.next_ident
    }

    /// A local port that no socket of this host uses.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORTS);
            let in_use = self.sockets.iter().any(|(_, socket)| match socket {
                Socket::Tcp(tcp) => tcp.local_endpoint().is_some_and(|local| local.port == port),
                Socket::Udp(udp) => udp.endpoint().port == port,
                Socket::Icmp(_) => false,
            });
            if !in_use {
                return port;
            }
        }
    }

    /// Opens a connection. `receive` and `send` are the buffer sizes in bytes, limited to [`TCP_BUFFER`]. A slow reader has a
    /// smaller receive buffer.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        receive: u64,
        send: u64,
        options: &TcpOptions,
    ) -> Result<SocketHandle, TaskError> {
        self.check_destination(to.ip())?;
        let receive = match options.read_rate {
            Some(_) => receive.min(Pace::BUFFER),
            None => receive,
        };
        let mut socket = tcp_socket(receive, send, self.timeout(options));
        let port = self.ephemeral_port();
        // The address has been checked, so the only possible error is a port of 0.
        socket
            .connect(self.iface.context(), to, port)
            .map_err(|_| TaskError::BadDestination)?;
        Ok(self.sockets.add(socket))
    }

    /// Creates a socket that accepts the next SYN to `port`. Returns `None` if `port` is 0.
    pub(crate) fn listen(&mut self, port: u16, receive: u64, send: u64) -> Option<SocketHandle> {
        let mut socket = tcp_socket(receive, send, self.limits.timeout);
        socket.listen(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// The user timeout of a connection with these options.
    pub(crate) fn timeout(&self, options: &TcpOptions) -> Duration {
        options.timeout.unwrap_or(self.limits.timeout)
    }

    /// The destination port of `packet`, if it is a valid SYN to an address of this host and belongs to no known
    /// connection.
    pub(crate) fn new_connection(&self, packet: &[u8]) -> Option<u16> {
        let (local, remote) = parse_syn(packet)?;
        let known = |socket: &tcp::Socket<'_>| {
            socket.local_endpoint() == Some(local) && socket.remote_endpoint() == Some(remote)
        };
        (self.iface.has_ip_addr(local.addr) && !self.tcp_sockets().any(|(_, socket)| known(socket)))
            .then_some(local.port)
    }

    /// All TCP sockets, in smoltcp's order.
    pub(crate) fn tcp_sockets(&self) -> impl Iterator<Item = (SocketHandle, &tcp::Socket<'static>)> {
        self.sockets.iter().filter_map(|(handle, socket)| match socket {
            Socket::Tcp(socket) => Some((handle, socket)),
            _ => None,
        })
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Describes the sockets and the packets to send. Returns false if there is a TCP socket, or a socket that holds a
    /// packet: smoltcp does not show their state.
    pub(crate) fn describe(&self, to: &mut Description<'_>) -> bool {
        let Self {
            iface: _, // addresses and random numbers: without Ethernet and fragments it keeps no other state
            sockets,
            queue,
            mtu,
            canary: _,     // does not change
            random: _,     // positions of generators do not count
            next_port: _,  // a number that tells the sockets apart
            next_ident: _, // a number that tells the tasks apart
            limits: _,     // configuration
        } = self;
        queue.describe(to);
        to.len(*mtu);
        // Sockets send in the order of their handles, and a new socket gets the lowest free handle.
        for (handle, socket) in sockets.iter() {
            to.text(handle);
            let queued = match socket {
                Socket::Tcp(_) => return false,
                Socket::Icmp(socket) => socket.send_queue() + socket.recv_queue(),
                Socket::Udp(socket) => {
                    // A port of a service. Ephemeral ports are all equal.
                    to.number(socket.endpoint().port.min(EPHEMERAL_PORTS).into());
                    socket.send_queue() + socket.recv_queue()
                }
            };
            if queued > 0 {
                return false;
            }
        }
        true
    }
}

/// Converts a time to smoltcp's microseconds. It rounds down, so a deadline from smoltcp is reached exactly when the
/// caller reaches it.
fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// Converts a timeout to smoltcp's microseconds. smoltcp adds it to a time in `i64`.
pub(crate) fn net_duration(timeout: Duration) -> NetDuration {
    let micros = u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX);
    NetDuration::from_micros(micros.min(i64::MAX as u64 / 2))
}

/// Creates a closed socket. It uses Reno, because smoltcp's CUBIC uses floating point.
fn tcp_socket(receive: u64, send: u64, timeout: Duration) -> tcp::Socket<'static> {
    let buffer = |len: u64| {
        let len = usize::try_from(len).map_or(TCP_BUFFER, |len| len.clamp(1024, TCP_BUFFER));
        tcp::SocketBuffer::new(vec![0; len])
    };
    let mut socket = tcp::Socket::new(buffer(receive), buffer(send));
    socket.set_congestion_control(tcp::CongestionControl::Reno);
    socket.set_timeout(Some(net_duration(timeout)));
    socket
}

/// Destination and source of a packet that is a complete, valid TCP SYN without ACK. Checksums are verified last,
/// because this function runs for every packet that a server receives.
fn parse_syn(packet: &[u8]) -> Option<(IpEndpoint, IpEndpoint)> {
    let checksums = ChecksumCapabilities::default();
    let (source, destination, payload): (IpAddress, IpAddress, &[u8]) = match packet.first()? >> 4 {
        4 => {
            let ip = Ipv4Packet::new_checked(packet).ok()?;
            let fragment = ip.more_frags() || ip.frag_offset() != 0;
            if fragment
                || ip.next_header() != IpProtocol::Tcp
                || !is_syn(ip.payload())
                || !ip.verify_checksum()
            {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
        }
        6 => {
            let ip = Ipv6Packet::new_checked(packet).ok()?;
            if ip.next_header() != IpProtocol::Tcp || !is_syn(ip.payload()) {
                return None;
            }
            (ip.src_addr().into(), ip.dst_addr().into(), ip.payload())
        }
        _ => return None,
    };
    let tcp = TcpPacket::new_checked(payload).ok()?;
    let repr = TcpRepr::parse(&tcp, &source, &destination, &checksums).ok()?;
    (repr.control == TcpControl::Syn).then(|| {
        (
            IpEndpoint::new(destination, repr.dst_port),
            IpEndpoint::new(source, repr.src_port),
        )
    })
}

/// Returns true if a TCP segment has SYN and not ACK.
fn is_syn(segment: &[u8]) -> bool {
    TcpPacket::new_checked(segment).is_ok_and(|tcp| tcp.syn() && !tcp.ack())
}
