//! A deterministic link between two hosts: virtual time, a delay, a rate, and a chosen impairment for each packet.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_netstack::{Config, Event, EventKind, Host, Service, Summary, Task, TaskError, TaskId};
use smoltcp::wire::{
    Icmpv4Packet, Icmpv6Packet, IpAddress, IpProtocol, Ipv4Packet, Ipv6Packet, TcpPacket, UdpPacket,
};

pub(crate) const CANARY: [u8; 16] = *b"canary-canary-16";
pub(crate) const ALICE: usize = 0;
pub(crate) const BOB: usize = 1;
pub(crate) const BULK_PORT: u16 = 5001;
pub(crate) const ECHO_PORT: u16 = 7;
pub(crate) const HTTP_PORT: u16 = 80;

/// The delivery of a packet.
pub(crate) enum Delivery {
    /// Arrives after the link's delay.
    Normal,
    /// Arrives this much later.
    Delayed(Duration),
    /// Does not arrive.
    Lost,
    /// Arrives with the lowest bit of this byte flipped.
    Corrupted(usize),
    /// Arrives twice.
    Duplicated,
    /// These bytes arrive instead.
    Replaced(Vec<u8>),
}

/// A sent packet, as input for the choice of its delivery.
pub(crate) struct Sent<'a> {
    pub(crate) from: usize,
    /// Number of the packet, counted from 0 over both directions.
    pub(crate) nth: u64,
    pub(crate) at: Duration,
    pub(crate) bytes: &'a [u8],
}

pub(crate) struct Network {
    pub(crate) hosts: [Host; 2],
    pub(crate) now: Duration,
    pub(crate) events: Vec<(usize, Duration, Event)>,
    /// Sender, time and bytes of each packet sent, in order.
    pub(crate) tap: Vec<(usize, Duration, Vec<u8>)>,
    /// False in tests that send too much to keep.
    pub(crate) keep_tap: bool,
    pub(crate) delay: Duration,
    /// Rate of each direction in bits per second, 0 for no limit.
    pub(crate) rate: u64,
    pub(crate) sent: u64,
    free_at: [Duration; 2],
    delivery: Box<dyn FnMut(&Sent<'_>) -> Delivery>,
    in_flight: BTreeMap<(Duration, u64), (usize, Vec<u8>)>,
    wakes: u64,
}

pub(crate) fn config(last: u8) -> Config {
    let addresses = vec![
        ([10, 9, 0, last].into(), 24),
        ([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into(), 64),
    ];
    Config {
        addresses,
        mtu: 1400,
        seed: u64::from(last),
        canary: CANARY,
    }
}

/// A link without loss and a delay of 10 ms in each direction. Bob offers all services.
pub(crate) fn network() -> Network {
    let mut bob = Host::new(config(1));
    bob.serve(Service::Bulk { port: BULK_PORT });
    bob.serve(Service::UdpEcho { port: ECHO_PORT });
    bob.serve(Service::Http {
        port: HTTP_PORT,
        files: files(),
    });
    Network::new([Host::new(config(2)), bob])
}

/// The files of Bob's HTTP server.
pub(crate) fn files() -> BTreeMap<String, Cow<'static, [u8]>> {
    let binary: Vec<u8> = (0..100_000_u32)
        .map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    BTreeMap::from([
        ("/index.html".to_owned(), b"<p>hello</p>".as_slice().into()),
        ("empty".to_owned(), b"".as_slice().into()),
        ("/every byte".replace(' ', "-"), binary.into()),
    ])
}

impl Network {
    pub(crate) fn new(hosts: [Host; 2]) -> Self {
        Self {
            hosts,
            now: Duration::ZERO,
            events: Vec::new(),
            tap: Vec::new(),
            keep_tap: true,
            delay: ms(10),
            rate: 0,
            sent: 0,
            free_at: [Duration::ZERO; 2],
            delivery: Box::new(|_| Delivery::Normal),
            in_flight: BTreeMap::new(),
            wakes: 0,
        }
    }

    pub(crate) fn with_delivery(mut self, delivery: impl FnMut(&Sent<'_>) -> Delivery + 'static) -> Self {
        self.delivery = Box::new(delivery);
        self
    }

    pub(crate) fn start(&mut self, host: usize, task: Task) -> TaskId {
        let id = self.hosts[host].start(self.now, task);
        self.drain(host);
        id
    }

    /// Passes a packet to a host as if it had just arrived.
    pub(crate) fn inject(&mut self, host: usize, packet: &[u8]) {
        self.hosts[host].handle_packet(self.now, packet);
        self.drain(host);
    }

    /// Runs until there is no packet in flight and no deadline, at most to `limit`.
    pub(crate) fn run(&mut self, limit: Duration) {
        while self.step(limit) {}
    }

    /// Runs until the task has ended.
    #[track_caller]
    pub(crate) fn finish(&mut self, host: usize, task: TaskId) -> Result<Summary, TaskError> {
        let limit = self.now + Duration::from_secs(3600);
        loop {
            if let Some(result) = self.result(host, task) {
                return result;
            }
            assert!(
                self.step(limit),
                "no packet in flight and no deadline, but the task has not ended"
            );
        }
    }

    #[track_caller]
    pub(crate) fn result(&self, host: usize, task: TaskId) -> Option<Result<Summary, TaskError>> {
        let mut results = self.kinds(host, task).into_iter().filter_map(|kind| match kind {
            EventKind::Done(summary) => Some(Ok(summary)),
            EventKind::Failed(error) => Some(Err(error)),
            _ => None,
        });
        let result = results.next();
        assert_eq!(results.next(), None, "a task ends once");
        result
    }

    pub(crate) fn kinds(&self, host: usize, task: TaskId) -> Vec<EventKind> {
        let of_task = |(at, _, event): &&(usize, Duration, Event)| *at == host && event.task == task;
        self.events
            .iter()
            .filter(of_task)
            .map(|(_, _, event)| event.kind.clone())
            .collect()
    }

    /// Advances to the next packet or deadline. Returns false if there is none up to `limit`.
    pub(crate) fn step(&mut self, limit: Duration) -> bool {
        let arrival = self.in_flight.keys().next().map(|&(at, _)| at);
        let deadlines = [ALICE, BOB].map(|host| self.hosts[host].poll_timeout(self.now));
        let Some(next) = arrival.into_iter().chain(deadlines.into_iter().flatten()).min() else {
            return false;
        };
        if next > limit {
            return false;
        }
        // A host whose deadline is still not in the future after all due work is done would be called in a busy loop.
        self.wakes = if next > self.now { 0 } else { self.wakes + 1 };
        assert!(self.wakes < 3, "a host keeps asking to be called at {next:?}");
        self.now = self.now.max(next);
        while let Some(entry) = self.in_flight.first_entry()
            && entry.key().0 <= self.now
        {
            let (host, packet) = entry.remove();
            self.hosts[host].handle_packet(self.now, &packet);
            self.drain(host);
            self.wakes = 0;
        }
        for host in [ALICE, BOB] {
            if deadlines[host].is_some_and(|deadline| deadline <= self.now) {
                self.hosts[host].handle_timeout(self.now);
                self.drain(host);
                let deadline = self.hosts[host].poll_timeout(self.now);
                assert!(
                    deadline.is_none_or(|deadline| deadline > self.now),
                    "no progress at {:?}",
                    self.now
                );
            }
        }
        true
    }

    fn drain(&mut self, host: usize) {
        let mut packet = Vec::new();
        while self.hosts[host].poll_packet(&mut packet) {
            self.send(host, &packet);
        }
        while let Some(event) = self.hosts[host].poll_event() {
            self.events.push((host, self.now, event));
        }
    }

    fn send(&mut self, host: usize, packet: &[u8]) {
        if self.keep_tap {
            self.tap.push((host, self.now, packet.to_vec()));
        }
        let sent = Sent {
            from: host,
            nth: self.sent,
            at: self.now,
            bytes: packet,
        };
        let delivery = (self.delivery)(&sent);
        self.sent += 1;
        let bits = packet.len() as u64 * 8;
        let wire = Duration::from_nanos((bits * 1_000_000_000).checked_div(self.rate).unwrap_or(0));
        let free_at = self.free_at[host].max(self.now) + wire;
        self.free_at[host] = free_at;
        let due = free_at + self.delay;
        let mut arrive = |due, bytes: &[u8], copy| {
            self.in_flight
                .insert((due, self.sent * 2 + copy), (1 - host, bytes.to_vec()));
        };
        match delivery {
            Delivery::Normal => arrive(due, packet, 0),
            Delivery::Delayed(more) => arrive(due + more, packet, 0),
            Delivery::Lost => {}
            Delivery::Corrupted(byte) => {
                let mut corrupted = packet.to_vec();
                let byte = byte % corrupted.len();
                corrupted[byte] ^= 1;
                arrive(due, &corrupted, 0);
            }
            Delivery::Duplicated => {
                arrive(due, packet, 0);
                arrive(due, packet, 1);
            }
            Delivery::Replaced(packet) => arrive(due, &packet, 0),
        }
    }
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Bob's IPv4 address with this port.
pub(crate) fn bob(port: u16) -> SocketAddr {
    ([10, 9, 0, 1], port).into()
}

pub(crate) fn download(bytes: u64) -> Task {
    Task::Download {
        from: bob(BULK_PORT),
        bytes,
    }
}

pub(crate) fn upload(bytes: u64) -> Task {
    Task::Upload {
        to: bob(BULK_PORT),
        bytes,
    }
}

/// The TCP segment in an IPv4 packet.
pub(crate) fn segment(packet: &[u8]) -> Option<TcpPacket<&[u8]>> {
    let ip = Ipv4Packet::new_checked(packet).ok()?;
    (ip.next_header() == IpProtocol::Tcp).then(|| TcpPacket::new_checked(ip.payload()).ok())?
}

/// A copy of an IPv4 packet with a changed TCP payload of the same length and valid checksums.
pub(crate) fn with_payload(packet: &[u8], change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut packet = packet.to_vec();
    change(TcpPacket::new_unchecked(Ipv4Packet::new_unchecked(&mut packet[..]).payload_mut()).payload_mut());
    fix_checksums(&mut packet);
    packet
}

/// Corrects all checksums of a packet, as far as its lengths allow.
pub(crate) fn fix_checksums(packet: &mut [u8]) {
    let (protocol, source, destination): (IpProtocol, IpAddress, IpAddress) =
        match packet.first().map(|b| b >> 4) {
            Some(4) => {
                let Ok(mut ip) = Ipv4Packet::new_checked(&mut *packet) else {
                    return;
                };
                ip.fill_checksum();
                (ip.next_header(), ip.src_addr().into(), ip.dst_addr().into())
            }
            Some(6) => {
                let Ok(ip) = Ipv6Packet::new_checked(&mut *packet) else {
                    return;
                };
                (ip.next_header(), ip.src_addr().into(), ip.dst_addr().into())
            }
            _ => return,
        };
    let payload = match source {
        IpAddress::Ipv4(_) => {
            let (start, end) = {
                let ip = Ipv4Packet::new_unchecked(&*packet);
                (usize::from(ip.header_len()), usize::from(ip.total_len()))
            };
            &mut packet[start..end]
        }
        IpAddress::Ipv6(_) => &mut packet[40..],
    };
    match (protocol, source, destination) {
        (IpProtocol::Tcp, ..) if TcpPacket::new_checked(&*payload).is_ok() => {
            TcpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        (IpProtocol::Udp, ..) if UdpPacket::new_checked(&*payload).is_ok() => {
            UdpPacket::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        (IpProtocol::Icmp, ..) if Icmpv4Packet::new_checked(&*payload).is_ok() => {
            Icmpv4Packet::new_unchecked(payload).fill_checksum();
        }
        (IpProtocol::Icmpv6, IpAddress::Ipv6(source), IpAddress::Ipv6(destination))
            if Icmpv6Packet::new_checked(&*payload).is_ok() =>
        {
            Icmpv6Packet::new_unchecked(payload).fill_checksum(&source, &destination);
        }
        _ => {}
    }
}

/// A seeded random number generator: SplitMix64.
pub(crate) fn random(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
