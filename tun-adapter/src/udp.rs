//! UDP socket for a polling thread, with segmentation offload (`UDP_SEGMENT`, `UDP_GRO`). One system call
//! moves a train: datagrams of equal size to or from one peer.
//!
//! Datagrams that are too long for a link on the path are fragmented, not lost: by routers over IPv4 (RFC
//! 791, section 3.2), by this machine over IPv6 (RFC 8200, section 4.5). Otherwise, every full packet of a
//! tunnel would be lost as long as its MTU does not fit the path. A search for the path MTU switches
//! fragmentation off, because it relies on that loss.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::sync::atomic::{AtomicU32, Ordering};

use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol, Type};
use tracing::info;

/// Largest number of datagrams in a sent train. Every kernel with `UDP_SEGMENT` supports this number.
pub const TRAIN_LIMIT: usize = 64;
/// Largest size of a sent train in bytes: the longest UDP payload over IPv4.
pub const TRAIN_BYTES: usize = 65_507;
/// Largest number of trains per call of [`Socket::receive`].
pub const BATCH: usize = 8;
/// Buffer size for one received train, in bytes. Longer trains do not exist.
pub const TRAIN_BUFFER: usize = 65_536;

/// Size of the kernel's socket buffers in bytes, per direction. A received train counts with all of its
/// memory, so the default of about 200 KiB is full after three trains.
const QUEUE_BYTES: usize = 8 << 20;

/// Value of [`Socket::single_sends`]: always send one by one.
const ALWAYS_SINGLE: u32 = u32::MAX;
/// Value of [`Socket::single_sends`] for some seconds of a fast transfer. After that the path may have
/// changed.
const SINGLE_FOR_NOW: u32 = 10_000;

/// Options of a socket.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Send trains in one system call (`UDP_SEGMENT`).
    pub segmentation: bool,
    /// Receive trains in one system call (`UDP_GRO`).
    pub coalescing: bool,
    /// Firewall mark of all outgoing datagrams, for policy routing.
    pub mark: Option<u32>,
    /// Report the local address to which each train was sent. Needed on a machine with several addresses,
    /// because peers expect replies from the address that they know.
    pub reports_local_address: bool,
    /// Fragment datagrams that are too long for a link on the path. If false, they are lost, and ICMP
    /// messages about the path MTU are ignored.
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

/// Addresses of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// Address of the peer.
    pub remote: SocketAddr,
    /// The local address that the peer uses. `None`: the kernel chooses. Always `None` on reception without
    /// [`Options::reports_local_address`].
    pub local: Option<IpAddr>,
}

/// Datagrams of one sender that were received together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Train {
    /// Sender and local address.
    pub route: Route,
    /// Start in the receive buffer.
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
    /// Positions of the datagrams in the receive buffer. An empty train has one empty datagram.
    pub fn datagrams(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (start, end, segment) = (self.start, self.start + self.len, self.segment.max(1));
        (start..end.max(start + 1))
            .step_by(segment)
            .map(move |at| at..end.min(at + segment))
    }
}

/// A bound, non-blocking socket. Several threads may use it at once.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Number of trains that are still sent datagram by datagram, before segmentation is tried again.
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

    /// Binds `count` sockets (at least one) to the same `address`. The kernel distributes the senders among
    /// them.
    ///
    /// # Errors
    ///
    /// As for [`bind`](Self::bind). A socket of another program on this port is an error too.
    pub fn bind_many(address: SocketAddr, count: usize, options: &Options) -> io::Result<Vec<Self>> {
        // The first socket is bound without `SO_REUSEPORT`, so it fails if the port is in use.
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
        // `UdpSocketState` has switched fragmentation off, as a search for the path MTU needs it.
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

    /// The address of the socket.
    ///
    /// # Errors
    ///
    /// None are known.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Returns true if trains are sent in one system call.
    #[must_use]
    pub fn is_segmenting(&self) -> bool {
        self.single_sends.load(Ordering::Relaxed) == 0
    }

    /// Returns true if the next train is to be sent in one system call. Counts down `single_sends`.
    fn may_send_train(&self) -> bool {
        let single_sends = self.single_sends.load(Ordering::Relaxed);
        if (1..ALWAYS_SINGLE).contains(&single_sends) {
            // Threads that do this at the same time may count two trains as one. That is accurate enough.
            self.single_sends.store(single_sends - 1, Ordering::Relaxed);
        }
        single_sends == 0
    }

    /// Sends `bytes` as datagrams of `segment` bytes each; the last may be shorter. Returns the number of
    /// datagrams that the kernel accepted. These are the first ones if its queue was full, and any of them
    /// after other errors.
    ///
    /// # Errors
    ///
    /// If it accepted none: [`io::ErrorKind::WouldBlock`] if its queue is full, else the error of the first
    /// datagram.
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
                // Sent one by one, each rejected datagram has its own error.
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

    /// Notes why the kernel rejected a train. EIO: the network device cannot compute checksums, so every
    /// train fails. EINVAL: the segments are too long for the path MTU that the kernel knows now. Other
    /// errors concern only this train.
    fn on_train_error(&self, error: &io::Error) {
        match error.raw_os_error() {
            Some(libc::EIO) if self.single_sends.swap(ALWAYS_SINGLE, Ordering::Relaxed) != ALWAYS_SINGLE => {
                info!(
                    "the network device does not support UDP segmentation offload ({error}); \
                     datagrams are sent one by one from now on"
                );
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
            // The machine no longer has this local address. Another one may still reach the peer.
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

    /// Receives up to [`BATCH`] trains into `memory`, each into its own [`TRAIN_BUFFER`] bytes, and describes
    /// them in `trains`. Returns their number, which is limited by the lengths of `trains` and `memory`.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] when there is no train now. After any error, the caller may try again
    /// later.
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

/// Returns true if replies may be sent from this address. Multicast and broadcast addresses are no source
/// addresses, and a link-local address would also need an interface.
fn is_valid_source(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !address.is_multicast() && !address.is_broadcast(),
        IpAddr::V6(address) => !address.is_multicast() && !address.is_unicast_link_local(),
    }
}

/// Returns true if the kernel rejected the source address because the machine does not have it.
fn is_bad_source(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EADDRNOTAVAIL | libc::ENETUNREACH)
    )
}

/// Enlarges the socket buffers. Without the permission to exceed the system's limit, they get the limit.
fn enlarge_queues(socket: &UdpSocket) -> io::Result<()> {
    sockopt::set_socket_recv_buffer_size_force(socket, QUEUE_BYTES)
        .or_else(|_| sockopt::set_socket_recv_buffer_size(socket, QUEUE_BYTES))?;
    sockopt::set_socket_send_buffer_size_force(socket, QUEUE_BYTES)
        .or_else(|_| sockopt::set_socket_send_buffer_size(socket, QUEUE_BYTES))?;
    Ok(())
}

/// Switches fragmentation on. Over IPv4, no datagram has DF set, and ICMP messages about the path MTU are
/// ignored. Over IPv6, they must be used, because only the sender can fragment.
fn enable_fragmentation(socket: &UdpSocket, address: SocketAddr) -> io::Result<()> {
    sockopt::set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)?;
    if address.is_ipv6() {
        sockopt::set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::WANT)?;
        switch_off(socket, libc::IPPROTO_IPV6, libc::IPV6_DONTFRAG)?;
    }
    Ok(())
}

/// Switches off an option that `UdpSocketState` has set.
#[expect(unsafe_code, reason = "the libraries have no safe function for these options")]
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
