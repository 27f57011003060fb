//! Models of the threads of a data plane: sealing, opening, activity, and the exchange of the session table.

#![cfg(loom)]

use std::sync::Arc;
use std::time::Duration;

use loom::thread::{self, JoinHandle};
use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::{
    HEADER_LEN, Incoming, KeyAge, MAX_FAILED_OPENS, OpenError, Opener, REJECT_AFTER_MESSAGES, SealError,
    Sealer,
};
use sandhog_proto::{Datagram, PacketBuf};
use sandhog_threads::{NOW, Pair, Table, from_client};

const CIPHER: Cipher = Cipher::ChaCha20Poly1305;
const KEY: [u8; 32] = [7; 32];
const INDEX: u32 = 5;
const MTU: usize = 1420;
/// Size of the stack in words. OPAQUE and ML-KEM need more than loom gives a thread.
const STACK_WORDS: usize = 1 << 17;

/// Runs `body` in every order of the steps of its threads.
fn model(body: impl Fn() + Sync + Send + Copy + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        let main = thread::Builder::new().stack_size(STACK_WORDS).spawn(body);
        main.expect("a thread").join().expect("no failure");
    });
}

fn spawn<T: 'static>(body: impl FnOnce() -> T + 'static) -> JoinHandle<T> {
    thread::spawn(body)
}

fn packet(last: u8) -> PacketBuf {
    let mut packet = [0; 20];
    (packet[0], packet[3], packet[19]) = (0x45, 20, last);
    (packet[12], packet[13], packet[15]) = (10, 9, 2);
    (packet[16], packet[17]) = (10, 9);
    PacketBuf::copied_from(&packet)
}

/// The counter in the nonce of a session datagram, and its receiver index.
fn header(datagram: &[u8]) -> (u32, u64) {
    let index = datagram[1..5].try_into().expect("four bytes");
    let counter = datagram[5..13].try_into().expect("eight bytes");
    (u32::from_be_bytes(index), u64::from_be_bytes(counter))
}

fn sealed(sealer: &Sealer, last: u8) -> u64 {
    let mut buf = packet(last);
    let counter = sealer.seal_packet(&mut buf, MTU).expect("room for a packet");
    assert_eq!(header(&buf), (INDEX, counter), "the counter is in the nonce");
    counter
}

#[test]
fn two_threads_never_seal_under_one_counter() {
    model(|| {
        let sealer = Arc::new(Sealer::new(CIPHER, &KEY, INDEX));
        let threads = [1, 2].map(|last| {
            let sealer = sealer.clone();
            spawn(move || [sealed(&sealer, last), sealed(&sealer, last)])
        });
        let own = sealed(&sealer, 3);
        let mut counters = vec![own];
        for thread in threads {
            let [first, second] = thread.join().expect("no failure");
            assert!(first < second, "a thread sees its own counters in order");
            counters.extend([first, second]);
        }
        counters.sort_unstable();
        assert_eq!(counters, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn two_threads_take_the_last_counter_of_a_key_once() {
    model(|| {
        let sealer = Arc::new(Sealer::with_counter(
            CIPHER,
            &KEY,
            INDEX,
            REJECT_AFTER_MESSAGES - 1,
        ));
        let seal = |sealer: Arc<Sealer>| move || sealer.seal_packet(&mut packet(1), MTU);
        let other = spawn(seal(sealer.clone()));
        let results = [seal(sealer.clone())(), other.join().expect("no failure")];
        assert!(results.contains(&Ok(REJECT_AFTER_MESSAGES - 1)), "{results:?}");
        assert!(results.contains(&Err(SealError::Exhausted)), "{results:?}");
        assert_eq!(sealer.messages(), REJECT_AFTER_MESSAGES);
    });
}

/// Datagrams of one sender.
fn datagrams<const N: usize>() -> [Vec<u8>; N] {
    let sealer = Sealer::<sandhog_proto::aead::DefaultAead>::new(CIPHER, &KEY, INDEX);
    std::array::from_fn(|last| {
        let mut buf = packet(last as u8);
        sealer.seal_packet(&mut buf, MTU).expect("room for a packet");
        buf.to_vec()
    })
}

#[test]
fn a_datagram_that_two_threads_open_is_accepted_once() {
    model(|| {
        let opener = Arc::new(Opener::new(CIPHER, &KEY, INDEX));
        let [datagram] = datagrams();
        let open = |opener: Arc<Opener>, mut datagram: Vec<u8>| move || opener.open_in(&mut datagram);
        let other = spawn(open(opener.clone(), datagram.clone()));
        let results = [open(opener, datagram)(), other.join().expect("no failure")];
        let accepted = results.iter().filter(|result| result.is_ok()).count();
        assert_eq!(accepted, 1, "{results:?}");
        assert!(results.contains(&Err(OpenError::Replayed)), "{results:?}");
    });
}

#[test]
fn two_datagrams_in_any_order_are_accepted_once_each_and_the_higher_is_the_newest() {
    model(|| {
        let opener = Arc::new(Opener::new(CIPHER, &KEY, INDEX));
        let [low, high] = datagrams();
        let open = |opener: Arc<Opener>, datagrams: [Vec<u8>; 2]| {
            move || datagrams.map(|mut datagram| opener.open_in(&mut datagram).ok().map(|(_, opened)| opened))
        };
        let other = spawn(open(opener.clone(), [high.clone(), low.clone()]));
        let own = open(opener, [low, high])();
        let other = other.join().expect("no failure");
        let accepted: Vec<_> = own.into_iter().chain(other).flatten().collect();
        let of = |counter| accepted.iter().filter(move |opened| opened.counter == counter);
        assert_eq!((of(0).count(), of(1).count()), (1, 1));
        assert!(of(1).all(|opened| opened.newest));
    });
}

#[test]
fn no_thread_opens_a_datagram_after_the_last_allowed_forgery() {
    model(|| {
        let opener = Arc::new(Opener::with_failures(CIPHER, &KEY, INDEX, MAX_FAILED_OPENS - 1));
        let [genuine, mut forged] = datagrams();
        forged[20] ^= 1;
        let forge = |opener: Arc<Opener>, mut datagram: Vec<u8>| move || opener.open_in(&mut datagram).err();
        let other = spawn(forge(opener.clone(), forged.clone()));
        let results = [forge(opener.clone(), forged)(), other.join().expect("no failure")];
        assert!(
            results.contains(&Some(OpenError::AuthenticationFailed)),
            "{results:?}"
        );
        assert_eq!(
            opener.open_in(&mut genuine.clone()).err(),
            Some(OpenError::Exhausted)
        );
    });
}

#[test]
fn the_activity_of_a_session_never_goes_back() {
    model(|| {
        let (mut pair, _) = Pair::logged_in();
        let table = Table::of(&mut pair.client);
        let (early, late) = (NOW + Duration::from_secs(10), NOW + Duration::from_secs(20));
        let hear = |table: Table, now| {
            move || {
                let paths = table.load();
                paths.route(&packet(1)).expect("a session").heard(now, 1, 20);
            }
        };
        let thread = spawn(hear(table.clone(), late));
        hear(table, early)();
        let info = || pair.client.session_info().expect("a session");
        let seen = [info().last_heard, info().last_heard];
        assert!(early <= seen[0] && seen[0] <= seen[1], "{seen:?}");
        thread.join().expect("no failure");
        assert_eq!(info().last_heard, late);
        assert_eq!((info().traffic.packets_in, info().traffic.bytes_in), (2, 40));
    });
}

/// Seals a packet as a thread of the data plane does.
fn seal_with(table: &Table) -> Datagram {
    let paths = table.load();
    let packet = packet(1);
    let path = paths.route(&packet).expect("a session");
    let mut frame = vec![0; packet.len() + 64];
    frame[HEADER_LEN..HEADER_LEN + packet.len()].copy_from_slice(&packet);
    let len = path.seal(NOW, &mut frame, packet.len()).expect("a live session");
    from_client(&frame[..len])
}

#[test]
fn a_thread_seals_with_the_old_keys_or_the_new_ones_while_they_change() {
    model(|| {
        let (mut pair, up) = Pair::logged_in();
        let down = pair.to_server(up);
        let table = Table::of(&mut pair.client);
        let thread = {
            let table = table.clone();
            spawn(move || seal_with(&table))
        };
        // The client gets the answer to its rekey. Before it sends anything, the threads get the new keys.
        let up = pair.to_client(down);
        table.publish(&mut pair.client);
        let after = seal_with(&table);
        let concurrent = thread.join().expect("no failure");
        let mut all: Vec<_> = up
            .iter()
            .chain([&after, &concurrent])
            .map(|datagram| header(&datagram.payload))
            .collect();
        let newest = header(&after.payload).0;
        assert!(
            up.iter().any(|datagram| header(&datagram.payload).0 == newest),
            "the ping under the new keys"
        );
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count, "no counter of a key is used twice");
        // The server opens all of them, whatever keys the thread has used.
        let before = pair
            .server
            .session_infos()
            .map(|(_, _, info)| info.traffic.packets_in)
            .sum::<u64>();
        pair.to_server([up, vec![after, concurrent]].concat());
        let packets: u64 = pair
            .server
            .session_infos()
            .map(|(_, _, info)| info.traffic.packets_in)
            .sum();
        assert_eq!(packets - before, 2);
    });
}

#[test]
fn a_datagram_that_is_opened_through_the_old_and_the_new_table_is_accepted_once() {
    model(|| {
        let (mut pair, up) = Pair::logged_in();
        let rekey = pair.to_server(up);
        let client = Table::of(&mut pair.client);
        let datagram = seal_with(&client).payload.to_vec();
        let table = Table::of(&mut pair.server);
        let open = |table: Table, mut datagram: Vec<u8>| {
            move || {
                let paths = table.load();
                let (path, age) = match paths.classify(&datagram) {
                    Incoming::Data(path, age) => (path, age),
                    other => panic!("{other:?}"),
                };
                path.open(NOW, age, &mut datagram).map(|_| age)
            }
        };
        let thread = spawn(open(table.clone(), datagram.clone()));
        // The server changes to the next keys. The key of the datagram is the previous one then.
        let up = pair.to_client(rekey);
        pair.to_server(up);
        table.publish(&mut pair.server);
        let own = open(table, datagram)();
        let other = thread.join().expect("no failure");
        let accepted: Vec<_> = [own, other].into_iter().flatten().collect();
        assert_eq!(accepted.len(), 1, "{own:?}, {other:?}");
        assert!([KeyAge::Current, KeyAge::Previous].contains(&accepted[0]));
    });
}
