//! Signs of life of a session, and what it has carried: shared by its timers and by whoever moves its data.

use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::Instant;
use crate::aead::Cipher;

/// Stands for "nothing is unanswered".
const NOTHING: u64 = u64::MAX;

/// When something was last sent and received in a session, and how much.
///
/// Threads write it, one call for a whole batch; the session's timers read it. All of it is relaxed: each value stands
/// for itself, and one that comes late by a moment moves a timer by that moment.
#[derive(Debug)]
pub(super) struct Signs {
    sent: AtomicU64,
    received: AtomicU64,
    /// Since when something sent has stayed without anything coming back.
    unanswered: AtomicU64,
    packets_out: AtomicU64,
    bytes_out: AtomicU64,
    packets_in: AtomicU64,
    bytes_in: AtomicU64,
    /// What a data plane wants to find again; means nothing here.
    slip: AtomicU32,
}

/// Inner packets that a session has carried, and their bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets sealed.
    pub packets_out: u64,
    /// Bytes of them.
    pub bytes_out: u64,
    /// Packets opened and delivered.
    pub packets_in: u64,
    /// Bytes of them.
    pub bytes_in: u64,
}

/// How a session is, for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    /// Where the other side is.
    pub remote: SocketAddr,
    /// When the login was complete.
    pub since: Instant,
    /// How often the session has changed its keys.
    pub epoch: u32,
    /// The cipher of the present keys.
    pub cipher: Cipher,
    /// Since when the present keys are used.
    pub keys_since: Instant,
    /// When something authentic last came.
    pub last_heard: Instant,
    /// What it has carried.
    pub traffic: Traffic,
}

impl Signs {
    /// Those of a session that begins now.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            sent: AtomicU64::new(now.as_nanos()),
            received: AtomicU64::new(now.as_nanos()),
            unanswered: AtomicU64::new(NOTHING),
            packets_out: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            packets_in: AtomicU64::new(0),
            bytes_in: AtomicU64::new(0),
            slip: AtomicU32::new(0),
        }
    }

    /// Something is being sent. Said before it leaves, so that no answer can come first.
    pub(super) fn sending(&self, now: Instant) {
        self.sent.fetch_max(now.as_nanos(), Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) == NOTHING {
            let since = now.as_nanos().min(NOTHING.saturating_sub(1));
            // Whoever was first has said it.
            let _ = self
                .unanswered
                .compare_exchange(NOTHING, since, Ordering::Relaxed, Ordering::Relaxed);
        }
    }

    /// Something authentic and fresh has come.
    pub(super) fn heard(&self, now: Instant) {
        self.received.fetch_max(now.as_nanos(), Ordering::Relaxed);
        if self.unanswered.load(Ordering::Relaxed) != NOTHING {
            self.unanswered.store(NOTHING, Ordering::Relaxed);
        }
    }

    /// When something was last sent.
    pub(super) fn last_sent(&self) -> Instant {
        Instant::from_nanos(self.sent.load(Ordering::Relaxed))
    }

    /// When something authentic last came.
    pub(super) fn last_heard(&self) -> Instant {
        Instant::from_nanos(self.received.load(Ordering::Relaxed))
    }

    /// Since when something sent has stayed without anything coming back.
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

    /// What was last put there; 0 at first.
    pub(super) fn slip(&self) -> u32 {
        self.slip.load(Ordering::Relaxed)
    }

    /// Puts something there. Only what is new is written: threads share it.
    pub(super) fn put_slip(&self, number: u32) {
        if self.slip() != number {
            self.slip.store(number, Ordering::Relaxed);
        }
    }

    /// What has been counted.
    pub(super) fn traffic(&self) -> Traffic {
        Traffic {
            packets_out: self.packets_out.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
            packets_in: self.packets_in.load(Ordering::Relaxed),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
        }
    }
}
