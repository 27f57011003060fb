//! Queues of everything that waits to be polled, and what is counted on the way: the same for every profile.

use alloc::collections::VecDeque;
use core::net::SocketAddr;

use crate::{ApiMisuse, Batch, Counters, Datagram, DropReason, Event, EventKind, Instant, PacketBuf};

/// Most events of the network's making that a peer keeps until they are polled; the rest is only counted.
pub const MAX_EVENTS: usize = 4096;

#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) counters: Counters,
    now: Instant,
    generation: u64,
    datagrams: VecDeque<Datagram>,
    packets: VecDeque<PacketBuf>,
    events: VecDeque<Event>,
}

impl Queues {
    /// Moves time forward and returns it. Time that runs backwards stands still.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The latest time that it was told.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Notes that what a data plane goes by has changed.
    pub(crate) const fn note_change(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Changes whenever something changes that a data plane goes by.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Counts a datagram that came in.
    pub(crate) fn count_datagram_in(&mut self) {
        self.counters.datagrams_in = self.counters.datagrams_in.saturating_add(1);
    }

    /// Whether an input may be handled: everything before it has been polled, so that the queues stay short.
    pub(crate) fn check_drained(&self) -> Result<(), ApiMisuse> {
        if self.datagrams.is_empty() && self.packets.is_empty() {
            Ok(())
        } else {
            Err(ApiMisuse::NotDrained)
        }
    }

    pub(crate) fn poll_datagram(&mut self) -> Option<Datagram> {
        self.datagrams.pop_front()
    }

    pub(crate) fn poll_packet(&mut self) -> Option<PacketBuf> {
        self.packets.pop_front()
    }

    pub(crate) fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Moves all that waits to `output`.
    pub(crate) fn drain_into(&mut self, output: &mut Batch) {
        output.datagrams.extend(self.datagrams.drain(..));
        output.packets.extend(self.packets.drain(..));
    }

    /// Takes back what was to be sent.
    pub(crate) fn unsend(&mut self) {
        let unsent = u64::try_from(self.datagrams.len()).unwrap_or(u64::MAX);
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_sub(unsent);
        self.datagrams.clear();
    }

    /// Queues a sealed datagram.
    pub(crate) fn send(&mut self, kind: &'static str, remote: SocketAddr, payload: PacketBuf) {
        self.counters.datagrams_out = self.counters.datagrams_out.saturating_add(1);
        self.datagrams.push_back(Datagram {
            remote,
            kind,
            payload,
        });
    }

    /// Counts an inner packet of `len` bytes that was sealed.
    pub(crate) fn count_packet_out(&mut self, len: usize) {
        self.counters.packets_out = self.counters.packets_out.saturating_add(1);
        self.counters.bytes_out = self.counters.bytes_out.saturating_add(as_u64(len));
    }

    /// Queues an opened inner packet for the device.
    pub(crate) fn deliver(&mut self, packet: PacketBuf) {
        self.counters.packets_in = self.counters.packets_in.saturating_add(1);
        self.counters.bytes_in = self.counters.bytes_in.saturating_add(as_u64(packet.len()));
        self.packets.push_back(packet);
    }

    /// Counts what is not taken and says so.
    pub(crate) fn drop(&mut self, reason: DropReason, tag: u64) {
        self.counters.count_drop(reason);
        self.network_event(tag, EventKind::Dropped(reason));
    }

    /// Queues an event that the network caused, as long as somebody polls.
    pub(crate) fn network_event(&mut self, tag: u64, kind: EventKind) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(Event { tag, kind });
        }
    }

    /// Queues an event that follows from a command. There are only so many for each command, and none may be lost.
    pub(crate) fn event(&mut self, tag: u64, kind: EventKind) {
        self.events.push_back(Event { tag, kind });
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
