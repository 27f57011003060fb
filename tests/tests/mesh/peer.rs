//! A protocol of its own behind `Peer`, made to notice any change of order: each host's datagrams depend on everything
//! that the host has received before, in the order in which it was received.

use std::net::SocketAddr;
use std::time::Duration;

use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason};

/// Number of times that each host sends to all others. All hosts send in the same millisecond.
const INTERVAL: Duration = Duration::from_millis(5);

/// The word that a datagram brings; also what a host knows.
const WORD_LEN: usize = 8;

/// A host of the mesh.
pub(crate) struct MeshPeer {
    others: Vec<SocketAddr>,
    knowledge: u64,
    next: Option<Instant>,
    counters: Counters,
}

impl MeshPeer {
    /// A host that sends to all `others` and begins with what its `seed` gives it.
    pub(crate) fn new(others: Vec<SocketAddr>, seed: [u8; 32]) -> Self {
        let mut peer = Self {
            others,
            knowledge: 0,
            next: None,
            counters: Counters::default(),
        };
        seed.iter().for_each(|byte| peer.learn(u64::from(*byte)));
        peer
    }

    /// FNV-1a over words. The result depends on their order.
    fn learn(&mut self, word: u64) {
        self.knowledge = (self.knowledge ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23);
    }

    fn send(&mut self, remote: SocketAddr, kind: &'static str, tag: u64, output: &mut Batch) {
        let payload = PacketBuf::copied_from(&self.knowledge.to_be_bytes()).with_tag(tag);
        self.counters.datagrams_out += 1;
        output.datagrams.push(Datagram {
            remote,
            kind,
            payload,
        });
    }
}

impl Peer for MeshPeer {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        for datagram in input.datagrams.drain(..) {
            self.counters.datagrams_in += 1;
            let word = datagram
                .payload
                .get(..WORD_LEN)
                .and_then(|bytes| bytes.try_into().ok());
            self.learn(u64::from_be_bytes(word.unwrap_or_default()));
            // One word in eight is answered, by what it makes of the knowledge: few enough for the mesh to calm down.
            if self.knowledge.is_multiple_of(8) {
                self.send(datagram.remote, "answer", datagram.payload.tag, output);
            }
        }
        if self.next.is_none_or(|next| next <= now) {
            for remote in self.others.clone() {
                self.send(remote, "word", 0, output);
            }
            let steps = now.as_millis() / u64::try_from(INTERVAL.as_millis()).unwrap_or(1) + 1;
            self.next = Some(Instant::ZERO + INTERVAL * u32::try_from(steps).unwrap_or(u32::MAX));
        }
        self.next.map(|next| (next, Reason::Other("interval")))
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Err(ApiMisuse::NotAClient)
    }

    fn counters(&self) -> Counters {
        self.counters.clone()
    }
}
