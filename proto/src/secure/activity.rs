//! Activity of a session: times of the last datagrams sent and received, and traffic counters.
//!
//! Shared by the session's timers and by the threads that move its data.

use core::net::SocketAddr;

use crate::Instant;
use crate::aead::Cipher;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// Marker for "nothing is unanswered".
const NOTHING: u64 = u64::MAX;

/// Times at which the session last sent and received, and its traffic counters.
///
/// Data threads write them once per batch. The session's timers read them. All accesses are relaxed, because
/// each value is independent. A value that is seen a moment late delays a timer only by that moment.
#[derive(Debug)]
pub(super) struct Activity {
    sent: AtomicU64,
    received: AtomicU64,
    /// Time of the first datagram sent since something was last received.
    unanswered: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
    packets_in: AtomicU64,
    bytes_in: AtomicU64,
    /// A number that a data plane stores here. The session does not use it.
    user_data: AtomicU32,
}

/// Number of inner packets that a session has carried, and of their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets sealed.
    pub packets_out: u64,
    /// Bytes in these packets.
    pub bytes_out: u64,
    /// Packets opened and delivered.
    pub packets_in: u64,
    /// Bytes in these packets.
    pub bytes_in: u64,
}

/// State of a session, for display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Outer address of the peer.
    pub remote: SocketAddr,
    /// Time at which the login was completed.
    pub since: Instant,
    /// Number of rekeys so far.
    pub epoch: u32,
    /// Cipher of the current keys.
    pub cipher: Cipher,
    /// Time since which the current keys are in use.
    pub keys_since: Instant,
    /// Time at which the last authentic datagram arrived.
    pub last_heard: Instant,
    /// Packets and bytes carried.
    pub traffic: Traffic,
}

impl Activity {
    /// The activity of a session that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            sent: AtomicU64::new(now.as_nanos()),
            received: AtomicU64::new(now.as_nanos()),
            unanswered: AtomicU64::new(NOTHING),
            packets_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            packets_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            user_data: AtomicU32::new(0),
        }
    }

    /// Records a datagram that is about to be sent. Call it before the datagram leaves, so that no answer can
    /// arrive first.
    pub(super) fn sending(&self, now: Instant) {
        self.sent.fetch_max(now.as_nanos(), Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) == NOTHING {
            let since = now.as_nanos().min(NOTHING.saturating_sub(1));
            // On failure another thread has set it first.
            let _ = self
                .unanswered
                .compare_exchange(NOTHING, since, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Records an authentic datagram that was not received before.
    pub(super) fn heard(&self, now: Instant) {
        self.received.fetch_max(now.as_nanos(), Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) != NOTHING {
            self.unanswered.store(NOTHING, Ordering::Relaxed);
        }
    }

    /// Time of the last datagram sent.
    pub(super) fn last_sent(&self) -> Instant {
        Instant::from_nanos(self.sent.load(Ordering::Relaxed))
    }

    /// Time of the last authentic datagram received.
    pub(super) fn last_heard(&self) -> Instant {
        Instant::from_nanos(self.received.load(Ordering::Relaxed))
    }

    /// Time of the first datagram sent since something was last received. `None` if nothing is unanswered.
    pub(super) fn unanswered_since(&self) -> Option<Instant> {
        let since = self.unanswered.load(Ordering::Relaxed);
        (since != NOTHING).then(|| Instant::from_nanos(since))
    }

    /// Counts packets that were sealed.
    pub(super) fn count_out(&self, packets: u64, bytes: u64) {
        self.packets_out.fetch_add(packets, Ordering::Relaxed);
        self.bytes_out.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Counts packets that were opened and delivered.
    pub(super) fn count_in(&self, packets: u64, bytes: u64) {
        self.packets_in.fetch_add(packets, Ordering::Relaxed);
        self.bytes_in.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The number that was last stored. Initially 0.
    pub(super) fn user_data(&self) -> u32 {
        self.user_data.load(Ordering::Relaxed)
    }

    /// Stores a number. Writes only if it has changed, because threads share the cache line.
    pub(super) fn set_user_data(&self, number: u32) {
        if self.user_data() != number {
            self.user_data.store(number, Ordering::Relaxed);
        }
    }

    /// The traffic counters.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            packets_out: self.packets_out.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            packets_in: self.packets_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
        }
    }
}
