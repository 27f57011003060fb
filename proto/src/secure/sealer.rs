//! The sending half of a session's data path: key, index and a counter that never repeats.
//!
//! A sealer shares no state with the state machine, so a shell can seal packets on any number of threads.

use core::error::Error;
use core::fmt;

use super::Code;
use super::frame::{HEADER_LEN, OVERHEAD, pad, seal, seal_framed, session_nonce};
use crate::aead::{Aead, Cipher, DefaultAead, KEY_LEN};
use crate::sync::{AtomicU64, Ordering};
use crate::{PacketBuf, State, describe};

/// Number of messages under one ChaCha20-Poly1305 key after which a rekey is requested.
pub const REKEY_AFTER_MESSAGES: u64 = 1 << 60;
/// Maximum number of messages under one ChaCha20-Poly1305 key. It is also the first counter that is never
/// used.
pub const REJECT_AFTER_MESSAGES: u64 = u64::MAX - (1 << 13);
/// Number of messages under one AES-256-GCM key after which a rekey is requested.
pub const AES_REKEY_AFTER_MESSAGES: u64 = 1 << 26;
/// Maximum number of messages under one AES-256-GCM key. They are at most 2^35 cipher blocks, 2^7 per
/// message. An attacker can distinguish them from random bytes with a probability of 2^-59 (RFC 9001,
/// appendix B.1).
pub const AES_REJECT_AFTER_MESSAGES: u64 = 1 << 28;
/// Largest packet in bytes for which AES-256-GCM is used. Its message limits assume this size.
pub const AES_MAX_MTU: u16 = 2000;

/// Message limits of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Number of messages after which a rekey is requested.
    pub rekey_after: u64,
    /// Maximum number of messages that the key seals.
    pub reject_after: u64,
}

impl Limits {
    /// The limits of a key for `cipher`.
    #[must_use]
    pub const fn of(cipher: Cipher) -> Self {
        match cipher {
            Cipher::ChaCha20Poly1305 => Self {
                rekey_after: REKEY_AFTER_MESSAGES,
                reject_after: REJECT_AFTER_MESSAGES,
            },
            Cipher::Aes256Gcm => Self {
                rekey_after: AES_REKEY_AFTER_MESSAGES,
                reject_after: AES_REJECT_AFTER_MESSAGES,
            },
        }
    }
}

/// Packets are padded to a multiple of this many bytes. That hides a part of their length at little cost.
const PADDING: usize = 16;
/// Largest UDP payload over IPv4 in bytes: 65,535 − 20 (IP header) − 8 (UDP header).
const MAX_DATAGRAM_LEN: usize = 65_507;

/// Seals the datagrams of one session, epoch and direction, in place and without allocation.
///
/// Threads may share a sealer. Every datagram gets its own counter.
pub struct Sealer<A = DefaultAead> {
    aead: A,
    cipher: Cipher,
    receiver_index: u32,
    next: AtomicU64,
}

impl<A: Aead> Sealer<A> {
    /// A sealer with `key` for the peer whose index for this session is `receiver_index` (not 0). The key
    /// must never have been given to another sealer.
    #[must_use]
    pub fn new(cipher: Cipher, key: &[u8; KEY_LEN], receiver_index: u32) -> Self {
        Self::with_counter(cipher, key, receiver_index, 0)
    }

    /// A sealer that starts at the counter `first`. For tests of the limits.
    #[doc(hidden)]
    #[must_use]
    pub fn with_counter(cipher: Cipher, key: &[u8; KEY_LEN], receiver_index: u32, first: u64) -> Self {
        Self {
            aead: A::new(cipher, key),
            cipher,
            receiver_index,
            next: AtomicU64::new(first),
        }
    }

    /// Seals the IP packet in `buf`. It is first padded with zeros to a multiple of 16 bytes, but never
    /// beyond `mtu`. Afterwards `buf` is the datagram, 29 bytes longer than the padded packet. Returns the
    /// counter.
    ///
    /// # Errors
    ///
    /// [`SealError::TooLarge`] if the packet is longer than `mtu`, or the datagram is longer than UDP allows.
    /// [`SealError::Exhausted`] if the key has sealed as many messages as its [`Limits`] allow. In both cases
    /// `buf` is unchanged and no counter is used up.
    pub fn seal_packet(&self, buf: &mut PacketBuf, mtu: usize) -> Result<u64, SealError> {
        let padded_len = padded(buf.len(), mtu).ok_or(SealError::TooLarge)?;
        self.seal_padded(buf, padded_len, 0)
    }

    /// Seals a packet of `packet_len` bytes in `frame`. The packet starts after [`HEADER_LEN`] bytes of room
    /// for the header. Afterwards `frame` begins with the datagram. Returns its length and counter.
    ///
    /// # Errors
    ///
    /// The same as for [`seal_packet`](Self::seal_packet), and [`SealError::TooLarge`] if `frame` is too
    /// short for header, packet, up to 15 bytes of padding and the tag of 16 bytes. Then `frame` is unchanged
    /// except for the padding.
    pub fn seal_packet_in(
        &self,
        frame: &mut [u8],
        packet_len: usize,
        mtu: usize,
    ) -> Result<(usize, u64), SealError> {
        let padded_len = padded(packet_len, mtu).ok_or(SealError::TooLarge)?;
        let frame_len = padded_len.saturating_add(OVERHEAD);
        let frame = frame.get_mut(..frame_len).ok_or(SealError::TooLarge)?;
        if frame_len > MAX_DATAGRAM_LEN {
            return Err(SealError::TooLarge);
        }
        let padding = HEADER_LEN.saturating_add(packet_len)..HEADER_LEN.saturating_add(padded_len);
        frame.get_mut(padding).ok_or(SealError::TooLarge)?.fill(0);
        let counter = self.take_counter()?;
        let nonce = session_nonce(self.receiver_index, counter);
        if seal_framed(&self.aead, Code::Session, nonce, frame) {
            Ok((frame_len, counter))
        } else {
            Err(SealError::TooLarge)
        }
    }

    /// Seals the JSON in `buf`. It is padded with spaces if it is shorter than `padded_len` bytes. Afterwards
    /// `buf` is the datagram, 29 bytes longer than the padded JSON. Returns the counter.
    ///
    /// # Errors
    ///
    /// The same as for [`seal_packet`](Self::seal_packet), but without an MTU.
    pub fn seal_message(&self, buf: &mut PacketBuf, padded_len: usize) -> Result<u64, SealError> {
        self.seal_padded(buf, padded_len.max(buf.len()), b' ')
    }

    /// Skips to the counter `next`, as if all earlier ones had been used.
    #[cfg(test)]
    pub(super) fn skip_to(&self, next: u64) {
        self.next.fetch_max(next, Ordering::Relaxed);
    }

    /// The cipher of this sealer.
    #[must_use]
    pub const fn cipher(&self) -> Cipher {
        self.cipher
    }

    /// Returns true if the key has sealed so many messages that it should be replaced.
    #[must_use]
    pub fn needs_rekey(&self) -> bool {
        self.messages() >= Limits::of(self.cipher).rekey_after
    }

    /// Number of messages sealed so far. It is also the next counter.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.next.load(Ordering::Relaxed)
    }

    /// Describes the handle. The counter counts only near its limits.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            aead: _, // the receiver index stands for the key, because both are made at the same time
            cipher,
            receiver_index,
            next: _, // read below
        } = self;
        let Limits {
            rekey_after,
            reject_after,
        } = Limits::of(*cipher);
        describe::text(state, cipher.name());
        describe::random(state, *receiver_index);
        describe::remaining(state, rekey_after, self.messages());
        describe::remaining(state, reject_after, self.messages());
    }

    /// Seals `buf` padded to `padded_len`, which is at least the length of `buf`.
    fn seal_padded(&self, buf: &mut PacketBuf, padded_len: usize, filler: u8) -> Result<u64, SealError> {
        if padded_len > MAX_DATAGRAM_LEN - OVERHEAD {
            return Err(SealError::TooLarge);
        }
        let counter = self.take_counter()?;
        pad(buf, padded_len, filler);
        let nonce = session_nonce(self.receiver_index, counter);
        // Cannot fail, because the cipher accepts 2^38 bytes. A counter lost here would do no harm.
        if seal(&self.aead, Code::Session, nonce, buf) {
            Ok(counter)
        } else {
            Err(SealError::TooLarge)
        }
    }

    /// Takes a unique counter. Relaxed ordering is enough: the number is the only shared value, and all
    /// threads see its changes in the same order.
    fn take_counter(&self) -> Result<u64, SealError> {
        let step = |counter: u64| {
            (counter < Limits::of(self.cipher).reject_after).then_some(counter.saturating_add(1))
        };
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, step)
            .map_err(|_| SealError::Exhausted)
    }
}

/// Length of a packet with padding. `None` if the packet is longer than the MTU.
fn padded(len: usize, mtu: usize) -> Option<usize> {
    (len <= mtu).then(|| {
        len.checked_next_multiple_of(PADDING)
            .map_or(mtu, |len| len.min(mtu))
    })
}

/// Does not print the key.
impl<A> fmt::Debug for Sealer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer")
            .field("receiver_index", &self.receiver_index)
            .field("messages", &self.next.load(Ordering::Relaxed))
            .finish_non_exhaustive()
    }
}

/// Reason why a packet or message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The key has sealed as many messages as its [`Limits`] allow.
    Exhausted,
    /// Longer than the MTU or than the largest datagram.
    TooLarge,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exhausted => "the key has sealed as many messages as is safe",
            Self::TooLarge => "too large for the tunnel",
        })
    }
}

impl Error for SealError {}

#[cfg(test)]
mod tests {
    use alloc::format;
    use alloc::vec::Vec;

    use super::*;

    const INDEX: u32 = 0x0102_0304;

    fn key() -> [u8; KEY_LEN] {
        core::array::from_fn(|n| n as u8)
    }

    fn sealer(first: u64) -> Sealer {
        Sealer::with_counter(Cipher::ChaCha20Poly1305, &key(), INDEX, first)
    }

    /// The expected bytes come from another implementation (Python's `cryptography`, which is OpenSSL).
    #[test]
    fn datagrams_match_those_of_another_implementation() {
        let mut packet =
            PacketBuf::copied_from(&[0x45, 0, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 10, 9, 0, 2, 10, 9, 0, 1]);
        let sealer = sealer(5);
        assert_eq!(sealer.seal_packet(&mut packet, 1420), Ok(5));
        assert_eq!(
            hex(&packet),
            "03010203040000000000000005feb64d2ee55cff73fbf71a52e172b3a961b5be06d4a8bf415cce6e9bded820e3\
             954e945c5de5a402233cec304fdb425e"
        );
        let mut message = PacketBuf::copied_from(b"{\"t\":\"ping\",\"n\":7}");
        assert_eq!(sealer.seal_message(&mut message, 32), Ok(6));
        assert_eq!(
            hex(&message),
            "03010203040000000000000006d716435bcf4080e7c7baf37109b952746c244ee0539e9cd21b900d8890d80867\
             173d85b950f1270c46c5d4491e43b7cb"
        );
    }

    fn hex(bytes: &[u8]) -> alloc::string::String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn packets_are_padded_to_a_multiple_of_16_but_never_above_the_mtu() {
        let sealer = sealer(0);
        for (len, mtu, padded) in [
            (20, 1420, 32),
            (32, 1420, 32),
            (33, 1420, 48),
            (1408, 1420, 1408),
            (1409, 1420, 1420),
            (1420, 1420, 1420),
            (1280, 1280, 1280),
            (0, 1420, 0),
            (20, 20, 20),
        ] {
            let mut buf = PacketBuf::default();
            buf.resize(len);
            sealer.seal_packet(&mut buf, mtu).unwrap();
            assert_eq!(buf.len(), padded + 29, "{len} bytes, MTU {mtu}");
        }
    }

    #[test]
    fn a_packet_in_a_slice_is_sealed_to_the_same_bytes() {
        for len in (0..100).chain(1270..1421) {
            let packet: Vec<u8> = (0..len).map(|n| n as u8).collect();
            let mut buf = PacketBuf::copied_from(&packet);
            let counter = sealer(9).seal_packet(&mut buf, 1420).unwrap();
            let mut frame = [0xaa; 1500];
            frame[13..13 + len].copy_from_slice(&packet);
            let sealed = sealer(9).seal_packet_in(&mut frame, len, 1420);
            assert_eq!(sealed, Ok((buf.len(), counter)));
            assert_eq!(frame[..buf.len()], buf[..]);
            assert_eq!(
                frame[buf.len()..],
                [0xaa; 1500][buf.len()..],
                "bytes after the datagram are unchanged"
            );
        }
    }

    #[test]
    fn a_slice_that_is_too_short_uses_up_no_counter() {
        let sealer = sealer(0);
        let mut frame = [0x45; 2000];
        let too_large = Err(SealError::TooLarge);
        for len in 0..61 {
            assert_eq!(sealer.seal_packet_in(&mut frame[..len], 20, 1420), too_large);
        }
        assert_eq!(sealer.seal_packet_in(&mut frame, 1421, 1420), too_large);
        assert_eq!(
            sealer.seal_packet_in(&mut frame, usize::MAX, usize::MAX),
            too_large
        );
        let mut long = alloc::vec![0; 66_000];
        assert_eq!(sealer.seal_packet_in(&mut long, 65_479, 65_535), too_large);
        assert_eq!(sealer.messages(), 0);
        assert_eq!(sealer.seal_packet_in(&mut frame[..61], 20, 1420), Ok((61, 0)));
    }

    #[test]
    fn messages_are_padded_up_to_the_length_asked_for() {
        let sealer = sealer(0);
        for (len, padded_len, padded) in [(18, 0, 18), (18, 18, 18), (18, 64, 64), (18, 1420, 1420)] {
            let mut buf = PacketBuf::copied_from(&[b'x'; 18]);
            sealer.seal_message(&mut buf, padded_len).unwrap();
            assert_eq!(buf.len(), padded + 29, "{len} bytes up to {padded_len}");
        }
    }

    #[test]
    fn a_packet_that_is_too_large_stays_unchanged_and_uses_no_counter() {
        let sealer = sealer(0);
        let mut buf = PacketBuf::copied_from(&[0x45; 1421]);
        assert_eq!(sealer.seal_packet(&mut buf, 1420), Err(SealError::TooLarge));
        assert_eq!(buf[..], [0x45; 1421]);
        assert_eq!(
            sealer.seal_message(&mut buf, usize::MAX),
            Err(SealError::TooLarge)
        );
        assert_eq!(buf[..], [0x45; 1421]);
        buf.resize(65_507 - 28);
        assert_eq!(sealer.seal_packet(&mut buf, 65_535), Err(SealError::TooLarge));
        assert_eq!(sealer.messages(), 0);
        buf.resize(65_507 - 29);
        assert_eq!(sealer.seal_message(&mut buf, 0), Ok(0));
        assert_eq!(buf.len(), 65_507);
    }

    #[test]
    fn counters_increase_by_one_and_are_part_of_the_header() {
        let sealer = sealer(0);
        for counter in 0..300u64 {
            let mut buf = PacketBuf::copied_from(&[0x45; 20]);
            let sealed = if counter % 2 == 0 {
                sealer.seal_packet(&mut buf, 1420)
            } else {
                sealer.seal_message(&mut buf, 0)
            };
            assert_eq!(sealed, Ok(counter));
            assert_eq!(buf[..5], [3, 1, 2, 3, 4]);
            assert_eq!(buf[5..13], counter.to_be_bytes());
        }
        assert_eq!(sealer.messages(), 300);
    }

    #[test]
    fn the_last_counter_is_2_to_the_64_minus_2_to_the_13_minus_2() {
        let last = u64::MAX - 8193;
        let sealer = sealer(last - 1);
        let seal = || sealer.seal_packet(&mut PacketBuf::copied_from(&[0x45; 20]), 1420);
        assert_eq!(seal(), Ok(last - 1));
        assert_eq!(seal(), Ok(last));
        for _ in 0..10 {
            assert_eq!(seal(), Err(SealError::Exhausted));
        }
        assert_eq!(sealer.messages(), REJECT_AFTER_MESSAGES);
    }

    #[test]
    fn an_aes_key_seals_2_to_the_28_messages_and_needs_a_rekey_after_2_to_the_26() {
        let sealer = |first| Sealer::<DefaultAead>::with_counter(Cipher::Aes256Gcm, &key(), INDEX, first);
        let seal = |sealer: &Sealer| sealer.seal_packet(&mut PacketBuf::copied_from(&[0x45; 20]), 1420);
        let last = sealer((1 << 28) - 1);
        assert_eq!(seal(&last), Ok((1 << 28) - 1));
        assert_eq!(seal(&last), Err(SealError::Exhausted));
        let fresh = sealer((1 << 26) - 1);
        assert!(!fresh.needs_rekey());
        seal(&fresh).unwrap();
        assert!(fresh.needs_rekey());
    }

    #[test]
    fn an_exhausted_key_leaves_the_packet_unchanged_and_never_wraps() {
        for first in [REJECT_AFTER_MESSAGES, u64::MAX - 1, u64::MAX] {
            let sealer = sealer(first);
            let mut buf = PacketBuf::copied_from(&[0x45; 20]);
            assert_eq!(sealer.seal_packet(&mut buf, 1420), Err(SealError::Exhausted));
            assert_eq!(sealer.seal_message(&mut buf, 64), Err(SealError::Exhausted));
            assert_eq!((sealer.messages(), &buf[..]), (first, &[0x45; 20][..]));
        }
    }

    #[test]
    fn sealing_neither_moves_the_packet_nor_allocates() {
        let sealer = sealer(0);
        for len in [20, 33, 575, 1409, 1420] {
            let mut buf = PacketBuf::with_capacity(len);
            buf.resize(len);
            let place = buf.as_ptr();
            sealer.seal_packet(&mut buf, 1420).unwrap();
            assert_eq!(buf[13..].as_ptr(), place, "{len} bytes");
        }
    }

    /// WASI has no threads.
    #[cfg(not(target_family = "wasm"))]
    #[test]
    fn threads_never_get_the_same_counter() {
        extern crate std;
        let sealer = sealer(REJECT_AFTER_MESSAGES - 10_000);
        let mut counters: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let seal = || sealer.seal_packet(&mut PacketBuf::copied_from(&[0x45; 20]), 20);
                        core::iter::repeat_with(seal)
                            .map_while(Result::ok)
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap())
                .collect()
        });
        counters.sort_unstable();
        let all: Vec<u64> = (REJECT_AFTER_MESSAGES - 10_000..REJECT_AFTER_MESSAGES).collect();
        assert_eq!(counters, all);
    }

    #[test]
    fn a_sealer_is_send_and_sync_and_never_prints_its_key() {
        const fn for_threads<T: Send + Sync>(_: &T) {}
        let sealer = sealer(3);
        for_threads(&sealer);
        assert_eq!(
            format!("{sealer:?}"),
            "Sealer { receiver_index: 16909060, messages: 3, .. }"
        );
    }
}
