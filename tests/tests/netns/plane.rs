//! The threads that move packets: several of them, without what they may leave to the kernel, on a machine with several
//! addresses.

use std::fs;

use super::ping_three_times;
use super::transfer::transfer_both_ways;
use super::tunnel::{CLIENT_INNER, Outer, SERVER_INNER, World};

/// Puts lines at the beginning and at the end of the files of both sides.
fn extend(world: &World, first: &str, last: &str) {
    for file in ["server.toml", "client.toml"] {
        let text = fs::read_to_string(world.path(file)).expect("a file of ours");
        world.write(file, &format!("{first}\n{text}\n{last}\n"));
    }
}

#[test]
fn several_threads_on_each_side_carry_a_transfer_whole_and_stop_when_told() {
    let world = world_or_skip!(World::secure(Outer::V4));
    extend(&world, "workers = 3", "");
    let tunnel = world.tunnel();
    transfer_both_ways(&world);
    ping_three_times(&world.client, SERVER_INNER[1]);
    let (server_log, client_log) = tunnel.stop();
    for log in [&server_log, &client_log] {
        assert!(log.contains("dropped: none"), "{log}");
    }
}

#[test]
fn a_transfer_comes_out_whole_with_each_offload_switched_off_and_with_none() {
    let off = |keys: &[&str]| {
        let lines: Vec<_> = keys.iter().map(|key| format!("{key} = false")).collect();
        format!("[offload]\n{}", lines.join("\n"))
    };
    let keys = ["tun-segmentation", "udp-segmentation", "udp-coalescing"];
    for keys in [&keys[..1], &keys[1..2], &keys[2..], &keys] {
        let world = world_or_skip!(World::secure(Outer::V4));
        extend(&world, "", &off(keys));
        let _tunnel = world.tunnel();
        transfer_both_ways(&world);
    }
}

#[test]
fn a_server_with_several_addresses_answers_from_the_one_that_it_was_asked_at() {
    let second = "198.18.0.77";
    let world = world_or_skip!(World::secure(Outer::V4));
    let address = format!("{second}/24");
    world
        .server
        .run("ip", &["address", "add", &address, "dev", "outer"]);
    world.edit("client.toml", "198.18.0.1:40404", &format!("{second}:40404"));
    let tunnel = world.tunnel();
    ping_three_times(&world.client, SERVER_INNER[0]);
    ping_three_times(&world.server, CLIENT_INNER[0]);
    let (code, status, _) = world.ask(&world.client, &["status"]);
    assert!(
        code == Some(0) && status.contains(&format!("{second}:40404")),
        "{status}"
    );
    let (_, client_log) = tunnel.stop();
    assert!(!client_log.contains("has moved"), "{client_log}");
}
