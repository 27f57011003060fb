//! Sealed datagrams on their way out, laid end to end, so that those of one size to one peer go in one system call.

use std::io;

use sandhog_proto::{Counters, DropReason};

use crate::shell::Troubles;
use crate::udp::{Route, Socket, TRAIN_BYTES, TRAIN_LIMIT};

/// Bytes that are sealed before they are sent. More than two superpackets of TCP: reading on while there is something
/// makes longer trains, and what is sealed should still be in the processor's cache when it is sent.
const AREA: usize = 256 << 10;

/// Sealed datagrams, in order.
#[derive(Debug)]
pub(super) struct Trains {
    area: Box<[u8]>,
    used: usize,
    trains: Vec<Train>,
}

/// Datagrams of one size, but for the last, to one peer.
#[derive(Debug)]
struct Train {
    route: Route,
    start: usize,
    len: usize,
    segment: usize,
    count: usize,
}

impl Trains {
    pub(super) fn new() -> Self {
        Self {
            area: vec![0; AREA].into_boxed_slice(),
            used: 0,
            trains: Vec::with_capacity(64),
        }
    }

    /// Whether enough has been gathered to be sent.
    pub(super) const fn are_long(&self) -> bool {
        self.used >= AREA / 2
    }

    /// Room for one more datagram of at most `most` bytes. `None` if what there is has to be sent first.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        self.area[self.used..].get_mut(..most)
    }

    /// Takes on the datagram of `len` bytes that was made at the front of the room.
    pub(super) fn push(&mut self, route: Route, len: usize) {
        let start = self.used;
        self.used += len;
        if let Some(train) = self.trains.last_mut().filter(|train| train.takes(route, len)) {
            train.len += len;
            train.count += 1;
            return;
        }
        self.trains.push(Train {
            route,
            start,
            len,
            segment: len,
            count: 1,
        });
    }

    /// Sends everything. What the kernel does not take is lost, as it would be lost in a full queue of the network.
    pub(super) fn send(&mut self, socket: &Socket, counters: &mut Counters, troubles: &mut Troubles) {
        for train in self.trains.drain(..) {
            let bytes = &self.area[train.start..train.start + train.len];
            let sent = match socket.send(train.route, bytes, train.segment) {
                Ok(sent) => sent,
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        troubles.report("send a datagram", &error);
                    }
                    0
                }
            };
            counters.datagrams_out += sent as u64;
            let lost = train.count.saturating_sub(sent);
            counters.count_drops(DropReason::Overloaded, lost as u64);
        }
        self.used = 0;
    }
}

impl Train {
    /// Whether a datagram may be coupled on. A shorter one than the others closes the train.
    fn takes(&self, route: Route, len: usize) -> bool {
        self.route == route
            && len <= self.segment
            && self.len == self.segment * self.count
            && self.count < TRAIN_LIMIT
            && self.len + len <= TRAIN_BYTES
    }
}
