//! Immutable snapshots of sessions for a data plane that runs outside the state machine.
//!
//! The state machine makes every decision. The data plane carries them out on its own threads and reports
//! events that it cannot handle itself.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use super::Code;
use super::activity::Activity;
use super::frame::{CONTROL_LEN, session_header};
use super::opener::{Body, OpenError, Opened, Opener};
use super::sealer::Sealer;
use crate::ip::{IpAddresses, is_own_datagram};
use crate::{Batch, DropReason, Instant, PacketBuf, Peer};

/// A peer that supports a data plane: threads that seal and open packets with handles of the peer's sessions.
///
/// # Usage
///
/// Check [`generation`](Self::generation) after every turn and after every call of
/// [`take_notices`](Self::take_notices). If the value has changed, give [`data_paths`](Self::data_paths) to
/// all threads *before* the output of that turn is sent. A thread must read the current paths *after* it has
/// received a datagram. So no datagram arrives with an index that the thread does not know yet. A thread must
/// not use a snapshot for longer than one batch, and must hold none while it waits: the keys in a snapshot
/// are erased when the last reference is dropped.
pub trait DataPeer: Peer {
    /// Version number of the snapshot. It changes whenever [`data_paths`](Self::data_paths) would return a
    /// different result.
    fn generation(&self) -> u64;

    /// Returns a snapshot of all sessions. After the first call the peer assumes that a data plane is
    /// attached: it asks to be woken at least every [`PROBE_AFTER`](super::PROBE_AFTER) to read the activity
    /// that the threads have recorded.
    fn data_paths(&mut self) -> DataPaths;

    /// Handles the notices of the data plane. Resulting datagrams, packets and events are appended to
    /// `output`.
    fn take_notices(&mut self, now: Instant, notices: &mut Vec<Notice>, output: &mut Batch);
}

/// A datagram that the data plane has opened and that the state machine must know about. A notice may arrive
/// late or twice without harm.
#[derive(Debug)]
pub struct Notice {
    /// Receiver index of the datagram.
    pub index: u32,
    /// Source address of the datagram.
    pub remote: SocketAddr,
    /// Counter of the datagram.
    pub counter: u64,
    /// True if the counter is higher than every earlier one.
    pub is_newest: bool,
    /// The session message in the datagram. `None` for an IP packet, which the data plane has already
    /// delivered.
    pub message: Option<PacketBuf>,
}

/// The key of a session to which a datagram belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAge {
    /// The key before the last rekey, kept for a while for late datagrams.
    Previous,
    /// The key in use.
    Current,
    /// The next key. It comes into use with the first datagram sealed under it.
    Next,
}

/// Snapshot of one session.
pub struct DataPath {
    pub(super) sealer: Arc<Sealer>,
    /// With the time until which it may be used.
    pub(super) previous: Option<(Arc<Opener>, Instant)>,
    pub(super) current: Arc<Opener>,
    pub(super) next: Option<Arc<Opener>>,
    /// Time after which none of the keys may be used.
    pub(super) expiry: Instant,
    pub(super) remote: SocketAddr,
    pub(super) mtu: usize,
    pub(super) activity: Arc<Activity>,
    /// True if the session may carry data. Until then its datagrams go to the peer.
    pub(super) is_live: bool,
    /// The session's inner addresses. Empty on a client, which accepts packets from any address.
    pub(super) addresses: Vec<IpAddr>,
}

impl DataPath {
    /// The address that the session's datagrams are sent to.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Seals the packet of `packet_len` bytes in `frame`. The packet starts after
    /// [`HEADER_LEN`](super::HEADER_LEN) bytes of room for the header. Afterwards `frame` begins with the
    /// datagram. Returns its length.
    ///
    /// # Errors
    ///
    /// The reason to drop the packet.
    #[inline]
    pub fn seal(&self, now: Instant, frame: &mut [u8], packet_len: usize) -> Result<usize, DropReason> {
        if !self.is_live {
            return Err(DropReason::NotConnected);
        }
        if packet_len > self.mtu {
            return Err(DropReason::TooLarge);
        }
        if now >= self.expiry {
            return Err(DropReason::KeyExpired);
        }
        let sealed = self.sealer.seal_packet_in(frame, packet_len, self.mtu);
        sealed.map(|(len, _)| len).map_err(super::SealError::reason)
    }

    /// Opens a datagram in place and returns the range of its body.
    ///
    /// # Errors
    ///
    /// The reason to drop the datagram. Its bytes are unspecified then.
    #[inline]
    pub fn open(
        &self,
        now: Instant,
        age: KeyAge,
        datagram: &mut [u8],
    ) -> Result<(Range<usize>, Opened), DropReason> {
        if now >= self.expiry {
            return Err(DropReason::KeyExpired);
        }
        let opener = match (age, &self.previous, &self.next) {
            (KeyAge::Current, _, _) => &self.current,
            (KeyAge::Previous, Some((opener, until)), _) if now < *until => opener,
            (KeyAge::Next, _, Some(opener)) => opener,
            _ => return Err(DropReason::UnknownIndex),
        };
        opener.open_in(datagram).map_err(OpenError::reason)
    }

    /// Returns a notice if the peer must know about a datagram from `remote`. `message` is the body if it is
    /// a session message.
    #[must_use]
    pub fn notice(
        &self,
        age: KeyAge,
        remote: SocketAddr,
        opened: &Opened,
        message: Option<&[u8]>,
    ) -> Option<Notice> {
        let has_moved = opened.newest && remote != self.remote && age != KeyAge::Previous;
        if !has_moved && age != KeyAge::Next && opened.body == Body::Packet {
            return None;
        }
        let opener = match (age, &self.previous, &self.next) {
            (KeyAge::Previous, Some((opener, _)), _) | (KeyAge::Next, _, Some(opener)) => opener,
            _ => &self.current,
        };
        Some(Notice {
            index: opener.index(),
            remote,
            counter: opened.counter,
            is_newest: opened.newest,
            message: message.map(PacketBuf::copied_from),
        })
    }

    /// Records that `packets` packets of `bytes` bytes in total are about to be sent. Call it before they
    /// leave.
    pub fn sending(&self, now: Instant, packets: u64, bytes: u64) {
        self.activity.sending(now);
        self.activity.count_out(packets, bytes);
    }

    /// Records that a datagram was opened and that `packets` packets of `bytes` bytes in total were
    /// delivered.
    pub fn heard(&self, now: Instant, packets: u64, bytes: u64) {
        self.activity.heard(now);
        self.activity.count_in(packets, bytes);
    }

    /// A number that the data plane stores with the session. Every later snapshot returns the same number.
    /// Initially 0.
    #[must_use]
    pub fn user_data(&self) -> u32 {
        self.activity.user_data()
    }

    /// Stores another number with the session.
    pub fn set_user_data(&self, number: u32) {
        self.activity.set_user_data(number);
    }

    /// The receiver indices of its openers.
    fn indices(&self) -> impl Iterator<Item = (u32, KeyAge)> {
        let previous = self.previous.as_ref().map(|(opener, _)| opener);
        [
            (previous, KeyAge::Previous),
            (Some(&self.current), KeyAge::Current),
            (self.next.as_ref(), KeyAge::Next),
        ]
        .into_iter()
        .filter_map(|(opener, age)| Some((opener?.index(), age)))
    }
}

/// Does not print keys.
impl fmt::Debug for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPath")
            .field("remote", &self.remote)
            .field("is_live", &self.is_live)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// The side of the tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// At most one session, which all packets use.
    Client,
    /// A packet goes to the session that owns its destination address.
    Server {
        /// True if clients may not reach each other.
        isolates: bool,
    },
}

/// Snapshot of all sessions of a peer.
#[derive(Debug)]
pub struct DataPaths {
    side: Side,
    paths: Vec<Arc<DataPath>>,
    /// Sorted by index. `None`: the datagram goes to the peer.
    by_index: Vec<(u32, Option<(usize, KeyAge)>)>,
    /// Sorted by address.
    by_address: Vec<(IpAddr, usize)>,
}

/// The decision about an incoming datagram.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// Open it with this key of this session.
    Data(&'a DataPath, KeyAge),
    /// Give it to the peer unchanged.
    Peer,
    /// Drop it.
    Drop(DropReason),
}

impl DataPaths {
    /// A snapshot of `paths`. Datagrams with an index in `pending`, the logins in progress, go to the peer.
    pub(super) fn new(side: Side, paths: Vec<Arc<DataPath>>, pending: impl IntoIterator<Item = u32>) -> Self {
        let mut by_index: Vec<_> = pending.into_iter().map(|index| (index, None)).collect();
        let mut by_address = Vec::new();
        for (n, path) in paths.iter().enumerate() {
            let places = path
                .indices()
                .map(|(index, age)| (index, path.is_live.then_some((n, age))));
            by_index.extend(places);
            by_address.extend(path.addresses.iter().map(|address| (*address, n)));
        }
        by_index.sort_unstable_by_key(|(index, _)| *index);
        by_address.sort_unstable();
        Self {
            side,
            paths,
            by_index,
            by_address,
        }
    }

    /// The snapshot of a peer without sessions. It carries nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Side::Client, Vec::new(), [])
    }

    /// Number of sessions.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.paths.len()
    }

    /// True if there is no session.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// Returns the session for an IP packet from the inner network.
    ///
    /// # Errors
    ///
    /// The reason to drop the packet.
    #[inline]
    pub fn route(&self, packet: &[u8]) -> Result<&DataPath, DropReason> {
        let addresses = IpAddresses::read(packet).ok_or(DropReason::NotIp)?;
        let (path, reason) = match self.side {
            Side::Client => (self.paths.first(), DropReason::NotConnected),
            Side::Server { .. } => {
                let place = self.owner(addresses.destination);
                (place.and_then(|place| self.paths.get(place)), DropReason::NoRoute)
            }
        };
        let path = path.ok_or(reason)?;
        if self.side == Side::Client && is_own_datagram(packet, addresses.destination, path.remote) {
            return Err(DropReason::RoutingLoop);
        }
        Ok(path)
    }

    /// Decides about a datagram from the outer network.
    #[inline]
    #[must_use]
    pub fn classify(&self, datagram: &[u8]) -> Incoming<'_> {
        let control = match self.side {
            Side::Client => Code::Down,
            Side::Server { .. } => Code::Up,
        };
        match datagram.first() {
            Some(code) if *code == Code::Session.byte() => self.classify_session(datagram),
            Some(code) if *code == control.byte() && datagram.len() == CONTROL_LEN => Incoming::Peer,
            Some(code) if *code == control.byte() => Incoming::Drop(DropReason::WrongLength),
            Some(_) => Incoming::Drop(DropReason::InvalidCode),
            None => Incoming::Drop(DropReason::NotEnoughData),
        }
    }

    fn classify_session(&self, datagram: &[u8]) -> Incoming<'_> {
        let Some((index, _)) = session_header(datagram) else {
            return Incoming::Drop(DropReason::NotEnoughData);
        };
        let found = self
            .by_index
            .binary_search_by_key(&index, |(index, _)| *index)
            .ok()
            .and_then(|place| self.by_index.get(place));
        match found {
            None => Incoming::Drop(DropReason::UnknownIndex),
            Some((_, None)) => Incoming::Peer,
            Some((_, Some((path, age)))) => match self.paths.get(*path) {
                Some(path) => Incoming::Data(path, *age),
                None => Incoming::Drop(DropReason::UnknownIndex),
            },
        }
    }

    /// Checks that an IP packet received through `path` may enter the inner network.
    ///
    /// # Errors
    ///
    /// The reason to drop the packet.
    #[inline]
    pub fn admit(&self, path: &DataPath, packet: &[u8]) -> Result<(), DropReason> {
        let addresses = IpAddresses::read(packet).ok_or(DropReason::NotIp)?;
        let Side::Server { isolates } = self.side else {
            return Ok(());
        };
        let belongs_to_other_session =
            |address| self.owner(address).is_some() && !path.addresses.contains(&address);
        may_enter(&path.addresses, addresses, |address| {
            isolates && belongs_to_other_session(address)
        })
    }

    fn owner(&self, address: IpAddr) -> Option<usize> {
        let place = self
            .by_address
            .binary_search_by_key(&address, |(address, _)| *address);
        let (_, owner) = self.by_address.get(place.ok()?)?;
        Some(*owner)
    }
}

/// Checks that a packet of a session with the addresses `own` may enter the inner network. Its source must be
/// one of them, and its destination must not be forbidden.
pub(super) fn may_enter(
    own: &[IpAddr],
    packet: IpAddresses,
    is_forbidden: impl FnOnce(IpAddr) -> bool,
) -> Result<(), DropReason> {
    if !own.contains(&packet.source) {
        return Err(DropReason::SourceNotAllowed);
    }
    if is_forbidden(packet.destination) {
        return Err(DropReason::ClientIsolated);
    }
    Ok(())
}
