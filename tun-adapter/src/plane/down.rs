//! From the network to the device: datagrams are received, opened where they lie, put together, and written.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use sandhog_proto::secure::{Body, DataPath, DataPaths, Incoming, KeyAge, Notice};
use sandhog_proto::{Counters, Datagram, DropReason, Instant, PacketBuf};

use super::Shared;
use crate::clock;
use crate::offload::Coalescer;
use crate::shell::Troubles;
use crate::tun::{Abilities, Queue};
use crate::udp::{BATCH, Socket, TRAIN_BUFFER, Train};

/// The way down of one thread.
#[derive(Debug)]
pub(super) struct Down {
    memory: Box<[u8]>,
    trains: [Train; BATCH],
    coalescer: Coalescer,
    datagrams: Vec<Datagram>,
    notices: Vec<Notice>,
}

/// What a run needs besides.
pub(super) struct Receiving<'a> {
    pub(super) queue: &'a Queue,
    pub(super) socket: &'a Socket,
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a mut Counters,
    pub(super) troubles: &'a mut Troubles,
}

impl Down {
    pub(super) fn new(abilities: Abilities) -> Self {
        Self {
            memory: vec![0; BATCH * TRAIN_BUFFER].into_boxed_slice(),
            trains: std::array::from_fn(|_| Train::default()),
            coalescer: Coalescer::new(abilities),
            datagrams: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// Moves what the socket has at present, up to a bound.
    pub(super) fn run(&mut self, receiving: &mut Receiving<'_>) {
        let count = match receiving.socket.receive(&mut self.memory, &mut self.trains) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            // An ICMP error about an earlier datagram, for instance. Reading it has cleared it.
            Err(error) => return receiving.troubles.report("receive a datagram", &error),
        };
        // Not before: no datagram may be older than what is known of its session.
        let paths = receiving.shared.paths.load();
        let now = clock::now();
        for number in 0..count {
            let train = std::mem::take(&mut self.trains[number]);
            for place in train.datagrams() {
                receiving.counters.datagrams_in += 1;
                self.take(&paths, now, train.route.remote, place, receiving.counters);
            }
        }
        self.write(receiving);
        let surplus = receiving.shared.inbox.put(&mut self.datagrams, &mut self.notices);
        // Those that the peer gets, it counts itself.
        receiving.counters.datagrams_in += surplus.datagrams;
        receiving
            .counters
            .count_drops(DropReason::Overloaded, surplus.datagrams + surplus.messages);
    }

    fn take(
        &mut self,
        paths: &DataPaths,
        now: Instant,
        remote: SocketAddr,
        place: Range<usize>,
        counters: &mut Counters,
    ) {
        let result = match paths.sort(&self.memory[place.clone()]) {
            Incoming::Data(path, age) => self.open(paths, (path, age), now, remote, place, counters),
            Incoming::Peer => {
                // The peer counts it.
                counters.datagrams_in -= 1;
                self.datagrams.push(Datagram {
                    remote,
                    kind: "",
                    payload: PacketBuf::copied_from(&self.memory[place]),
                });
                return;
            }
            Incoming::Drop(reason) => Err(reason),
        };
        if let Err(reason) = result {
            counters.count_drop(reason);
        }
    }

    fn open(
        &mut self,
        paths: &DataPaths,
        (path, age): (&DataPath, KeyAge),
        now: Instant,
        remote: SocketAddr,
        place: Range<usize>,
        counters: &mut Counters,
    ) -> Result<(), DropReason> {
        let start = place.start;
        let (body, opened) = path.open(now, age, &mut self.memory[place])?;
        let place = start + body.start..start + body.end;
        let packet = &self.memory[place.clone()];
        let is_message = opened.body == Body::Message;
        if let Some(notice) = path.notice(age, remote, &opened, is_message.then_some(packet)) {
            note(&mut self.notices, notice);
        }
        if is_message {
            path.heard(now, 0, 0);
            return Ok(());
        }
        if let Err(reason) = paths.admit(path, packet) {
            path.heard(now, 0, 0);
            return Err(reason);
        }
        let bytes = packet.len() as u64;
        path.heard(now, 1, bytes);
        counters.packets_in += 1;
        counters.bytes_in += bytes;
        self.coalescer.push(&self.memory, place);
        Ok(())
    }

    /// Gives the device what was opened. What it does not take is lost, as in a full queue of the network.
    fn write(&mut self, receiving: &mut Receiving<'_>) {
        self.coalescer.drain(&self.memory, |parts, packets| {
            if let Err(error) = receiving.queue.write(parts) {
                receiving
                    .troubles
                    .report("write a packet to the tunnel device", &error);
                receiving
                    .counters
                    .count_drops(DropReason::Overloaded, packets as u64);
            }
        });
    }
}

/// Keeps a notice; of several that say the same of one session, the last.
fn note(notices: &mut Vec<Notice>, notice: Notice) {
    let says_the_same = |last: &&mut Notice| {
        let are_plain = last.message.is_none() && notice.message.is_none();
        are_plain && (last.index, last.remote) == (notice.index, notice.remote)
    };
    match notices.last_mut().filter(says_the_same) {
        Some(last) => *last = notice,
        None => notices.push(notice),
    }
}
