//! Send buffer: sealed datagrams in one memory area, so that one system call sends a train of equal size to
//! one peer.

use std::io;

use sandhog_proto::{Counters, DropReason};

use super::is_too_long;
use crate::shell::ErrorLog;
use crate::udp::{Route, Socket, TRAIN_BYTES, TRAIN_LIMIT};

/// Size of the buffer in bytes. Half of it, four TCP superpackets, is sent at a time. Sending two at a time
/// costs some percent more processor time.
const AREA: usize = 512 << 10;

/// Sealed datagrams, in order.
#[derive(Debug)]
pub(super) struct Trains {
    area: Box<[u8]>,
    used: usize,
    trains: Vec<Train>,
}

/// Datagrams of equal size to one peer. The last may be shorter.
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

    /// Returns true if there are enough datagrams to send.
    pub(super) const fn are_full_enough(&self) -> bool {
        self.used >= AREA / 2
    }

    /// Free space for a datagram of at most `most` bytes. `None` if the buffer must be sent first.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        self.area[self.used..].get_mut(..most)
    }

    /// Adds the datagram of `len` bytes at the start of the free space.
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

    /// Sends everything. Datagrams that the kernel does not accept are lost, as in a full queue of the
    /// network.
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
    /// Returns true if a datagram can be appended. A shorter one closes the train.
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
    fn datagrams_of_equal_size_to_one_peer_form_a_train_and_arrive_in_order() {
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
            "a shorter datagram, a longer one or another peer closes a train"
        );
        let mut counters = Counters::default();
        trains.send(&socket, &mut counters, &mut ErrorLog::default());
        assert_eq!((counters.datagrams_out, trains.used), (6, 0));
        for (peer, byte, len) in datagrams {
            let timeout = Some(Duration::from_secs(10));
            peers[peer].set_read_timeout(timeout).expect("a timeout");
            let mut room = [0; 1500];
            let received = peers[peer].recv(&mut room).expect("a datagram");
            assert_eq!((received, room[0], room[len - 1]), (len, byte, byte));
        }
    }
}
