//! WebAssembly module of the protocol core with one exported function: a login and packets in both
//! directions.
//!
//! The linker keeps all code that the function can reach. Through the `Peer` trait objects, that is all code
//! of both state machines. `cargo xtask test --only proto-pure` checks that the import section of the module
//! is empty.

use std::{net::SocketAddr, time::Duration};

use sandhog_proto::{
    Batch, Command, Datagram, Instant, NetworkSettings, PacketBuf, Peer,
    classic::{Client, ClientConfig, HashCost, Key, Server, ServerConfig, User, hash_password},
};

/// Number of turns that suffices for a login and packets in both directions.
const TURNS: u64 = 16;

/// Logs a client in to a server and sends packets of `length` bytes in both directions, seeded with `seed`.
/// Returns the number of datagrams, packets and drops of both.
// SAFETY: no other function of this module has this name, and no code of this process calls it.
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

/// Runs one turn. Events are discarded, and jobs run immediately.
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
