//! Order of the steps in [`Peer::turn`], the same for both profiles.

use crate::queues::Queues;
use crate::{ApiMisuse, Batch, Datagram, Instant, PacketBuf, Peer, Reason};

/// The steps of a turn.
pub(crate) trait Steps: Peer {
    /// The queues that each step fills.
    fn queues(&mut self) -> &mut Queues;

    /// Handles one datagram.
    fn on_datagram(&mut self, now: Instant, datagram: Datagram) -> Result<(), ApiMisuse>;

    /// Handles one inner packet.
    fn on_packet(&mut self, now: Instant, packet: PacketBuf) -> Result<(), ApiMisuse>;

    /// Acts on due timers.
    fn on_timeout(&mut self, now: Instant) -> Result<(), ApiMisuse>;

    /// The next timer.
    fn next_timeout(&self) -> Option<(Instant, Reason)>;

    /// Handles everything in `input`, acts on due timers, and returns the next timer.
    fn run_turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        // The queues are drained before each input, so no input is rejected as `ApiMisuse::NotDrained`.
        self.queues().drain_into(output);
        for datagram in input.datagrams.drain(..) {
            let _ = self.on_datagram(now, datagram);
            self.queues().drain_into(output);
        }
        for packet in input.packets.drain(..) {
            let _ = self.on_packet(now, packet);
            self.queues().drain_into(output);
        }
        let _ = self.on_timeout(now);
        self.queues().drain_into(output);
        self.next_timeout()
    }
}
