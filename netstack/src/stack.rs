//! smoltcp's interface and sockets with the packet queue, and what every part of a host needs from them.

use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
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

use crate::content::{Content, split_mix};
use crate::device::{Link, Queue};
use crate::event::TaskError;

/// A TCP connection whose other side sends nothing for this long is given up, from the first SYN on. The timeout runs
/// whether or not data are under way, so a connection cannot outlive its peer.
pub const TCP_TIMEOUT: Duration = Duration::from_secs(60);

/// TCP connections that one host holds at a time, those it is about to forget included. A SYN beyond them is refused.
pub const MAX_CONNECTIONS: usize = 64;

/// IP addresses that one host can have.
pub const MAX_ADDRESSES: usize = 8;

/// Largest TCP buffer, and so the largest window: a little more than 100 Mbit/s times 40 ms (500,000 bytes), so that
/// such a path fills without an overshoot of slow start far beyond it, which Reno without SACK repairs slowly.
pub(crate) const TCP_BUFFER: usize = 512 * 1024;

/// First ephemeral port (RFC 6335, section 6); the range ends at 65535.
const EPHEMERAL_PORTS: u16 = 49_152;

/// How a host is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// The host's addresses, each with the length of its network prefix in bits. At most [`MAX_ADDRESSES`].
    pub addresses: Vec<(IpAddr, u8)>,
    /// Longest IP packet, in bytes: at least 576, with IPv6 at least 1280; at most 65535.
    pub mtu: usize,
    /// Fixes everything that should be random: TCP sequence numbers, ports, echo identifiers, content.
    pub seed: u64,
    /// Sixteen bytes that stand in all generated content, at least once in any 512 bytes, and at the start of each
    /// echo payload: what must never be seen outside of the tunnel.
    pub canary: [u8; 16],
}

/// What is wrong with a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// More than [`MAX_ADDRESSES`] addresses.
    TooManyAddresses,
    /// An address that is not unicast: unspecified, multicast or broadcast.
    NotUnicast(IpAddr),
    /// A prefix longer than the address.
    PrefixTooLong(IpAddr, u8),
    /// An MTU outside of its range.
    Mtu {
        /// What was given, in bytes.
        given: usize,
        /// The smallest that is allowed with these addresses, in bytes (RFC 791, RFC 8200 section 5).
        min: usize,
    },
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyAddresses => write!(f, "a host can have at most {MAX_ADDRESSES} addresses"),
            Self::NotUnicast(address) => write!(f, "{address} is not a unicast address"),
            Self::PrefixTooLong(address, prefix) => write!(f, "/{prefix} is too long a prefix for {address}"),
            Self::Mtu { given, min } => write!(f, "an MTU of {given} bytes is outside of {min} to 65535"),
        }
    }
}

impl core::error::Error for ConfigError {}

impl Config {
    /// Whether [`Host::new`](crate::Host::new) accepts this.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.addresses.len() > MAX_ADDRESSES {
            return Err(ConfigError::TooManyAddresses);
        }
        for &(address, prefix) in &self.addresses {
            if !is_unicast(address) {
                return Err(ConfigError::NotUnicast(address));
            }
            if prefix > if address.is_ipv4() { 32 } else { 128 } {
                return Err(ConfigError::PrefixTooLong(address, prefix));
            }
        }
        let min = smallest_mtu(
            self.addresses
                .iter()
                .map(|(address, _)| IpAddress::from(*address).version()),
        );
        if self.mtu < min || self.mtu > usize::from(u16::MAX) {
            return Err(ConfigError::Mtu { given: self.mtu, min });
        }
        Ok(())
    }
}

/// The smallest MTU in bytes for these families (RFC 791, RFC 8200 section 5).
fn smallest_mtu(mut families: impl Iterator<Item = IpVersion>) -> usize {
    if families.any(|family| family == IpVersion::Ipv6) {
        1280
    } else {
        576
    }
}

/// Neither unspecified nor multicast nor the limited broadcast address.
pub(crate) fn is_unicast(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || broadcast)
}

/// smoltcp's half of a host.
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
            // `Config::check` has bounded their number.
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
            mtu: config.mtu,
            canary: config.canary,
            random,
            next_port: u16::from_be_bytes([a, b]) | EPHEMERAL_PORTS,
            next_ident: u16::from_be_bytes([c, d]),
        }
    }

    /// Sends no longer packets than this from now on; whoever is connected stays so.
    ///
    /// smoltcp looks at a device's MTU once, so the sockets get another interface with the same addresses.
    pub(crate) fn set_mtu(&mut self, mtu: usize) {
        let addresses: Vec<IpCidr> = self.iface.ip_addrs().to_vec();
        let families = addresses.iter().map(|address| address.address().version());
        let mtu = mtu.clamp(smallest_mtu(families), usize::from(u16::MAX));
        let seed = self.random();
        self.iface = interface(&mut self.queue, mtu, seed, addresses);
        self.mtu = mtu;
    }

    /// Lets smoltcp process one packet; its answers wait in the queue.
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

    /// Moves into the queue all that the sockets want to send now. Returns whether there was anything.
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

    /// When the sockets want to be looked at again; in the past if at once.
    pub(crate) fn poll_at(&mut self, now: Duration) -> Option<Duration> {
        let at = self.iface.poll_at(instant(now), &self.sockets)?;
        Some(Duration::from_micros(
            u64::try_from(at.total_micros()).unwrap_or(0),
        ))
    }

    /// Content that no other part of this host has, fixed by the seed and by what was asked before.
    pub(crate) fn content(&mut self) -> Content {
        Content::new(self.random(), &self.canary)
    }

    pub(crate) fn random(&mut self) -> u64 {
        split_mix(&mut self.random)
    }

    /// What all content carries.
    pub(crate) fn canary(&self) -> &[u8; 16] {
        &self.canary
    }

    /// Longest IP packet, in bytes.
    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// Whether this host can send to `to` at all.
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

    /// An identifier for echo requests that no running task of this host has.
    pub(crate) fn echo_ident(&mut self) -> u16 {
        self.next_ident = self.next_ident.wrapping_add(1);
        self.next_ident
    }

    /// A local port that no socket of this host uses.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        loop {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(EPHEMERAL_PORTS);
            let taken = self.sockets.iter().any(|(_, socket)| match socket {
                Socket::Tcp(tcp) => tcp.local_endpoint().is_some_and(|local| local.port == port),
                Socket::Udp(udp) => udp.endpoint().port == port,
                Socket::Icmp(_) => false,
            });
            if !taken {
                return port;
            }
        }
    }

    /// Opens a connection with receive and send buffers of these sizes, at most [`TCP_BUFFER`] each.
    pub(crate) fn connect(
        &mut self,
        to: SocketAddr,
        receive: u64,
        send: u64,
    ) -> Result<SocketHandle, TaskError> {
        self.check_destination(to.ip())?;
        let mut socket = tcp_socket(receive, send);
        let port = self.ephemeral_port();
        // A port of 0 is all that is left to be wrong with the destination.
        socket
            .connect(self.iface.context(), to, port)
            .map_err(|_| TaskError::BadDestination)?;
        Ok(self.sockets.add(socket))
    }

    /// Makes a socket that takes the very next SYN to `port`.
    pub(crate) fn listen(&mut self, port: u16, receive: u64, send: u64) -> Option<SocketHandle> {
        let mut socket = tcp_socket(receive, send);
        socket.listen(port).ok()?;
        Some(self.sockets.add(socket))
    }

    /// The destination port of `packet`, if it is a valid SYN to one of our addresses that belongs to no connection.
    pub(crate) fn new_connection(&self, packet: &[u8]) -> Option<u16> {
        let (local, remote) = parse_syn(packet)?;
        let known = |socket: &tcp::Socket<'_>| {
            socket.local_endpoint() == Some(local) && socket.remote_endpoint() == Some(remote)
        };
        (self.iface.has_ip_addr(local.addr) && !self.tcp_sockets().any(|(_, socket)| known(socket)))
            .then_some(local.port)
    }

    /// All TCP sockets, in the order in which smoltcp keeps them.
    pub(crate) fn tcp_sockets(&self) -> impl Iterator<Item = (SocketHandle, &tcp::Socket<'static>)> {
        self.sockets.iter().filter_map(|(handle, socket)| match socket {
            Socket::Tcp(socket) => Some((handle, socket)),
            _ => None,
        })
    }

    pub(crate) fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}

/// smoltcp counts microseconds. Rounded down, so that a deadline it gave is reached exactly when the caller reaches it.
fn instant(now: Duration) -> Instant {
    Instant::from_micros(i64::try_from(now.as_micros()).unwrap_or(i64::MAX))
}

/// A closed socket with Reno, which is integer arithmetic, for smoltcp's CUBIC uses floating point.
fn tcp_socket(receive: u64, send: u64) -> tcp::Socket<'static> {
    let buffer = |len: u64| {
        let len = usize::try_from(len).map_or(TCP_BUFFER, |len| len.clamp(1024, TCP_BUFFER));
        tcp::SocketBuffer::new(vec![0; len])
    };
    let mut socket = tcp::Socket::new(buffer(receive), buffer(send));
    socket.set_congestion_control(tcp::CongestionControl::Reno);
    socket.set_timeout(Some(NetDuration::from_micros(TCP_TIMEOUT.as_micros() as u64)));
    socket
}

/// Destination and source of a packet that is a whole, valid TCP SYN without ACK. Checksums are looked at last, for
/// this sees every packet of a server.
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

/// Whether a TCP segment opens a connection.
fn is_syn(segment: &[u8]) -> bool {
    TcpPacket::new_checked(segment).is_ok_and(|tcp| tcp.syn() && !tcp.ack())
}
