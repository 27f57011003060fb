//! Sessions whose key is near its message limit. No test can send that many messages.

use core::net::SocketAddr;

use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::secure::sealer::{REJECT_AFTER_MESSAGES, REKEY_AFTER_MESSAGES};
use crate::secure::session::*;

/// A client's session that has sealed `messages` messages, and its queues.
fn after(messages: u64) -> (Session, Queues) {
    let session = Session::new(
        Role::Client,
        Chain::first(&[1; 64], &[2; 64], &Zeroizing::new([3; 32]), &[4; 64]),
        Indices { ours: 1, theirs: 2 },
        SocketAddr::from(([203, 0, 113, 1], 9999)),
        Instant::ZERO,
        Generator::from_seed(&Secret::copied_from(&[3; 32])),
    );
    session.epochs.sealer().skip_to(messages);
    (session, Queues::default())
}

fn packet() -> PacketBuf {
    let mut header = [0; 20];
    (header[0], header[3]) = (0x45, 20);
    PacketBuf::copied_from(&header)
}

/// The kinds of the queued datagrams.
fn sent(queues: &mut Queues) -> Vec<&'static str> {
    core::iter::from_fn(|| queues.poll_datagram())
        .map(|datagram| datagram.kind)
        .collect()
}

#[test]
fn a_rekey_is_requested_after_a_key_has_sealed_2_to_the_60_messages_not_before() {
    let (mut session, mut queues) = after(REKEY_AFTER_MESSAGES - 2);
    let now = Instant::from_secs(1);
    let wake = |session: &mut Session, queues: &mut Queues| {
        session.handle_timeout(now, &mut || 5, queues).unwrap();
        sent(queues)
    };
    session.send_packet(now, packet(), &mut queues);
    assert_eq!(wake(&mut session, &mut queues), ["data"]);
    session.send_packet(now, packet(), &mut queues);
    assert_eq!(wake(&mut session, &mut queues), ["data", "rekey"]);
    session.send_packet(now, packet(), &mut queues);
    assert_eq!(
        wake(&mut session, &mut queues),
        ["data"],
        "the rekey is already requested"
    );
}

#[test]
fn a_session_with_an_exhausted_key_drops_and_counts_packets() {
    let (mut session, mut queues) = after(REJECT_AFTER_MESSAGES - 1);
    let now = Instant::from_secs(1);
    for _ in 0..3 {
        session.send_packet(now, packet(), &mut queues);
    }
    session.ping(now, 0, &mut queues);
    assert_eq!(sent(&mut queues), ["data"], "the last counter is used once");
    let dropped: u64 = queues.counters.drops().map(|(_, count)| count).sum();
    assert_eq!(dropped, 3);
    assert_eq!(
        session.epochs.sealer().messages(),
        REJECT_AFTER_MESSAGES,
        "the counter never wraps"
    );
}
