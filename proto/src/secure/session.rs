//! One session between login and end: sealing, opening and timers. Client and server both use it.

mod describe;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::activity::{Activity, SessionInfo};
use super::data_path::{DataPath, Notice};
use super::epochs::{Epochs, Indices, Role, Seen};
use super::guard::SessionLimits;
use super::keys::Chain;
use super::message::Message;
use super::opener::Body;
use super::path_mtu::PathMtu;
use super::sealer::{AES_MAX_MTU, SealError};
use super::{Generator, forget};
use crate::aead::Cipher;
use crate::ip::IpAddresses;
use crate::queues::Queues;
use crate::retransmit::{MAX_JITTER, jitter};
use crate::{DropReason, EventKind, Instant, PacketBuf, Reason};

/// Time after which a client requests new keys. Up to [`REKEY_JITTER`] is subtracted from it.
pub const REKEY_AFTER: Duration = Duration::from_secs(120);
/// Largest jitter that is subtracted from [`REKEY_AFTER`], so that many clients do not rekey at the same
/// time.
pub const REKEY_JITTER: Duration = Duration::from_secs(10);
/// Shortest rekey interval that can be set on a client. It is longer than
/// [`KEEP_PREVIOUS`](super::KEEP_PREVIOUS), so the keys of an epoch are erased before the next but one
/// begins.
pub const MIN_REKEY_AFTER: Duration = Duration::from_secs(11);
/// Time after which an unanswered rekey request is repeated, plus up to [`MAX_JITTER`].
pub const REKEY_REPEAT: Duration = Duration::from_secs(5);
/// Time that a sent datagram may stay unanswered before the peer is probed every [`PROBE_INTERVAL`]. Any
/// authentic datagram counts as an answer.
pub const PROBE_AFTER: Duration = Duration::from_secs(10);
/// Interval between probes of a silent peer.
pub const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Time that a sent datagram may stay unanswered before the session is dead. Any authentic datagram counts as
/// an answer.
pub const DEAD_AFTER: Duration = Duration::from_secs(15);
/// Time without any authentic datagram after which a server ends a session.
pub const IDLE_AFTER: Duration = Duration::from_secs(180);
/// Session messages are padded with spaces to a multiple of this many bytes, so that their length does not
/// reveal their type.
pub const MESSAGE_PADDING: usize = 64;

/// Reason for the end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// No answer for [`DEAD_AFTER`].
    Dead,
    /// The server has received nothing for [`IDLE_AFTER`].
    Idle,
    /// The keys are too old and were not changed in time.
    KeyExpired,
}

impl End {
    /// A stable name in kebab case.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Idle => "idle",
            Self::KeyExpired => "key-expired",
        }
    }
}

/// Input for the owner of the session.
#[derive(Debug)]
pub(super) enum Input {
    /// An IP packet, in the buffer.
    Packet(IpAddresses),
    /// A message that the session does not handle itself.
    Message(Message),
    /// No input for the owner, because the session has handled the datagram.
    Done,
}

/// An established session.
#[derive(Debug)]
pub(super) struct Session {
    role: Role,
    epochs: Epochs,
    remote: SocketAddr,
    mtu: usize,
    /// Zero turns it off. A server has none.
    keepalive: Duration,
    since: Instant,
    activity: Arc<Activity>,
    last_probe: Instant,
    /// The server has not answered the first ping yet, so it may not know that its settings have arrived.
    awaits_pong: bool,
    /// The cipher that this side prefers.
    cipher: Cipher,
    /// Longest time that a client uses its keys.
    rekey_after: Duration,
    next_rekey: Instant,
    /// Earliest time that the jitter of `next_rekey` allows.
    earliest_rekey: Instant,
    pings: u64,
    /// The search for the path MTU, if the client runs one.
    path_mtu: Option<Box<PathMtu>>,
    rng: Generator,
    /// Limits of the requests that a server answers.
    limits: SessionLimits,
    /// The current snapshot for a data plane. `None` if the session has changed since the last one.
    path: Option<Arc<DataPath>>,
    /// Revision of the keys in the snapshots.
    revision: u32,
}

impl Session {
    /// A session that begins now. `rng` makes ephemeral keys and jitter.
    pub(super) fn new(
        role: Role,
        chain: Chain,
        indices: Indices,
        remote: SocketAddr,
        now: Instant,
        rng: Generator,
    ) -> Self {
        let mut session = Self {
            role,
            epochs: Epochs::new(role, chain, indices, now),
            remote,
            mtu: usize::from(super::MIN_MTU),
            keepalive: Duration::ZERO,
            since: now,
            activity: Arc::new(Activity::new(now)),
            last_probe: now,
            awaits_pong: false,
            cipher: Cipher::default(),
            rekey_after: REKEY_AFTER,
            next_rekey: now,
            earliest_rekey: now,
            pings: 0,
            path_mtu: None,
            rng,
            limits: SessionLimits::new(),
            path: None,
            revision: 0,
        };
        session.schedule_rekey(now);
        session
    }

    /// Applies the server's settings: the largest inner packet in bytes and the client's keepalive interval.
    /// A data plane gets them with the next snapshot.
    pub(super) fn set_limits(&mut self, mtu: u16, keepalive: Duration) {
        self.mtu = usize::from(mtu);
        self.keepalive = keepalive;
        self.path = None;
    }

    /// Sets the rekey interval of a client, limited to the range from [`MIN_REKEY_AFTER`] to [`REKEY_AFTER`].
    pub(super) fn rekey_after(&mut self, now: Instant, after: Duration) {
        let after = after.clamp(MIN_REKEY_AFTER, REKEY_AFTER);
        if after != self.rekey_after {
            self.rekey_after = after;
            self.schedule_rekey(now);
        }
    }

    /// Sets the preferred cipher. It is used from the next rekey on, if the peer prefers it too and if it is safe for packets as
    /// large as the MTU.
    pub(super) fn prefer(&mut self, cipher: Cipher) {
        if self.mtu <= usize::from(AES_MAX_MTU) {
            self.cipher = cipher;
        }
    }

    /// Requests the first rekey. The keys of a login depend on a key of the server that does not change. Those of a rekey do not,
    /// so a later theft of that key does not reveal them.
    pub(super) const fn rekey_now(&mut self, now: Instant) {
        (self.next_rekey, self.earliest_rekey) = (now, now);
    }

    /// Starts the search for the path MTU. From now on packets are limited to the size known to fit the path,
    /// and never exceed the MTU of [`set_limits`](Self::set_limits).
    pub(super) fn search_mtu(&mut self, now: Instant) {
        let most = u16::try_from(self.mtu).unwrap_or(u16::MAX);
        self.path_mtu = Some(Box::new(PathMtu::new(now, most)));
        self.apply_mtu();
    }

    /// The largest inner packet in bytes.
    pub(super) fn mtu(&self) -> u16 {
        u16::try_from(self.mtu).unwrap_or(u16::MAX)
    }

    /// The path to the peer has changed, so the search for its MTU starts again.
    pub(super) fn path_changed(&mut self, now: Instant) {
        if let Some(search) = &mut self.path_mtu {
            search.restart(now);
        }
        self.apply_mtu();
    }

    fn apply_mtu(&mut self) {
        if let Some(search) = &self.path_mtu
            && self.mtu != usize::from(search.mtu())
        {
            self.mtu = usize::from(search.mtu());
            self.path = None;
        }
    }

    /// The outer address of the peer.
    pub(super) const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The receiver indices that its datagrams may carry.
    pub(super) fn open_indices(&self) -> [Option<u32>; 3] {
        self.epochs.open_indices()
    }

    /// Seals an IP packet in place and queues it, or drops it.
    pub(super) fn send_packet(&mut self, now: Instant, mut packet: PacketBuf, queues: &mut Queues) {
        let (tag, len) = (packet.tag, packet.len());
        if len > self.mtu {
            return queues.drop(DropReason::TooLarge, tag);
        }
        if self.epochs.are_expired(now) {
            return queues.drop(DropReason::KeyExpired, tag);
        }
        match self.epochs.sealer().seal_packet(&mut packet, self.mtu) {
            Ok(_) => {
                queues.count_packet_out(len);
                self.activity.count_out(1, as_u64(len));
                self.send("data", now, packet, queues);
            }
            Err(error) => queues.drop(error.reason(), tag),
        }
    }

    /// Seals a message and queues it, or drops it.
    pub(super) fn send_message(&mut self, now: Instant, message: &Message, tag: u64, queues: &mut Queues) {
        self.send_bytes(now, message.kind(), &message.to_bytes(), tag, queues);
    }

    fn send_bytes(&mut self, now: Instant, kind: &'static str, bytes: &[u8], tag: u64, queues: &mut Queues) {
        let padded = bytes.len().next_multiple_of(MESSAGE_PADDING);
        self.send_padded(now, kind, (bytes, padded), tag, queues);
    }

    fn send_padded(
        &mut self,
        now: Instant,
        kind: &'static str,
        (bytes, padded): (&[u8], usize),
        tag: u64,
        queues: &mut Queues,
    ) {
        if self.epochs.are_expired(now) {
            return queues.drop(DropReason::KeyExpired, tag);
        }
        let mut buf = PacketBuf::with_capacity(padded).with_tag(tag);
        buf.append(bytes);
        match self.epochs.sealer().seal_message(&mut buf, padded) {
            Ok(_) => self.send(kind, now, buf, queues),
            Err(error) => queues.drop(error.reason(), tag),
        }
    }

    fn send(&self, kind: &'static str, now: Instant, datagram: PacketBuf, queues: &mut Queues) {
        self.activity.sending(now);
        queues.send(kind, self.remote, datagram);
    }

    /// Sends a ping, which the peer must answer.
    pub(super) fn ping(&mut self, now: Instant, tag: u64, queues: &mut Queues) {
        self.pings = self.pings.saturating_add(1);
        self.send_message(now, &Message::Ping { n: self.pings }, tag, queues);
    }

    /// Shows the server that its settings have arrived: sends a ping, and repeats it every [`PROBE_INTERVAL`] until a pong
    /// arrives.
    pub(super) fn confirm(&mut self, now: Instant, tag: u64, queues: &mut Queues) {
        (self.awaits_pong, self.last_probe) = (true, now);
        self.ping(now, tag, queues);
    }

    /// Sends the padded pings of the path MTU search that are due.
    fn probe_mtu(&mut self, now: Instant, queues: &mut Queues) {
        let sizes = self.path_mtu.as_mut().map(|search| search.due(now));
        for size in sizes.unwrap_or_default() {
            self.pings = self.pings.saturating_add(1);
            if let Some(search) = &mut self.path_mtu {
                search.sent(self.pings, size);
            }
            let ping = Message::Ping { n: self.pings };
            let padded = (&*ping.to_bytes(), usize::from(size));
            self.send_padded(now, "probe", padded, 0, queues);
        }
        self.apply_mtu();
    }

    /// Opens a datagram in place and handles everything that concerns only the session. `new_index` is for a
    /// rekey.
    ///
    /// Only an authentic, new datagram gets past the first step. It updates the peer's address and counts as
    /// a sign that the peer is alive.
    pub(super) fn open(
        &mut self,
        now: Instant,
        remote: SocketAddr,
        buf: &mut PacketBuf,
        new_index: &mut dyn FnMut() -> u32,
        queues: &mut Queues,
    ) -> Result<Input, DropReason> {
        let opened = self.epochs.open(now, buf);
        self.note_keys(queues);
        let (opened, seen) = opened?;
        self.on_authentic(now, remote, seen, buf.tag, queues);
        let input = match opened.body {
            Body::Packet => IpAddresses::read(buf).map(Input::Packet).ok_or(DropReason::NotIp),
            Body::Message => self.message(now, buf, new_index, queues),
        };
        self.note_keys(queues);
        input
    }

    /// Handles a datagram that a data plane has opened, in the same way as [`open`](Self::open).
    pub(super) fn notice(
        &mut self,
        now: Instant,
        notice: &Notice,
        new_index: &mut dyn FnMut() -> u32,
        queues: &mut Queues,
    ) -> Result<Input, DropReason> {
        let seen = self.epochs.note(now, notice.index, notice.is_newest);
        self.note_keys(queues);
        let mut seen = seen?;
        // Another thread may have opened a newer datagram since, perhaps from another address. Then that one decides.
        seen.newest &= notice.counter.saturating_add(1) >= self.epochs.opener().newest();
        let tag = notice.message.as_ref().map_or(0, |message| message.tag);
        self.on_authentic(now, notice.remote, seen, tag, queues);
        let input = match &notice.message {
            Some(message) => self.message(now, message, new_index, queues),
            None => Ok(Input::Done),
        };
        self.note_keys(queues);
        input
    }

    /// Records an authentic, new datagram: the peer is alive and its address is the source.
    fn on_authentic(&mut self, now: Instant, remote: SocketAddr, seen: Seen, tag: u64, queues: &mut Queues) {
        self.activity.heard(now);
        if seen.newest && remote != self.remote {
            let from = core::mem::replace(&mut self.remote, remote);
            queues.network_event(tag, EventKind::Roamed { from, to: remote });
            self.path = None;
            queues.note_change();
        }
        if seen.switched {
            self.report_epoch(tag, queues);
        }
    }

    /// Invalidates the snapshot and wakes the data plane if the keys have changed.
    fn note_keys(&mut self, queues: &mut Queues) {
        if self.revision != self.epochs.revision() {
            self.revision = self.epochs.revision();
            self.path = None;
            queues.note_change();
        }
    }

    /// The snapshot of the session for a data plane. `addresses` are the session's inner addresses (server).
    pub(super) fn data_path(&mut self, is_live: bool, addresses: &[IpAddr]) -> Arc<DataPath> {
        if let Some(path) = self.path.as_ref().filter(|path| path.is_live == is_live) {
            return path.clone();
        }
        let path = Arc::new(DataPath {
            sealer: self.epochs.sealer().clone(),
            previous: self.epochs.previous_opener().cloned(),
            current: self.epochs.opener().clone(),
            next: self.epochs.next_opener().cloned(),
            expiry: self.epochs.expiry(),
            remote: self.remote,
            mtu: self.mtu,
            activity: self.activity.clone(),
            is_live,
            addresses: Vec::from(addresses),
        });
        self.path = Some(path.clone());
        path
    }

    /// Counts a packet of `len` bytes that was received and delivered.
    pub(super) fn count_delivered(&self, len: usize) {
        self.activity.count_in(1, as_u64(len));
    }

    /// State of the session, for display.
    pub(super) fn info(&self) -> SessionInfo {
        SessionInfo {
            remote: self.remote,
            since: self.since,
            epoch: self.epochs.number(),
            cipher: self.epochs.cipher(),
            keys_since: self.epochs.began(),
            last_heard: self.activity.last_heard(),
            traffic: self.activity.traffic(),
        }
    }

    fn message(
        &mut self,
        now: Instant,
        buf: &PacketBuf,
        new_index: &mut dyn FnMut() -> u32,
        queues: &mut Queues,
    ) -> Result<Input, DropReason> {
        let tag = buf.tag;
        match (
            Message::parse(buf).map_err(|_| DropReason::MalformedBody)?,
            self.role,
        ) {
            (Message::Ping { n }, _) => self.send_message(now, &Message::Pong { n }, tag, queues),
            (Message::Pong { n }, _) => {
                self.awaits_pong = false;
                if let Some(search) = &mut self.path_mtu {
                    search.answered(now, n);
                }
                self.apply_mtu();
            }
            (Message::Rekey(asked), Role::Server) => {
                if !self.epochs.has_answered(&asked)? && !self.limits.take_rekey(now) {
                    return Err(DropReason::RateLimited);
                }
                let ours = (new_index(), self.cipher);
                let answer = self.epochs.answer(&asked, buf, ours, &mut self.rng)?;
                forget(&mut self.rng);
                self.send_bytes(now, "rekeyed", &answer, tag, queues);
            }
            (Message::Rekeyed(new), Role::Client) => {
                self.epochs.answered(now, &new, buf)?;
                self.schedule_rekey(now);
                self.report_epoch(tag, queues);
                // The server keeps sealing under the old epoch until it has received a datagram of the new
                // one.
                self.ping(now, tag, queues);
            }
            (message, _) => return Ok(Input::Message(message)),
        }
        Ok(Input::Done)
    }

    fn report_epoch(&self, tag: u64, queues: &mut Queues) {
        let epoch = self.epochs.number();
        queues.network_event(tag, EventKind::Rekeyed { epoch });
    }

    /// Runs every timer that is due. Returns the reason if the session has ended. `new_index` is for a rekey.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        new_index: &mut dyn FnMut() -> u32,
        queues: &mut Queues,
    ) -> Result<(), End> {
        self.epochs.forget_previous(now);
        self.note_keys(queues);
        if self.epochs.are_expired(now) {
            return Err(End::KeyExpired);
        }
        if self.role == Role::Server {
            return if now >= self.idle_at() {
                Err(End::Idle)
            } else {
                Ok(())
            };
        }
        if self.dead_at().is_some_and(|dead| now >= dead) {
            return Err(End::Dead);
        }
        if now >= self.next_rekey || (self.epochs.needs_rekey() && !self.epochs.is_asking()) {
            let asked = self.epochs.ask(new_index(), self.cipher, &mut self.rng);
            let request = asked.to_vec();
            forget(&mut self.rng);
            self.send_bytes(now, "rekey", &request, 0, queues);
            let wait = REKEY_REPEAT.saturating_add(jitter(&mut self.rng, MAX_JITTER));
            self.next_rekey = now.saturating_add(wait);
            self.earliest_rekey = now.saturating_add(REKEY_REPEAT);
        }
        if self.probe_at().is_some_and(|due| now >= due) {
            self.ping(now, 0, queues);
            self.last_probe = now;
        }
        self.probe_mtu(now, queues);
        if self.keepalive_at().is_some_and(|due| now >= due) {
            self.ping(now, 0, queues);
        }
        Ok(())
    }

    /// The next timer and its reason.
    pub(super) fn poll_timeout(&self) -> (Instant, Reason) {
        let expiry = self.epochs.expiry();
        let common = [
            Some((expiry, Reason::KeyExpiry)),
            self.epochs
                .previous_until()
                .map(|until| (until, Reason::ForgetKey)),
        ];
        let own = match self.role {
            Role::Server => [Some((self.idle_at(), Reason::Idle)), None, None, None, None],
            Role::Client => [
                self.dead_at().map(|dead| (dead, Reason::Dead)),
                Some((self.next_rekey, Reason::Rekey)),
                self.probe_at().map(|due| (due, Reason::Probe)),
                self.keepalive_at().map(|due| (due, Reason::Keepalive)),
                self.path_mtu
                    .as_ref()
                    .map(|search| (search.next_timeout(), Reason::PathMtu)),
            ],
        };
        let timers = own.into_iter().chain(common).flatten();
        timers.min().unwrap_or((expiry, Reason::KeyExpiry))
    }

    fn idle_at(&self) -> Instant {
        self.activity.last_heard().saturating_add(IDLE_AFTER)
    }

    fn dead_at(&self) -> Option<Instant> {
        let since = self.activity.unanswered_since();
        since.map(|since| since.saturating_add(DEAD_AFTER))
    }

    /// Time of the next probe of a silent peer.
    fn probe_at(&self) -> Option<Instant> {
        let again = self.last_probe.saturating_add(PROBE_INTERVAL);
        if self.awaits_pong {
            return Some(again);
        }
        let since = self.activity.unanswered_since()?;
        Some(since.saturating_add(PROBE_AFTER).max(again))
    }

    fn keepalive_at(&self) -> Option<Instant> {
        let is_on = self.keepalive > Duration::ZERO;
        is_on.then(|| self.activity.last_sent().saturating_add(self.keepalive))
    }

    fn schedule_rekey(&mut self, now: Instant) {
        // The jitter is the same fraction of the interval as for `REKEY_AFTER`.
        let share = self.rekey_after.checked_div(12);
        let most_jitter = share.unwrap_or_default().min(REKEY_JITTER);
        let early = jitter(&mut self.rng, most_jitter);
        self.next_rekey = now.saturating_add(self.rekey_after.saturating_sub(early));
        self.earliest_rekey = now.saturating_add(self.rekey_after.saturating_sub(most_jitter));
    }
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

impl SealError {
    /// The drop reason under which the packet is counted.
    pub(super) const fn reason(self) -> DropReason {
        match self {
            Self::Exhausted => DropReason::KeyExhausted,
            Self::TooLarge => DropReason::TooLarge,
        }
    }
}

#[cfg(test)]
mod tests;
