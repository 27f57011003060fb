//! The virtual network device of a host: one incoming packet at a time, and a queue of outgoing packets.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

use crate::describe::Description;

/// Capacity in bytes that an empty queue keeps. A burst may need more; an idle host must not keep it.
const KEPT: usize = 32 * 1024;

/// The queue of outgoing packets. They are contiguous in one buffer, so a packet costs no allocation.
#[derive(Default)]
pub(crate) struct Queue {
    bytes: Vec<u8>,
    /// Start of the oldest packet in `bytes`.
    start: usize,
    /// Lengths of the packets in bytes, oldest first.
    lens: VecDeque<usize>,
}

impl Queue {
    /// Moves the oldest packet into `packet`. Returns false if the queue is empty.
    pub(crate) fn pop_into(&mut self, packet: &mut Vec<u8>) -> bool {
        let Some(len) = self.lens.pop_front() else {
            return false;
        };
        packet.clear();
        packet.extend_from_slice(&self.bytes[self.start..self.start + len]);
        self.start += len;
        if self.lens.is_empty() {
            self.start = 0;
            self.bytes.clear();
            self.bytes.shrink_to(KEPT);
            self.lens.shrink_to(KEPT / 512);
        }
        true
    }

    /// Describes the packets that were not taken.
    pub(crate) fn describe(&self, to: &mut Description<'_>) {
        let Self { bytes, start, lens } = self;
        to.len(lens.len());
        lens.iter().for_each(|len| to.len(*len));
        to.bytes(&bytes[*start..]);
    }
}

/// The device that smoltcp sees during one call: at most one packet to receive, and the queue for packets to send.
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
        // By default, smoltcp computes and verifies all checksums itself.
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = self.mtu;
        capabilities
    }
}

/// The receive token: it reads the incoming packet.
pub(crate) struct Incoming<'a>(&'a [u8]);

impl RxToken for Incoming<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// The transmit token: it appends one packet to the queue.
pub(crate) struct Outgoing<'a>(&'a mut Queue);

impl TxToken for Outgoing<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let Queue { bytes, lens, .. } = self.0;
        let start = bytes.len();
        bytes.resize(start + len, 0);
        lens.push_back(len);
        write(&mut bytes[start..])
    }
}
