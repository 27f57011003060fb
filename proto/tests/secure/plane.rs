//! A minimal data plane. It moves data with the data paths of a peer and passes everything else to the peer.
//! Production code does this in threads and batches, this one handles one datagram at a time.

use std::collections::BTreeMap;

use sandhog_proto::secure::{
    Body, Client, DataPath, DataPaths, DataPeer, HEADER_LEN, Incoming, KeyAge, Notice, OVERHEAD, Server,
};
use sandhog_proto::{Batch, Counters, Datagram, DropReason, Instant, PacketBuf};

use super::support::Carrier;

/// Maximum number of padding bytes.
const PADDING: usize = 15;

/// The data planes of all peers.
#[derive(Default)]
pub(crate) struct Planes {
    server: Plane,
    clients: BTreeMap<usize, Plane>,
}

impl Carrier for Planes {
    fn at_server(&mut self, server: &mut Server, now: Instant, input: &mut Batch, output: &mut Batch) {
        self.server.carry(server, now, input, output);
    }

    fn at_client(
        &mut self,
        n: usize,
        client: &mut Client,
        now: Instant,
        input: &mut Batch,
        output: &mut Batch,
    ) {
        let plane = self.clients.entry(n).or_default();
        plane.carry(client, now, input, output);
    }
}

/// A data plane and its counters.
#[derive(Default)]
pub(crate) struct Plane {
    paths: Option<(u64, DataPaths)>,
    notices: Vec<Notice>,
    pub(crate) counters: Counters,
}

impl Plane {
    /// Handles the part of `input` that the data plane can move, and sends notices to `peer`.
    pub(crate) fn carry(
        &mut self,
        peer: &mut impl DataPeer,
        now: Instant,
        input: &mut Batch,
        output: &mut Batch,
    ) {
        let known = self.paths.take().filter(|(known, _)| *known == peer.generation());
        let (generation, paths) = known.unwrap_or_else(|| (peer.generation(), peer.data_paths()));
        for packet in input.packets.drain(..) {
            if let Err(reason) = self.seal(&paths, now, &packet, output) {
                self.counters.count_drop(reason);
            }
        }
        for mut datagram in std::mem::take(&mut input.datagrams) {
            let result = match paths.classify(&datagram.payload) {
                Incoming::Data(path, age) => self.open(&paths, path, age, now, &mut datagram, output),
                Incoming::Peer => {
                    input.datagrams.push(datagram);
                    continue;
                }
                Incoming::Drop(reason) => Err(reason),
            };
            self.counters.datagrams_in += 1;
            if let Err(reason) = result {
                self.counters.count_drop(reason);
            }
        }
        self.paths = Some((generation, paths));
        peer.take_notices(now, &mut self.notices, output);
    }

    fn seal(
        &mut self,
        paths: &DataPaths,
        now: Instant,
        packet: &PacketBuf,
        output: &mut Batch,
    ) -> Result<(), DropReason> {
        let path = paths.route(packet)?;
        let mut frame = vec![0; packet.len() + OVERHEAD + PADDING];
        frame[HEADER_LEN..HEADER_LEN + packet.len()].copy_from_slice(packet);
        let len = path.seal(now, &mut frame, packet.len())?;
        path.sending(now, 1, packet.len() as u64);
        self.counters.packets_out += 1;
        self.counters.bytes_out += packet.len() as u64;
        self.counters.datagrams_out += 1;
        output.datagrams.push(Datagram {
            remote: path.remote(),
            kind: "data",
            payload: PacketBuf::copied_from(&frame[..len]),
        });
        Ok(())
    }

    fn open(
        &mut self,
        paths: &DataPaths,
        path: &DataPath,
        age: KeyAge,
        now: Instant,
        datagram: &mut Datagram,
        output: &mut Batch,
    ) -> Result<(), DropReason> {
        let (place, opened) = path.open(now, age, &mut datagram.payload)?;
        let body = &datagram.payload[place];
        let message = (opened.body == Body::Message).then_some(body);
        self.notices
            .extend(path.notice(age, datagram.remote, &opened, message));
        path.heard(now, 0, 0);
        if opened.body == Body::Packet {
            paths.admit(path, body)?;
            path.heard(now, 1, body.len() as u64);
            self.counters.packets_in += 1;
            self.counters.bytes_in += body.len() as u64;
            output.packets.push(PacketBuf::copied_from(body));
        }
        Ok(())
    }
}
