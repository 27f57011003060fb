//! Codec and output queues, the part that client and server share.

use core::net::SocketAddr;

use super::codec::{Code, Codec, SealError};
use crate::queues::Queues;
use crate::{DropReason, PacketBuf, State};

#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) codec: Codec,
    pub(super) queues: Queues,
    mtu: usize,
}

impl Outbox {
    pub(super) fn new(codec: Codec, mtu: u16) -> Self {
        Self {
            codec,
            queues: Queues::default(),
            mtu: usize::from(mtu),
        }
    }

    /// Seals a body and queues the datagram.
    pub(super) fn send(
        &mut self,
        code: Code,
        remote: SocketAddr,
        mut payload: PacketBuf,
    ) -> Result<(), SealError> {
        self.codec.seal(code, &mut payload)?;
        self.queues.send(code.name(), remote, payload);
        Ok(())
    }

    /// Seals an inner packet and queues it, or drops it.
    pub(super) fn send_packet(&mut self, remote: SocketAddr, packet: PacketBuf) {
        let (tag, len) = (packet.tag, packet.len());
        if len > self.mtu {
            return self.queues.drop(DropReason::TooLarge, tag);
        }
        match self.send(Code::Data, remote, packet) {
            Ok(()) => self.queues.count_packet_out(len),
            Err(error) => self.queues.drop(error.reason(), tag),
        }
    }

    /// Queues an opened inner packet for the device, or drops it.
    pub(super) fn deliver(&mut self, packet: PacketBuf) {
        if packet.len() > self.mtu {
            return self.queues.drop(DropReason::TooLarge, packet.tag);
        }
        self.queues.deliver(packet);
    }

    /// Describes the codec and the output that was not taken.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            codec,
            queues,
            mtu: _, // does not change
        } = self;
        codec.describe(state);
        queues.describe(state);
    }
}
