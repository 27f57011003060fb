//! What a tunnel is, to the people and programs that use one: status, settings, errors, counters.
//!
//! The names are those of Apple's NetworkExtension (`NEVPNStatus`, `NEPacketTunnelNetworkSettings`), where the
//! protocol comes from.

use alloc::string::String;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::net::IpAddr;

/// The state of a client's tunnel (`NEVPNStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TunnelStatus {
    /// There is no usable configuration.
    Invalid,
    /// No tunnel.
    Disconnected,
    /// Logging in for the first time since `start`.
    Connecting,
    /// The tunnel carries packets.
    Connected,
    /// The tunnel was up and is logging in again; its settings stay applied.
    Reasserting,
    /// Going down on request.
    Disconnecting,
}

impl TunnelStatus {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Disconnected => "disconnected",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reasserting => "reasserting",
            Self::Disconnecting => "disconnecting",
        }
    }
}

/// An address and the length of its network's prefix, `10.9.0.2/24`; also a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpPrefix {
    /// The address.
    pub address: IpAddr,
    /// Prefix length in bits: 0 to 32, or 0 to 128 for IPv6.
    pub length: u8,
}

impl IpPrefix {
    /// Whether `address` lies in this network. Different families never match.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let differing_bits = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        differing_bits >= u32::from(self.length)
    }
}

impl core::str::FromStr for IpPrefix {
    type Err = &'static str;

    /// Reads `10.9.0.2/24` or `fd00::2/64`; an address alone stands for itself (`/32`, `/128`).
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| "not an IP address")?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let length = match length {
            Some(length) => length.parse().map_err(|_| "the prefix length is not a number")?,
            None => most,
        };
        if length > most {
            return Err("the prefix length is more than the address has bits");
        }
        Ok(Self { address, length })
    }
}

impl fmt::Display for IpPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// What a device needs to carry the tunnel (`NEPacketTunnelNetworkSettings`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkSettings {
    /// The server's outer address, which must stay outside the tunnel.
    pub tunnel_remote_address: IpAddr,
    /// The tunnel device's own addresses.
    pub addresses: Vec<IpPrefix>,
    /// Networks to be reached through the tunnel.
    pub included_routes: Vec<IpPrefix>,
    /// Networks to be reached beside the tunnel.
    pub excluded_routes: Vec<IpPrefix>,
    /// Name servers to ask while the tunnel is up.
    pub dns_servers: Vec<IpAddr>,
    /// Domains appended to short names.
    pub search_domains: Vec<String>,
    /// Largest inner IP packet in bytes.
    pub mtu: u16,
}

/// Why `start` failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StartError {
    /// The server did not answer in time.
    ConnectionTimedOut,
    /// The server answered that name or password are wrong.
    AuthenticationRejected,
    /// `stop` was asked for before the server answered.
    Stopped,
    /// The key has sealed as many messages as is safe; a new key is needed.
    KeyExhausted,
    /// Login or password are longer than the protocol carries; the status is [`TunnelStatus::Invalid`].
    InvalidConfiguration,
    /// Name and password are right, but the account is disabled.
    AccountDisabled,
    /// Name and password are right, but the account's time is over.
    AccountExpired,
    /// Name and password are right, but the server has no address left.
    ServerFull,
    /// The user's session went to another device.
    SessionReplaced,
}

impl StartError {
    /// A stable name in kebab case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ConnectionTimedOut => "connection-timed-out",
            Self::AuthenticationRejected => "authentication-rejected",
            Self::Stopped => "stopped",
            Self::KeyExhausted => "key-exhausted",
            Self::InvalidConfiguration => "invalid-configuration",
            Self::AccountDisabled => "account-disabled",
            Self::AccountExpired => "account-expired",
            Self::ServerFull => "server-full",
            Self::SessionReplaced => "session-replaced",
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConnectionTimedOut => "the server did not answer in time",
            Self::AuthenticationRejected => "the server rejected the name or the password",
            Self::Stopped => "stopped before the server answered",
            Self::KeyExhausted => "the key has sealed as many messages as is safe",
            Self::InvalidConfiguration => "the login or the password is too long",
            Self::AccountDisabled => "the account is disabled",
            Self::AccountExpired => "the account has expired",
            Self::ServerFull => "the server has no address left",
            Self::SessionReplaced => "the session went to another device of the same user",
        })
    }
}

impl Error for StartError {}

/// A call that the present state does not allow. Fixed by reading the code, never caused by the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiMisuse {
    /// `start` on a tunnel that is already up or coming up.
    AlreadyStarted,
    /// A command that only a client understands.
    NotAClient,
    /// A command that needs a started tunnel.
    NotStarted,
    /// A job's result that nobody waits for.
    UnknownJob,
    /// An input while outputs of an earlier one are still to be polled.
    NotDrained,
}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AlreadyStarted => "start: the tunnel is already up or coming up",
            Self::NotAClient => "only a client takes this command",
            Self::NotStarted => "the tunnel has not been started",
            Self::UnknownJob => "no such job is waiting for a result",
            Self::NotDrained => "an input before the outputs of the last one were polled",
        })
    }
}

impl Error for ApiMisuse {}

/// Declares [`DropReason`] with the name of each variant, so that the list stands once.
macro_rules! drop_reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why a datagram or packet was not taken. Each is counted by itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum DropReason {
            $($(#[$doc])* $variant,)*
        }

        impl DropReason {
            /// Every reason there is, in a fixed order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// A stable name in kebab case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

drop_reasons! {
    /// Malformed: shorter than code, nonce and tag.
    NotEnoughData = "not-enough-data",
    /// Malformed: the first byte is no code of this protocol.
    InvalidCode = "invalid-code",
    /// The tag does not fit: another key, or changed on the way.
    AuthenticationFailed = "authentication-failed",
    /// Authentic, but its body is not what its code promises.
    MalformedBody = "malformed-body",
    /// Authentic and well-formed, but nothing that this side expects in its state.
    Unexpected = "unexpected",
    /// From an address that is not this client's server.
    UnknownRemote = "unknown-remote",
    /// Data from an address without a session.
    NoSession = "no-session",
    /// An inner packet that is no IP packet.
    NotIp = "not-ip",
    /// An inner packet whose source address is not its session's.
    SourceNotAllowed = "source-not-allowed",
    /// An inner packet to an address that no session owns.
    NoRoute = "no-route",
    /// An inner packet while the tunnel is not up.
    NotConnected = "not-connected",
    /// An inner packet larger than the tunnel's MTU.
    TooLarge = "too-large",
    /// As many logins as allowed are being verified.
    Busy = "busy",
    /// The key has sealed as many messages as is safe, or has failed to open too many.
    KeyExhausted = "key-exhausted",
    /// A control datagram of another length than the one that all of them have.
    WrongLength = "wrong-length",
    /// A login in a version of the protocol that this side does not speak.
    UnsupportedVersion = "unsupported-version",
    /// For a session or a login that this side does not know.
    UnknownIndex = "unknown-index",
    /// Received before, or too old to tell.
    Replayed = "replayed",
    /// More from one source than is allowed.
    RateLimited = "rate-limited",
    /// More logins of one name without a success than are allowed.
    LoginLimited = "login-limited",
    /// Authentic, but under keys that are too old.
    KeyExpired = "key-expired",
    /// From one client to another, where clients are kept apart.
    ClientIsolated = "client-isolated",
    /// An inner packet that is a datagram of this tunnel: a route leads the tunnel into itself.
    RoutingLoop = "routing-loop",
    /// More than could be worked on, or than the network or the device would take, at that moment.
    Overloaded = "overloaded",
}

/// What a peer has counted since it was made. Bytes are those of inner packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams given out.
    pub datagrams_out: u64,
    /// Datagrams taken in, whatever became of them.
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
}

impl Counters {
    /// How many datagrams and packets were dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped.get(reason as usize).copied().unwrap_or_default()
    }

    /// Counts one.
    pub fn count_drop(&mut self, reason: DropReason) {
        self.count_drops(reason, 1);
    }

    /// Counts so many.
    pub fn count_drops(&mut self, reason: DropReason, more: u64) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count = count.saturating_add(more);
        }
    }

    /// Adds what somebody else has counted.
    pub fn add(&mut self, other: &Self) {
        let Self {
            datagrams_out,
            datagrams_in,
            packets_out,
            bytes_out,
            packets_in,
            bytes_in,
            dropped,
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
    }

    /// The reasons that occurred, with their counts, in a fixed order.
    pub fn drops(&self) -> impl Iterator<Item = (DropReason, u64)> {
        DropReason::ALL
            .iter()
            .map(|reason| (*reason, self.dropped(*reason)))
            .filter(|(_, count)| *count > 0)
    }
}
