//! Inbox: bounded queue of datagrams and notices from the packet threads to the main loop.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandhog_proto::secure::Notice;
use sandhog_proto::{Datagram, DropReason};
use tokio::sync::Notify;

/// Largest number of waiting datagrams: 10 ms of a flood of 50,000 per second.
const DATAGRAMS: usize = 512;
/// Largest number of waiting notices. Only sessions cause them, so a flood from unauthenticated hosts cannot fill this
/// queue.
const NOTICES: usize = 1024;

/// Queue with many producers (the packet threads) and one consumer (the main loop).
#[derive(Debug, Default)]
pub(super) struct Inbox {
    contents: Mutex<Contents>,
    wake: Notify,
}

/// Input for the peer, with the local address to which it was sent, if known.
pub(super) type Received<T> = (T, Option<IpAddr>);

/// The content of an [`Inbox`].
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// Datagrams as they were received.
    pub(super) datagrams: VecDeque<Received<Datagram>>,
    /// Notices about opened datagrams.
    pub(super) notices: Vec<Received<Notice>>,
    /// Drop reasons that have occurred for the first time.
    pub(super) drop_reasons: Vec<DropReason>,
    /// Set when the device is gone.
    pub(super) device_error: Option<io::Error>,
}

/// Counts of items that did not fit.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overflow {
    /// Datagrams for the peer.
    pub(super) datagrams: u64,
    /// Session messages. Other notices that do not fit belong to packets that were already delivered.
    pub(super) messages: u64,
}

impl Inbox {
    /// Locks the content.
    pub(super) fn open(&self) -> MutexGuard<'_, Contents> {
        // The content is consistent after a panic, too.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something was added since the last call.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Adds as many datagrams and notices as fit. Clears both lists and returns the counts of the items that
    /// did not fit.
    pub(super) fn put(
        &self,
        datagrams: &mut Vec<Received<Datagram>>,
        notices: &mut Vec<Received<Notice>>,
    ) -> Overflow {
        if datagrams.is_empty() && notices.is_empty() {
            return Overflow::default();
        }
        let mut contents = self.open();
        let room = DATAGRAMS
            .saturating_sub(contents.datagrams.len())
            .min(datagrams.len());
        contents.datagrams.extend(datagrams.drain(..room));
        let room = NOTICES.saturating_sub(contents.notices.len()).min(notices.len());
        contents.notices.extend(notices.drain(..room));
        drop(contents);
        self.wake.notify_one();
        let overflow = Overflow {
            datagrams: datagrams.len() as u64,
            messages: notices
                .iter()
                .filter(|(notice, _)| notice.message.is_some())
                .count() as u64,
        };
        datagrams.clear();
        notices.clear();
        overflow
    }

    /// Adds a drop reason to report.
    pub(super) fn put_drop_reason(&self, reason: DropReason) {
        let mut contents = self.open();
        if !contents.drop_reasons.contains(&reason) {
            contents.drop_reasons.push(reason);
        }
        drop(contents);
        self.wake.notify_one();
    }

    /// Reports that the device is gone.
    pub(super) fn put_device_error(&self, error: io::Error) {
        self.open().device_error.get_or_insert(error);
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use sandhog_proto::PacketBuf;

    use super::*;

    fn datagrams(count: usize) -> Vec<Received<Datagram>> {
        let one = || Datagram {
            remote: "192.0.2.1:7".parse().expect("an address"),
            kind: "",
            payload: PacketBuf::copied_from(&[1]),
        };
        (0..count).map(|_| (one(), None)).collect()
    }

    fn notices(count: usize, is_message: bool) -> Vec<Received<Notice>> {
        let one = || Notice {
            index: 1,
            remote: "192.0.2.1:7".parse().expect("an address"),
            counter: 0,
            is_newest: true,
            message: is_message.then(|| PacketBuf::copied_from(b"{}")),
        };
        (0..count).map(|_| (one(), None)).collect()
    }

    #[test]
    fn a_full_inbox_stops_growing_and_datagrams_do_not_displace_notices() {
        let inbox = Inbox::default();
        for _ in 0..10 {
            inbox.put(&mut datagrams(DATAGRAMS), &mut Vec::new());
        }
        let overflow = inbox.put(&mut datagrams(3), &mut notices(2, true));
        assert_eq!((overflow.datagrams, overflow.messages), (3, 0));
        inbox.put(&mut Vec::new(), &mut notices(NOTICES, false));
        let overflow = inbox.put(&mut Vec::new(), &mut notices(5, true));
        assert_eq!((overflow.datagrams, overflow.messages), (0, 5));
        let contents = inbox.open();
        assert_eq!(
            (contents.datagrams.len(), contents.notices.len()),
            (DATAGRAMS, NOTICES)
        );
    }
}
