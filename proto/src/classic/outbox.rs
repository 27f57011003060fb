//! What both sides have in common: the codec, and queues of everything that waits to be polled.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use super::codec::{Code, Codec, SealError};
use crate::{ApiMisuse, Batch, Counters, Datagram, DropReason, Event, EventKind, Instant, PacketBuf};

/// Most events of the network's making that a peer keeps until they are polled; the rest is only counted.
pub const MAX_EVENTS: usize = 4096;

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) codec: Codec,
    pub(super) counters: Counters,
    now: Instant,
    mtu: usize,
    datagrams: VecDeque<Datagram>,
    packets: VecDeque<PacketBuf>,
    events: VecDeque<Event>,
}

impl Outbox {
    pub(super) fn new(codec: Codec, mtu: u16) -> Self {
        Self {
            codec,
            counters: Counters::default(),
            now: Instant::ZERO,
            mtu: usize::from(mtu),
            datagrams: VecDeque::new(),
            packets: VecDeque::new(),
            events: VecDeque::new(),
        }
    }

    /// Moves time forward and returns it. Time that runs backwards stands still.
    pub(super) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Whether an input may be handled: everything before it has been polled, so that the queues stay short.
    pub(super) fn check_drained(&self) -> Result<(), ApiMisuse> {
        if self.datagrams.is_empty() && self.packets.is_empty() {
            Ok(())
        } else {
            Err(ApiMisuse::NotDrained)
        }
    }

    pub(super) fn poll_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    pub(super) fn poll_packet(&mut self) -> Option<PacketBuf> {
        self.packets.pop_front()
    }

    pub(super) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves all that waits to `output`.
    pub(super) fn drain_into(&mut self, output: &mut Batch) {
        output.datagrams.extend(self.datagrams.drain(..));
        output.packets.extend(self.packets.drain(..));
    }

    /// Takes back what was to be sent.
    pub(super) fn unsend(&mut self) {
        let unsent = u64::try_from(self.datagrams.len()).unwrap_or(u64::MAX);
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_sub(unsent);
        self.datagrams.clear();
    }

    /// Seals a body and queues the datagram.
    pub(super) fn send(
        &mut self,
        code: Code,
        remote: SocketAddr,
        mut payload: PacketBuf,
    ) -> Result<(), SealError> {
        self.codec.seal(code, &mut payload)?;
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_add(1);
        self.datagrams.push_back(Datagram {
            remote,
            kind: code.name(),
            payload,
        });
        Ok(())
    }

    /// Seals an inner packet and queues it, or drops it.
    pub(super) fn send_packet(&mut self, remote: SocketAddr, packet: PacketBuf) {
        let (tag, len) = (packet.tag, packet.len());
        if len > self.mtu {
            return self.drop(DropReason::TooLarge, tag);
        }
        match self.send(Code::Data, remote, packet) {
            Ok(()) => {
                self.counters.packets_out = self.counters.packets_out.saturating_add(1);
                self.counters.bytes_out = self.counters.bytes_out.saturating_add(as_u64(len));
            }
            Err(error) => self.drop(error.reason(), tag),
        }
    }

    /// Queues an opened inner packet for the device, or drops it.
    pub(super) fn deliver(&mut self, packet: PacketBuf) {
        if packet.len() > self.mtu {
            return self.drop(DropReason::TooLarge, packet.tag);
        }
        self.counters.packets_in = self.counters.packets_in.saturating_add(1);
        self.counters.bytes_in = self.counters.bytes_in.saturating_add(as_u64(packet.len()));
        self.packets.push_back(packet);
    }

    /// Counts what is not taken and says so.
    pub(super) fn drop(&mut self, reason: DropReason, tag: u64) {
        self.counters.count_drop(reason);
        self.network_event(tag, EventKind::Dropped(reason));
    }

    /// Queues an event that the network caused, as long as somebody polls.
    pub(super) fn network_event(&mut self, tag: u64, kind: EventKind) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(Event { tag, kind });
        }
    }

    /// Queues an event that follows from a command. There are only so many for each command, and none may be lost.
    pub(super) fn event(&mut self, tag: u64, kind: EventKind) {
        self.events.push_back(Event { tag, kind });
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
