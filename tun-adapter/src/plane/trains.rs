//! Sealed datagrams on their way out, laid end to end, so that those of one size to one peer go in one system call.

use std::io;

use sandhog_proto::{Counters, DropReason};

use super::is_too_long;
use crate::shell::ErrorLog;
use crate::udp::{Route, Socket, TRAIN_BYTES, TRAIN_LIMIT};

/// Bytes that are sealed before they are sent, at most. Half of it, four superpackets of TCP, is enough to be sent: two at a
/// time take some percent more of the processor.
const AREA: usize = 512 << 10;

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
    pub(super) const fn are_full_enough(&self) -> bool {
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
    pub(super) fn send(&mut self, socket: &Socket, counters: &mut Counters, errors: &mut ErrorLog) {
        for train in self.trains.drain(..) {
            let bytes = &self.area[train.start..train.start + train.len];
            let (sent, reason) = match socket.send(train.route, bytes, train.segment) {
                Ok(sent) => (sent, DropReason::Overloaded),
                Err(error) if is_too_long(&error) => (0, DropReason::TooLarge),
                Err(error) => {
                    if error.kind() != io::ErrorKind::WouldBlock {
                        errors.report("send a datagram", &error);
                    }
                    (0, DropReason::Overloaded)
                }
            };
            counters.datagrams_out += sent as u64;
            let lost = train.count.saturating_sub(sent);
            counters.count_drops(reason, lost as u64);
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

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::*;
    use crate::udp::Options;

    #[test]
    fn what_is_of_one_size_to_one_peer_goes_together_and_all_arrives_in_order() {
        let socket = Socket::bind("127.0.0.1:0".parse().expect("an address"), &Options::default());
        let socket = socket.expect("a free port");
        let peers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a free port"));
        let routes = [0, 1].map(|peer: usize| Route {
            remote: peers[peer].local_addr().expect("bound"),
            local: None,
        });
        let mut trains = Trains::new();
        let mut put = |peer: usize, byte: u8, len: usize| {
            trains.room(1500).expect("room")[..len].fill(byte);
            trains.push(routes[peer], len);
        };
        let datagrams = [
            (0, 1, 1000),
            (0, 2, 1000),
            (0, 3, 700),
            (0, 4, 700),
            (1, 5, 700),
            (0, 6, 900),
        ];
        for (peer, byte, len) in datagrams {
            put(peer, byte, len);
        }
        let counts: Vec<_> = trains.trains.iter().map(|train| train.count).collect();
        assert_eq!(
            counts,
            [3, 1, 1, 1],
            "a shorter one closes a train, and so does another peer or a longer one"
        );
        let mut counters = Counters::default();
        trains.send(&socket, &mut counters, &mut ErrorLog::default());
        assert_eq!((counters.datagrams_out, trains.used), (6, 0));
        for (peer, byte, len) in datagrams {
            let patience = Some(Duration::from_secs(10));
            peers[peer].set_read_timeout(patience).expect("a timeout");
            let mut room = [0; 1500];
            let received = peers[peer].recv(&mut room).expect("a datagram");
            assert_eq!((received, room[0], room[len - 1]), (len, byte, byte));
        }
    }
}
