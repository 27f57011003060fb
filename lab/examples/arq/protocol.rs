//! Stop-and-wait ARQ protocol with hello and keepalive.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Instant, NetworkSettings,
    PacketBuf, Peer, Reason, StartError, TunnelStatus,
};

/// Message kinds. A datagram is the position of its kind, a sequence number, and the inner packet if it is `data`.
pub(crate) const KINDS: [&str; 4] = ["hello", "data", "ack", "keepalive"];
const HELLO: u8 = 0;
const DATA: u8 = 1;
const ACK: u8 = 2;
const KEEPALIVE: u8 = 3;
const RETRANSMIT: Duration = Duration::from_millis(200);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const MAX_TRIES: u32 = 30;
const MAX_QUEUE: usize = 64;

/// One end of a tunnel. A client says hello. A server accepts the first client that does.
#[derive(Default)]
pub(crate) struct Arq {
    settings: Option<NetworkSettings>,
    remote: Option<SocketAddr>,
    up: bool,
    /// Messages in order. Only the first is in flight, until its acknowledgement arrives.
    queue: VecDeque<(u8, PacketBuf)>,
    sequence: u8,
    expected: u8,
    tries: u32,
    retransmit: Option<Instant>,
    keepalive: Option<Instant>,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Arq {
    /// A client with the inner address 10.9.0.2. A server is [`Arq::default`].
    pub(crate) fn client(server: SocketAddr) -> Self {
        let address = "10.9.0.2/24".parse().expect("a prefix");
        Self {
            settings: Some(NetworkSettings::new(server.ip(), vec![address], 1280)),
            remote: Some(server),
            ..Self::default()
        }
    }

    fn send(&mut self, kind: u8, sequence: u8, mut payload: PacketBuf, output: &mut Batch) {
        let Some(remote) = self.remote else { return };
        payload.prepend(&[kind, sequence]);
        let kind = KINDS[usize::from(kind)];
        self.counters.datagrams_out += 1;
        output.datagrams.push(Datagram {
            remote,
            kind,
            payload,
        });
    }

    fn receive(&mut self, now: Instant, datagram: Datagram, output: &mut Batch) -> Result<(), DropReason> {
        let (remote, mut payload) = (datagram.remote, datagram.payload);
        let (tag, &[kind, sequence, ..]) = (payload.tag, &payload[..]) else {
            return Err(DropReason::NotEnoughData);
        };
        if kind == HELLO && self.remote.is_none() {
            (self.remote, self.up, self.expected) = (Some(remote), true, sequence);
        }
        if self.remote != Some(remote) {
            return Err(DropReason::UnknownRemote);
        }
        self.keepalive = Some(now + KEEPALIVE_INTERVAL);
        match kind {
            HELLO | DATA => {
                self.send(ACK, sequence, PacketBuf::default().with_tag(tag), output);
                if sequence == self.expected {
                    self.expected = sequence.wrapping_add(1);
                    payload.advance(2);
                    output.packets.extend((kind == DATA).then_some(payload));
                }
            }
            ACK if sequence == self.sequence && self.queue.pop_front().is_some() => {
                (self.sequence, self.retransmit, self.tries) = (sequence.wrapping_add(1), None, 0);
                if let (false, Some(settings)) = (self.up, self.settings.clone()) {
                    self.up = true;
                    let kinds = [
                        EventKind::Status(TunnelStatus::Connected),
                        EventKind::Started(Ok(settings)),
                    ];
                    self.events.extend(kinds.map(|kind| Event { tag, kind }));
                }
            }
            ACK | KEEPALIVE => {}
            _ => return Err(DropReason::Other("unknown-kind")),
        }
        Ok(())
    }

    /// Sends the first message of the queue when it is new or its timer has expired.
    fn transmit(&mut self, now: Instant, output: &mut Batch) {
        let Some((kind, payload)) = self.queue.front().cloned() else {
            return;
        };
        if self.retransmit.is_some_and(|due| due > now) {
            return;
        }
        self.counters
            .count_other("retransmissions", u64::from(self.tries > 0));
        self.tries += 1;
        self.retransmit = Some(now + RETRANSMIT);
        if self.tries <= MAX_TRIES {
            return self.send(kind, self.sequence, payload, output);
        }
        (self.retransmit, self.up) = (None, false);
        self.queue.clear();
        let kind = EventKind::Started(Err(StartError::ConnectionTimedOut));
        self.events.push_back(Event { tag: 0, kind });
    }

    fn drop_input(&mut self, tag: u64, reason: DropReason) {
        self.counters.count_drop(reason);
        self.events.push_back(Event {
            tag,
            kind: EventKind::Dropped(reason),
        });
    }
}

impl Peer for Arq {
    fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        for datagram in input.datagrams.drain(..) {
            self.counters.datagrams_in += 1;
            let tag = datagram.payload.tag;
            let received = self.receive(now, datagram, output);
            received.unwrap_or_else(|reason| self.drop_input(tag, reason));
        }
        for packet in input.packets.drain(..) {
            match self.up && self.queue.len() < MAX_QUEUE {
                true => self.queue.push_back((DATA, packet)),
                false => self.drop_input(packet.tag, DropReason::Overloaded),
            }
        }
        self.transmit(now, output);
        if self.keepalive.is_some_and(|due| due <= now) {
            self.send(KEEPALIVE, 0, PacketBuf::default(), output);
            self.keepalive = Some(now + KEEPALIVE_INTERVAL);
        }
        let timers = [
            (self.retransmit, Reason::Repeat),
            (self.keepalive, Reason::Keepalive),
        ];
        timers
            .into_iter()
            .filter_map(|(due, reason)| Some((due?, reason)))
            .min()
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn command(&mut self, _: Instant, command: Command) -> Result<(), ApiMisuse> {
        match (command, &self.settings) {
            (Command::Start, Some(_)) => self.queue.push_back((HELLO, PacketBuf::default())),
            _ => return Err(ApiMisuse::Unsupported),
        }
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters.clone()
    }
}
