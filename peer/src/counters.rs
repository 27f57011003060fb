//! Counters of a peer and the reasons for dropped datagrams and packets.

use alloc::vec::Vec;

/// Declares [`DropReason`] from one list of variants and names.
macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The reason why a peer dropped a datagram or a packet. Each reason has its own counter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
            /// A reason of another protocol, in kebab case.
            Other(&'static str),
        }

        /// Positions of the counters in [`Counters`].
        #[derive(Clone, Copy)]
        enum Position {
            $($variant,)*
        }

        impl DropReason {
            /// All reasons of the Sandhog protocols, without [`DropReason::Other`], in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// A stable name in kebab case.
            ///
            /// ```
            /// use sandhog_peer::DropReason;
            ///
            /// assert_eq!(DropReason::NoRoute.name(), "no-route");
            /// assert_eq!(DropReason::Other("bad-checksum").name(), "bad-checksum");
            /// ```
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// The position of the counter, or `None` for a reason of another protocol.
            const fn position(self) -> Option<usize> {
                match self {
                    $(Self::$variant => Some(Position::$variant as usize),)*
                    Self::Other(_) => None,
                }
            }
        }
    };
}

drop_reasons! {
    /// Malformed: shorter than code, nonce and authentication tag.
    NotEnoughData = "not-enough-data",
    /// Malformed: the first byte is not a code of this protocol.
    InvalidCode = "invalid-code",
    /// The authentication tag is wrong: another key, or the datagram was changed.
    AuthenticationFailed = "authentication-failed",
    /// Authentic, but the body does not match its code.
    MalformedBody = "malformed-body",
    /// Authentic and well-formed, but not expected in the present state.
    Unexpected = "unexpected",
    /// From an address that is not the client's server.
    UnknownRemote = "unknown-remote",
    /// Data from an address without a session.
    NoSession = "no-session",
    /// An inner packet that is not an IP packet.
    NotIp = "not-ip",
    /// An inner packet with a source address that does not belong to its session.
    SourceNotAllowed = "source-not-allowed",
    /// An inner packet to an address that no session owns.
    NoRoute = "no-route",
    /// An inner packet while the tunnel is not up.
    NotConnected = "not-connected",
    /// An inner packet larger than the tunnel's MTU.
    TooLarge = "too-large",
    /// The largest allowed number of logins is being verified.
    Busy = "busy",
    /// The key has sealed the largest safe number of messages, or failed to open too many.
    KeyExhausted = "key-exhausted",
    /// A control datagram whose length differs from the fixed length of all control datagrams.
    WrongLength = "wrong-length",
    /// A login message whose time is too far from this side's clock, or before its start.
    Stale = "stale",
    /// A login message for a server with another key, or from one.
    OtherServer = "other-server",
    /// A login in a protocol version that this side does not support.
    UnsupportedVersion = "unsupported-version",
    /// A receiver index that belongs to no session and no login of this side.
    UnknownIndex = "unknown-index",
    /// Received before, or older than the replay window.
    Replayed = "replayed",
    /// Above the rate limit of its source.
    RateLimited = "rate-limited",
    /// Above the limit of failed logins of one user name.
    LoginLimited = "login-limited",
    /// Authentic, but sealed under an expired key.
    KeyExpired = "key-expired",
    /// From one client to another, while clients are isolated from each other.
    ClientIsolated = "client-isolated",
    /// An inner packet that is an outer datagram of this tunnel: a route sends the tunnel's own traffic into the tunnel.
    RoutingLoop = "routing-loop",
    /// A queue was full: the peer, the network or the device could not keep up.
    Overloaded = "overloaded",
    /// Above the share of its source in a queue.
    ShareLimited = "share-limited",
}

/// Event counts of a peer since it was created. Byte counts are those of inner packets. All counters saturate.
///
/// ```
/// use sandhog_peer::{Counters, DropReason};
///
/// let mut counters = Counters::default();
/// counters.packets_in = 2;
/// counters.count_drop(DropReason::TooLarge);
/// counters.count_other("retransmissions", 3);
/// assert_eq!(counters.dropped(DropReason::TooLarge), 1);
/// assert_eq!(counters.other("retransmissions"), 3);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams sent.
    pub datagrams_out: u64,
    /// Datagrams received, including those that were dropped.
    pub datagrams_in: u64,
    /// Inner packets sealed.
    pub packets_out: u64,
    /// Bytes of inner packets sealed.
    pub bytes_out: u64,
    /// Inner packets opened and delivered.
    pub packets_in: u64,
    /// Bytes of inner packets opened and delivered.
    pub bytes_in: u64,
    dropped: [u64; DropReason::ALL.len()],
    /// Drops for the reasons of another protocol, in the order of their first use.
    dropped_other: Vec<(&'static str, u64)>,
    /// Counters of another protocol, in the order of their first use.
    others: Vec<(&'static str, u64)>,
}

impl Counters {
    /// Number of datagrams and packets dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        match reason.position() {
            Some(position) => self.dropped.get(position).copied().unwrap_or_default(),
            None => named(&self.dropped_other, reason.name()),
        }
    }

    /// Counts one drop.
    pub fn count_drop(&mut self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    /// Counts `more` drops.
    pub fn count_drops(&mut self, reason: DropReason, more: u64) {
        match reason.position() {
            Some(position) => {
                if let Some(count) = self.dropped.get_mut(position) {
                    *count = count.saturating_add(more);
                }
            }
            None => add_named(&mut self.dropped_other, reason.name(), more),
        }
    }

    /// Adds `more` to a counter of another protocol. `name` is in kebab case.
    pub fn count_other(&mut self, name: &'static str, more: u64) {
        add_named(&mut self.others, name, more);
    }

    /// The value of a counter of another protocol, 0 if it was never used.
    #[must_use]
    pub fn other(&self, name: &str) -> u64 {
        named(&self.others, name)
    }

    /// The counters of another protocol with their values, in the order of their first use.
    pub fn others(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.others.iter().copied()
    }

    /// Adds the counts of `other`.
    pub fn add(&mut self, other: &Self) {
        let Self {
            datagrams_out,
            datagrams_in,
            packets_out,
            bytes_out,
            packets_in,
            bytes_in,
            dropped,
            dropped_other,
            others,
        } = other;
        for (count, more) in [
            (&mut self.datagrams_out, datagrams_out),
            (&mut self.datagrams_in, datagrams_in),
            (&mut self.packets_out, packets_out),
            (&mut self.bytes_out, bytes_out),
            (&mut self.packets_in, packets_in),
            (&mut self.bytes_in, bytes_in),
        ]
        .into_iter()
        .chain(self.dropped.iter_mut().zip(dropped))
        {
            *count = count.saturating_add(*more);
        }
        for (name, more) in dropped_other {
            add_named(&mut self.dropped_other, name, *more);
        }
        for (name, more) in others {
            add_named(&mut self.others, name, *more);
        }
    }

    /// The reasons that occurred, with their counts. Those of [`DropReason::ALL`] come first, in its order.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        let other = self.dropped_other.iter();
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.dropped(*reason)))
            .filter(|(_, count)| *count > 0)
            .chain(other.map(|(name, count)| (DropReason::Other(name), *count)))
    }
}

fn named(counts: &[(&'static str, u64)], name: &str) -> u64 {
    let entry = counts.iter().find(|(other, _)| *other == name);
    entry.map_or(0, |(_, count)| *count)
}

fn add_named(counts: &mut Vec<(&'static str, u64)>, name: &'static str, more: u64) {
    match counts.iter_mut().find(|(other, _)| *other == name) {
        Some((_, count)) => *count = count.saturating_add(more),
        None => counts.push((name, more)),
    }
}
