//! The protocol core behind one exported function: a login and one packet each way, whatever the bytes in between.
//!
//! The linker keeps what the function can reach, which through the `Peer` trait objects is all of both state machines. The
//! finished module's import section then shows what the core asks of the world. `cargo xtask test --only proto-pure` finds
//! it empty.

use std::{net::SocketAddr, time::Duration};

use sandhog_proto::{
    Batch, Command, Datagram, Instant, NetworkSettings, PacketBuf, Peer,
    classic::{Client, ClientConfig, HashCost, Key, Server, ServerConfig, User, hash_password},
};

/// Turns until a login and a packet each way are certainly done.
const TURNS: u64 = 16;

/// Lets a client log in at a server and sends a packet of `length` bytes each way, everything seeded with `seed`; returns
/// how many datagrams and packets came out of the two.
// SAFETY: no other function of this module has the name, and it is called by nobody in this process.
#[unsafe(no_mangle)]
pub extern "C" fn exchange(seed: u8, length: u16) -> u64 {
    let at = |host: u8| SocketAddr::from(([198, 51, 100, host], 4000));
    let (Some(client), Some(server)) = (client(seed, at(1)), server(seed)) else {
        return 0;
    };
    let mut hosts: [(Box<dyn Peer>, SocketAddr); 2] = [(client, at(2)), (server, at(1))];
    let mut inboxes = [Batch::default(), Batch::default()];
    let mut seen = 0;
    for turn in 0..TURNS {
        let now = Instant::ZERO + Duration::from_millis(turn);
        if turn == 0 {
            seen += u64::from(hosts[0].0.command(now, Command::Start).is_err());
        }
        for index in 0..hosts.len() {
            let mut input = std::mem::take(&mut inboxes[index]);
            input
                .packets
                .push(PacketBuf::copied_from(&vec![seed; usize::from(length)]));
            let (host, address) = &mut hosts[index];
            let output = one_turn(host.as_mut(), now, &mut input);
            seen += output.packets.len() as u64;
            for datagram in output.datagrams {
                seen += 1;
                inboxes[1 - index].datagrams.push(Datagram {
                    remote: *address,
                    ..datagram
                });
            }
        }
    }
    seen + hosts
        .iter()
        .map(|(host, _)| host.counters().drops().map(|(_, count)| count).sum::<u64>())
        .sum::<u64>()
}

/// One turn with all that belongs to it: events are drained, slow work is done on the spot.
fn one_turn(host: &mut dyn Peer, now: Instant, input: &mut Batch) -> Batch {
    let mut output = Batch::default();
    host.turn(now, input, &mut output);
    while host.poll_event().is_some() {}
    while let Some(job) = host.poll_job() {
        if host.handle_job(now, job.run()).is_ok() {
            host.turn(now, input, &mut output);
        }
    }
    output
}

fn client(seed: u8, server: SocketAddr) -> Option<Box<dyn Peer>> {
    let settings = NetworkSettings {
        tunnel_remote_address: server.ip(),
        addresses: Vec::new(),
        included_routes: Vec::new(),
        excluded_routes: Vec::new(),
        dns_servers: Vec::new(),
        search_domains: Vec::new(),
        mtu: 1420,
    };
    let key = Key::new([seed; 32]);
    let (login, password) = ("alice".to_owned(), "correct horse".to_owned().into());
    Some(Box::new(Client::new(ClientConfig {
        key,
        login,
        password,
        server,
        settings,
        seed: [seed; 32],
    })))
}

fn server(seed: u8) -> Option<Box<dyn Peer>> {
    let password_hash = hash_password("correct horse", [seed; 16], HashCost::LABORATORY);
    let user = User {
        login: "alice".to_owned(),
        password_hash,
        addresses: vec![[10, 9, 0, 2].into()],
    };
    let key = Key::new([seed; 32]);
    let config = ServerConfig {
        key,
        users: vec![user],
        mtu: 1420,
        seed: [seed.wrapping_add(1); 32],
    };
    Server::new(config)
        .ok()
        .map(|server| Box::new(server) as Box<dyn Peer>)
}
