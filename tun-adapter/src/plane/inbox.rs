//! Inbox: bounded queue of datagrams and notices from the packet threads to the main loop.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandhog_proto::secure::Notice;
use sandhog_proto::{Datagram, DropReason};
use tokio::sync::Notify;

use super::shares::{Network, Shares, networks};

/// Largest number of waiting datagrams. One address gets a third: 10 ms of a flood of 50,000 per second.
const DATAGRAMS: usize = 1536;
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
#[derive(Debug)]
pub(super) struct Contents {
    /// Datagrams as they were received.
    datagrams: VecDeque<Received<Datagram>>,
    datagram_shares: Shares<Network>,
    /// Notices about opened datagrams.
    notices: Vec<Received<Notice>>,
    /// By receiver index. A session has at most three indices at a time.
    notice_shares: Shares<u32>,
    /// Drop reasons that have occurred for the first time.
    pub(super) drop_reasons: Vec<DropReason>,
    /// A source that has used up its share.
    pub(super) greedy: Option<IpAddr>,
    /// Set when the device is gone.
    pub(super) device_error: Option<io::Error>,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            datagrams: VecDeque::new(),
            datagram_shares: Shares::of(DATAGRAMS),
            notices: Vec::new(),
            notice_shares: Shares::of(NOTICES),
            drop_reasons: Vec::new(),
            greedy: None,
            device_error: None,
        }
    }
}

impl Contents {
    fn put_datagram(&mut self, received: Received<Datagram>) -> Result<(), DropReason> {
        let source = received.0.remote.ip();
        let others = || {
            self.datagrams
                .iter()
                .map(|(other, _)| networks(other.remote.ip()))
        };
        let entered = self.datagram_shares.enter(&networks(source), others);
        self.note_greedy(entered, source)?;
        self.datagrams.push_back(received);
        Ok(())
    }

    fn put_notice(&mut self, received: Received<Notice>) -> Result<(), DropReason> {
        let others = || self.notices.iter().map(|(other, _)| [(other.index, 1)]);
        let entered = self.notice_shares.enter(&[(received.0.index, 1)], others);
        self.note_greedy(entered, received.0.remote.ip())?;
        self.notices.push(received);
        Ok(())
    }

    fn note_greedy(&mut self, entered: Result<(), DropReason>, source: IpAddr) -> Result<(), DropReason> {
        if entered == Err(DropReason::ShareLimited) {
            self.greedy.get_or_insert(source);
        }
        entered
    }

    /// Passes on the oldest `limit` datagrams. Returns true if there are more.
    pub(super) fn take_datagrams(&mut self, limit: usize, mut take: impl FnMut(Received<Datagram>)) -> bool {
        let count = self.datagrams.len().min(limit);
        for received in self.datagrams.drain(..count) {
            self.datagram_shares.leave(&networks(received.0.remote.ip()));
            take(received);
        }
        !self.datagrams.is_empty()
    }

    /// Passes on all notices.
    pub(super) fn take_notices(&mut self, take: impl FnMut(Received<Notice>)) {
        self.notice_shares = Shares::of(NOTICES);
        self.notices.drain(..).for_each(take);
    }
}

/// Counts of items that did not fit. Notices without a message do not count, because their packets were already delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Overflow {
    /// Datagrams for the peer, and session messages, that found no room at all.
    pub(super) overloaded: u64,
    /// Datagrams for the peer, and session messages, above the share of their source.
    pub(super) share_limited: u64,
    /// Datagrams for the peer among both. The peer does not count them.
    pub(super) datagrams: u64,
}

impl Overflow {
    const fn count(&mut self, reason: DropReason) {
        match reason {
            DropReason::ShareLimited => self.share_limited += 1,
            _ => self.overloaded += 1,
        }
    }
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

    /// Adds the datagrams and notices for which their sources have room. Clears both lists and returns the counts of the items
    /// that did not fit.
    pub(super) fn put(
        &self,
        datagrams: &mut Vec<Received<Datagram>>,
        notices: &mut Vec<Received<Notice>>,
    ) -> Overflow {
        let mut overflow = Overflow::default();
        if datagrams.is_empty() && notices.is_empty() {
            return overflow;
        }
        let mut contents = self.open();
        for received in datagrams.drain(..) {
            if let Err(reason) = contents.put_datagram(received) {
                overflow.count(reason);
                overflow.datagrams += 1;
            }
        }
        for received in notices.drain(..) {
            let is_message = received.0.message.is_some();
            if let Err(reason) = contents.put_notice(received)
                && is_message
            {
                overflow.count(reason);
            }
        }
        drop(contents);
        self.wake.notify_one();
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

    fn datagrams(count: usize, from: &str) -> Vec<Received<Datagram>> {
        let one = || Datagram {
            remote: from.parse().expect("an address"),
            kind: "",
            payload: PacketBuf::copied_from(&[1]),
        };
        (0..count).map(|_| (one(), None)).collect()
    }

    fn notices(count: usize, index: u32) -> Vec<Received<Notice>> {
        let one = || Notice {
            index,
            remote: "192.0.2.1:7".parse().expect("an address"),
            counter: 0,
            is_newest: true,
            message: Some(PacketBuf::copied_from(b"{}")),
        };
        (0..count).map(|_| (one(), None)).collect()
    }

    /// Numbers of waiting datagrams and notices.
    fn waiting(inbox: &Inbox) -> (usize, usize) {
        let contents = inbox.open();
        (contents.datagrams.len(), contents.notices.len())
    }

    #[test]
    fn one_address_leaves_two_thirds_of_the_inbox_to_the_others() {
        let inbox = Inbox::default();
        let overflow = inbox.put(&mut datagrams(5000, "192.0.2.1:7"), &mut Vec::new());
        let share = DATAGRAMS / 3;
        assert_eq!(waiting(&inbox).0, share);
        let expected = Overflow {
            overloaded: 0,
            share_limited: (5000 - share) as u64,
            datagrams: (5000 - share) as u64,
        };
        assert_eq!(overflow, expected);
        assert_eq!(
            inbox.open().greedy,
            Some("192.0.2.1".parse().expect("an address"))
        );
        let overflow = inbox.put(&mut datagrams(300, "[2001:db8::1]:7"), &mut Vec::new());
        assert_eq!(overflow, Overflow::default());
    }

    #[test]
    fn one_session_leaves_two_thirds_of_the_notices_to_the_others() {
        let inbox = Inbox::default();
        let overflow = inbox.put(&mut Vec::new(), &mut notices(5000, 1));
        let expected = Overflow {
            overloaded: 0,
            share_limited: (5000 - waiting(&inbox).1) as u64,
            datagrams: 0,
        };
        assert_eq!((overflow, waiting(&inbox).1), (expected, NOTICES / 3));
        let overflow = inbox.put(&mut Vec::new(), &mut notices(200, 2));
        assert_eq!(overflow, Overflow::default());
    }

    #[test]
    fn sources_that_were_served_have_room_again() {
        let inbox = Inbox::default();
        for _ in 0..10 {
            let overflow = inbox.put(&mut datagrams(300, "192.0.2.1:7"), &mut notices(300, 1));
            assert_eq!(overflow, Overflow::default());
            let mut count = 0;
            while inbox.open().take_datagrams(64, |_| count += 1) {}
            inbox.open().take_notices(|_| count += 1);
            assert_eq!(count, 600);
        }
    }

    #[test]
    fn datagrams_of_many_sources_do_not_displace_notices() {
        let inbox = Inbox::default();
        for number in 0..DATAGRAMS + 500 {
            let from = format!("[{:x}:1::1]:7", 0x2000 + number);
            inbox.put(&mut datagrams(1, &from), &mut Vec::new());
        }
        assert_eq!(waiting(&inbox), (DATAGRAMS, 0));
        let overflow = inbox.put(&mut datagrams(3, "192.0.2.1:7"), &mut notices(2, 1));
        assert_eq!((overflow.overloaded, overflow.datagrams), (3, 3));
        assert_eq!(waiting(&inbox), (DATAGRAMS, 2));
    }
}
