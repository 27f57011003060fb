//! A login whose control datagrams an insider changes: he opens them, changes some bytes, and seals them again. All other
//! datagrams are changed as they are.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sandhog_fuzz::{
    Bytes, Control, Direction, ROUND, client, client_address, datagram, server, server_address, turn,
};
use sandhog_proto::{Command, Datagram, Instant, Peer, TunnelStatus};

/// Rounds of an exchange. A login takes half of them.
const ROUNDS: u32 = 16;
/// Highest number of changes.
const MAX_EDITS: usize = 64;

thread_local! {
    static CONTROL: RefCell<Control> = RefCell::new(Control::new());
}

/// A change of one byte of a datagram.
struct Edit {
    /// Number of the datagram among all of the exchange.
    datagram: u8,
    position: usize,
    /// The bits that are changed.
    change: u8,
}

/// The changes that the fuzzer's bytes describe, four bytes each.
fn edits(data: &[u8]) -> Vec<Edit> {
    let mut bytes = Bytes(data);
    let mut edits = Vec::new();
    while !bytes.is_empty() && edits.len() < MAX_EDITS {
        edits.push(Edit {
            datagram: bytes.byte() % 16,
            position: bytes.number(),
            change: bytes.byte(),
        });
    }
    edits
}

/// The datagram with its changes, as its receiver gets it.
fn changed(control: &mut Control, direction: Direction, sent: &Datagram, edits: &[&Edit]) -> Vec<u8> {
    let bytes: &[u8] = &sent.payload;
    let apply = |mut bytes: Vec<u8>| {
        let len = bytes.len();
        for edit in edits {
            bytes[edit.position % len] ^= edit.change;
        }
        bytes
    };
    match control.open(direction, bytes) {
        _ if edits.is_empty() => bytes.to_vec(),
        Some(body) => control.seal(direction, apply(body)),
        None => apply(bytes.to_vec()),
    }
}

fuzz_target!(|data: &[u8]| {
    let edits = edits(data);
    CONTROL.with_borrow_mut(|control| {
        let (mut server, mut client) = (server(), client());
        let mut number = 0;
        let mut pass = |direction, remote, sent: Vec<Datagram>| -> Vec<Datagram> {
            let received = sent.iter().map(|sent| {
                let chosen: Vec<_> = edits.iter().filter(|edit| edit.datagram == number).collect();
                number = number.saturating_add(1);
                datagram(remote, &changed(control, direction, sent, &chosen))
            });
            received.collect()
        };
        client
            .command(Instant::ZERO, Command::Start)
            .expect("a new client");
        let mut to_client = vec![];
        for round in 0..ROUNDS {
            let now = Instant::ZERO + ROUND * round;
            let to_server = pass(
                Direction::Up,
                client_address(1),
                turn(&mut client, now, to_client),
            );
            to_client = pass(
                Direction::Down,
                server_address(),
                turn(&mut server, now, to_server),
            );
        }
        // Without a change, the login must succeed. Otherwise this target would test nothing.
        if edits.iter().all(|edit| edit.change == 0) {
            assert_eq!(client.status(), TunnelStatus::Connected);
        }
    });
});
