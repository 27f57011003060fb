//! A UDP socket for a thread that polls: trains of datagrams of one size in one system call each, both ways.
//!
//! A datagram that is too long for a link on its way is cut into fragments rather than lost, as IP allows (RFC 791,
//! section 3.2; RFC 8200, section 4.5): by routers over IPv4, by this machine over IPv6. What would be lost otherwise is
//! every full packet of a tunnel, for as long as its MTU does not fit the path. Who looks for the path's MTU has it lost:
//! that is how it is found.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Type};
use tracing::info;

/// Most datagrams in a train that is sent; what every kernel with `UDP_SEGMENT` takes.
pub const TRAIN_LIMIT: usize = 64;
/// Most bytes in a train that is sent: what fits into one datagram of IPv4.
pub const TRAIN_BYTES: usize = 65_507;
/// Most trains taken by one [`Socket::receive`].
pub const BATCH: usize = 8;
/// Room for one received train: longer ones do not exist.
pub const TRAIN_BUFFER: usize = 65_536;

/// What the kernel's queues are asked to hold, in bytes, each way. A received train counts with all of its memory, and the
/// default of some 200 KiB is full after three.
const QUEUE_BYTES: usize = 8 << 20;

/// Of [`Socket::single_sends`]: for ever.
const ALWAYS_SINGLE: u32 = u32::MAX;
/// Of [`Socket::single_sends`]: some seconds of a fast transfer, after which the path may be another one.
const SINGLE_FOR_NOW: u32 = 10_000;

/// What a socket is to be like.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Hand trains to the kernel as they are.
    pub segmentation: bool,
    /// Take trains from the kernel as they are.
    pub coalescing: bool,
    /// The mark of all that goes out, for policy routing.
    pub mark: Option<u32>,
    /// Tell of what is received which address of this machine it came to. Of use where there may be several, and peers
    /// that expect answers from the one they know.
    pub reports_local_address: bool,
    /// Whether a datagram that is too long for a link on its way is cut; if not, it is lost, and nobody's messages about
    /// the path's MTU are believed.
    pub allow_fragmentation: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segmentation: true,
            coalescing: true,
            mark: None,
            reports_local_address: false,
            allow_fragmentation: true,
        }
    }
}

/// Where a datagram goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The peer.
    pub remote: SocketAddr,
    /// The address of this machine that the peer spoke to and expects an answer from; `None`: the kernel chooses. Nothing
    /// that is received has one without [`Options::reports_local_address`].
    pub local: Option<IpAddr>,
}

/// Datagrams of one sender that came together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Train {
    /// Whom it came from and what address it came to.
    pub route: Route,
    /// Where it begins in the memory that it was received into.
    start: usize,
    len: usize,
    segment: usize,
}

impl Default for Train {
    fn default() -> Self {
        Self {
            route: Route {
                remote: SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0),
                local: None,
            },
            start: 0,
            len: 0,
            segment: 0,
        }
    }
}

impl Train {
    /// Where its datagrams lie in the memory that they were received into. An empty one counts.
    pub fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (start, end, segment) = (self.start, self.start + self.len, self.segment.max(1));
        (start..end.max(start + 1))
            .step_by(segment)
            .map(move |at| at..end.min(at + segment))
    }
}

/// A bound socket that never blocks. May be used by several threads at once.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// How many trains are sent one by one before the kernel is given one as it is again.
    single_sends: AtomicU32,
    reports_local_address: bool,
}

impl Socket {
    /// Binds a socket to `address`.
    ///
    /// # Errors
    ///
    /// Those of `bind` and of the options; a mark needs the capability `CAP_NET_ADMIN`.
    pub fn bind(address: SocketAddr, options: &Options) -> io::Result<Self> {
        Self::make(address, options, false)
    }

    /// Binds `count` sockets (at least one) to the same `address`; the kernel spreads the senders over them.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind). Another program's socket on that port is an error here as well.
    pub fn bind_many(address: SocketAddr, count: usize, options: &Options) -> io::Result<Vec<Self>> {
        // The first may not share: it finds out whether the port is free.
        let first = Self::make(address, options, false)?;
        let address = first.local_addr()?;
        let mut sockets = vec![first];
        if count > 1 {
            sockopt::set_socket_reuseport(&sockets[0].socket, true)?;
        }
        for _ in 1..count {
            sockets.push(Self::make(address, options, true)?);
        }
        Ok(sockets)
    }

    fn make(address: SocketAddr, options: &Options, shared: bool) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if shared {
            sockopt::set_socket_reuseport(&socket, true)?;
        }
        if let Some(mark) = options.mark {
            socket.set_mark(mark)?;
        }
        socket.bind(&address.into())?;
        let socket = UdpSocket::from(socket);
        let state = UdpSocketState::new((&socket).into())?;
        enlarge_queues(&socket)?;
        // The state has forbidden it, which is what a search for the path's MTU needs.
        if options.allow_fragmentation {
            enable_fragmentation(&socket, address)?;
        }
        switch_off(&socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        if !options.coalescing {
            switch_off(&socket, libc::SOL_UDP, libc::UDP_GRO)?;
        }
        let is_able = options.segmentation && state.max_gso_segments() > 1;
        Ok(Self {
            socket,
            state,
            single_sends: if is_able { 0 } else { ALWAYS_SINGLE }.into(),
            reports_local_address: options.reports_local_address,
        })
    }

    /// Where it is bound.
    ///
    /// # Errors
    ///
    /// None that is known of.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Whether trains are handed to the kernel as they are.
    #[must_use]
    pub fn is_segmenting(&self) -> bool {
        self.single_sends.load(Ordering::Relaxed) == 0
    }

    /// Whether the next train is to be handed to the kernel as it is.
    fn may_send_train(&self) -> bool {
        let single_sends = self.single_sends.load(Ordering::Relaxed);
        if (1..ALWAYS_SINGLE).contains(&single_sends) {
            // Threads that do this at the same time count one train as one: near enough.
            self.single_sends.store(single_sends - 1, Ordering::Relaxed);
        }
        single_sends == 0
    }

    /// Sends `bytes` as datagrams of `segment` bytes each, of which the last may be shorter. Gives how many the kernel took;
    /// those are the first ones, or any if it refused some for other reasons than a full queue.
    ///
    /// # Errors
    ///
    /// When it took none: [`io::ErrorKind::WouldBlock`] when its queue is full, or why it does not want the first.
    pub fn send(&self, to: Route, bytes: &[u8], segment: usize) -> io::Result<usize> {
        let segment = segment.clamp(1, TRAIN_BYTES);
        let most = segment * TRAIN_LIMIT.min(TRAIN_BYTES / segment);
        let mut sent = 0;
        for train in bytes.chunks(most) {
            match self.send_train(to, train, segment) {
                Ok(datagrams) => sent += datagrams,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn send_train(&self, to: Route, train: &[u8], segment: usize) -> io::Result<usize> {
        if train.len() > segment && self.may_send_train() {
            match self.transmit(to, train, Some(segment)) {
                Ok(()) => return Ok(train.len().div_ceil(segment)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
                // One by one, the kernel says which datagram it does not want, and why.
                Err(error) => self.on_train_error(&error),
            }
        }
        let mut sent = 0;
        let mut refusal = None;
        for datagram in train.chunks(segment) {
            match self.transmit(to, datagram, None) {
                Ok(()) => sent += 1,
                Err(error) => {
                    let is_full = error.kind() == io::ErrorKind::WouldBlock;
                    refusal.get_or_insert(error);
                    if is_full {
                        break;
                    }
                }
            }
        }
        match refusal {
            Some(error) if sent == 0 => Err(error),
            _ => Ok(sent),
        }
    }

    /// Where the network device cannot compute checksums, the kernel refuses every train with EIO. It says EINVAL of segments
    /// that are too long for the path as it knows it now. Any other refusal is about this train alone.
    fn on_train_error(&self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EIO) if self.single_sends.swap(ALWAYS_SINGLE, Ordering::Relaxed) != ALWAYS_SINGLE => {
                info!(
                    "the network device does not take trains of datagrams ({error}); they go out one by one from now on"
                )
            }
            Some(libc::EINVAL) => self.single_sends.store(SINGLE_FOR_NOW, Ordering::Relaxed),
            _ => {}
        }
    }

    fn transmit(&self, to: Route, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let transmit = Transmit {
            destination: to.remote,
            ecn: None,
            contents,
            segment_size,
            src_ip: to.local,
        };
        match self.state.try_send((&self.socket).into(), &transmit) {
            // The address has gone from this machine; another one may still find the peer.
            Err(error) if to.local.is_some() && is_bad_source(&error) => {
                let transmit = Transmit {
                    src_ip: None,
                    ..transmit
                };
                self.state.try_send((&self.socket).into(), &transmit)
            }
            result => result,
        }
    }

    /// Receives up to [`BATCH`] trains into `memory`, each into its own [`TRAIN_BUFFER`] bytes, and tells of them in `trains`.
    /// Gives how many there are; no more than `trains` or `memory` have room for.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is none now. No error means that there will be none later.
    pub fn receive(&self, memory: &mut [u8], trains: &mut [Train]) -> io::Result<usize> {
        let mut chunks = memory.chunks_exact_mut(TRAIN_BUFFER);
        let mut buffers: [IoSliceMut<'_>; BATCH] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        let room = buffers.iter().take_while(|buffer| !buffer.is_empty()).count();
        let room = room.min(trains.len());
        let mut metas = [RecvMeta::default(); BATCH];
        let count = self
            .state
            .recv((&self.socket).into(), &mut buffers[..room], &mut metas)?;
        for (number, (train, meta)) in trains.iter_mut().zip(&metas[..count]).enumerate() {
            *train = Train {
                route: Route {
                    remote: meta.addr,
                    local: meta
                        .dst_ip
                        .filter(|address| self.reports_local_address && is_valid_source(address)),
                },
                start: number * TRAIN_BUFFER,
                len: meta.len.min(TRAIN_BUFFER),
                segment: meta.stride,
            };
        }
        Ok(count)
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// An address that needs an interface to go with it is better left to the kernel, and nobody answers from a group's.
fn is_valid_source(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unicast_link_local(),
    }
}

/// What the kernel says when a datagram is to come from an address that the machine does not have.
fn is_bad_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENETUNREACH)
    )
}

/// Without the right to go beyond the system's limit, the limit has to do.
fn enlarge_queues(socket: &UdpSocket) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size_force(socket, QUEUE_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, QUEUE_BYTES))?;
    sockopt::set_socket_send_buffer_size_force(socket, QUEUE_BYTES)
        .or_else(|_| sockopt::set_socket_send_buffer_size(socket, QUEUE_BYTES))?;
    Ok(())
}

/// Over IPv4, no datagram forbids its fragmentation, and nobody's messages about a path's MTU are believed. Over IPv6,
/// they have to be: routers do not cut, so that this machine has to know where to.
fn enable_fragmentation(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)?;
        switch_off(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG)?;
    }
    Ok(())
}

/// Undoes an option that `UdpSocketState` has set.
#[expect(
    unsafe_code,
    reason = "these options have no safe function in the libraries used here"
)]
fn switch_off(socket: &UdpSocket, level: libc::c_int, option: libc::c_int) -> io::Result<()> {
    let off: libc::c_int = 0;
    let length = libc::socklen_t::try_from(size_of_val(&off)).expect("the size of an int");
    // SAFETY: the descriptor is open as long as `socket` is borrowed; the kernel reads one `int` at the pointer.
    let result =
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, (&raw const off).cast(), length) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
