//! Rules of the checks: the properties that a protocol promises.

use std::time::Duration;

/// The properties that a protocol promises, and thereby the checks of a run.
///
/// P8 (no datagram unaccounted for) always runs, because it tests the laboratory itself. P9 runs if
/// [`Setup::liveness`](super::Setup::liveness) is set. P10 and P12 compare two runs ([`Second`](crate::compare::Second)). Each
/// other check has a field here that switches it on or off. The default is a protocol that encrypts, authenticates and changes
/// no packet, and promises nothing more.
///
/// ```
/// use sandhog_lab::setup::Rules;
///
/// // A protocol without encryption and login that delivers each packet at most once.
/// let rules = Rules { at_most_once: true, ..Rules::plain() };
/// assert!(!rules.encrypts && !rules.authenticates && rules.delivers_unchanged);
/// ```
#[derive(Clone, Debug)]
pub struct Rules {
    /// P1: no plaintext of an inner packet and no secret of a script appears in an outer datagram. Switch it off for a
    /// protocol without encryption.
    pub encrypts: bool,
    /// P2: function that finds the nonce and the key of a datagram. `None` switches the check off.
    pub nonce_of: Option<NonceOf>,
    /// P3: every inner packet that leaves the tunnel entered it somewhere, unchanged. Switch it off for a protocol that
    /// changes packets.
    pub delivers_unchanged: bool,
    /// P3: an inner packet leaves the tunnel only if its sender has authenticated. Switch it off for a protocol without a
    /// login. It has no effect without [`delivers_unchanged`](Self::delivers_unchanged).
    pub authenticates: bool,
    /// P3: an inner packet leaves the tunnel at most as often as it entered. It has no effect without
    /// [`delivers_unchanged`](Self::delivers_unchanged).
    pub at_most_once: bool,
    /// P4: number of bytes that a server may send to an address for each byte it has received from there, until a login or a
    /// move validates the address. `None` switches the check off.
    pub amplification: Option<u64>,
    /// P5: largest [`unauthenticated`](sandhog_peer::Gauges::unauthenticated) gauge after any turn. `None` switches the check
    /// off.
    pub unauthenticated: Option<usize>,
    /// P6: a session moves only to the source of a datagram that an authenticated host made and that had not arrived before.
    pub fresh_roaming: bool,
    /// P7: largest age of a key when a session datagram is sealed with it. `None` switches the check off.
    ///
    /// The key of a client is as old as its last `Connected` status or `Rekeyed` event. The key of a server is as old as its
    /// `LoggedIn` event from that address, or the `Rekeyed` event that a datagram from there caused, until its `SessionEnded`
    /// event. A host that reported none of these events is not checked.
    pub key_age: Option<Duration>,
    /// P11: an inner packet that leaves the tunnel at a server has a source address of its sender: one of its
    /// [`InnerSpec`](super::InnerSpec), or of the last two settings that it received.
    pub inner_owner: bool,
    /// P13: a server changes an account only for a sender whose login it has accepted. A server reports a change with
    /// [`RecordChanged`](sandhog_peer::EventKind::RecordChanged), and an accepted login with
    /// [`LoggedIn`](sandhog_peer::EventKind::LoggedIn). A sender that the server has refused has no such event.
    pub accepted_changes: bool,
    /// P14: a server sends a datagram to an address without an accepted session only as the answer to a datagram from there. A
    /// host, or an adversary that speaks the protocol, has made that datagram at most this long ago, and it has not arrived
    /// before, also not before a restart. `None` switches the check off.
    pub first_message_age: Option<Duration>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            encrypts: true,
            nonce_of: None,
            delivers_unchanged: true,
            authenticates: true,
            at_most_once: false,
            amplification: None,
            unauthenticated: None,
            fresh_roaming: false,
            key_age: None,
            inner_owner: false,
            accepted_changes: false,
            first_message_age: None,
        }
    }
}

impl Rules {
    /// The rules of a protocol without encryption and without a login: every check that can be switched off is off, except
    /// that packets are delivered unchanged.
    #[must_use]
    pub fn plain() -> Self {
        Self {
            encrypts: false,
            authenticates: false,
            ..Self::default()
        }
    }
}

/// Finds the nonce of a datagram. `None` if the datagram has no nonce to check.
pub type NonceOf = fn(&[u8]) -> Option<Nonce>;

/// The nonce of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Number of the key, as far as the datagram shows it. Nonces of different keys are never compared.
    pub key: u64,
    /// The nonce bytes.
    pub nonce: [u8; 12],
    /// True for a key of a session: then even the same datagram must not be sent twice, and the key has an age. The value is
    /// the same for all nonces of a key.
    pub session: bool,
}
