//! What the threads of a data plane leave to the loop round the peer. It never grows beyond a stated bound.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sandhog_proto::secure::Notice;
use sandhog_proto::{Datagram, DropReason};
use tokio::sync::Notify;

/// Most datagrams that wait. At a flood of 50,000 a second this is what comes in 10 ms.
const DATAGRAMS: usize = 512;
/// Most notices that wait. They come from sessions only, and no flood of strangers takes their room.
const NOTICES: usize = 1024;

/// A box with one owner who empties it, and many who put something in.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    contents: Mutex<Contents>,
    wake: Notify,
}

/// Something for the peer, and the address of this machine that it came to, as far as that matters.
pub(super) type Received<T> = (T, Option<IpAddr>);

/// What lies in it.
#[derive(Debug, Default)]
pub(super) struct Contents {
    /// As they came.
    pub(super) datagrams: VecDeque<Received<Datagram>>,
    /// Of what was opened.
    pub(super) notices: Vec<Received<Notice>>,
    /// Why something was dropped for the first time.
    pub(super) drop_reasons: Vec<DropReason>,
    /// The device is gone.
    pub(super) device_error: Option<io::Error>,
}

/// What there was no room for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Overflow {
    /// Datagrams for the peer.
    pub(super) datagrams: u64,
    /// Session messages. Other notices without room stand for packets that have been dealt with.
    pub(super) messages: u64,
}

impl Inbox {
    /// Looks in.
    pub(super) fn open(&self) -> MutexGuard<'_, Contents> {
        // Nobody panics with the lid up; and if, the contents are still whole.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until somebody has put something in since the last time.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    /// Puts datagrams and notices in, as many as there is room for, and takes the others from the list.
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

    /// Has it reported why something was dropped.
    pub(super) fn put_drop_reason(&self, reason: DropReason) {
        let mut contents = self.open();
        if !contents.drop_reasons.contains(&reason) {
            contents.drop_reasons.push(reason);
        }
        drop(contents);
        self.wake.notify_one();
    }

    /// Says that the device is gone.
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
    fn a_full_box_grows_no_further_and_strangers_take_no_room_from_sessions() {
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
