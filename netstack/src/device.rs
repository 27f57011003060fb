//! The host's network card, which is no card: one packet in, a queue of packets out.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// Spent buffers kept for the next packets. A burst may need more; those are freed, so that an idle host stays small.
const SPARE_BUFFERS: usize = 32;

/// Packets on their way out, and spent buffers that wait to become packets again.
#[derive(Default)]
pub(crate) struct Queue {
    packets: VecDeque<Vec<u8>>,
    spare: Vec<Vec<u8>>,
}

impl Queue {
    /// Swaps the oldest packet into `packet` and keeps what was there as a buffer. `false` if there is none.
    pub(crate) fn pop_into(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(next) = self.packets.pop_front() else {
            return false;
        };
        let spent = core::mem::replace(packet, next);
        if spent.capacity() > 0 && self.spare.len() < SPARE_BUFFERS {
            self.spare.push(spent);
        }
        true
    }
}

/// What smoltcp sees during one call: at most one packet to receive, and the queue to send into.
pub(crate) struct Link<'a> {
    pub(crate) incoming: Option<&'a [u8]>,
    pub(crate) outgoing: &'a mut Queue,
    pub(crate) mtu: usize,
}

impl Device for Link<'_> {
    type RxToken<'a>
        = Incoming<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Outgoing<'a>
    where
        Self: 'a;

    fn receive(&mut self, _now: Instant) -> Option<(Incoming<'_>, Outgoing<'_>)> {
        let packet = self.incoming.take()?;
        Some((Incoming(packet), Outgoing(self.outgoing)))
    }

    fn transmit(&mut self, _now: Instant) -> Option<Outgoing<'_>> {
        Some(Outgoing(self.outgoing))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        // All checksums are computed and verified in software: this is the default.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// The right to read the incoming packet.
pub(crate) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The right to append one packet to the queue.
pub(crate) struct Outgoing<'a>(&'a mut Queue);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = self.0.spare.pop().unwrap_or_default();
        // Cleared, so that no byte of an older packet can show in a field that smoltcp leaves alone.
        packet.clear();
        packet.resize(len, 0);
        let result = write(&mut packet);
        self.0.packets.push_back(packet);
        result
    }
}
