//! The receiving half of a session's data path: key, index and replay window.
//!
//! An opener shares no state with the state machine, so a shell can open datagrams on any number of threads.
//! Only the window is behind a lock, and the lock is never held during decryption.

use core::error::Error;
use core::fmt;
use core::ops::Range;

use super::Code;
use super::frame::{HEADER_LEN, open_framed, session_header};
use super::message::binary_len;
use super::sealer::{Limits, REJECT_AFTER_MESSAGES};
use super::strict::trimmed;
use super::window::{Accepted, Window};
use crate::aead::{Aead, Cipher, DefaultAead, KEY_LEN};
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::{PacketBuf, State, describe};

/// Number of datagrams that may fail to open before the key is given up. Each failure is a forgery attempt
/// (RFC 9001, section 6.6, has the same limit for the same cipher).
pub const MAX_FAILED_OPENS: u64 = 1 << 36;

/// Opens the datagrams of one session, epoch and direction, in place and without allocation.
///
/// Threads may share an opener. Each datagram is accepted once, in whatever order and however often copies
/// arrive.
pub struct Opener<A = DefaultAead> {
    aead: A,
    cipher: Cipher,
    index: u32,
    window: Mutex<Window>,
    failed: AtomicU64,
}

/// An authentic datagram that was not received before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Counter of the datagram.
    pub counter: u64,
    /// True if the counter is higher than every earlier one.
    pub newest: bool,
    /// Content of the buffer.
    pub body: Body,
}

/// Content of a session datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// An IP packet, without padding.
    Packet,
    /// A JSON message, without padding.
    Message,
}

impl<A: Aead> Opener<A> {
    /// An opener with `key` for the session whose local index is `index` (not 0).
    #[must_use]
    pub fn new(cipher: Cipher, key: &[u8; KEY_LEN], index: u32) -> Self {
        Self::with_failures(cipher, key, index, 0)
    }

    /// An opener that has already failed to open `failed` datagrams. For tests of the limit.
    #[doc(hidden)]
    #[must_use]
    pub fn with_failures(cipher: Cipher, key: &[u8; KEY_LEN], index: u32, failed: u64) -> Self {
        Self {
            aead: A::new(cipher, key),
            cipher,
            index,
            window: Mutex::new(Window::new()),
            failed: AtomicU64::new(failed),
        }
    }

    /// The receiver index of datagrams for this opener.
    #[must_use]
    pub const fn index(&self) -> u32 {
        self.index
    }

    /// Returns true if the peer has sealed so many messages that this key should be replaced.
    #[must_use]
    pub fn needs_rekey(&self) -> bool {
        self.window.lock().next() >= Limits::of(self.cipher).rekey_after
    }

    /// Opens the datagram in `buf`. Afterwards `buf` is the body without padding.
    ///
    /// # Errors
    ///
    /// [`OpenError`]; the bytes in `buf` are unspecified then. Only an authentic datagram moves the window.
    pub fn open(&self, buf: &mut PacketBuf) -> Result<Opened, OpenError> {
        let (body, opened) = self.open_in(buf)?;
        buf.advance(body.start);
        buf.truncate(body.len());
        Ok(opened)
    }

    /// Opens a datagram in a slice. Returns the range of the body without padding.
    ///
    /// # Errors
    ///
    /// The same as for [`open`](Self::open).
    pub fn open_in(&self, datagram: &mut [u8]) -> Result<(Range<usize>, Opened), OpenError> {
        let (index, counter) = session_header(datagram).ok_or(OpenError::Malformed)?;
        if index != self.index {
            return Err(OpenError::WrongIndex);
        }
        if self.failed.load(Ordering::Relaxed) >= MAX_FAILED_OPENS {
            return Err(OpenError::Exhausted);
        }
        if !self.window.lock().check(counter) {
            return Err(OpenError::Replayed);
        }
        let Some(padded_len) = open_framed(&self.aead, Code::Session, datagram) else {
            // At the limit nothing is opened any more, so the number cannot wrap.
            self.failed.fetch_add(1, Ordering::Relaxed);
            return Err(OpenError::AuthenticationFailed);
        };
        // Another thread may have opened a copy in the meantime. So only this second check decides.
        let newest = match self.window.lock().accept(counter) {
            Accepted::Newest => true,
            Accepted::Late => false,
            Accepted::Refused => return Err(OpenError::Replayed),
        };
        let plaintext = datagram
            .get(HEADER_LEN..HEADER_LEN.saturating_add(padded_len))
            .unwrap_or_default();
        let (body, len) = body(plaintext).ok_or(OpenError::NotIp)?;
        let opened = Opened {
            counter,
            newest,
            body,
        };
        Ok((HEADER_LEN..HEADER_LEN.saturating_add(len), opened))
    }

    /// The number after the highest counter so far.
    pub(super) fn newest(&self) -> u64 {
        self.window.lock().next()
    }

    /// Describes the handle with its replay window.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            aead: _, // the index stands for the key, because both are made at the same time
            cipher,
            index,
            window,
            failed,
        } = self;
        describe::text(state, cipher.name());
        describe::random(state, *index);
        let window = window.lock();
        window.describe(state);
        describe::remaining(state, Limits::of(*cipher).rekey_after, window.next());
        describe::remaining(state, REJECT_AFTER_MESSAGES, window.next());
        describe::remaining(state, MAX_FAILED_OPENS, failed.load(Ordering::Relaxed));
    }
}

/// The kind of `plaintext` and its length without padding. IPv4: RFC 791, section 3.1; IPv6: RFC 8200,
/// section 3.
///
/// `None` if it is neither a packet nor a message, or if the length in its header is shorter than the header
/// or longer than the plaintext.
fn body(plaintext: &[u8]) -> Option<(Body, usize)> {
    let first = *plaintext.first()?;
    if first == b'{' {
        return Some((Body::Message, trimmed(plaintext).len()));
    }
    if let Some(len) = binary_len(first) {
        return (len <= plaintext.len()).then_some((Body::Message, len));
    }
    let (len, header_len) = match first >> 4 {
        4 => {
            let [_, _, high, low, ..] = plaintext.first_chunk::<20>()?;
            (usize::from(u16::from_be_bytes([*high, *low])), 20)
        }
        6 => {
            let [_, _, _, _, high, low, ..] = plaintext.first_chunk::<40>()?;
            let payload_len = usize::from(u16::from_be_bytes([*high, *low]));
            (payload_len.saturating_add(40), 40)
        }
        _ => return None,
    };
    (header_len..=plaintext.len())
        .contains(&len)
        .then_some((Body::Packet, len))
}

/// Does not print the key.
impl<A> fmt::Debug for Opener<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener")
            .field("index", &self.index)
            .field("failed", &self.failed.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Reason why a datagram was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Not a session datagram: another code, shorter than 29 bytes, or index 0.
    Malformed,
    /// The index belongs to another session.
    WrongIndex,
    /// The counter was received before, is too old, or is above the limit for senders.
    Replayed,
    /// The tag is wrong: another key was used, or the datagram was changed in transit.
    AuthenticationFailed,
    /// [`MAX_FAILED_OPENS`] datagrams failed to open. The key opens nothing any more.
    Exhausted,
    /// Authentic, but neither an IP packet nor a message. Its counter is used up.
    NotIp,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not a session datagram",
            Self::WrongIndex => "for another session",
            Self::Replayed => "seen before, or too old",
            Self::AuthenticationFailed => "authentication failed",
            Self::Exhausted => "too many datagrams under this key did not open",
            Self::NotIp => "neither an IP packet nor a message",
        })
    }
}

impl Error for OpenError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngSeed};

    use super::super::Sealer;
    use super::super::frame::{OVERHEAD, seal, session_nonce};
    use super::*;

    const CIPHER: Cipher = Cipher::ChaCha20Poly1305;
    const KEY: [u8; KEY_LEN] = [7; KEY_LEN];
    const INDEX: u32 = 0x0102_0304;
    const MTU: usize = 1420;

    fn opener() -> Opener {
        Opener::new(CIPHER, &KEY, INDEX)
    }

    /// An IPv4 packet of `len` bytes with a recognisable last byte.
    fn packet4(len: usize) -> Vec<u8> {
        let mut packet = vec![0xee; len];
        packet[0] = 0x45;
        packet[2..4].copy_from_slice(&(len as u16).to_be_bytes());
        packet
    }

    fn packet6(len: usize) -> Vec<u8> {
        let mut packet = vec![0xee; len];
        packet[0] = 0x60;
        packet[4..6].copy_from_slice(&(len as u16 - 40).to_be_bytes());
        packet
    }

    /// A datagram with this plaintext, which may be invalid.
    fn datagram(counter: u64, plaintext: &[u8]) -> PacketBuf {
        let mut buf = PacketBuf::copied_from(plaintext);
        let nonce = session_nonce(INDEX, counter);
        assert!(seal(
            &DefaultAead::new(CIPHER, &KEY),
            Code::Session,
            nonce,
            &mut buf
        ));
        buf
    }

    fn open_counter(opener: &Opener, counter: u64) -> Result<bool, OpenError> {
        let mut buf = datagram(counter, &packet4(20));
        opener.open(&mut buf).map(|opened| opened.newest)
    }

    #[test]
    fn ipv4_and_ipv6_packets_are_opened_unchanged() {
        let (sealer, opener) = (Sealer::<DefaultAead>::new(CIPHER, &KEY, INDEX), opener());
        for (n, packet) in (20..=MTU).map(packet4).chain((40..=MTU).map(packet6)).enumerate() {
            let mut buf = PacketBuf::copied_from(&packet);
            sealer.seal_packet(&mut buf, MTU).unwrap();
            assert!(buf.len() <= MTU + OVERHEAD);
            let opened = opener.open(&mut buf).unwrap();
            let expected = Opened {
                counter: n as u64,
                newest: true,
                body: Body::Packet,
            };
            assert_eq!(opened, expected);
            assert_eq!(buf[..], packet);
        }
    }

    #[test]
    fn messages_come_out_without_their_padding() {
        let (sealer, opener) = (Sealer::<DefaultAead>::new(CIPHER, &KEY, INDEX), opener());
        for padded_len in [0, 18, 64, 1420] {
            let mut buf = PacketBuf::copied_from(b"{\"t\":\"ping\",\"n\":7}");
            sealer.seal_message(&mut buf, padded_len).unwrap();
            assert_eq!(opener.open(&mut buf).unwrap().body, Body::Message);
            assert_eq!(buf[..], *b"{\"t\":\"ping\",\"n\":7}");
        }
    }

    #[test]
    fn a_datagram_in_a_slice_opens_to_the_same_body_in_its_place() {
        let sealer = Sealer::<DefaultAead>::new(CIPHER, &KEY, INDEX);
        let (one, other) = (opener(), opener());
        for packet in (20..200).map(packet4).chain((40..200).map(packet6)) {
            let mut buf = PacketBuf::copied_from(&packet);
            sealer.seal_packet(&mut buf, MTU).unwrap();
            let mut slice = buf.to_vec();
            let (place, opened) = other.open_in(&mut slice).unwrap();
            assert_eq!(place, 13..13 + packet.len());
            assert_eq!(slice[place], packet);
            assert_eq!(one.open(&mut buf), Ok(opened));
            assert_eq!(other.open_in(&mut slice), Err(OpenError::Replayed));
        }
    }

    #[test]
    fn replays_are_rejected_in_every_order() {
        let opener = opener();
        assert_eq!(open_counter(&opener, 5), Ok(true));
        assert_eq!(open_counter(&opener, 3), Ok(false));
        assert_eq!(open_counter(&opener, 6), Ok(true));
        for counter in [3, 5, 6] {
            assert_eq!(open_counter(&opener, counter), Err(OpenError::Replayed));
        }
        assert_eq!(open_counter(&opener, 4), Ok(false));
    }

    #[test]
    fn the_window_ends_exactly_8192_behind_the_newest() {
        let opener = opener();
        assert_eq!(open_counter(&opener, 20_000), Ok(true));
        assert_eq!(open_counter(&opener, 20_000 - 8192), Ok(false));
        assert_eq!(open_counter(&opener, 20_000 - 8193), Err(OpenError::Replayed));
    }

    #[test]
    fn a_counter_above_the_message_limit_is_rejected() {
        let limit = REJECT_AFTER_MESSAGES;
        let opener = opener();
        for counter in [limit, u64::MAX] {
            assert_eq!(open_counter(&opener, counter), Err(OpenError::Replayed));
        }
        assert_eq!(open_counter(&opener, limit - 1), Ok(true));
    }

    #[test]
    fn a_forged_datagram_does_not_move_the_window() {
        let opener = opener();
        assert_eq!(open_counter(&opener, 0), Ok(true));
        for counter in [1, 2, 1 << 63] {
            let mut forged = datagram(counter, &packet4(20));
            let last = forged.len() - 1;
            forged[last] ^= 1;
            assert_eq!(opener.open(&mut forged), Err(OpenError::AuthenticationFailed));
        }
        assert_eq!(open_counter(&opener, 1), Ok(true));
        assert_eq!(open_counter(&opener, 2), Ok(true));
    }

    #[test]
    fn every_byte_is_authenticated() {
        let opener = opener();
        let mut original = datagram(9, &packet4(20));
        for n in 0..original.len() {
            for bit in 0..8 {
                let mut changed = original.clone();
                changed[n] ^= 1 << bit;
                let expected = match n {
                    0 => OpenError::Malformed,
                    1..5 => OpenError::WrongIndex,
                    _ => OpenError::AuthenticationFailed,
                };
                assert_eq!(opener.open(&mut changed), Err(expected), "bit {bit} of byte {n}");
            }
        }
        assert!(opener.open(&mut original).is_ok());
    }

    #[test]
    fn another_key_or_code_opens_nothing() {
        let other = Opener::<DefaultAead>::new(CIPHER, &[8; KEY_LEN], INDEX);
        let mut buf = datagram(0, &packet4(20));
        assert_eq!(other.open(&mut buf), Err(OpenError::AuthenticationFailed));
        // Sealed as control, then relabelled. The code is authenticated.
        let mut buf = PacketBuf::copied_from(&packet4(20));
        let aead = DefaultAead::new(CIPHER, &KEY);
        assert!(seal(&aead, Code::Up, session_nonce(INDEX, 0), &mut buf));
        buf[0] = Code::Session.byte();
        assert_eq!(opener().open(&mut buf), Err(OpenError::AuthenticationFailed));
    }

    #[test]
    fn malformed_datagrams_and_those_of_other_sessions_are_not_decrypted() {
        let mut whole = datagram(0, b"");
        assert_eq!(whole.len(), OVERHEAD);
        for len in 0..OVERHEAD {
            let mut buf = whole.clone();
            buf.truncate(len);
            assert_eq!(opener().open(&mut buf), Err(OpenError::Malformed));
        }
        let other = Opener::<DefaultAead>::new(CIPHER, &KEY, INDEX + 1);
        assert_eq!(other.open(&mut whole), Err(OpenError::WrongIndex));
    }

    #[test]
    fn a_body_that_is_neither_packet_nor_message_is_dropped_but_uses_its_counter() {
        let with_len = |mut packet: Vec<u8>, place: usize, len: u16| {
            packet[place..place + 2].copy_from_slice(&len.to_be_bytes());
            packet
        };
        let bodies = [
            vec![],
            vec![0x45],
            packet4(20)[..19].to_vec(),
            packet6(40)[..39].to_vec(),
            with_len(packet4(64), 2, 65),
            with_len(packet4(64), 2, 19),
            with_len(packet4(64), 2, 0),
            with_len(packet4(64), 2, u16::MAX),
            with_len(packet6(64), 4, 25),
            with_len(packet6(64), 4, u16::MAX),
            vec![0; 64],
            b"[{}]".to_vec(),
            b" {}".to_vec(),
            b"}".to_vec(),
        ];
        let opener = opener();
        for (n, plaintext) in bodies.iter().enumerate() {
            let counter = n as u64;
            let open = || opener.open(&mut datagram(counter, plaintext));
            assert_eq!(open(), Err(OpenError::NotIp), "{}", plaintext.escape_ascii());
            assert_eq!(open(), Err(OpenError::Replayed));
        }
    }

    #[test]
    fn bytes_beyond_the_length_in_the_ip_header_are_cut_off() {
        let opener = opener();
        for (n, packet) in [packet4(20), packet6(40), packet4(100)].into_iter().enumerate() {
            let mut buf = datagram(n as u64, &[&packet[..], &[0; 300]].concat());
            opener.open(&mut buf).unwrap();
            assert_eq!(buf[..], packet);
        }
    }

    #[test]
    fn after_2_to_the_36_forgeries_the_key_opens_nothing_any_more() {
        let opener = Opener::<DefaultAead>::with_failures(CIPHER, &KEY, INDEX, MAX_FAILED_OPENS - 1);
        assert_eq!(open_counter(&opener, 0), Ok(true));
        let forge = || {
            let mut forged = datagram(1, &packet4(20));
            forged[20] ^= 1;
            opener.open(&mut forged)
        };
        assert_eq!(forge(), Err(OpenError::AuthenticationFailed));
        assert_eq!(forge(), Err(OpenError::Exhausted));
        assert_eq!(open_counter(&opener, 1), Err(OpenError::Exhausted));
    }

    #[test]
    fn only_failed_authentication_counts_as_a_forgery() {
        let opener = Opener::<DefaultAead>::with_failures(CIPHER, &KEY, INDEX, MAX_FAILED_OPENS - 1);
        assert_eq!(open_counter(&opener, 0), Ok(true));
        assert_eq!(open_counter(&opener, 0), Err(OpenError::Replayed));
        assert_eq!(opener.open(&mut datagram(1, b"neither")), Err(OpenError::NotIp));
        assert_eq!(
            opener.open(&mut PacketBuf::copied_from(&[3; 28])),
            Err(OpenError::Malformed)
        );
        assert_eq!(open_counter(&opener, 2), Ok(true));
    }

    #[test]
    fn opening_does_not_move_the_body_in_memory() {
        let (sealer, opener) = (Sealer::<DefaultAead>::new(CIPHER, &KEY, INDEX), opener());
        let mut buf = PacketBuf::copied_from(&packet4(1419));
        let place = buf.as_ptr();
        sealer.seal_packet(&mut buf, MTU).unwrap();
        opener.open(&mut buf).unwrap();
        assert_eq!(buf.as_ptr(), place);
    }

    /// WASI has no threads.
    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn threads_open_each_of_many_copies_once() {
        extern crate std;
        let opener = opener();
        let datagrams: Vec<_> = (0..2_000)
            .map(|counter| datagram(counter, &packet4(20)))
            .collect();
        let opened: usize = std::thread::scope(|scope| {
            let open_all = || {
                let copies = datagrams.iter().cloned();
                copies.filter_map(|mut copy| opener.open(&mut copy).ok()).count()
            };
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(open_all)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(opened, datagrams.len());
    }

    #[test]
    fn an_opener_is_send_and_sync_and_never_prints_its_key() {
        const fn for_threads<T: Send + Sync>(_: &T) {}
        let opener = opener();
        for_threads(&opener);
        assert_eq!(opener.index(), INDEX);
        assert_eq!(format!("{opener:?}"), "Opener { index: 16909060, failed: 0, .. }");
    }

    proptest! {
        #![proptest_config(Config {
            cases: 512,
            rng_seed: RngSeed::Fixed(0x5a4d_0003),
            failure_persistence: None,
            ..Config::default()
        })]

        #[test]
        fn arbitrary_input_is_rejected_without_a_panic(
            mut bytes in prop::collection::vec(any::<u8>(), 0..200),
            honest_header in any::<bool>(),
        ) {
            if let Some(header) = bytes.first_chunk_mut::<5>().filter(|_| honest_header) {
                *header = [3, 1, 2, 3, 4];
            }
            let opener = opener();
            prop_assert!(opener.open(&mut PacketBuf::copied_from(&bytes)).is_err());
            prop_assert_eq!(open_counter(&opener, 0), Ok(true));
        }

        #[test]
        fn an_authentic_body_is_a_prefix_of_the_plaintext_or_dropped(
            first in prop_oneof![0x40..=0x6fu8, Just(b'{'), any::<u8>()],
            rest in prop::collection::vec(prop_oneof![Just(0u8), 0..64u8, any::<u8>()], 0..200),
        ) {
            let plaintext = [&[first][..], &rest].concat();
            let mut buf = datagram(0, &plaintext);
            match opener().open(&mut buf) {
                Ok(Opened { body, .. }) => {
                    prop_assert!(plaintext.starts_with(&buf));
                    prop_assert_eq!(body == Body::Message, first == b'{');
                    prop_assert!(body == Body::Message || buf.len() >= 20);
                }
                Err(error) => prop_assert_eq!(error, OpenError::NotIp),
            }
        }
    }
}
