//! Inbound path, from the network to the device: receive datagrams, open them in place, coalesce packets,
//! write them.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::ops::Range;

use rustix::thread::sched_yield;
use sandhog_proto::secure::{Body, DataPath, DataPaths, Incoming, KeyAge, Notice};
use sandhog_proto::{Counters, Datagram, DropReason, Instant, PacketBuf};

use super::Shared;
use super::inbox::Received;
use crate::clock;
use crate::offload::Coalescer;
use crate::offload::header::{Header, Kind};
use crate::shell::ErrorLog;
use crate::tun::{OffloadFeatures, Queue};
use crate::udp::{BATCH, Route, Socket, TRAIN_BUFFER, Train};

/// Inbound path of one thread.
#[derive(Debug)]
pub(super) struct Inbound {
    memory: Box<[u8]>,
    trains: [Train; BATCH],
    coalescer: Coalescer,
    datagrams: Vec<Received<Datagram>>,
    notices: Vec<Received<Notice>>,
}

/// The other parts that a run uses.
pub(super) struct Receiving<'a> {
    pub(super) queue: &'a Queue,
    pub(super) socket: &'a Socket,
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a mut Counters,
    pub(super) errors: &'a mut ErrorLog,
}

impl Inbound {
    pub(super) fn new(features: OffloadFeatures) -> Self {
        Self {
            memory: vec![0; BATCH * TRAIN_BUFFER].into_boxed_slice(),
            trains: std::array::from_fn(|_| Train::default()),
            coalescer: Coalescer::new(features),
            datagrams: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Moves the datagrams that the socket has now, up to a limit. Returns true if there was a packet for the
    /// device.
    pub(super) fn run(&mut self, receiving: &mut Receiving<'_>) -> bool {
        let count = match receiving.socket.receive(&mut self.memory, &mut self.trains) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            // For example an ICMP error about an earlier datagram. Reading it clears it.
            Err(error) => {
                receiving.errors.report("receive a datagram", &error);
                return false;
            }
        };
        // Load the sessions after receiving, so that they are never older than a datagram.
        let paths = receiving.shared.paths.load();
        let mut totals = SessionTotals::new(clock::now());
        for number in 0..count {
            let train = std::mem::take(&mut self.trains[number]);
            let local = receiving.shared.local_addresses.number(train.route.local);
            totals.start_train(local, receiving.counters);
            for place in train.datagrams() {
                receiving.counters.datagrams_in += 1;
                self.take(&paths, &mut totals, train.route, place, receiving.counters);
            }
        }
        totals.flush(receiving.counters);
        let has_packets = self.write(receiving);
        let overflow = receiving.shared.inbox.put(&mut self.datagrams, &mut self.notices);
        // The peer counts the datagrams that it gets.
        receiving.counters.datagrams_in += overflow.datagrams;
        for (reason, count) in [
            (DropReason::Overloaded, overflow.overloaded),
            (DropReason::ShareLimited, overflow.share_limited),
        ] {
            receiving.counters.count_drops(reason, count);
        }
        has_packets
    }

    fn take<'a>(
        &mut self,
        paths: &'a DataPaths,
        totals: &mut SessionTotals<'a>,
        route: Route,
        place: Range<usize>,
        counters: &mut Counters,
    ) {
        let result = match paths.classify(&self.memory[place.clone()]) {
            Incoming::Data(path, age) => {
                totals.start_session(path, counters);
                self.open(paths, (path, age), totals, route, place)
            }
            Incoming::Peer => {
                // The peer counts it.
                counters.datagrams_in -= 1;
                let datagram = Datagram {
                    remote: route.remote,
                    kind: "",
                    payload: PacketBuf::copied_from(&self.memory[place]),
                };
                self.datagrams.push((datagram, route.local));
                return;
            }
            Incoming::Drop(reason) => Err(reason),
        };
        if let Err(reason) = result {
            counters.count_drop(reason);
        }
    }

    fn open(
        &mut self,
        paths: &DataPaths,
        (path, age): (&DataPath, KeyAge),
        totals: &mut SessionTotals<'_>,
        route: Route,
        place: Range<usize>,
    ) -> Result<(), DropReason> {
        let start = place.start;
        let (body, opened) = path.open(totals.now, age, &mut self.memory[place])?;
        totals.has_received = true;
        let place = start + body.start..start + body.end;
        let packet = &self.memory[place.clone()];
        let is_message = opened.body == Body::Message;
        if let Some(notice) = path.notice(age, route.remote, &opened, is_message.then_some(packet)) {
            push_notice(&mut self.notices, notice, route.local);
        }
        if is_message {
            return Ok(());
        }
        paths.admit(path, packet)?;
        totals.packets += 1;
        totals.bytes += packet.len() as u64;
        self.coalescer.push(&self.memory, place);
        Ok(())
    }

    /// Writes the opened packets to the device. Packets that it does not accept are lost, as in a full queue
    /// of the network. Returns true if there were any packets.
    fn write(&mut self, receiving: &mut Receiving<'_>) -> bool {
        let mut has_packets = false;
        self.coalescer.drain(&self.memory, |parts, packets| {
            has_packets = true;
            if let Err(error) = receiving.queue.write(parts) {
                receiving
                    .errors
                    .report("write a packet to the tunnel device", &error);
                receiving
                    .counters
                    .count_drops(DropReason::Overloaded, packets as u64);
            }
            if is_of_datagrams(parts) {
                // A socket buffer holds about 250 short datagrams, fewer than a batch can have, and its
                // reader may wait for this processor. TCP has flow control of its own.
                sched_yield();
            }
        });
        has_packets
    }
}

/// Returns true if `parts` are a UDP superpacket.
fn is_of_datagrams(parts: &[IoSlice<'_>]) -> bool {
    let header = parts.first().and_then(|part| part.first_chunk());
    header.is_some_and(|header| Header::read(header).kind == Kind::Udp)
}

/// Counts of packets opened for one session that are not reported yet. Writing to the shared counters of a
/// session is expensive.
struct SessionTotals<'a> {
    now: Instant,
    path: Option<&'a DataPath>,
    /// Number of the local address to which the datagrams were sent.
    local: u32,
    has_received: bool,
    packets: u64,
    bytes: u64,
}

impl<'a> SessionTotals<'a> {
    const fn new(now: Instant) -> Self {
        Self {
            now,
            path: None,
            local: 0,
            has_received: false,
            packets: 0,
            bytes: 0,
        }
    }

    /// Starts a train that was sent to the local address with this number.
    fn start_train(&mut self, local: u32, counters: &mut Counters) {
        if self.local != local {
            self.flush(counters);
            self.local = local;
        }
    }

    /// Starts datagrams of this session.
    fn start_session(&mut self, path: &'a DataPath, counters: &mut Counters) {
        if !self.path.is_some_and(|before| std::ptr::eq(before, path)) {
            self.flush(counters);
            self.path = Some(path);
        }
    }

    fn flush(&mut self, counters: &mut Counters) {
        if let Some(path) = self.path.filter(|_| self.has_received) {
            path.heard(self.now, self.packets, self.bytes);
            path.set_user_data(self.local);
            counters.packets_in += self.packets;
            counters.bytes_in += self.bytes;
        }
        (self.has_received, self.packets, self.bytes) = (false, 0, 0);
    }
}

/// Adds a notice. Of several equal notices of one session, only the last is kept.
fn push_notice(notices: &mut Vec<Received<Notice>>, notice: Notice, local: Option<IpAddr>) {
    let is_equal = |(last, _): &&mut Received<Notice>| {
        let are_plain = last.message.is_none() && notice.message.is_none();
        are_plain && (last.index, last.remote) == (notice.index, notice.remote)
    };
    match notices.last_mut().filter(is_equal) {
        Some(last) => *last = (notice, local),
        None => notices.push((notice, local)),
    }
}
