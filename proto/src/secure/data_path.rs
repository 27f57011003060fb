//! What moves a session's data outside the state machine: immutable snapshots that threads may share.
//!
//! The state machine decides; a data plane only carries out what was decided, and tells what it may not decide itself.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use super::Code;
use super::frame::{CONTROL_LEN, session_header};
use super::opener::{Body, OpenError, Opened, Opener};
use super::sealer::Sealer;
use super::signs::Signs;
use crate::ip::{IpAddresses, is_own_datagram};
use crate::mutant::{Mutant, planted};
use crate::{Batch, DropReason, Instant, PacketBuf, Peer};

/// A peer whose data may be moved by a data plane: threads that seal and open with the handles of its sessions.
///
/// # How to drive one
///
/// After every turn and every call of [`take_notices`](Self::take_notices): if
/// [`generation`](Self::generation) has changed, give [`data_paths`](Self::data_paths) to all threads, *before* what the
/// turn has put out is sent. A thread looks at the paths that it uses *after* it has received a datagram: so none comes
/// under an index that the thread does not know yet. It uses no paths for longer than one batch, and holds none while it
/// waits: the keys in them are erased with the last one that holds them.
pub trait DataPeer: Peer {
    /// Changes whenever [`data_paths`](Self::data_paths) would give something else.
    fn generation(&self) -> u64;

    /// All sessions as they are now. From the first call on, the peer expects that its data is moved by others: it asks to
    /// be woken at least every [`PROBE_AFTER`](super::PROBE_AFTER), to see what they have noted.
    fn data_paths(&mut self) -> DataPaths;

    /// Deals with what the data plane has opened and may not decide. What follows from it is appended to `output`.
    fn take_notices(&mut self, now: Instant, notices: &mut Vec<Notice>, output: &mut Batch);
}

/// Something that was opened outside the state machine and matters to it. Told twice or late, it does no harm.
#[derive(Debug)]
pub struct Notice {
    /// The index under which it came.
    pub index: u32,
    /// Where it came from.
    pub remote: SocketAddr,
    /// Its counter.
    pub counter: u64,
    /// Whether that was above every earlier one.
    pub is_newest: bool,
    /// The session message that it was; `None` for an IP packet, which has been dealt with.
    pub message: Option<PacketBuf>,
}

/// Which key of a session a datagram belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyAge {
    /// The one before the last change, for as long as late datagrams may come.
    Previous,
    /// The one in use.
    Current,
    /// The one that comes into use with the first datagram under it.
    Next,
}

/// One session, as it was when the snapshot was made.
pub struct DataPath {
    pub(super) sealer: Arc<Sealer>,
    /// With the end of its time.
    pub(super) previous: Option<(Arc<Opener>, Instant)>,
    pub(super) current: Arc<Opener>,
    pub(super) next: Option<Arc<Opener>>,
    /// When none of the keys may be used any more.
    pub(super) expiry: Instant,
    pub(super) remote: SocketAddr,
    pub(super) mtu: usize,
    pub(super) signs: Arc<Signs>,
    /// Whether data may be carried. What comes for a session that is not so far is for the peer.
    pub(super) is_live: bool,
    /// The inner addresses that are the session's own; a client takes packets from any.
    pub(super) addresses: Vec<IpAddr>,
}

impl DataPath {
    /// Where its datagrams go to.
    #[must_use]
    pub const fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Seals the packet of `packet_len` bytes that lies in `frame` behind room for the header
    /// ([`HEADER_LEN`](super::HEADER_LEN) bytes); gives the length of the datagram that `frame` begins with then.
    ///
    /// # Errors
    ///
    /// Why the packet is to be dropped.
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

    /// Opens a datagram where it lies, and gives where in it the body is.
    ///
    /// # Errors
    ///
    /// Why the datagram is to be dropped; its bytes are unspecified then.
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

    /// What the peer has to be told of a datagram from `remote`, if anything. `message` is its body if that is one.
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

    /// Notes that `packets` of `bytes` in all are being sent now: to be said before they leave.
    pub fn sending(&self, now: Instant, packets: u64, bytes: u64) {
        self.signs.sending(now);
        self.signs.count_out(packets, bytes);
    }

    /// Notes that something has been opened, and that `packets` of `bytes` in all were taken of it.
    pub fn heard(&self, now: Instant, packets: u64, bytes: u64) {
        self.signs.heard(now);
        self.signs.count_in(packets, bytes);
    }

    /// A number that a data plane has left with the session, and finds again in every later snapshot of it; 0 at first.
    #[must_use]
    pub fn slip(&self) -> u32 {
        self.signs.slip()
    }

    /// Leaves another number.
    pub fn put_slip(&self, number: u32) {
        self.signs.put_slip(number);
    }

    /// The indices of its openers.
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

/// Never shows keys.
impl fmt::Debug for DataPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataPath")
            .field("remote", &self.remote)
            .field("is_live", &self.is_live)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

/// Which side of the tunnel this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// There is one session at most, and all packets go there.
    Client,
    /// Packets go to the session that owns their destination.
    Server {
        /// Whether clients may not reach each other.
        isolates: bool,
    },
}

/// All sessions of a peer, as they were when the snapshot was made.
#[derive(Debug)]
pub struct DataPaths {
    side: Side,
    paths: Vec<Arc<DataPath>>,
    /// In ascending order. `None`: for the peer.
    by_index: Vec<(u32, Option<(usize, KeyAge)>)>,
    /// In ascending order.
    by_address: Vec<(IpAddr, usize)>,
}

/// What is to be done with a datagram.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// To be opened with this key of this session.
    Data(&'a DataPath, KeyAge),
    /// For the peer, as it came.
    Peer,
    /// To be dropped.
    Drop(DropReason),
}

impl DataPaths {
    /// Those of these sessions. What comes for one of `pending`, indices of logins under way, is for the peer.
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

    /// The paths of a peer without sessions, which carry nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Side::Client, Vec::new(), [])
    }

    /// How many sessions there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether there is no session.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The session that an IP packet from the inner network goes to.
    ///
    /// # Errors
    ///
    /// Why the packet is to be dropped.
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

    /// What is to be done with a datagram from the outer network.
    #[inline]
    #[must_use]
    pub fn sort(&self, datagram: &[u8]) -> Incoming<'_> {
        let control = match self.side {
            Side::Client => Code::Down,
            Side::Server { .. } => Code::Up,
        };
        match datagram.first() {
            Some(code) if *code == Code::Session.byte() => self.sort_session(datagram),
            Some(code) if *code == control.byte() && datagram.len() == CONTROL_LEN => Incoming::Peer,
            Some(code) if *code == control.byte() => Incoming::Drop(DropReason::WrongLength),
            Some(_) => Incoming::Drop(DropReason::InvalidCode),
            None => Incoming::Drop(DropReason::NotEnoughData),
        }
    }

    fn sort_session(&self, datagram: &[u8]) -> Incoming<'_> {
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

    /// Whether an IP packet that came through `path` may go on to the inner network.
    ///
    /// # Errors
    ///
    /// Why the packet is to be dropped.
    #[inline]
    pub fn admit(&self, path: &DataPath, packet: &[u8]) -> Result<(), DropReason> {
        let addresses = IpAddresses::read(packet).ok_or(DropReason::NotIp)?;
        let Side::Server { isolates } = self.side else {
            return Ok(());
        };
        let is_anothers = |address| self.owner(address).is_some() && !path.addresses.contains(&address);
        may_enter(&path.addresses, addresses, |address| {
            isolates && is_anothers(address)
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

/// Whether a packet from a session that owns the addresses `own` may enter the inner network: it must come from one of
/// them, and not go where `is_forbidden`.
pub(super) fn may_enter(
    own: &[IpAddr],
    packet: IpAddresses,
    is_forbidden: impl FnOnce(IpAddr) -> bool,
) -> Result<(), DropReason> {
    if !own.contains(&packet.source) && !planted(Mutant::SourceFilterOff) {
        return Err(DropReason::SourceNotAllowed);
    }
    if is_forbidden(packet.destination) {
        return Err(DropReason::ClientIsolated);
    }
    Ok(())
}
