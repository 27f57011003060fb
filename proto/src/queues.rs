//! Output queues and counters of a peer, the same for both profiles.

use alloc::collections::VecDeque;
use alloc::format;
use core::net::SocketAddr;

use crate::describe;
use crate::{ApiMisuse, Batch, Counters, Datagram, DropReason, Event, EventKind, Instant, PacketBuf, State};

/// Maximum number of queued events that the network has caused. Further ones are only counted.
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
    /// Advances the time and returns it. A time in the past is replaced by the latest known time.
    pub(crate) fn advance(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// The latest known time.
    pub(crate) const fn now(&self) -> Instant {
        self.now
    }

    /// Records a change that matters to a data plane.
    pub(crate) const fn note_change(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    /// Number of changes that matter to a data plane.
    pub(crate) const fn generation(&self) -> u64 {
        self.generation
    }

    /// Counts a received datagram.
    pub(crate) fn count_datagram_in(&mut self) {
        self.counters.datagrams_in = self.counters.datagrams_in.saturating_add(1);
    }

    /// Returns an error unless the previous output has been polled. This keeps the queues short.
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

    /// Moves all queued datagrams and packets to `output`.
    pub(crate) fn drain_into(&mut self, output: &mut Batch) {
        output.datagrams.extend(self.datagrams.drain(..));
        output.packets.extend(self.packets.drain(..));
    }

    /// Discards the queued datagrams.
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

    /// Counts a sealed inner packet of `len` bytes.
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

    /// Counts a dropped input, and queues an event with the reason.
    pub(crate) fn drop(&mut self, reason: DropReason, tag: u64) {
        self.counters.count_drop(reason);
        self.network_event(tag, EventKind::Dropped(reason));
    }

    /// Queues an event caused by the network, unless [`MAX_EVENTS`] are waiting.
    pub(crate) fn network_event(&mut self, tag: u64, kind: EventKind) {
        if self.events.len() < MAX_EVENTS {
            self.events.push_back(Event { tag, kind });
        }
    }

    /// Queues an event caused by a command. It is never discarded, because each command causes only a few.
    pub(crate) fn event(&mut self, tag: u64, kind: EventKind) {
        self.events.push_back(Event { tag, kind });
    }

    /// Describes the output that was not taken, and how far the clock of the caller is behind.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            counters: _, // nothing is decided by them
            now,
            generation: _, // only its changes count, for a data plane
            datagrams,
            packets,
            events,
        } = self;
        state.deadline(Some(*now));
        describe::list(state, datagrams.iter(), |state, datagram| {
            let Datagram {
                remote,
                kind,
                payload,
            } = datagram;
            describe::socket(state, *remote);
            describe::text(state, kind);
            describe::len(state, payload.len());
            state.secret(payload);
        });
        describe::list(state, packets.iter(), |state, packet| state.bytes(packet));
        describe::list(state, events.iter(), |state, event| {
            let Event {
                tag: _, // a number of the shell
                kind,
            } = event;
            describe::text(state, &format!("{kind:?}"));
        });
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
