//! Any control bodies behind valid tags, and any datagrams, to a server and to a client that logs in.

#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use sandhog_fuzz::{
    BODY_LEN, Bytes, Control, Direction, ROUND, client, client_address, datagram, server, server_address,
    turn,
};
use sandhog_proto::{Command, Instant, Peer};

thread_local! {
    static CONTROL: RefCell<Control> = RefCell::new(Control::new());
}

/// Each step has a byte of options, a length, and the bytes of a body.
fn step(control: &mut Control, bytes: &mut Bytes<'_>) -> (Direction, u8, Vec<u8>) {
    let options = bytes.byte();
    let len = bytes.number() % (BODY_LEN + 100);
    let mut body = bytes.take(len).to_vec();
    let direction = if options & 1 == 0 {
        Direction::Up
    } else {
        Direction::Down
    };
    if options & 2 != 0 {
        return (direction, options >> 4, body);
    }
    if options & 4 == 0 {
        body.resize(BODY_LEN, if options & 8 == 0 { 0 } else { b' ' });
    }
    (direction, options >> 4, control.seal(direction, body))
}

fuzz_target!(|data: &[u8]| {
    CONTROL.with_borrow_mut(|control| {
        let (mut server, mut client) = (server(), client());
        let mut now = Instant::ZERO;
        client.command(now, Command::Start).expect("a new client");
        turn(&mut client, now, vec![]);
        let mut bytes = Bytes(data);
        while !bytes.is_empty() {
            now = now + ROUND;
            match step(control, &mut bytes) {
                (Direction::Up, host, sent) => {
                    turn(&mut server, now, vec![datagram(client_address(host), &sent)])
                }
                (Direction::Down, _, sent) => turn(&mut client, now, vec![datagram(server_address(), &sent)]),
            };
        }
    });
});
