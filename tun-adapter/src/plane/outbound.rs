//! Outbound path, from the device to the network: read packets, segment them, seal them in place, send them.

use std::io;
use std::ops::Range;

use rustix::thread::sched_yield;
use sandhog_proto::secure::{DataPath, DataPaths, HEADER_LEN, OVERHEAD};
use sandhog_proto::{Counters, DropReason, Instant};

use super::Shared;
use super::trains::Trains;
use crate::clock;
use crate::offload::Split;
use crate::offload::header::Header;
use crate::shell::ErrorLog;
use crate::tun::{Queue, READ_BUFFER};
use crate::udp::{Route, Socket};

/// Largest number of packets or superpackets per run.
const READS: usize = 64;
/// Largest number of bytes that sealing adds to a packet: code, nonce, tag, and padding to a multiple of 16.
const MAX_OVERHEAD: usize = OVERHEAD + 15;

/// Outbound path of one thread.
#[derive(Debug)]
pub(super) struct Outbound {
    buffer: Box<[u8]>,
    trains: Trains,
}

/// The other parts that a run uses.
pub(super) struct Sending<'a> {
    pub(super) queue: &'a Queue,
    pub(super) socket: &'a Socket,
    pub(super) shared: &'a Shared,
    pub(super) counters: &'a mut Counters,
    pub(super) errors: &'a mut ErrorLog,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; READ_BUFFER].into_boxed_slice(),
            trains: Trains::new(),
        }
    }

    /// Moves the packets that the device has now, up to a limit.
    ///
    /// # Errors
    ///
    /// If the device is gone.
    pub(super) fn run(&mut self, sending: &mut Sending<'_>) -> io::Result<()> {
        let mut next = self.read(sending.queue)?;
        if next.is_none() {
            return Ok(());
        }
        let paths = sending.shared.paths.load();
        let now = clock::now();
        let mut reads = 1;
        // A packet that was read must be processed: no other thread gets it.
        while let Some((header, place)) = next {
            self.take(&paths, now, &header, place, sending);
            let goes_on = reads < READS && !self.trains.are_full_enough();
            next = if goes_on { self.read(sending.queue)? } else { None };
            reads += 1;
        }
        self.trains.send(sending.socket, sending.counters, sending.errors);
        if reads > READS {
            // The load is higher than the capacity. The receivers may wait for this processor. Excess packets
            // should be lost at the device, before any work was done for them.
            sched_yield();
        }
        Ok(())
    }

    /// The next valid packet, if there is one now.
    fn read(&mut self, queue: &Queue) -> io::Result<Option<(Header, Range<usize>)>> {
        match queue.read(&mut self.buffer) {
            Ok(read) => Ok(Some(read)),
            Err(error) => match error.kind() {
                io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted | io::ErrorKind::InvalidData => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Segments and seals a packet. All packets of a superpacket have the same destination.
    fn take(
        &mut self,
        paths: &DataPaths,
        now: Instant,
        header: &Header,
        place: Range<usize>,
        sending: &mut Sending<'_>,
    ) {
        let packet = &self.buffer[place];
        let path = match paths.route(packet) {
            Ok(path) => path,
            Err(reason) => return sending.counters.count_drop(reason),
        };
        let Ok(mut split) = Split::new(header, packet) else {
            return sending.counters.count_drop(DropReason::NotIp);
        };
        let route = Route {
            remote: path.remote(),
            local: sending.shared.local_addresses.of(path),
        };
        let mut totals = SessionTotals::default();
        while let Some(len) = split.next_len() {
            let most = len + MAX_OVERHEAD;
            if self.trains.room(most).is_none() {
                totals.flush(path, now, sending.counters);
                self.trains.send(sending.socket, sending.counters, sending.errors);
            }
            // An empty buffer has space for the longest packet.
            let Some(frame) = self.trains.room(most) else {
                break;
            };
            if split.next(&mut frame[HEADER_LEN..]).is_none() {
                break;
            }
            match path.seal(now, frame, len) {
                Ok(sealed) => {
                    self.trains.push(route, sealed);
                    totals.packets += 1;
                    totals.bytes += len as u64;
                }
                Err(reason) => sending.counters.count_drop(reason),
            }
        }
        totals.flush(path, now, sending.counters);
    }
}

/// Counts of packets sealed for one session that are not reported yet.
#[derive(Default)]
struct SessionTotals {
    packets: u64,
    bytes: u64,
}

impl SessionTotals {
    /// Reports the counts to the session, before the packets are sent.
    fn flush(&mut self, path: &DataPath, now: Instant, counters: &mut Counters) {
        let Self { packets, bytes } = std::mem::take(self);
        if packets > 0 {
            path.sending(now, packets, bytes);
            counters.packets_out += packets;
            counters.bytes_out += bytes;
        }
    }
}
