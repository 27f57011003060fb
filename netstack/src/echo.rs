//! Ping and UDP echo: tasks that send numbered requests at an interval and wait for a reply to each.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use smoltcp::iface::SocketHandle;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr, IpAddress};

use crate::content::{Content, ECHO_SEQ_LEN, echo_seq};
use crate::describe::Description;
use crate::event::{EventKind, Summary, TaskError};
use crate::stack::Stack;

/// Length of the ICMP echo header and of the UDP header, in bytes (RFC 792, RFC 4443 section 4.1, RFC 768).
const HEADER_LEN: u16 = 8;

/// The parameters of an echo task, as in [`Task::Ping`](crate::Task::Ping).
pub(crate) struct Plan {
    pub(crate) count: u16,
    pub(crate) interval: Duration,
    pub(crate) payload_len: u16,
    pub(crate) timeout: Duration,
}

impl Plan {
    fn describe(&self, to: &mut Description<'_>) {
        let Self {
            count,
            interval,
            payload_len,
            timeout,
        } = self;
        to.number((*count).into());
        to.duration(*interval);
        to.number((*payload_len).into());
        to.duration(*timeout);
    }
}

/// The kind of request.
enum Kind {
    Ping { to: IpAddr, ident: u16 },
    Udp { to: SocketAddr },
}

impl Kind {
    fn describe(&self, description: &mut Description<'_>) {
        match self {
            Self::Ping {
                to,
                ident: _, // a number that tells the tasks apart
            } => {
                description.number(0);
                description.address(*to);
            }
            Self::Udp { to } => {
                description.number(1);
                description.address(to.ip());
                description.number(to.port().into());
            }
        }
    }
}

/// A running ping or UDP echo.
pub(crate) struct Echo {
    kind: Kind,
    plan: Plan,
    socket: SocketHandle,
    content: Content,
    started: Duration,
    next_seq: u16,
    next_at: Duration,
    /// Requests without a reply, with the time at which each was sent, oldest first.
    waiting: VecDeque<(u16, Duration)>,
    received: u16,
    /// Buffer for one payload.
    payload: Vec<u8>,
}

impl Echo {
    pub(crate) fn ping(now: Duration, to: IpAddr, plan: Plan, stack: &mut Stack) -> Result<Self, TaskError> {
        stack.check_destination(to)?;
        check_payload(to, plan.payload_len, 0, stack.mtu())?;
        let buffer = || {
            let len = usize::from(plan.payload_len) + usize::from(HEADER_LEN);
            icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 2], vec![0; len])
        };
        let mut socket = icmp::Socket::new(buffer(), buffer());
        let ident = stack.echo_ident();
        // A fresh socket can be bound to any identifier.
        let _ = socket.bind(icmp::Endpoint::Ident(ident));
        let socket = stack.sockets.add(socket);
        Ok(Self::new(now, Kind::Ping { to, ident }, plan, socket, stack))
    }

    pub(crate) fn udp(
        now: Duration,
        to: SocketAddr,
        plan: Plan,
        stack: &mut Stack,
    ) -> Result<Self, TaskError> {
        stack.check_destination(to.ip())?;
        if to.port() == 0 {
            return Err(TaskError::BadDestination);
        }
        check_payload(to.ip(), plan.payload_len, ECHO_SEQ_LEN as u16, stack.mtu())?;
        let mut socket = udp_socket(usize::from(plan.payload_len));
        // A fresh socket can be bound to any port above 0.
        let _ = socket.bind(stack.ephemeral_port());
        let socket = stack.sockets.add(socket);
        Ok(Self::new(now, Kind::Udp { to }, plan, socket, stack))
    }

    fn new(now: Duration, kind: Kind, plan: Plan, socket: SocketHandle, stack: &mut Stack) -> Self {
        Self {
            kind,
            socket,
            content: stack.content(),
            started: now,
            next_seq: 0,
            next_at: now,
            waiting: VecDeque::new(),
            received: 0,
            payload: vec![0; usize::from(plan.payload_len)],
            plan,
        }
    }

    /// Receives replies, reports overdue requests as lost, and sends the requests that are due. Returns the summary at
    /// the end of the task. Replies come first, so a reply that arrives exactly at its deadline counts.
    pub(crate) fn step(
        &mut self,
        now: Duration,
        stack: &mut Stack,
        emit: &mut dyn FnMut(EventKind),
    ) -> Option<Summary> {
        while let Some(reply) = self.receive(stack) {
            let place = reply.and_then(|seq| self.waiting.iter().position(|&(waiting, _)| waiting == seq));
            if let Some((seq, sent_at)) = place.and_then(|place| self.waiting.remove(place)) {
                self.received += 1;
                let rtt = now.saturating_sub(sent_at);
                emit(match self.kind {
                    Kind::Ping { .. } => EventKind::PingReply { seq, rtt },
                    Kind::Udp { .. } => EventKind::EchoReply { seq, rtt },
                });
            }
        }
        while let Some(&(seq, sent_at)) = self.waiting.front()
            && sent_at.saturating_add(self.plan.timeout) <= now
        {
            self.waiting.pop_front();
            emit(match self.kind {
                Kind::Ping { .. } => EventKind::PingLost { seq },
                Kind::Udp { .. } => EventKind::EchoLost { seq },
            });
        }
        while self.next_seq < self.plan.count && self.next_at <= now && self.send(stack) {
            self.waiting.push_back((self.next_seq, now));
            self.next_seq += 1;
            self.next_at = self.next_at.saturating_add(self.plan.interval);
        }
        if self.next_seq < self.plan.count || !self.waiting.is_empty() {
            return None;
        }
        stack.sockets.remove(self.socket);
        Some(Summary {
            bytes: u64::from(self.received) * u64::from(self.plan.payload_len),
            sha256: None,
            elapsed: now.saturating_sub(self.started),
            sent: u32::from(self.plan.count),
            received: u32::from(self.received),
        })
    }

    /// The time at which the next request is due or the oldest unanswered request is lost.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        let next = (self.next_seq < self.plan.count).then_some(self.next_at);
        let lost = self
            .waiting
            .front()
            .map(|&(_, sent_at)| sent_at.saturating_add(self.plan.timeout));
        next.into_iter().chain(lost).min()
    }

    /// Describes the requests that are left and those without a reply.
    pub(crate) fn describe(&self, to: &mut Description<'_>) {
        let Self {
            kind,
            plan,
            socket,
            content: _, // random, and the same in a request and its reply
            started,
            next_seq,
            next_at,
            waiting,
            received,
            payload: _, // a buffer that is filled before each use
        } = self;
        kind.describe(to);
        plan.describe(to);
        to.text(socket);
        to.age(*started);
        to.number((*next_seq).into());
        if *next_seq < plan.count {
            to.deadline(*next_at);
        }
        to.len(waiting.len());
        for &(seq, sent_at) in waiting {
            to.number(seq.into());
            to.age(sent_at);
        }
        to.number((*received).into());
    }

    /// Passes request `next_seq` to the socket. Returns false if the socket still holds the previous request.
    fn send(&mut self, stack: &mut Stack) -> bool {
        self.content.fill_echo(self.next_seq, &mut self.payload);
        match self.kind {
            Kind::Ping { to, ident } => {
                let socket = stack.sockets.get_mut::<icmp::Socket<'_>>(self.socket);
                let Ok(buffer) = socket.send(self.payload.len() + usize::from(HEADER_LEN), to.into()) else {
                    return false;
                };
                write_request(to, ident, self.next_seq, &self.payload, buffer);
                true
            }
            Kind::Udp { to } => {
                let socket = stack.sockets.get_mut::<udp::Socket<'_>>(self.socket);
                socket
                    .send_slice(&self.payload, smoltcp::wire::IpEndpoint::from(to))
                    .is_ok()
            }
        }
    }

    /// Takes one packet from the socket. The inner value is the sequence number of the request that the packet answers;
    /// it is `None` if the packet answers no request.
    fn receive(&mut self, stack: &mut Stack) -> Option<Option<u16>> {
        let (seq, payload) = match self.kind {
            Kind::Ping { to, ident } => {
                let socket = stack.sockets.get_mut::<icmp::Socket<'_>>(self.socket);
                let (packet, from) = socket.recv().ok()?;
                match read_reply(packet, from, ident) {
                    Some(reply) if from == to.into() => reply,
                    _ => return Some(None),
                }
            }
            Kind::Udp { to } => {
                let socket = stack.sockets.get_mut::<udp::Socket<'_>>(self.socket);
                let (payload, from) = socket.recv().ok()?;
                match echo_seq(payload) {
                    Some(seq) if from.endpoint == to.into() => (seq, payload),
                    _ => return Some(None),
                }
            }
        };
        self.content.fill_echo(seq, &mut self.payload);
        Some((payload == self.payload).then_some(seq))
    }
}

/// A UDP socket with a buffer for one datagram in each direction. That is enough: a host handles each packet before the
/// next one.
pub(crate) fn udp_socket(payload_len: usize) -> udp::Socket<'static> {
    let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 2], vec![0; payload_len]);
    udp::Socket::new(buffer(), buffer())
}

fn check_payload(to: IpAddr, given: u16, min: u16, mtu: usize) -> Result<(), TaskError> {
    let ip_header = if to.is_ipv4() { 20 } else { 40 };
    let max = u16::try_from(mtu)
        .unwrap_or(u16::MAX)
        .saturating_sub(ip_header + HEADER_LEN);
    if (min..=max).contains(&given) {
        Ok(())
    } else {
        Err(TaskError::PayloadLength { given, min, max })
    }
}

/// Fills `buffer` with an echo request. smoltcp computes the checksum when it sends the request.
fn write_request(to: IpAddr, ident: u16, seq_no: u16, data: &[u8], buffer: &mut [u8]) {
    let checksums = ChecksumCapabilities::ignored();
    match to {
        IpAddr::V4(_) => {
            let request = Icmpv4Repr::EchoRequest { ident, seq_no, data };
            request.emit(&mut Icmpv4Packet::new_unchecked(buffer), &checksums);
        }
        IpAddr::V6(to) => {
            let request = Icmpv6Repr::EchoRequest { ident, seq_no, data };
            request.emit(&to, &to, &mut Icmpv6Packet::new_unchecked(buffer), &checksums);
        }
    }
}

/// Sequence number and payload of an echo reply. smoltcp has verified the checksum. It also delivers echo requests from
/// other hosts with the same identifier, so the message type and the identifier are checked here.
fn read_reply(packet: &[u8], from: IpAddress, ours: u16) -> Option<(u16, &[u8])> {
    let checksums = ChecksumCapabilities::ignored();
    match from {
        IpAddress::Ipv4(_) => {
            match Icmpv4Repr::parse(&Icmpv4Packet::new_checked(packet).ok()?, &checksums).ok()? {
                Icmpv4Repr::EchoReply { ident, seq_no, data } if ident == ours => Some((seq_no, data)),
                _ => None,
            }
        }
        IpAddress::Ipv6(from) => {
            let packet = Icmpv6Packet::new_checked(packet).ok()?;
            match Icmpv6Repr::parse(&from, &from, &packet, &checksums).ok()? {
                Icmpv6Repr::EchoReply { ident, seq_no, data } if ident == ours => Some((seq_no, data)),
                _ => None,
            }
        }
    }
}
